"""The ledger under faults: killed runs, lost entries, crashes, clocks that run backwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import BuiltOnce
from exact.marts import place

from tidemark.engine import Dbt, DbtError, Outcome

PROJECT = Path(__file__).parents[2]
SEED_CLOCK = datetime(2025, 10, 15, 12)
NEXT_MORNING = datetime(2025, 10, 16, 3)


@dataclass
class Warehouse:
    """One demo database, and dbt on it."""

    path: Path
    dbt: Dbt

    def call(self, *args: str, as_of: datetime = NEXT_MORNING) -> Outcome:
        return self.dbt.call(*args, as_of=as_of)

    def run(self, *args: str, as_of: datetime = NEXT_MORNING) -> None:
        outcome = self.call("run", *args, as_of=as_of)
        assert outcome.success, outcome.errors

    def sql(self, *statements: str) -> list[Any]:
        with duckdb.connect(str(self.path)) as connection:
            for statement in statements:
                answer = connection.execute(statement).fetchall()
        return answer

    def contents(self) -> dict[str, Any]:
        """How many rows each table has."""
        names = self.sql(
            "select schema_name || '.' || table_name from duckdb_tables() order by all"
        )
        return {name: self.sql(f"select count(*) from {name}") for (name,) in names}

    def last_run(self, job: str) -> dict[str, Any]:
        ((status, mode, error),) = self.sql(
            "select status, mode, error_message from ops.etl_job_runs "
            f"where job_name = '{job}' order by ledger_entry desc limit 1"
        )
        return {"status": status, "mode": mode, "error": error}

    def mart(self, name: str) -> list[Any]:
        return self.sql(f"select * exclude (record_loaded_at) from {place(name)} order by all")


@pytest.fixture(scope="module")
def first_run(
    built_once: BuiltOnce, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """The demo, built once at the seed clock."""
    home = tmp_path_factory.mktemp("ledger")
    path = built_once(home, ["seed", "run"], SEED_CLOCK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(path))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        yield Warehouse(path, Dbt(PROJECT, "demo", target_path=home / "target"))


@pytest.fixture
def warehouse(first_run: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A copy of it, under the same name."""
    path = tmp_path / first_run.path.name
    shutil.copy(first_run.path, path)
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(path))
    return Warehouse(path, first_run.dbt)


