"""Retention: once raw rows are pruned, no path recomputes a day of which something is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from exact.marts import place
from test_ledger import NEXT_MORNING, PROJECT, SEED_CLOCK, Warehouse

from tidemark.engine import Dbt, Outcome

# The seeds begin on 2025-09-03: a month of raw rows is kept at the clock of 2025-10-15.
FLOOR = date(2025, 9, 15)
PRUNABLE = {"fact_events", "engagement_events", "web_events"}

# One session begins before the floor and goes on after it; both of its events are views.
OVER_THE_FLOOR = [
    f"insert into raw.web_events by name select * replace ('over-{hour}' as event_id, "
    f"'over' as session_id, timestamp '{moment}' as timestamp, "
    f"timestamp '{loaded}' as loaded_at) from raw.web_events where event_id = 'web-bounce'"
    for hour, moment, loaded in [
        ("23", "2025-09-14 23:50:00", "2025-09-15 00:15:00"),
        ("00", "2025-09-15 00:10:00", "2025-09-15 00:15:00"),
    ]
]

# Late rows for a day whose raw rows are gone, each of another table.
LATE = [
    f"insert into raw.{table} by name select * replace ('late' as event_id, "
    f"timestamp '2025-09-05 10:00:00' as {event_time}, "
    f"timestamp '2025-10-15 12:30:00' as {load_time}) from raw.{table} "
    f"where {load_time} < '2025-10-01' order by event_id limit 1"
    for table, event_time, load_time in [
        ("fact_events", "event_timestamp", "loaded_at"),
        ("engagement_events", "session_date", "updated_at"),
        ("web_events", "timestamp", "loaded_at"),
    ]
]


def prune(warehouse: Warehouse, as_of: datetime = SEED_CLOCK, **options: Any) -> Outcome:
    return warehouse.call("run-operation", "prune", "--args", json.dumps(options), as_of=as_of)


@contextmanager
def listening(warehouse: Warehouse) -> Iterator[list[str]]:
    told: list[str] = []
    warehouse.dbt.listeners.append(lambda event: told.append(str(event.info.msg)))
    try:
        yield told
    finally:
        warehouse.dbt.listeners.pop()


def marts(warehouse: Warehouse) -> dict[str, list[Any]]:
    names = warehouse.sql(
        "select table_name from information_schema.tables "
        "where table_schema in ('marts', 'intermediate')"
    )
    return {name: warehouse.mart(name) for (name,) in names}


def copied(warehouse: Warehouse, folder: Path, patch: pytest.MonkeyPatch) -> Warehouse:
    path = folder / warehouse.path.name
    shutil.copy(warehouse.path, path)
    patch.setenv("TIDEMARK_DEMO_PATH", str(path))
    return Warehouse(path, warehouse.dbt)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Warehouse:
    """The demo at the seed clock, nothing pruned."""
    home = tmp_path_factory.mktemp("retention")
    path = home / "tidemark.duckdb"
    patch.setenv("TIDEMARK_DEMO_PATH", str(path))
    patch.setenv("DBT_LOG_PATH", str(home / "logs"))
    variables = {"domains": ["company", "engagement", "web"]}
    built = Warehouse(path, Dbt(PROJECT, "demo", variables, home / "target"))
    assert built.call("seed", as_of=SEED_CLOCK).success
    built.sql(*OVER_THE_FLOOR)
    built.run(as_of=SEED_CLOCK)
    return built


@pytest.fixture(scope="module")
def never_pruned(
    built: Warehouse, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch
) -> dict[str, list[Any]]:
    """Every mart of the next morning, where nothing was pruned and no late row came."""
    warehouse = copied(built, tmp_path_factory.mktemp("never"), patch)
    warehouse.run()
    return marts(warehouse)


@pytest.fixture(scope="module")
def just_pruned(
    built: Warehouse, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch
) -> Warehouse:
    """Pruned at the seed clock, then late rows came for what is gone."""
    warehouse = copied(built, tmp_path_factory.mktemp("pruned"), patch)
    before = marts(warehouse)
    outcome = prune(warehouse, dry_run=False, kept_from=str(FLOOR), reason="disk")
    assert outcome.success, outcome.errors
    assert marts(warehouse) == before
    warehouse.sql(*LATE)
    return warehouse


@pytest.fixture(scope="module")
def increased(
    just_pruned: Warehouse, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch
) -> Warehouse:
    """The next morning: an increment with the late rows."""
    warehouse = copied(just_pruned, tmp_path_factory.mktemp("increased"), patch)
    warehouse.run()
    return warehouse


@pytest.fixture
def pruned(just_pruned: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    return copied(just_pruned, tmp_path, monkeypatch)


@pytest.fixture
def late(increased: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    return copied(increased, tmp_path, monkeypatch)


@pytest.fixture
def untouched(built: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    return copied(built, tmp_path, monkeypatch)


# ---- what is deleted ----


def test_a_dry_run_changes_nothing(untouched: Warehouse) -> None:
    def everything() -> list[Any]:
        rows = [untouched.sql(f"from raw.{name} order by all") for name in sorted(PRUNABLE)]
        return [*rows, untouched.sql("from ops.retention_floors"), marts(untouched)]

    before = everything()
    with listening(untouched) as told:
        # 18 months before the clock, and the floor of the other tests
        assert prune(untouched).success
        assert prune(untouched, kept_from=str(FLOOR)).success
    assert everything() == before
    assert "fact_events is kept from 2024-04-15 on: 0 rows would go." in told
    ((rows,),) = untouched.sql(
        "select count(*) from raw.fact_events where event_timestamp < '2025-09-15 00:00:00+00'"
    )
    assert f"fact_events is kept from 2025-09-15 on: {rows} rows would go." in told


def test_raw_rows_go_and_the_floor_is_written_with_them(just_pruned: Warehouse) -> None:
    floors = just_pruned.sql(
        "select subject, kept_from, reason from ops.retention_floors "
        "where rows_deleted > 0 order by subject"
    )
    assert floors == [(name, FLOOR, "disk") for name in sorted(PRUNABLE)]
    ((oldest,),) = just_pruned.sql(
        "select min(event_timestamp) at time zone 'UTC' from raw.fact_events "
        "where event_id <> 'late'"
    )
    assert oldest.date() == FLOOR


def test_rows_that_nobody_processed_stay(untouched: Warehouse) -> None:
    unseen = [
        LATE[0]
        .replace("'late'", "'no load time'")
        .replace("timestamp '2025-10-15 12:30:00'", "cast(null as timestamp)"),
        LATE[0].replace("'late'", "'waits'"),
        LATE[0]
        .replace("'late'", "'no event time'")
        .replace("timestamp '2025-09-05 10:00:00'", "cast(null as timestamptz)")
        .replace("2025-10-15 12:30:00", "2025-09-05 12:00:00"),
    ]
    untouched.sql(*unseen)
    assert prune(untouched, dry_run=False, kept_from=str(FLOOR)).success
    kept = untouched.sql(
        "select event_id from raw.fact_events "
        "where event_timestamp < '2025-09-15 00:00:00+00' or event_timestamp is null order by 1"
    )
    assert kept == [("no event time",), ("no load time",), ("waits",)]


def test_rows_and_floor_go_together_or_not_at_all(untouched: Warehouse) -> None:
    before = untouched.sql("select count(*) from raw.web_events")
    untouched.sql(
        # a table that refuses the floor
        "create or replace table ops.retention_floors (ledger_entry bigint, run_id varchar, "
        "pruned_at timestamp, as_of timestamp, subject varchar, subject_type varchar, "
        "kept_from date, rows_deleted bigint, reason varchar, check (rows_deleted < 0))"
    )
    assert not prune(untouched, dry_run=False, kept_from=str(FLOOR)).success
    assert untouched.sql("select count(*) from raw.web_events") == before


def test_a_floor_stays_and_late_rows_go_with_the_next_pruning(late: Warehouse) -> None:
    def floors() -> list[Any]:
        return late.sql(
            "select subject, max(kept_from), sum(rows_deleted) from ops.retention_floors "
            "group by subject order by subject"
        )

    before = floors()
    assert prune(late, as_of=NEXT_MORNING, dry_run=False).success
    assert floors() == [(name, floor, rows + 1) for name, floor, rows in before]
    assert late.sql("select count(*) from raw.web_events where event_id = 'late'") == [(0,)]
    entries = late.sql("select count(*) from ops.retention_floors")
    assert prune(late, as_of=NEXT_MORNING, dry_run=False).success
    assert late.sql("select count(*) from ops.retention_floors") == entries


# ---- what no path brings back ----

WINDOW = ("--event-time-start", "2025-09-05", "--event-time-end", "2025-10-01")


def prunable_tables(warehouse: Warehouse) -> list[str]:
    """What is stored by day of raw tables that may be pruned."""
    return [
        mart.name
        for mart in warehouse.dbt.stored_marts.values()
        if mart.strategy != "full" and warehouse.dbt.lineage.sources_above(mart.name) & PRUNABLE
    ]


def full_refresh(warehouse: Warehouse) -> None:
    with listening(warehouse) as told:
        warehouse.run("--full-refresh")
    kept = "web_sessions: what lies before 2025-09-15 stays as it is, its raw rows were pruned."
    assert kept in told


def restatement(warehouse: Warehouse) -> None:
    with listening(warehouse) as told:
        warehouse.run("--select", *prunable_tables(warehouse), *WINDOW)
    clamped = "nothing before 2025-09-21 is restated, its raw rows were pruned."
    assert f"server_engagement_daily: {clamped}" in told


def request(warehouse: Warehouse) -> None:
    refused = {"model": "fact_events_daily", "entity": "acme", "day": "2025-09-05", "reason": "?"}
    outcome = warehouse.call("run-operation", "request_partition", "--args", json.dumps(refused))
    assert "Nothing was requested" in " ".join(outcome.errors)
    entities = {"fact": "company_id", "web_": "team_id"}
    # from before that was refused
    warehouse.sql(
        *(
            "insert into ops.requested_partitions by name select distinct 'x' as request_id, "
            f"'{name}' as model_name, cast({entities.get(name[:4], 'server_id')} as varchar) "
            "as entity, date '2025-09-05' as day, '?' as reason, now() at time zone 'UTC' "
            f"as requested_at from {place(name)}"
            for name in prunable_tables(warehouse)
        )
    )
    warehouse.run("--select", *prunable_tables(warehouse))
    assert warehouse.sql("select count(*) - count(done_at) from ops.requested_partitions") == [(0,)]


def watermarks_set_back(warehouse: Warehouse, to: str | None = "2025-09-01T00:00:00") -> None:
    for name in prunable_tables(warehouse):
        wanted = {"job": name, "reason": "?"} | ({"to": to} if to else {})
        outcome = warehouse.call("run-operation", "set_watermark", "--args", json.dumps(wanted))
        assert outcome.success, outcome.errors
    warehouse.run("--select", *prunable_tables(warehouse))
    mode = "incremental" if to else "full"
    assert {warehouse.last_run(name)["mode"] for name in prunable_tables(warehouse)} == {mode}


def watermarks_reset(warehouse: Warehouse) -> None:
    watermarks_set_back(warehouse, to=None)


def lost_entries(warehouse: Warehouse) -> None:
    warehouse.sql("delete from ops.etl_job_runs where job_type = 'model'")
    warehouse.run()


def empty_build(warehouse: Warehouse) -> None:
    warehouse.run("--empty", "--full-refresh", "--select", *prunable_tables(warehouse))
    warehouse.run("--select", *prunable_tables(warehouse))


PATHS = [
    *(full_refresh, restatement, request, watermarks_set_back, watermarks_reset),
    *(lost_entries, empty_build),
]


def different(found: dict[str, list[Any]], expected: dict[str, list[Any]]) -> list[str]:
    assert found.keys() == expected.keys()
    return [name for name in expected if found[name] != expected[name]]


def test_an_increment_leaves_late_rows_out(
    increased: Warehouse, never_pruned: dict[str, list[Any]]
) -> None:
    assert different(marts(increased), never_pruned) == []


def test_an_increment_does_not_rely_on_the_views(
    pruned: Warehouse, never_pruned: dict[str, list[Any]]
) -> None:
    # The staging views were made before the pruning and let the late rows through.
    pruned.run("--exclude", "config.materialized:view")
    assert different(marts(pruned), never_pruned) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
def test_no_path_recomputes_what_is_below_the_floor(
    late: Warehouse, never_pruned: dict[str, list[Any]], path: Callable[[Warehouse], None]
) -> None:
    path(late)
    assert different(marts(late), never_pruned) == []


def test_late_rows_are_quarantined_and_accounted_for(late: Warehouse) -> None:
    quarantined = late.sql(
        "select source_name from ops.quarantined_rows "
        "where quarantine_reason = 'beyond_retention' order by 1"
    )
    assert quarantined == [(name,) for name in sorted(PRUNABLE)]
    below = [f"stg_{name}+" for name in sorted(PRUNABLE)]
    tested = late.call("test", "--select", *below, "--exclude-resource-type", "unit_test")
    assert tested.success, tested.errors


def test_a_session_over_the_floor_stays_as_it_was(late: Warehouse) -> None:
    def session() -> list[Any]:
        return late.sql(
            "select session_start, total_events from marts.web_sessions where session_id = 'over'"
        )

    late.sql(
        "insert into raw.web_events by name select * replace ('over-later' as event_id, "
        "timestamp '2025-09-15 00:20:00' as timestamp, "
        "timestamp '2025-10-15 12:30:00' as loaded_at) "
        "from raw.web_events where event_id = 'over-00'"
    )
    whole = [(datetime(2025, 9, 14, 23, 50), 2)]
    for options in [(), ("--full-refresh",), WINDOW]:
        late.run("--select", "web_sessions", "web_hourly_bounces", "web_hourly_stats", *options)
        assert session() == whole
    # the event itself belongs to a day that is there
    ((views,),) = late.sql(
        "select sum(pageviews) from intermediate.web_hourly_stats "
        "where period_bucket = '2025-09-15 00:00:00' and host = 'story.example'"
    )
    assert views >= 2


def test_a_table_that_is_gone_begins_with_the_floor(late: Warehouse) -> None:
    late.sql("drop table intermediate.server_engagement_daily")
    with listening(late) as told:
        late.run("--select", "server_engagement_daily")
    assert any("restore it from a backup" in line for line in told)
    # a window needs its seven days
    days = late.sql("select min(activity_date) from intermediate.server_engagement_daily")
    assert days == [(date(2025, 9, 21),)]


# ---- aggregates ----


def test_aggregates_go_for_good(late: Warehouse) -> None:
    old = [
        f"update {place(name)} set {day} = {day} - interval 8 years "
        f"where cast({day} as date) = '2025-09-06'"
        for name, day in [
            ("fact_events_daily", "activity_date"),
            ("web_hourly_stats", "period_bucket"),
        ]
    ]
    late.sql(*old)
    left = "select count(*) from marts.fact_events_daily where activity_date < '2018-10-16'"
    ((before,),) = late.sql(left)
    assert before > 0
    assert prune(late, as_of=NEXT_MORNING, dry_run=False).success
    assert late.sql(left) == [(0,)]
    late.run("--full-refresh", "--select", "fact_events_daily", "company_usage_reconciliation")
    assert late.sql(left) == [(0,)]
    assert late.sql(
        "select kept_from from ops.retention_floors where subject = 'fact_events_daily'"
    ) == [(date(2018, 10, 16),)]


# ---- refusals ----


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (LATE[0].replace("12:30:00", "11:59:00"), "fact_events_daily is not final, rows wait"),
        (
            "update ops.etl_job_runs set last_processed_timestamp = '2025-09-10' "
            "where job_name = 'web_sessions'",
            "web_sessions is not final, rows wait",
        ),
        (
            "drop table intermediate.web_hourly_stats",
            "web_hourly_stats is not final, it was not built",
        ),
        (
            "insert into ops.requested_partitions by name select 'x' as request_id, "
            "'web_sessions' as model_name, '3' as entity, date '2025-09-05' as day, "
            "timestamp '2025-10-15' as requested_at",
            "web_sessions is not final, 1 requested partitions wait",
        ),
        (
            "insert into ops.changed_keys by name select 10000 as ledger_entry, "
            "'web_sessions' as model_name, '3' as entity, date '2025-09-05' as day",
            "web_hourly_bounces is not final, changed sessions wait",
        ),
        (
            "insert into ops.etl_job_runs by name select * replace (10000 as ledger_entry, "
            "'full' as mode) from ops.etl_job_runs "
            ""
            "where job_name = 'web_sessions' and status = 'success'",
            "web_hourly_bounces is not final, what it reads was rebuilt whole",
        ),
    ],
)
def test_what_is_not_final_is_not_pruned(untouched: Warehouse, trouble: str, why: str) -> None:
    untouched.sql(trouble)
    before = untouched.sql("select count(*) from raw.fact_events")
    refused = prune(untouched, dry_run=False, kept_from=str(FLOOR))
    assert not refused.success
    assert why in " ".join(refused.errors)
    assert "Nothing was deleted" in " ".join(refused.errors)
    assert untouched.sql("select count(*) from raw.fact_events") == before
    assert untouched.sql("select count(*) from ops.retention_floors") == [(0,)]


def test_what_needs_its_history_is_not_pruned(
    untouched: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = prune(untouched, sources=["product_usage_daily"])
    assert "product_usage_daily is not pruned" in " ".join(refused.errors)
    # though somebody wishes it
    wish = {"product_usage_daily": "usage_date"}
    monkeypatch.setitem(untouched.dbt.variables, "pruned_sources", wish)
    refused = prune(untouched, dry_run=False, kept_from=str(FLOOR))
    told = " ".join(refused.errors)
    assert "company_daily_usage is not final, it needs the whole history" in told
    assert "dim_companies is not final, it needs the whole history" in told


@pytest.mark.parametrize(
    ("kept_from", "why"),
    [("2025-10-16", "lies after the clock"), ("2018-10-15", "they must be kept longer")],
)
def test_a_floor_lies_between_the_aggregates_and_the_clock(
    untouched: Warehouse, kept_from: str, why: str
) -> None:
    refused = prune(untouched, dry_run=False, kept_from=kept_from)
    assert why in " ".join(" ".join(refused.errors).split())
    assert "Nothing was deleted" in " ".join(refused.errors)
