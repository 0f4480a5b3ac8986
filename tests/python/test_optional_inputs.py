"""Projects that lack an input, or have one of another shape: from nothing to a right mart.

Each is built with its tests, and goes on by increments while rows arrive late. It is compared with
a full refresh, and with plain SQL over the contract's raw tables, which the test makes by hand.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from exact.marts import all_differences, connect, create_reference, differences, fetch
from exact.raw import TABLES as RAW_TABLES
from exact.raw import create

from tidemark.engine import Dbt

MART = "company_daily_activity"
# before an outage has been answered, after that, and after a correction
CLOCKS = [datetime(2025, 10, day, 12) for day in (10, 12, 20)]
EXAMPLE = PROJECT / "examples" / "tracks"

_DAYS = "generate_series(timestamp '2025-10-01', timestamp '2025-10-18', interval 1 day) as g (day)"
# One company that is used each day, one that falls silent, and one that the CRM does not know.
USAGE = f"""
    select
        company_id,
        cast(day as date) as usage_date,
        cast(if(company_id = 'b' and day > '2025-10-03', 0, 2 + day(day) % 3) as integer)
            as active_users,
        if(company_id = 'b' and day > '2025-10-03', 0, 10) as events,
        day + interval 26 hour as loaded_at
    from {_DAYS}
    cross join unnest(['a', 'b', 'c']) as companies (company_id)
    where day not in ('2025-10-04', '2025-10-08')
    union all
    select 'c', date '2025-10-04', 3, 30, timestamp '2025-10-11 09:00:00'
    union all
    select 'a', date '2025-10-02', 9, 90, timestamp '2025-10-13 09:00:00'
"""
ANSWERS = f"""
    select cast(day as date) as usage_date, day + interval 27 hour as loaded_at
    from {_DAYS}
    where day <> '2025-10-08'
"""
CRM = f"""
    select
        company_id,
        if(day > '2025-10-12', upper(company_id), company_id) || ' inc.' as name,
        'NO' as country,
        'energy' as industry_tag,
        day - interval 20 hour as last_contact_at,
        cast(day as date) as load_date,
        day + interval 1 hour as loaded_at
    from {_DAYS}
    cross join unnest(['a', 'b', 'silent']) as companies (company_id)
    where day(day) % 5 = 3
"""
# The same CRM by other names, with numbers for ids, zoned times, and no day.
ACCOUNTS = f"""
    select
        ascii(company_id) as id,
        name as account_name,
        country as billing_country,
        industry_tag as industry,
        timezone('UTC', last_contact_at) as last_activity_at,
        loaded_at as synced_at
    from ({CRM})
"""
# As `tidemark check --contract --write` writes it; a load is the file of its day.
ACCOUNTS_COLUMNS = {
    "company_id": "id",
    "name": "account_name",
    "country": "billing_country",
    "industry_tag": "industry",
    "last_contact_at": "last_activity_at",
    "load_date": "cast(synced_at as date)",
    "loaded_at": "synced_at",
}
# Two events a day and person, one of which arrives after midnight; all of two days on the next; one
# in forty much later, and again; some that are none.
TRACKS = f"""
    with people as (

        select
            *,
            row_number() over (order by company_id, day, person, hour) as number
        from {_DAYS}
        cross join unnest(['a', 'b', 'c']) as companies (company_id)
        cross join range(3) as people (person)
        cross join unnest([9, 23]) as hours (hour)
        where not (company_id = 'b' and day > '2025-10-03') and person <= day(day) % 3

    ),

    events as (

        select
            'e' || number as id,
            ascii(company_id) as account_id,
            'anonymous' || person as anonymous_id,
            if(person = 0, null, 'user' || person) as user_id,
            'Clicked' as event,
            day + to_hours(hour) + interval 58 minute as happened_at,
            number
        from people

    ),

    sent as (

        select *, happened_at + case
            when number % 40 = 7 then interval 8 day
            when day(happened_at) in (7, 8) then interval 50 hour
            else interval 3 minute
        end as received_at
        from events

    )

    select
        * replace (
            if(number = 11, null, account_id) as account_id,
            if(number = 12, null, id) as id,
            if(number = 13, null, received_at) as received_at
        ),
        timezone('UTC', if(number = 14, timestamp '1970-01-01', happened_at)) as timestamp
    from sent
    union all by name
    select
        * replace (received_at + interval 1 day as received_at),
        timezone('UTC', happened_at) as timestamp
    from sent where number % 40 = 7
