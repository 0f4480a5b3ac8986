"""Replays a real history month by month, and compares every mart with both its references.

    PYTHONPATH=tests/python python -m exact.real_history FOLDER [--with-dirt SEED]

FOLDER holds one parquet file per raw table. It is a check for people: it takes minutes, and the
data is not part of the project.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from . import raw
from .marts import (
    Table,
    connect,
    create_reference,
    differences,
    fetch,
    place,
    references,
    rows_differing,
)
from .project import FILE_NAME, Project

CLOCKS = [
    datetime(year, month, 1, 12)
    for year in (2023, 2024, 2025, 2026)
    for month in range(1, 13)
    if datetime(2023, 2, 1) <= datetime(year, month, 1) <= datetime(2026, 1, 1)
]

LOOKBACK_DAYS = 3

# Per table: what a deletion, a redelivery and a malformed correction change.
_DIRT = {
    "fact_events": (
        "null as events, true as is_deleted",
        "events + 1 as events",
        "-events as events",
    ),
    "engagement_events": (
        "null as interaction_count, null as duration_minutes, null as user_id, true as is_deleted",
        "'redelivered' as feature_used, session_date + interval 7 minutes as session_date",
        "null as interaction_count",
    ),
    "product_usage_daily": (
        "0 as active_users, 0 as events",
        "events + 1 as events",
        "null as events",
    ),
    "crm_daily": (
        "null as name, null as last_contact_at",
        "name || ' AS' as name",
        "load_date + 9000 as load_date",
    ),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("folder", type=Path, help="holds one parquet file per raw table")
    arguments.add_argument(
        "--with-dirt", type=int, metavar="SEED", help="add deletions, redeliveries and bad rows"
    )
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemark-real-") as folder:
        replay(given.folder, given.with_dirt, Path(folder))


def replay(data: Path, dirt: int | None, folder: Path) -> None:
    """Build month by month in one file, once in another one, and report."""
    project = Project(("company", "engagement"), folder / "target")
    stepped, refreshed = (folder / name / FILE_NAME for name in ("steps", "full"))
    for database in (stepped, refreshed):
        database.parent.mkdir()
        with connect(database) as connection:
            _load(connection, data, dirt)

    for clock in CLOCKS[:-1]:
        seconds = _timed(project, stepped, clock, "build", "--exclude-resource-type", "unit_test")
        print(f"{clock:%Y-%m-%d %H:%M}  built and tested in {seconds:.1f} s", flush=True)
    increment = _timed(project, stepped, CLOCKS[-1], "run")
    project.succeed(stepped, CLOCKS[-1], "build", "--exclude-resource-type", "unit_test")
    full_refresh = _timed(project, refreshed, CLOCKS[-1], "run", "--full-refresh")

    print(f"\n{'mart':30}{'rows':>10}{'differ from':>18}{'differ from':>18}")
    print(f"{'':30}{'':>10}{'a full refresh':>18}{'its definition':>18}")
    with connect(stepped) as steps, connect(refreshed) as full:
        steps.execute(f"set variable as_of = timestamp '{CLOCKS[-1]}'")
        made: set[str] = set()
        for mart in project.marts:
            actual = fetch(steps, place(mart))
            from_refresh = _differing(mart, actual, fetch(full, place(mart)))
            from_definition = "no definition"
            if mart in references():
                create_reference(steps, mart, made, "temporary table")
                from_definition = str(_differing(mart, actual, fetch(steps, mart)))
            print(f"{mart:30}{actual.rows.total():>10}{from_refresh:>18}{from_definition:>18}")
        print(
            f"\nThe last increment took {increment:.1f} s, the full refresh {full_refresh:.1f} s."
        )
        _report_lookback(steps)


def _timed(project: Project, database: Path, clock: datetime, *args: str) -> float:
    """The seconds that a dbt command takes, which must succeed."""
    started = time.monotonic()
    project.succeed(database, clock, *args)
    return time.monotonic() - started


def _load(connection: duckdb.DuckDBPyConnection, data: Path, dirt: int | None) -> None:
    raw.create(connection)
    for name, table in raw.TABLES.items():
        columns = ", ".join(table.columns)
        if (data / f"{name}.parquet").exists():
            file = f"'{data / name}.parquet'"
            connection.execute(f"insert into raw.{name} select {columns} from {file}")
    if dirt is not None:
        for name in _DIRT:
            _add_dirt(connection, name, dirt)


def _add_dirt(connection: duckdb.DuckDBPyConnection, name: str, seed: int) -> None:
    """Change half a per cent of the rows in each way, at once or up to 90 days later."""
    load_time, columns = raw.TABLES[name].load_time, ", ".join(raw.TABLES[name].columns)
    connection.execute(f"""
        create temporary table sound as
        select
            *,
            hash({seed}, {columns}) % 1000 as lot,
            if(lot % 5 > 0, cast(hash({columns}, {seed}) % 2160 as bigint), 0) as hours_later
        from raw.{name}
    """)
    for number, change in enumerate(_DIRT[name]):
        connection.execute(f"""
            insert into raw.{name}
            select {columns} from (
                select * replace ({change}, {load_time} + to_hours(hours_later) as {load_time})
                from sound where lot // 5 = {number}
            )
        """)
    exact_duplicates = f"select {columns} from sound where lot // 5 = {len(_DIRT[name])}"
    connection.execute(f"insert into raw.{name} {exact_duplicates}")
    connection.execute("drop table sound")


def _differing(mart: str, actual: Table, expected: Table) -> int:
    """How many rows are in one and not in the other; the first of them are printed."""
    for line in differences(mart, actual, expected, "the reference"):
        print(line)
    return rows_differing(actual, expected)


def _report_lookback(connection: duckdb.DuckDBPyConnection) -> None:
    """What the usual remedy would have done: each run recomputes the days from three days before
    the run before it, by event time, and never comes back to older ones.
    """
    days = (CLOCKS[-1] - CLOCKS[0]).days + 32
    daily = [CLOCKS[-1] - timedelta(days=number) for number in range(days)][::-1]
    for clocks, called in ((CLOCKS, "these monthly runs"), (daily, "daily runs at noon")):
        wrong, of_all = _left_wrong(connection, clocks)
        print(
            f"With {called}, a lookback of {LOOKBACK_DAYS} days would have left "
            f"{wrong} of {of_all} company-days of events wrong ({wrong / of_all:.1%})."
        )
    late, of_all = connection.execute(f"""
        select
            count(*) filter (where days_late > {LOOKBACK_DAYS}),
            count(*)
        from (
            select max(cast(loaded_at as date) - activity_date) as days_late
            from fact_events_versions
            group by company_id, activity_date
        )
    """).fetchone() or (0, 0)
    print(
        f"{late} of {of_all} company-days ({late / of_all:.1%}) hold an event "
        f"that arrived more than {LOOKBACK_DAYS} days after its day."
    )


def _left_wrong(
    connection: duckdb.DuckDBPyConnection, clocks: Sequence[datetime]
) -> tuple[int, int]:
    """Company-days whose last recomputation saw other rows than count in the end."""
    connection.execute("create or replace temporary table runs (clock timestamp, first_day date)")
    first_days = [datetime.min, *(clock - timedelta(days=LOOKBACK_DAYS) for clock in clocks)]
    raw.insert(connection, "runs", zip(clocks, (d.date() for d in first_days), strict=False))
    wrong, of_all = connection.execute("""
        with last_runs as (
            select days.activity_date, max(runs.clock) as clock
            from (select distinct activity_date from fact_events_versions) as days
            left join runs on runs.first_day <= days.activity_date
            group by days.activity_date
        ),
        seen as (
            select versions.* from fact_events_versions as versions
            inner join last_runs using (activity_date)
            where versions.loaded_at <= last_runs.clock
            qualify row_number() over (
                partition by event_id, company_id, activity_date
                order by loaded_at desc, is_deleted desc, happened_at desc, events desc nulls last
            ) = 1
        ),
        stored as (
            select company_id, activity_date, sum(events) as events, count(*) as event_rows
            from seen where not is_deleted group by all
        )
        select count(*) filter (where stored is distinct from truth), count(*)
        from (select company_id, activity_date, events, event_rows from stored) as stored
        full outer join fact_events_daily as truth using (company_id, activity_date)
    """).fetchone() or (0, 0)
    return wrong, of_all


if __name__ == "__main__":
    main()
