"""The definitions in a real Dagster, on the demo's database."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import BUILT, PROJECT
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SkipReason,
    build_schedule_context,
    build_sensor_context,
)

from tidemark_dagster import defs, repairs

SEED_CLOCK, AN_HOUR_LATER = "2025-10-15T12:00:00", "2025-10-15T13:00:00"
STALE = "2025-10-17T05:10:00"


def run(
    instance: DagsterInstance,
    job: str,
    config: dict[str, Any],
    ops: Sequence[str],
    raises: bool = True,
    **how: Any,
) -> Any:
    """Run a job in this process, with the same config for each of its ops."""
    asked = {"ops": {op: {"config": config} for op in ops}}
    return defs.resolve_job_def(job).execute_in_process(
        run_config=asked, instance=instance, raise_on_error=raises, **how
    )


def materialized(done: Any) -> dict[str, dict[str, Any]]:
    """The metadata of what a run has materialized."""
    return {
        event.asset_key.path[-1]: {
            name: value.value
            for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in done.all_events
        if event.is_step_materialization
    }


def observed(done: Any) -> dict[str, tuple[str, str]]:
    """The state and the reason of what a run has observed."""
    found = {}
    for event in done.all_events:
        if event.event_type_value == "ASSET_OBSERVATION":
            seen = event.asset_observation_data.asset_observation
            figures = {name: value.value for name, value in seen.metadata.items()}
            found[seen.asset_key.path[-1]] = (figures["state"], figures["reason"])
    return found


def in_database(database: Path, *statements: str) -> list[list[Any]]:
    """Ask the demo's database, or change it; DuckDB is in the project's Python."""
    code = (
        "import duckdb, json, sys\n"
        "with duckdb.connect(sys.argv[1]) as connection:\n"
        "    for statement in sys.argv[2:]:\n"
        "        told = connection.execute(statement).fetchall()\n"
        "    print(json.dumps(told, default=str))\n"
    )
    asked = [str(PROJECT / ".venv/bin/python"), "-c", code, str(database), *statements]
    told = subprocess.run(asked, capture_output=True, text=True, check=True)
    return list(json.loads(told.stdout))


def says(folder: Path, told: dict[str, Any]) -> str:
    """A command that tells what a test wants it to."""
    command = folder / "tidemark"
    (folder / "told.json").write_text(json.dumps(told))
    command.write_text(f"#!/bin/sh\ncat {folder}/told.json\n")
    command.chmod(0o755)
    return str(command)


def damage(database: Path) -> None:
    """Three days of three teams are gone from two tables."""
    in_database(
        database,
        *(
            f"delete from intermediate.web_hourly_{table} where team_id in (1, 2, 3)"
            " and cast(period_bucket as date) between '2025-10-05' and '2025-10-07'"
            for table in ("stats", "bounces")
        ),
    )


def test_one_asset_per_model_with_its_columns_and_one_check_per_test() -> None:
    manifest = json.loads((BUILT / "dagster/manifest.json").read_text())
    nodes = manifest["nodes"].values()
    graph = defs.resolve_asset_graph()
    models = {n["name"] for n in nodes if n["resource_type"] in ("model", "snapshot")}
    assert models <= {key.path[-1] for key in graph.materializable_asset_keys}
    checks = {key.name for key in graph.asset_check_keys}
    attached = {n["name"] for n in nodes if n["resource_type"] == "test" and n.get("attached_node")}
    assert attached <= checks

    daily = graph.get(AssetKey("engagement_daily"))
    assert AssetKey("server_engagement_daily") in daily.parent_keys
    columns = daily.metadata["dagster/column_schema"].columns
    assert "active_users_7d" in {column.name for column in columns}


def test_sensor_and_schedule_fire_as_said(instance: DagsterInstance) -> None:
    sensor, schedule = (
        repairs.web_analytics_backfill_sensor,
        repairs.web_analytics_backfill_schedule,
    )
    assert sensor.minimum_interval_seconds == 6 * 3600
    assert (schedule.cron_schedule, schedule.execution_timezone or "UTC") == ("0 2 * * *", "UTC")
    ticked = schedule.evaluate_tick(build_schedule_context(instance))
    assert len(ticked.run_requests) == 1

    job = defs.resolve_job_def("web_analytics_backfill_job")
    assert isinstance(sensor(build_sensor_context(instance)), RunRequest)
    instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    assert isinstance(sensor(build_sensor_context(instance)), SkipReason)


def test_a_second_trigger_while_a_repair_runs_repairs_nothing(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(repairs, "tidemark", lambda *args, **_: asked.append(args))
    job = defs.resolve_job_def("web_analytics_backfill_job")
    instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    done = run(
        *(instance, "web_analytics_backfill_job", {}, ["web_analytics_backfill"]),
        asset_selection=[AssetKey("web_analytics_backfill")],
    )
    assert done.success
    assert asked == []
    assert materialized(done) == {}


def test_only_what_the_gate_built_is_materialized(
    database: Path, instance: DagsterInstance
) -> None:
    chosen: dict[str, Any] = {
        "ops": ["tidemark_run"],
        "asset_selection": [AssetKey("engagement_daily")],
    }
    done = run(instance, "tidemark_run_job", {"as_of": AN_HOUR_LATER}, **chosen)
    told = materialized(done)
    # views of staging and ops are made again beside them
    marts = {name for name, figures in told.items() if "reason" in figures}
    assert marts == {"server_engagement_daily", "engagement_daily"}
    written = in_database(
        database,
        "select records_processed, partitions_touched from ops.etl_job_runs"
        " where (status, job_type, job_name) = ('success', 'model', 'server_engagement_daily')"
        " order by ledger_entry desc limit 1",
    )
    figures = told["server_engagement_daily"]
    assert written == [[figures["rows"], figures["partitions"]]]
    assert told["server_engagement_daily"]["watermark"] == AN_HOUR_LATER
    checks = done.get_asset_check_evaluations()
    assert checks
    assert all(check.passed for check in checks)

    done = run(instance, "tidemark_run_job", {"as_of": AN_HOUR_LATER}, **chosen)
    assert materialized(done) == {}
    assert {state for state, _ in observed(done).values()} == {"unchanged"}

    done = run(instance, "tidemark_run_job", {"as_of": STALE}, **chosen)
    assert done.success
    assert materialized(done) == {}
    state, reason = observed(done)["engagement_daily"]
    assert state == "blocked"
    assert "engagement_events is stale" in reason


def test_a_run_fails_and_the_next_recovers(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marts = ["server_engagement_daily", "engagement_daily"]
    built = {"mode": "incremental", "rows": 4, "partitions": 2, "seconds": 0.1}
    states = [{"model": m, "state": "new", "reason": f"{m} is new."} for m in marts]

    def built_with(exit_code: int, *statuses: str) -> None:
        failures = [
            {"node": m, "message": f"{m} broke."}
            for m, status in zip(marts, statuses, strict=True)
            if status == "error"
        ]
        models = [
            {"model": m, "status": status, **built}
            for m, status in zip(marts, statuses, strict=True)
        ]
        build = {"models": models, "checks": [], "failures": failures}
        told = {"as_of": AN_HOUR_LATER, "exit_code": exit_code, "models": states, "build": build}
        monkeypatch.setenv("TIDEMARK_COMMAND", says(tmp_path, told))

    built_with(1, "success", "error")
    failed = run(instance, "tidemark_run_job", {}, ["tidemark_run"], raises=False)
    assert not failed.success
    assert materialized(failed).keys() == {"server_engagement_daily"}
    built_with(0, "success", "success")
    done = run(instance, "tidemark_run_job", {}, ["tidemark_run"])
    assert materialized(done).keys() == set(marts)


def test_planted_gaps_are_found_and_repaired_the_newest_first_within_the_cap(
    database: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(database)
    monkeypatch.setenv("WEB_ANALYTICS_BACKFILL_MAX_PARTITIONS_PER_RUN", "2")
    clock = {"as_of": SEED_CLOCK}
    both = ["web_analytics_backfill_detector", "web_analytics_backfill"]
    done = run(instance, "web_analytics_backfill_job", clock, both)
    found = materialized(done)
    detected = found["web_analytics_backfill_detector"]
    assert detected["missing_partitions"] == 18
    assert detected["tables"] == ["web_hourly_bounces", "web_hourly_stats"]
    assert detected["entities"] == ["1", "2", "3"]
    assert detected["decision"] == "repair"
    assert detected["planned_days"] == ["2025-10-06", "2025-10-07"]
    assert "12 planned, 6 left" in detected["reason"]
    assert found["web_analytics_backfill"]["days"] == ["2025-10-07", "2025-10-06"]

    counted = {"days_back": 12, **clock}
    done = run(instance, "check_missing_data_job", counted, ["check_missing_data"])
    assert done.output_for_node("check_missing_data") == 6
    # what was looked at ends before the damage
    monkeypatch.setenv("WEB_ANALYTICS_BACKFILL_LOOKBACK_DAYS", "soon")
    failed = run(instance, "web_analytics_backfill_job", clock, both, raises=False)
    assert not failed.success


def test_an_error_in_a_look_is_never_no_gaps(
    database: Path, instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(job: str, op: str, **how: Any) -> None:
        failed = run(instance, job, {"as_of": SEED_CLOCK}, [op], raises=False, **how)
        assert not failed.success
        assert materialized(failed) == {}
        (step,) = [event for event in failed.all_events if event.is_step_failure]
        assert "The look failed" in str(step.event_specific_data)

    in_database(database, "alter table raw.web_events rename column pathname to gone")
    detector = "web_analytics_backfill_detector"
    fails("web_analytics_backfill_job", detector, asset_selection=[AssetKey(detector)])

    broken = {"node": "web_sessions", "message": "It broke."}
    told = {"exit_code": 1, "failures": [broken], "not_compared": ["web_sessions"], "gaps": []}
    monkeypatch.setenv("TIDEMARK_COMMAND", says(tmp_path, told))
    fails("show_data_gaps_job", "show_data_gaps")
    fails("check_missing_data_job", "check_missing_data")

    days = {"first": "2025-10-05", "last": "2025-10-07", "days": 3}
    gap = {"model": "web_sessions", "entity": "1", **days, "state": "missing", "decision": "later"}
    sound = {"exit_code": 0, "failures": [], "not_compared": [], "gaps": [gap]}
    monkeypatch.setenv("TIDEMARK_COMMAND", says(tmp_path, sound))
    assert run(instance, "show_data_gaps_job", {"days_back": 7}, ["show_data_gaps"]).success


def test_a_window_is_restated_in_one_run(database: Path, instance: DagsterInstance) -> None:
    damage(database)
    done = run(
        *(instance, "web_analytics_window_job", {"as_of": SEED_CLOCK}, ["web_analytics_restated"]),
        tags={
            "dagster/asset_partition_range_start": "2025-10-05",
            "dagster/asset_partition_range_end": "2025-10-07",
        },
    )
    assert done.success
    stored = "select count(distinct (team_id, cast(period_bucket as date))) from intermediate.{}"
    where = " where team_id in (1, 2, 3) and cast(period_bucket as date) between '2025-10-05'"
    (count,) = in_database(
        database, stored.format("web_hourly_stats") + where + " and '2025-10-07'"
    )
    assert count == [9]