"""
TRACKS_COLUMNS = {
    "event_id": "id",
    "company_id": "account_id",
    "event_timestamp": "timestamp",
    "events": "1",
    "is_deleted": "null",
    "loaded_at": "received_at",
}
# What a person would count who sees all that was received by the clock.
_GOOD = """
    from own.raw.tracks
    where
        received_at <= getvariable('as_of') and account_id is not null and id is not null
        and timestamp > '1970-01-02'
"""
USAGE_OF_TRACKS = f"""
    select
        cast(account_id as varchar) as company_id,
        cast(timezone('UTC', timestamp) as date) as usage_date,
        count(distinct coalesce(user_id, anonymous_id)) as active_users,
        count(distinct id) as events,
        max(received_at) as loaded_at
    {_GOOD}
    group by all
"""
ANSWERS_OF_TRACKS = f"""
    select cast(day as date) as usage_date, min(received_at) as loaded_at
    from own.raw.tracks
    inner join {_DAYS.replace("-18", "-31")} on received_at >= day + interval 1 day
    where
        received_at <= getvariable('as_of')
        and day >= (select date_trunc('day', min(received_at)) from own.raw.tracks)
    group by day
"""
FILES_OF_ACCOUNTS = """
    select
        cast(id as varchar) as company_id, account_name as name, billing_country as country,
        industry as industry_tag, timezone('UTC', last_activity_at) as last_contact_at,
        cast(synced_at as date) as load_date, synced_at as loaded_at
    from own.raw.accounts
