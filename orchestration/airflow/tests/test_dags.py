"""The project's DAGs in a real Airflow, on the demo's database."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pendulum
import pytest
from conftest import PROJECT
from sqlalchemy import select

AN_HOUR_LATER, STALE = "2025-10-15T13:00:00", "2025-10-17T05:10:00"
THE_NIGHT = "2025-10-16T03:00:00"
ENGAGEMENT = {
    *("fct_engagement_metrics", "feature_engagement_daily"),
    *("server_engagement_daily", "engagement_daily"),
}

Ran = Callable[..., tuple[str, dict[str, str]]]


@pytest.fixture
def ran(dags: dict[str, Any], database: Path) -> Ran:
    """Run a DAG at a clock: its state, and that of each task."""
    assert database.exists()

    def run(dag_id: str, as_of: str, **conf: Any) -> tuple[str, dict[str, str]]:
        done = dags[dag_id].test(run_conf={"as_of": as_of, **conf})
        return str(done.state), {
            each.task_id: str(each.state) for each in done.get_task_instances()
        }

    return run


def told_assets() -> list[tuple[str, dict[str, Any]]]:
    """Every event of an asset so far: its mart, and what the event carries."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.execute(
            select(AssetModel.name, AssetEvent.extra)
            .join(AssetEvent, AssetEvent.asset_id == AssetModel.id)
            .order_by(AssetEvent.id)
        )
        return [(name.removeprefix("tidemark."), extra) for name, extra in found]


def in_database(database: Path, statement: str) -> list[list[Any]]:
    """Ask the demo's database, or change it; DuckDB is in the project's Python."""
    code = (
        "import duckdb, json, sys\n"
        "with duckdb.connect(sys.argv[1]) as connection:\n"
        "    print(json.dumps(connection.execute(sys.argv[2]).fetchall(), default=str))\n"
    )
    asked = [str(PROJECT / ".venv/bin/python"), "-c", code, str(database), statement]
    told = subprocess.run(asked, capture_output=True, text=True, check=True)
    return list(json.loads(told.stdout))


def test_they_are_scheduled_as_said(dags: dict[str, Any]) -> None:
    hourly, master = dags["engagement_metrics_refresh"], dags["company_activity_master"]
    backfill = dags["consumer_analytics_backfill"]
    assert dags.keys() == {
        *("engagement_metrics_refresh", "company_activity_master", "consumer_analytics_etl"),
        *("consumer_analytics_backfill", "web_preaggregated_backfill"),
    }
    for dag in dags.values():
        assert (dag.catchup, dag.max_active_runs) == (False, 1)
        assert {task.on_failure_callback for task in dag.tasks if task.on_failure_callback} == set()
    assert hourly.get_task("run").retries == 2

    assert fires(hourly, 2) == ["15 00:05", "15 01:05"]
    assert fires(master, 2) == fires(dags["consumer_analytics_etl"], 2) == ["15 00:00", "16 00:00"]
    six_hourly = ["15 00:00", "15 02:00", "15 06:00", "15 12:00", "15 18:00", "16 00:00"]
    assert fires(dags["web_preaggregated_backfill"], 6) == six_hourly
    assert fires(backfill, 1) == []


def fires(dag: Any, number: int) -> list[str]:
    """When the scheduler would start a DAG from 15 October on: the day and the time."""
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables.base import TimeRestriction

    timetable, last = coerce_to_core_timetable(dag.timetable), None
    since = TimeRestriction(pendulum.datetime(2025, 10, 15), None, catchup=True)
    found = []
    while len(found) < number:
        last = timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=since)
        if last is None:
            break
        found.append(f"{last.run_after:%d %H:%M}")
    return found


