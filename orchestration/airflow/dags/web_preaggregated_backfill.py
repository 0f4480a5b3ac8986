"""The web's gaps: looked for every six hours and at 02:00 UTC, repaired a few days at a time."""

from airflow.timetables.trigger import MultipleCronTriggerTimetable

from tidemark_airflow import repair_dag

dag = repair_dag(
    "web_preaggregated_backfill",
    select=["web"],
    max_days=7,
    schedule=MultipleCronTriggerTimetable("0 */6 * * *", "0 2 * * *", timezone="UTC"),
)