"""


@dataclass(frozen=True)
class Input:
    """Somebody's raw tables, and what the contract's would be; staging views by their files."""

    absent: tuple[str, ...]
    own: Mapping[str, str]
    contract: Mapping[str, str]
    # recipes that take the place of staging views
    staging: tuple[str, ...] = ()
    # by staging view, what its raw table has for the contract's columns
    mapped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # tables that are called otherwise
    names: Mapping[str, str] = field(default_factory=dict)
    # business rules that are not the default
    rules: Mapping[str, int] = field(default_factory=dict)

    def project(self, folder: Path) -> Path:
        """The project, or a copy of it with these staging views."""
        if not self.staging and not self.mapped:
            return PROJECT
        for name in ("macros", "models", "snapshots"):
            shutil.copytree(PROJECT / name, folder / name)
        linked = ("dbt_project.yml", "packages.yml", "profiles.yml", "docs", "dbt_packages")
        for name in linked:
            (folder / name).symlink_to(PROJECT / name)
        views = folder / "models" / "staging"
        for view in self.staging:
            shutil.copy(EXAMPLE / f"{view}.sql", views)
        for view, columns in self.mapped.items():
            (file := next(views.rglob(f"{view}.sql"))).write_text(
                f"{{{{ config(meta={{'raw_columns': {dict(columns)}}}) }}}}\n{file.read_text()}"
            )
        return folder

    @property
    def variables(self) -> dict[str, object]:
        identifiers = {source: self.names.get(source, source) for source in RAW_TABLES}
        named = {"domains": ["company"], "absent_sources": list(self.absent)}
        return {**named, "raw_identifiers": identifiers, **self.rules}


OWN = {"crm_daily": CRM, "product_usage_daily": USAGE, "usage_answers": ANSWERS}
INPUTS = {
    "without answers": Input(
        absent=("usage_answers",),
        own={name: OWN[name] for name in ("crm_daily", "product_usage_daily")},
        contract={name: OWN[name] for name in ("crm_daily", "product_usage_daily")},
    ),
    "without a CRM": Input(
        absent=("crm_daily",),
        own={name: OWN[name] for name in ("product_usage_daily", "usage_answers")},
        contract={name: OWN[name] for name in ("product_usage_daily", "usage_answers")},
    ),
    "without answers, and a CRM of current state": Input(
        absent=("usage_answers",),
        own={"accounts": ACCOUNTS, "product_usage_daily": USAGE},
        contract={"crm_daily": FILES_OF_ACCOUNTS, "product_usage_daily": USAGE},
        mapped={"stg_crm_daily": ACCOUNTS_COLUMNS},
        names={"crm_daily": "accounts"},
        # of 2, 3 or 4 users and 10 events
        rules={"churn_window_days": 9, "active_day_users": 3, "active_day_events": 20},
    ),
    "own events alone": Input(
        absent=("crm_daily", "product_usage_daily", "usage_answers"),
        own={"tracks": TRACKS},
        contract={"product_usage_daily": USAGE_OF_TRACKS, "usage_answers": ANSWERS_OF_TRACKS},
        staging=("stg_product_usage_daily", "stg_usage_answers"),
        mapped={"stg_fact_events": TRACKS_COLUMNS},
        names={"fact_events": "tracks"},
    ),
}


class Warehouse:
    """One file, and dbt on it."""

    def __init__(self, path: Path, dbt: Dbt, patch: pytest.MonkeyPatch) -> None:
        path.parent.mkdir(exist_ok=True)
        self.path, self.dbt, self.patch = path, dbt, patch

    def do(self, command: str, clock: datetime, *args: str) -> None:
        self.patch.setenv("TIDEMARK_DUCKDB_PATH", str(self.path))
        selected = ("--select", f"+{MART}")
        tests = ("--indirect-selection", "buildable", "--exclude-resource-type", "unit_test")
        left_out = tests if command == "build" else ()
        outcome = self.dbt.call(command, *selected, *left_out, *args, as_of=clock)
        problems = [str(r.message) for r in outcome.results if r.status in ("error", "fail")]
        assert outcome.success, [*outcome.errors, *problems]


# Each is a project that has to be read. These lack what the others lack, too.
LONGER = {"without answers", "without a CRM"}
_given = [name for name in INPUTS if name not in LONGER or os.environ.get("TIDEMARK_EXAMPLES")]


@pytest.mark.parametrize("given", [INPUTS[name] for name in _given], ids=_given)
def test_from_nothing_to_a_mart_that_is_right(
    given: Input, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    monkeypatch.setenv("TIDEMARK_DUCKDB_PATH", str(tmp_path / "own.duckdb"))
    (copy := tmp_path / "project").mkdir()
    dbt = Dbt(given.project(copy), "duckdb", given.variables, tmp_path / "target")
    own = Warehouse(tmp_path / "own.duckdb", dbt, monkeypatch)
    with connect(own.path) as connection:
        connection.execute("create schema raw")
        for table, rows in given.own.items():
            connection.execute(f"create table raw.{table} as {rows}")
    refreshed = Warehouse(tmp_path / "refreshed" / "own.duckdb", dbt, monkeypatch)
    shutil.copy(own.path, refreshed.path)
    seen: list[Counter[tuple[Any, ...]]] = []
    for clock in CLOCKS:
        own.do("run" if seen else "build", clock)
        with connect(":memory:") as by_hand:
            by_hand.execute(f"attach '{own.path}' as own (read_only)")
            by_hand.execute(f"set variable as_of = timestamp '{clock}'")
            for rule, number in given.rules.items():
                by_hand.execute(f"set variable {rule} = {number}")
            create(by_hand)
            for table, rows in given.contract.items():
                by_hand.execute(f"insert into raw.{table} by name {rows}")
            create_reference(by_hand, MART, set())
            made, expected = fetch(by_hand, f"own.marts.{MART}"), fetch(by_hand, MART)
        assert [*differences(MART, made, expected, "plain SQL")] == []
        seen.append(made.rows)
    refreshed.do("run", CLOCKS[-1], "--full-refresh")
    with connect(own.path) as one, connect(refreshed.path) as other:
        assert all_differences(one, other, [MART], "a full refresh") == []
        flags = one.execute(
            f"select distinct cast(is_churn_risk as varchar) from marts.{MART}"
        ).fetchall()
    # the second clock changed what the first had, the third what the second had
    assert seen[0] - seen[1]
    assert seen[1] - seen[2]
    assert {flag for (flag,) in flags} >= {"true", "false"}
