"""Days that nobody meant: any time that the engine holds may stand in a raw row, and be asked for.

Bad event times are bad rows, and no arithmetic with a day overflows, in SQL, Jinja or Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from itertools import pairwise
from random import Random
from typing import Any

import duckdb
import pytest
from exact.marts import day_column_of, entity_of, place
from exact.raw import TABLES, create
from test_ledger import PROJECT, Warehouse

from tidemark.engine import Dbt, Outcome

FIRST_CLOCK, CLOCK = datetime(2025, 10, 15, 12), datetime(2025, 10, 15, 13)
STORED = "config.materialized:incremental"

# What Go and .NET send for no time, what Unix does, and the ends of what the engine holds.
BEFORE = (
    *("0001-01-01", "1970-01-01", "-infinity", "0044-03-15 (BC)", "290309-12-22 (BC)"),
    "5877642-06-25 (BC)",
)
AFTER = ("9999-12-31", "infinity", "294247-01-10", "5881580-07-10")
# These days no timestamp holds.
ONLY_DATES = ("5877642-06-25 (BC)", "5881580-07-10")

# A sound row of every raw table, without its load time; `{id}` is its own.
SOUND: dict[str, dict[str, str]] = {
    "crm_daily": {"company_id": "{id}", "load_date": "2025-10-14"},
    "product_usage_daily": {
        **{"company_id": "{id}", "usage_date": "2025-10-14"},
        **{"active_users": "1", "events": "2"},
    },
    "usage_answers": {"usage_date": "2025-10-14"},
    "fact_events": {
        **{"event_id": "{id}", "company_id": "acme", "events": "1"},
        "event_timestamp": "2025-10-14 10:00:00+00",
    },
    "engagement_events": {
        **{"event_id": "{id}", "user_id": "u", "server_id": "s", "feature_used": "chat"},
        **{"interaction_count": "1", "duration_minutes": "1.5", "session_date": "2025-10-14"},
    },
    "consumers": {"consumer_id": "{id}"},
    "customers": {"customer_id": "{id}", "consumer_id": "c"},
    "customer_events": {
        **{"event_id": "{id}", "consumer_id": "c", "customer_id": "k"},
        **{"event_type": "customer_creation", "created_at": "2025-10-14 10:00:00"},
    },
    "learner_events": {
        **{"event_id": "{id}", "learner_id": "l", "session_id": "{id}"},
        **{"event_type": "assessment_complete", "timestamp": "2025-10-14 10:00:00"},
        "data": json.dumps({"assessment_id": "a", "score": 5}),
    },
    "web_events": {
        **{"event_id": "{id}", "team_id": "1", "session_id": "{id}"},
        **{"event": "$pageview", "timestamp": "2025-10-14 10:00:00"},
    },
    "web_teams": {"team_id": "1", "is_enabled": "true"},
}


def insert(table: str, id_: str, values: dict[str, str]) -> str:
    row = {TABLES[table].load_time: "2025-10-15 06:00:00", **SOUND[table], **values}
    told = ", ".join(
        f"'{value.replace('{id}', id_)}'::{TABLES[table].columns[name]} as {name}"
        for name, value in row.items()
    )
    return f"insert into raw.{table} by name select {told}"


def times_of(table: str) -> list[str]:
    return [name for name, kind in TABLES[table].columns.items() if kind.startswith(("t", "date"))]


def edges() -> Iterator[tuple[str, str, str, str]]:
    """A row for every time in every column of times: table, column, time, statement."""
    for table in TABLES:
        for column in times_of(table):
            for time in (*BEFORE, *AFTER):
                if time not in ONLY_DATES or TABLES[table].columns[column] == "date":
                    id_ = "7" if table == "web_teams" else f"{column} {time}"
                    moment = zoned(time) if table == "fact_events" and column[0] == "e" else time
                    yield table, column, time, insert(table, id_, {column: moment})


def zoned(time: str) -> str:
    return time if "infinity" in time else f"{time} 00:00:00+00"


class Days(Warehouse):
    """All domains, on a database of one's own."""

    def stored_by_day(self) -> dict[str, list[Any]]:
        """The rows of all tables that have days."""
        marts = self.dbt.stored_marts.values()
        return {mart.name: self.mart(mart.name) for mart in marts if mart.strategy != "full"}

    def operate(self, name: str, as_of: datetime = CLOCK, **args: Any) -> Outcome:
        outcome = self.call("run-operation", name, "--args", json.dumps(args), as_of=as_of)
        assert outcome.success, (name, outcome.errors)
        return outcome

    def succeed(self, *args: str, as_of: datetime = CLOCK, **variables: Any) -> None:
        outcome = self.dbt.call(*args, as_of=as_of, variables=variables)
        problems = [f"{r.node.name}: {r.message}" for r in outcome.results if r.status == "error"]
        assert outcome.success, [args, *outcome.errors, *problems]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    """Sound rows, and beside them one for every impossible time; built whole."""
    home = tmp_path_factory.mktemp("days")
    days = Days(home / "tidemark.duckdb", Dbt(PROJECT, "duckdb", target_path=home / "target"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(days.path))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        with duckdb.connect(str(days.path)) as connection:
            connection.execute("set TimeZone = 'UTC'")
            create(connection)
            for table in TABLES:
                id_ = "1" if table == "web_teams" else "acme"
                connection.execute(insert(table, id_, {}))
            for _, _, _, statement in edges():
                connection.execute(statement)
        days.succeed("run", as_of=FIRST_CLOCK)
        yield days


def test_an_impossible_time_is_a_bad_row(built: Days) -> None:
    for table in TABLES:
        column = TABLES[table].event_time
        if not column:
            continue
        reasons = {
            f"{column} is before earliest_event": BEFORE,
            f"{column} is more than 24 hours after {TABLES[table].load_time}": AFTER,
        }
        for reason, times in reasons.items():
            known = [
                t for t in times if t not in ONLY_DATES or TABLES[table].columns[column] == "date"
            ]
            ((found,),) = built.sql(
                "select count(*) from ops.quarantined_rows"
                f" where source_name = '{table}' and quarantine_reason = '{reason}'"
                # the other bad rows are those whose load time is one of these
                " and row_json::json->>'$.loaded_at' = '2025-10-15 06:00:00'"
            )
            assert (table, reason, found) == (table, reason, len(known))


def test_the_day_of_earliest_event_is_a_day(built: Days) -> None:
    told = built.sql(
        insert("web_events", "last", {"timestamp": "1970-01-01 23:59:59.999999"}),
        insert("web_events", "first", {"timestamp": "1970-01-02 00:00:00"}),
        "create temp table judged as select event_id, quarantine_reason from staging.stg_web_events"
        " where event_id in ('first', 'last')",
        "delete from raw.web_events where event_id in ('first', 'last')",
        "from judged order by all",
    )
    assert told == [("first", None), ("last", "timestamp is before earliest_event")]


def test_impossible_days_that_are_stored_and_asked_for_go(built: Days) -> None:
    stored = built.stored_by_day()
    for mart in stored:
        for time in ("0001-01-01", "-infinity", "infinity", "0044-03-15 (BC)", "9999-12-31"):
            day = f"cast('{time}' as timestamp) as {day_column_of(mart)}"
            entity = f"cast({entity_of(mart)} as varchar)"
            built.sql(
                f"insert into {place(mart)} select * replace ({day}) from {place(mart)} limit 1",
                f"insert into ops.requested_partitions select 'r', '{mart}', {entity},"
                f" cast('{time}' as date), 'x', timestamp '2025-10-15 12:30:00', null, null"
                f" from {place(mart)} limit 1",
            )
    built.operate("gate_facts", count_quarantined=True)
    built.succeed("run", "--select", STORED, coverage={"from_first_day": True})
    built.succeed("compile", "--select", STORED, explain={})
    built.succeed("run")
    assert built.stored_by_day() == stored


def test_a_window_and_a_clock_may_be_the_first_and_the_last(built: Days) -> None:
    stored = built.stored_by_day()
    window = ("--event-time-start", "0001-01-01", "--event-time-end", "9999-12-31T23:00:00")
    built.succeed("run", "--select", STORED, *window)
    assert built.stored_by_day() == stored
    built.succeed("run", "--select", STORED, as_of=datetime.max, coverage={})
    built.succeed("run", "--select", STORED, as_of=datetime.max)
    for operation in ("gate_facts", "prune"):
        built.operate(operation, as_of=datetime.max)


_RANGES = """
{%- set day, told = modules.datetime.date.fromordinal, [] -%}
{%- for asked in var('asked') -%}
    {%- set spans = [] -%}
    {%- for first, last in asked -%}
        {%- do spans.append((day(first), day(last))) -%}
    {%- endfor -%}
    {%- set ranges = tidemark.merged_ranges(spans) | map('map', 'string') | map('list') -%}
    {%- do told.append(ranges | list) -%}
{%- endfor -%}
{{ tojson(told) }}
"""


def day_by_day(spans: list[tuple[int, int]], most: int = 10) -> list[list[str]]:
    """The ranges of all days in some spans, which are listed one by one."""
    days = sorted({day for first, last in spans for day in range(first, last + 1)})
    gaps = sorted(
        ((day - before, day) for before, day in pairwise(days) if day > before + 1),
        reverse=True,
    )
    starts = sorted([days[0], *(day for _, day in gaps[: most - 1])])
    ends = [max(day for day in days if day < start) for start in starts[1:]] + [days[-1]]
    return [
        [str(date.fromordinal(first)), str(date.fromordinal(last + 1))]
        for first, last in zip(starts, ends, strict=True)
    ]


def test_spans_become_the_ranges_of_their_days_however_long_they_are(built: Days) -> None:
    random, today = Random(0), date(2025, 10, 15).toordinal()
    asked = []
    for spread in (20, 60, 400, 400, 400):
        firsts = [today - random.randrange(spread) for _ in range(random.choice([1, 5, 40]))]
        asked.append([(first, first + random.choice([0, 0, 1, 9])) for first in firsts])
    # 300 sessions from 2000 to now, and as many from before all calendars to their end: listed day
    # by day, they would be a billion
    years = [(date(2000, 1, 1).toordinal() + number, today) for number in range(300)]
    ages = [(1, date.max.toordinal() - number) for number in range(300)]
    outcome = built.dbt.call(
        *("compile", "--inline", _RANGES), as_of=CLOCK, variables={"asked": [*asked, years, ages]}
    )
    assert outcome.success, outcome.errors
    told = json.loads(outcome.results[0].node.compiled_code)
    assert told[:-2] == [day_by_day(spans) for spans in asked]
    assert told[-2:] == [[["2000-01-01", "2025-10-16"]], [["None", "None"]]]