@pytest.fixture(scope="module")
def fresh(first_run: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """fact_events_daily as a full refresh of the next morning has it."""
    path = tmp_path_factory.mktemp("fresh") / first_run.path.name
    shutil.copy(first_run.path, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(path))
        refreshed = Warehouse(path, first_run.dbt)
        refreshed.run("--full-refresh", "--select", "fact_events_daily")
        return refreshed.mart("fact_events_daily")


def test_a_killed_run_is_closed_by_the_next(warehouse: Warehouse) -> None:
    warehouse.sql(
        "insert into ops.etl_job_runs by name "
        "select 1000 as ledger_entry, 'killed' as run_id, 'dbt run' as job_name, "
        "'model' as job_type, 'running' as status"
    )
    warehouse.run("--select", "fact_events_daily")
    warehouse.run("--select", "fact_events_daily")
    closed = warehouse.sql("select status from ops.etl_job_runs where run_id = 'killed' order by 1")
    assert closed == [("failed",), ("running",)]


def test_old_records_go_but_the_last_of_each_kind(warehouse: Warehouse) -> None:
    """All jobs stay known as they were, however often they ran long ago; once a day is enough."""
    times = ("started_at", "completed_at")
    aged = ", ".join(f"{time} = {time} - interval 401 day" for time in times)
    older = ", ".join(f"{time} - interval 99 day as {time}" for time in times)
    warehouse.sql(
        f"update ops.etl_job_runs set {aged}",
        f"insert into ops.etl_job_runs by name select runs.* replace ({older}, "
        "ledger_entry - 1000 as ledger_entry) from ops.etl_job_runs as runs cross join range(3)",
        "insert into ops.gate_log by name select -i as ledger_entry, 'waiting_rows' as metric, "
        "'crm' as subject, current_timestamp - to_days(i) as measured_at from range(29, 34) t(i)",
        "insert into ops.alerts by name select 1 as alert_entry, timestamp '2020-01-01' as told_at",
        "insert into ops.changed_keys by name select -1 as ledger_entry",
    )
    others = "job_name not in ('reported_days', 'dbt run')"
    known = (
        "select * exclude (last_run_at) from ops.etl_job_watermarks "
        f"where {others} order by job_name"
    )
    before = warehouse.sql(known)
    warehouse.run("--select", "reported_days")
    assert warehouse.sql(known) == before
    kinds = "(job_name, job_type, status, mode, last_processed_timestamp is null)"
    counts = f"select count(*), count(distinct {kinds}) from ops.etl_job_runs where {others}"
    ((rows, of_each_kind),) = warehouse.sql(counts)
    assert rows == of_each_kind > 20
    assert warehouse.sql("select ledger_entry from ops.gate_log") == [(-29,)]
    assert warehouse.sql("select alert_entry from ops.alerts") == [(1,)]
    assert warehouse.sql("select count(*) from ops.changed_keys where ledger_entry < 0") == [(0,)]

    warehouse.sql(
        "insert into ops.gate_log by name select -99 as ledger_entry, 'waiting_rows' as metric, "
        "'crm' as subject, timestamp '2020-01-01' as measured_at"
    )
    warehouse.run("--select", "reported_days")
    assert (-99,) in warehouse.sql("select ledger_entry from ops.gate_log")


def test_a_job_that_was_last_built_long_ago_is_still_known(warehouse: Warehouse) -> None:
    """Five weeks of the ledger are read, and all of it for a job that was not built in them."""
    warehouse.sql("update ops.etl_job_runs set started_at = started_at - interval 60 day")
    before = warehouse.last_run("fact_events_daily")
    assert before["mode"] == "full"
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.last_run("fact_events_daily")["mode"] not in (None, "full")


def test_a_table_without_its_entry_is_rebuilt_whole(warehouse: Warehouse, fresh: list[Any]) -> None:
    warehouse.sql(
        "delete from ops.etl_job_runs where job_name = 'fact_events_daily'",
        # what an unknown hand may have left
        "update marts.fact_events_daily set events = events + 1",
    )
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.last_run("fact_events_daily")["mode"] == "full"
    assert warehouse.mart("fact_events_daily") == fresh


def test_an_empty_build_leaves_no_watermark(warehouse: Warehouse, fresh: list[Any]) -> None:
    warehouse.run("--select", "fact_events_daily", "--empty", "--full-refresh")
    assert warehouse.mart("fact_events_daily") == []
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.mart("fact_events_daily") == fresh


def test_data_and_watermark_are_one_transaction(warehouse: Warehouse, fresh: list[Any]) -> None:
    before = warehouse.mart("fact_events_daily")
    warehouse.sql(
        "create table ops.kept as from ops.etl_job_runs",
        "drop table ops.etl_job_runs",
        # a ledger that refuses just this success: the hook fails after delete and insert
        "create table ops.etl_job_runs ("
        "ledger_entry bigint, run_id varchar, job_name varchar, job_type varchar, status varchar, "
        "as_of timestamp, processed_from timestamp, last_processed_timestamp timestamp, "
        "records_processed bigint, partitions_touched bigint, "
        "mode varchar, started_at timestamp, completed_at timestamp, "
        "error_message varchar, fingerprint varchar, metadata_json varchar, "
        "check (job_name <> 'fact_events_daily' or status <> 'success' "
        "or as_of <= timestamp '2025-10-15 12:00:00'))",
        "insert into ops.etl_job_runs from ops.kept",
    )
    assert not warehouse.call("run", "--select", "fact_events_daily").success
    assert warehouse.mart("fact_events_daily") == before
    assert warehouse.last_run("fact_events_daily")["status"] == "failed"

    # `create table as` drops the constraint: the ledger accepts the next run
    warehouse.sql("create or replace table ops.etl_job_runs as from ops.etl_job_runs")
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.last_run("fact_events_daily")["mode"] == "incremental"
    assert warehouse.mart("fact_events_daily") == fresh


def columns_of_ops(warehouse: Warehouse) -> dict[str, list[str]]:
    rows = warehouse.sql(
        "select table_name, list(column_name order by column_name) from duckdb_columns() "
        "join duckdb_tables() using (schema_name, table_name) where schema_name = 'ops' group by 1"
    )
    return dict(rows)


def given_tables_of_version(warehouse: Warehouse, version: int) -> None:
    """The ops tables as that version made them, with the rows that it would have."""
    kept = columns_of_ops(warehouse)
    for table in kept:
        warehouse.sql(f"create table kept.{table} as from ops.{table}", f"drop table ops.{table}")
    warehouse.sql((Path(__file__).parent / "ops_versions" / f"{version}.sql").read_text())
    for table, columns in columns_of_ops(warehouse).items():
        shared = ", ".join(column for column in columns if column in kept[table])
        warehouse.sql(f"insert into ops.{table} by name select {shared} from kept.{table}")


def test_a_ledger_of_the_last_version_is_migrated_by_its_first_run(
    warehouse: Warehouse, fresh: list[Any]
) -> None:
    described = {
        source.name: sorted(source.columns)
        for source in warehouse.dbt.manifest.sources.values()
        if source.source_name == "ops"
    }
    modes = warehouse.sql("select ledger_entry, mode from ops.etl_job_runs order by all")
    assert columns_of_ops(warehouse) == described
    warehouse.sql("create schema kept", "drop view ops.schema_version_4")
    given_tables_of_version(warehouse, 1)
    assert columns_of_ops(warehouse) != described
    warehouse.sql(
        """update ops.etl_job_runs set metadata_json = '{"mode": "full", "overlap_rows": {}}' """
        "where ledger_entry in (select ledger_entry from kept.etl_job_runs where mode = 'full')",
        "insert into ops.etl_job_runs by name "
        "select -1 as ledger_entry, 'restated' as job_name, 'backfill' as job_type",
        "insert into ops.partition_coverage by name "
        "select 'mart' as model_name, 'whole' as strategy",
    )

    # what only reads takes it for none; the root's hooks ask before the engine's own
    assert warehouse.call("compile", "--select", "fact_events_daily").success
    assert columns_of_ops(warehouse) != described
    built = warehouse.call("build", "--select", "fact_events_daily")
    assert built.success, built.errors
    assert columns_of_ops(warehouse) == described
    assert warehouse.last_run("fact_events_daily")["mode"] == "incremental"
    assert warehouse.mart("fact_events_daily") == fresh
    migrated = "select ledger_entry, mode from ops.etl_job_runs where ledger_entry >= 0"
    assert warehouse.sql(f"{migrated} order by all")[: len(modes)] == modes
    assert warehouse.sql("select job_type from ops.etl_job_runs where ledger_entry = -1") == [
        ("restatement",)
    ]
    assert warehouse.sql("select strategy from ops.partition_coverage") == [("full",)]


def test_an_earlier_clock_is_refused_and_touches_nothing(warehouse: Warehouse) -> None:
    before = warehouse.mart("fact_events_daily")
    entries = warehouse.sql("select count(*) from ops.etl_job_runs")
    earlier = datetime(2025, 10, 15, 11, 59)
    window = ("--event-time-start", "2025-10-01", "--event-time-end", "2025-10-02")
    for options in [(), window]:
        with pytest.raises(DbtError, match="lies before the clock of the ledger"):
            warehouse.call("run", *options, as_of=earlier)
    assert warehouse.mart("fact_events_daily") == before
    assert warehouse.sql("select count(*) from ops.etl_job_runs") == entries
    # a full refresh may go back, and the clock goes on from there
    warehouse.run("--full-refresh", as_of=earlier)
    warehouse.run(as_of=SEED_CLOCK)


EARLIER = datetime(2025, 10, 15, 11, 59)
A_PARTITION = {"model": "fact_events_daily", "entity": "acme", "day": "2025-10-01", "reason": "x"}
# Operations that write. What records the end of what has begun, and whom it was told, goes on.
WRITING: dict[str, dict[str, Any]] = {
    "request_partition": A_PARTITION,
    "set_watermark": {"job": "fact_events_daily", "reason": "x"},
    "gate_facts": {},
    "start_backfill": {},
    "finish_backfill": {},
    "load_landing": {"root": "/nowhere"},
    "close_load": {"jobs": [], "failed_files": []},
    "prune": {"dry_run": False},
    "create_landing": {},
    "delete_three_days": {},
}


def test_whatever_writes_is_refused_at_an_earlier_clock(warehouse: Warehouse) -> None:
    warehouse.run("--select", "package:tidemark", as_of=SEED_CLOCK)
    before = warehouse.contents()
    for command in ("snapshot", "seed"):
        with pytest.raises(DbtError, match="lies before the clock of the ledger"):
            warehouse.call(command, as_of=EARLIER)
    for operation, arguments in WRITING.items():
        with pytest.raises(DbtError, match="lies before the clock of the ledger"):
            warehouse.dbt.operate(operation, arguments, EARLIER)
    # a command has been refused before it; by hand it has no run id
    checks = ("run-operation", "record_checks", "--args", '{"checks": [], "figures": []}')
    by_hand = {"as_of": EARLIER.isoformat()}
    refused = warehouse.dbt._invoke(warehouse.dbt.manifest, list(checks), by_hand)
    assert "lies before the clock of the ledger" in " ".join(refused.errors)
    assert warehouse.contents() == before


def test_no_flag_takes_a_snapshot_back(warehouse: Warehouse) -> None:
    snapshot = "consumer_customers"
    assert warehouse.call("snapshot", "--select", snapshot, as_of=SEED_CLOCK).success
    warehouse.sql(
        "update raw.customers set status = 'PAUSED', loaded_at = '2025-10-16 02:00:00'"
        " where (consumer_id, customer_id) ="
        " (select (min(consumer_id), min(customer_id)) from raw.customers)"
    )
    assert warehouse.call("snapshot", "--select", snapshot, as_of=NEXT_MORNING).success
    history = warehouse.sql(f"from {place(snapshot)} order by all")
    refreshing = ("--full-refresh", "--select", snapshot)
    for command in [("snapshot",), ("build", *refreshing), ("build", "--full-refresh")]:
        with pytest.raises(DbtError, match=f"{snapshot} is known up to 2025-10-16 03:00:00"):
            warehouse.call(*command, as_of=SEED_CLOCK)
    assert warehouse.sql(f"from {place(snapshot)} order by all") == history
    # what is rebuilt may go back beside it
    warehouse.run("--full-refresh", "--select", "fact_events_daily", as_of=EARLIER)
    assert warehouse.sql(f"from {place(snapshot)} order by all") == history


def test_a_snapshot_that_the_ledger_has_lost_does_not_go_back(warehouse: Warehouse) -> None:
    call = ("snapshot", "--select", "consumer_customers")
    assert warehouse.call(*call, as_of=SEED_CLOCK).success
    warehouse.sql("delete from ops.etl_job_runs")
    refused = warehouse.call(*call, as_of=datetime(2025, 10, 1))
    assert not refused.success
    (left,) = [r.message for r in refused.results if r.node.name == "consumer_customers"]
    assert "consumer_customers holds rows that were loaded later" in left


def test_seeds_erase_nobodys_own_rows(warehouse: Warehouse) -> None:
    # seeds and what has landed may be written again
    warehouse.sql(
        "insert into raw.web_teams values (99, 'Landed', true, null, '2025-10-14 00:00:00')",
        "insert into ops.landed_files by name select 'a' as path, 'web_teams' as table_name,"
        " 'loaded' as status, timestamp '2025-10-14 00:00:00' as loaded_at",
    )
    assert warehouse.call("seed", as_of=SEED_CLOCK).success
    assert warehouse.sql("select count(*) from raw.web_teams where team_id = 99") == [(1,)]
    own = (
        "insert into raw.fact_events by name"
        " select * replace ('own' as event_id) from raw.fact_events limit 2"
    )
    # as another loader makes it, with a column and a type of its own
    wider = "create or replace table raw.web_teams as select 1 as team_id, 'x' as colour"
    other = "alter table raw.usage_answers alter loaded_at type timestamptz"
    warehouse.sql(own, wider, other)
    before = warehouse.contents()
    for command in [("seed",), ("seed", "--full-refresh"), ("build", "--select", "fact_events")]:
        with pytest.raises(DbtError, match="neither seeds nor landed") as refused:
            warehouse.call(*command, as_of=SEED_CLOCK)
        assert "raw.fact_events (2)" in str(refused.value)
        assert warehouse.contents() == before
    assert "raw.web_teams (1)" not in str(refused.value)
    with pytest.raises(DbtError, match=r"raw\.usage_answers \(\d+\).*|raw\.web_teams \(1\)"):
        warehouse.call("seed", as_of=SEED_CLOCK)


def test_a_restatement_does_not_move_the_watermark(warehouse: Warehouse, fresh: list[Any]) -> None:
    window = ("--event-time-start", "2025-09-20", "--event-time-end", "2025-09-30")
    warehouse.run("--select", "fact_events_daily", *window)
    assert warehouse.last_run("fact_events_daily")["mode"] == "restate"
    ((watermark, known_until),) = warehouse.sql(
        "select last_processed_timestamp, known_until from ops.etl_job_watermarks "
        "where job_name = 'fact_events_daily'"
    )
    # what was restated at a later clock is known up to it, but the table is not
    assert (watermark, known_until) == (SEED_CLOCK, SEED_CLOCK)
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.mart("fact_events_daily") == fresh


def test_an_empty_restatement_leaves_no_watermark(warehouse: Warehouse, fresh: list[Any]) -> None:
    window = ("--event-time-start", "2025-09-20", "--event-time-end", "2025-09-30")
    warehouse.run("--select", "fact_events_daily", "--empty", *window)
    assert warehouse.mart("fact_events_daily") != fresh
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.mart("fact_events_daily") == fresh


def test_a_restated_window_reaches_the_days_after_what_is_gone(warehouse: Warehouse) -> None:
    table, server = "server_engagement_daily", "server_id = (select min(server_id) from raw.gone)"
    warehouse.sql(
        "create table raw.gone as from raw.engagement_events where server_id ="
        " (select min(server_id) from raw.engagement_events)"
        " and cast(session_date as date) between '2025-10-01' and '2025-10-07'"
    )
    warehouse.sql(
        f"delete from raw.engagement_events where {server}"
        " and cast(session_date as date) between '2025-10-01' and '2025-10-07'"
    )
    window = ("--event-time-start", "2025-10-01", "--event-time-end", "2025-10-08")
    warehouse.run("--select", table, *window, as_of=SEED_CLOCK)
    restated = warehouse.mart(table)
    warehouse.run("--select", table, "--full-refresh", as_of=SEED_CLOCK)
    assert restated == warehouse.mart(table)


def test_a_request_is_done_once_and_only_where_there_are_partitions(warehouse: Warehouse) -> None:
    def request(model: str) -> Outcome:
        asked = {"model": model, "entity": "acme", "day": "2025-10-01", "reason": "a doubt"}
        return warehouse.call("run-operation", "request_partition", "--args", json.dumps(asked))

    right = warehouse.mart("fact_events_daily")
    wrong = "update marts.fact_events_daily set events = 0 where activity_date = '2025-10-01'"
    warehouse.sql(f"{wrong} and company_id = 'acme'")
    assert warehouse.mart("fact_events_daily") != right
    assert request("fact_events_daily").success
    warehouse.run("--select", "fact_events_daily", as_of=SEED_CLOCK)
    assert warehouse.mart("fact_events_daily") == right
    assert warehouse.sql("select count(done_at) from ops.requested_partitions") == [(1,)]

    refused = request("company_daily_activity")
    assert not refused.success
    assert "has no partitions to recompute" in " ".join(refused.errors)
    assert warehouse.sql("select count(*) from ops.requested_partitions") == [(1,)]


def test_a_request_reaches_an_entity_of_any_name(warehouse: Warehouse) -> None:
    table, entities = "company_daily_usage", ["0", "", "\u00a0", "it's \\n", "x" * 2100]
    right = warehouse.mart(table)
    for entity in entities:
        # which no raw row explains, as what was built before a rule was made
        written = entity.replace("'", "''")
        warehouse.sql(
            f"insert into {place(table)} select * replace ('{written}' as company_id)"
            f" from {place(table)} where company_id = 'acme'"
        )
        asked = {"model": table, "entity": entity, "day": "2025-01-01", "reason": "a doubt"}
        warehouse.dbt.operate("request_partition", asked, SEED_CLOCK)
    # as YAML has it
    asked = {"model": table, "entity": 0, "day": "2025-01-01", "reason": "a doubt"}
    warehouse.dbt.operate("request_partition", asked, SEED_CLOCK)
    warehouse.run("--select", table, as_of=SEED_CLOCK)
    assert warehouse.mart(table) == right
    requests = warehouse.sql("select entity, done_at is null from ops.requested_partitions")
    assert requests == [(entity, False) for entity in [*entities, "0"]]


# ---- watermarks set by hand ----


def set_watermark(warehouse: Warehouse, to: str | None, as_of: datetime = SEED_CLOCK) -> Outcome:
    wanted = {"job": "fact_events_daily", "reason": "a doubt"} | ({"to": to} if to else {})
    return warehouse.call(
        "run-operation", "set_watermark", "--args", json.dumps(wanted), as_of=as_of
    )


def test_from_a_watermark_set_back_all_is_processed_again(
    warehouse: Warehouse, fresh: list[Any]
) -> None:
    # what happened on a day was loaded on that day or later
    warehouse.sql(
        "update marts.fact_events_daily set events = 0 where activity_date > '2025-10-05'"
    )
    assert set_watermark(warehouse, "2025-10-05T00:00:00").success
    watermarks = "select last_processed_timestamp, known_until from ops.etl_job_watermarks"
    ((watermark, known_until),) = warehouse.sql(
        f"{watermarks} where job_name = 'fact_events_daily'"
    )
    assert (watermark, known_until) == (datetime(2025, 10, 5), SEED_CLOCK)
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.last_run("fact_events_daily")["mode"] == "incremental"
    assert warehouse.mart("fact_events_daily") == fresh


def test_without_a_watermark_the_table_is_rebuilt_whole(
    warehouse: Warehouse, fresh: list[Any]
) -> None:
    warehouse.sql("update marts.fact_events_daily set events = events + 1")
    assert set_watermark(warehouse, None).success
    refused = set_watermark(warehouse, "2025-10-05T00:00:00")
    assert "has no watermark: its next run builds it whole" in " ".join(refused.errors)
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.last_run("fact_events_daily")["mode"] == "full"
    assert warehouse.mart("fact_events_daily") == fresh


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("2025-10-16T03:00:01", "lies after the clock"),
        ("2025-10-16T03:00:00", "They would be skipped"),
        # the first load after the watermark
        ("2025-10-15T12:20:00", "fact_events. They would be skipped"),
    ],
)
def test_a_watermark_never_skips_rows(warehouse: Warehouse, to: str, why: str) -> None:
    refused = set_watermark(warehouse, to, as_of=NEXT_MORNING)
    assert not refused.success
    assert why in " ".join(refused.errors)
    assert warehouse.sql("select count(*) from ops.etl_job_runs where job_type = 'reset'") == [(0,)]