def test_an_hour_is_built_skipped_and_blocked(ran: Ran, database: Path) -> None:
    before = len(told_assets())
    state, tasks = ran("engagement_metrics_refresh", AN_HOUR_LATER)
    assert state == "success"
    assert tasks == {
        **dict.fromkeys(ENGAGEMENT, "success"),
        **{"run": "success", "blocked": "skipped", "outcome": "success"},
    }
    told = dict(told_assets()[before:])
    assert told.keys() == ENGAGEMENT
    assert len(told_assets()) - before == len(ENGAGEMENT)
    assert told["server_engagement_daily"]["clock"] == AN_HOUR_LATER
    written = in_database(
        database,
        "select records_processed, partitions_touched from ops.etl_job_runs"
        " where (status, job_type, job_name) = ('success', 'model', 'server_engagement_daily')"
        " order by ledger_entry desc limit 1",
    )
    figures = told["server_engagement_daily"]
    assert written == [[figures["rows"], figures["partitions"]]]
    assert "new rows in engagement_events" in told["server_engagement_daily"]["reason"]

    state, tasks = ran("engagement_metrics_refresh", AN_HOUR_LATER)
    assert set(tasks.values()) == {"skipped"}

    state, tasks = ran("engagement_metrics_refresh", STALE)
    assert tasks == {
        **dict.fromkeys(ENGAGEMENT, "skipped"),
        **{"run": "success", "blocked": "failed", "outcome": "success"},
    }
    # neither of the two told of a mart
    assert len(told_assets()) - before == len(ENGAGEMENT)


def test_a_failed_ingest_stops_nothing_and_fails_the_run(
    ran: Ran, dags: dict[str, Any], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_CRM_PATH", str(database.parent / "not_there"))
    monkeypatch.delenv("TIDEMARK_USAGE_URL", raising=False)
    master = dags["company_activity_master"]
    order = ["ingest_crm", "ingest_usage", "load", "run"]
    for task, then in pairwise(order):
        assert then in master.get_task(task).downstream_task_ids
        monkeypatch.setattr(master.get_task(task), "retries", 0)
    state, tasks = ran("company_activity_master", THE_NIGHT)
    assert state == "failed"
    assert [tasks[task] for task in order] == ["failed", "failed", "success", "success"]
    assert tasks["outcome"] == "failed"
    assert tasks["company_daily_usage"] == "success"


def test_a_window_is_restated_and_bad_ones_are_refused(ran: Ran) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    window = {"start_date": "2025-10-01", "end_date": "2025-10-08", "interval": "weekly"}
    for wrong in ({"start_date": "2025-02-30"}, {"end_date": "soon"}, {"interval": "monthly"}):
        with pytest.raises((ParamValidationError, ValueError)):
            ran("consumer_analytics_backfill", AN_HOUR_LATER, **{**window, **wrong})
    turned = {**window, "start_date": "2025-10-09"}
    state, tasks = ran("consumer_analytics_backfill", AN_HOUR_LATER, **turned)
    assert (state, tasks) == ("failed", {"validate": "failed", "restate": "upstream_failed"})

    state, tasks = ran("consumer_analytics_backfill", AN_HOUR_LATER, **window)
    assert (state, tasks) == ("success", {"validate": "success", "restate": "success"})


def test_gaps_are_repaired_the_newest_first_within_the_cap(
    ran: Ran, dags: dict[str, Any], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in ("stats", "bounces"):
        in_database(
            database,
            f"delete from intermediate.web_hourly_{table} where team_id in (1, 2, 3)"
            " and cast(period_bucket as date) between '2025-10-05' and '2025-10-07'",
        )
    asked = dags["web_preaggregated_backfill"]
    for task in ("plan", "repair"):
        arguments = [a if a != "7" else "2" for a in asked.get_task(task).arguments]
        monkeypatch.setattr(asked.get_task(task), "arguments", arguments)
    state, tasks = ran("web_preaggregated_backfill", "2025-10-15T12:00:00")
    assert (state, set(tasks.values())) == ("success", {"success"})
    left = in_database(
        database,
        "select model_name, entity, day from ops.data_gaps where model_name like 'web_hourly%'"
        " order by all",
    )
    teams, tables = ("1", "2", "3"), ("web_hourly_bounces", "web_hourly_stats")
    assert left == [[table, team, "2025-10-05"] for table in tables for team in teams]

    in_database(database, "alter table raw.web_events rename column pathname to gone")
    for task in asked.tasks:
        monkeypatch.setattr(task, "retries", 0)
    state, tasks = ran("web_preaggregated_backfill", "2025-10-15T12:00:00")
    assert state == "failed"
    assert tasks["look_for_gaps"] == "failed"
