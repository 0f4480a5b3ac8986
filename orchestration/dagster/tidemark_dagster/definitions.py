"""All of it, as `dagster dev -m tidemark_dagster` loads it."""

from dagster import AssetSelection, Definitions, ScheduleDefinition, define_asset_job

from tidemark_dagster import repairs
from tidemark_dagster.marts import marts

# One run for all: the gate says what of it is done.
run_job = define_asset_job("tidemark_run_job", selection=AssetSelection.assets(marts))
run_schedule = ScheduleDefinition(
    name="tidemark_run_schedule", job=run_job, cron_schedule="20 * * * *"
)

defs = Definitions(
    assets=[marts, repairs.detector, repairs.repair, repairs.restated],
    jobs=[
        *(run_job, repairs.repair_job, repairs.window_job),
        *(repairs.check_missing_data_job, repairs.show_data_gaps_job),
    ],
    schedules=[run_schedule, repairs.web_analytics_backfill_schedule],
    sensors=[repairs.web_analytics_backfill_sensor],
)