def test_a_watermark_never_skips_rows_that_came_late(warehouse: Warehouse) -> None:
    warehouse.sql(
        "insert into raw.fact_events by name select * replace ('late' as event_id, "
        "timestamp '2025-10-15 11:50:00' as loaded_at) from raw.fact_events "
        "where loaded_at < '2025-10-15' limit 1"
    )
    refused = set_watermark(warehouse, "2025-10-15T12:15:00", as_of=NEXT_MORNING)
    assert "1 of fact_events. They would be skipped" in " ".join(refused.errors)


def test_a_watermark_may_skip_what_is_not_there(warehouse: Warehouse, fresh: list[Any]) -> None:
    assert set_watermark(warehouse, "2025-10-15T12:15:00", as_of=NEXT_MORNING).success
    warehouse.run("--select", "fact_events_daily")
    assert warehouse.last_run("fact_events_daily")["mode"] == "incremental"
    assert warehouse.mart("fact_events_daily") == fresh


def test_what_reads_sessions_takes_over_whatever_they_changed(warehouse: Warehouse) -> None:
    def take_over() -> dict[str, Any]:
        warehouse.run("--select", "web_hourly_bounces")
        return warehouse.last_run("web_hourly_bounces")

    warehouse.run("--select", "+web_hourly_bounces")
    right = warehouse.mart("web_hourly_bounces")
    # without a reader: a restatement, an increment, and a rebuild that logs no keys
    warehouse.sql("update raw.web_events set host = 'moved.example' where event_id = 'web-bounce'")
    window = ("--event-time-start", "2025-09-20", "--event-time-end", "2025-09-21")
    warehouse.run("--select", "web_sessions", *window)
    assert take_over()["mode"] == "incremental"
    moved = warehouse.mart("web_hourly_bounces")
    assert len(set(moved) - set(right)) == 1
    assert {row[2] for row in set(moved) - set(right)} == {"moved.example"}

    warehouse.sql("update raw.web_events set host = 'story.example' where event_id = 'web-bounce'")
    warehouse.run("--select", "web_sessions", "--full-refresh")
    assert take_over()["mode"] == "full"
    assert warehouse.mart("web_hourly_bounces") == right
    assert take_over()["mode"] == "incremental"
