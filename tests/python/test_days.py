"""Days that nobody meant: any time that the engine holds may stand in a raw row, and be asked for.

Bad event times are bad rows, and no arithmetic with a day overflows, in SQL, Jinja or Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from exact.marts import MARTS_OF, day_column_of, entity_of
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


STORED_BY_DAY = (
    *("company_daily_usage", "fact_events_daily", "fct_engagement_metrics"),
    *("feature_engagement_daily", "server_engagement_daily", "customer_states"),
    *("consumer_events_daily", "minute_metrics", "session_metrics", "mastery_deltas"),
    *("web_hourly_stats", "web_sessions", "web_hourly_bounces"),
)


class Days(Warehouse):
    """All domains, on a database of one's own."""

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
        import duckdb

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


def test_y(built: Days) -> None:
    t0 = __import__("time").time()
    def lap(x):
        print(x, round(__import__("time").time() - t0, 1))
    stored = []
    for mart in [m for d in MARTS_OF.values() for m in d]:
        day = day_column_of(mart)
        if mart in STORED_BY_DAY:
            for time in ("0001-01-01", "-infinity", "infinity", "0044-03-15 (BC)", "9999-12-31"):
                stored.append(
                    f"insert into marts.{mart} select * replace (cast('{time}' as "
                    f"timestamp) as {day}) from marts.{mart} limit 1"
                )
                stored.append(
                    "insert into ops.requested_partitions select 'r', "
                    f"'{mart}', cast({entity_of(mart)} as varchar), cast('{time}' as date), 'x', "
                    f"timestamp '2025-10-15 12:30:00', null, null from marts.{mart} limit 1"
                )
    built.sql("set TimeZone='UTC'", *stored)
    for op, args in [("gate_facts", {"count_quarantined": True}), ("cadence_facts", {"days": 7})]:
        built.operate(op, **args)
        lap(op)
    built.succeed("run", "--select", STORED, coverage={"from_first_day": True})
    lap("coverage")
    built.succeed("compile", "--select", STORED, explain={})
    lap("explain")
    built.succeed("run")
    lap("run")
    built.succeed("run", "--select", STORED, "--event-time-start", "0001-01-01", "--event-time-end", "9999-12-31T23:00:00")
    lap("restate")
    built.succeed("run", "--select", STORED, as_of=datetime.max, coverage={})
    lap("cov max")
    built.succeed("run", as_of=datetime.max)
    lap("run max")
    built.operate("gate_facts", as_of=datetime.max, count_quarantined=True)
    built.operate("prune", as_of=datetime.max)
    lap("max")
    assert 0
