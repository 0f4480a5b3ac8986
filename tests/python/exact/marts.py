"""The marts under test, and how they are compared with their references."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

REFERENCES = Path(__file__).parent / "references"
_INTERMEDIATE = Path(__file__).parents[3] / "models" / "intermediate"

_DIMENSIONS = (
    *("host", "device_type", "pathname", "browser", "os", "referring_domain"),
    *("utm_source", "utm_medium", "utm_campaign", "country_code"),
)


def place(model: str) -> str:
    """Schema and name of a table: what only feeds marts has a schema of its own."""
    return ("intermediate." if model in _intermediate_models() else "marts.") + model


@cache
def _intermediate_models() -> frozenset[str]:
    return frozenset(path.stem for path in _INTERMEDIATE.rglob("*.sql"))


# To test one more mart, add its key here (entity first, day last) and its definition in plain SQL
# to `references/`. What has no definition is compared with the full refresh alone.
MARTS_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "company": {
        "dim_companies": ("company_id",),
        "company_contact_periods": ("company_id", "valid_from"),
        "company_lifespans": ("company_id",),
        "reported_days": ("usage_date",),
        "reported_calendar": ("date_day",),
        "company_daily_usage": ("company_id", "activity_date"),
        "company_daily_activity": ("company_id", "activity_date"),
        "fact_events_daily": ("company_id", "activity_date"),
        "company_usage_reconciliation": ("company_id", "activity_date"),
    },
    "engagement": {
        "fct_engagement_metrics": ("server_id", "metric_hour"),
        "feature_engagement_daily": ("server_id", "feature_used", "activity_date"),
        "server_engagement_daily": ("server_id", "activity_date"),
        "engagement_daily": ("server_id", "activity_date"),
    },
    "consumers": {
        "customer_states": ("consumer_id", "customer_id", "activity_date"),
        "consumer_events_daily": ("consumer_id", "event_type", "activity_date"),
        "consumer_totals": ("consumer_id", "activity_date"),
        "consumer_totals_by_type": ("consumer_id", "activity_date"),
        "consumer_analytics": ("consumer_id", "snapshot_timestamp"),
        "consumer_analytics_weekly": ("consumer_id", "snapshot_timestamp"),
    },
    "learning": {
        "minute_metrics": ("learner_id", "session_id", "minute_timestamp"),
        "session_metrics": ("learner_id", "session_id"),
        "session_status": ("learner_id", "session_id"),
        # an event that comes again on another day is another event
        "mastery_deltas": ("learner_id", "content_id", "trigger_event_id", "activity_date"),
        "learner_activity_summary": ("learner_id", "activity_date"),
        "content_mastery_trends": ("content_id", "activity_date"),
    },
    "web": {
        "dim_web_teams": ("team_id",),
        "web_hourly_stats": ("team_id", *_DIMENSIONS, "period_bucket"),
        "web_pre_aggregated_stats": ("team_id", *_DIMENSIONS, "period_bucket"),
        "web_sessions": ("team_id", "session_id"),
        "web_hourly_bounces": ("team_id", *_DIMENSIONS, "period_bucket"),
        "web_pre_aggregated_bounces": ("team_id", *_DIMENSIONS, "period_bucket"),
    },
}
MARTS = {mart: key for marts in MARTS_OF.values() for mart, key in marts.items()}

# What says the day where the key does not.
_DAYS = {"session_metrics": "session_start", "web_sessions": "session_start"}

# Marts that say how things are at the clock: rows of two clocks cannot be compared.
FOLLOW_THE_CLOCK = ("session_status", "learner_activity_summary", "content_mastery_trends")

# Says when a row was written, not what is true.
NOT_COMPARED = "record_loaded_at"


def entity_of(mart: str) -> str:
    return MARTS[mart][0]


def day_column_of(mart: str) -> str:
    """The column that says which day a row belongs to."""
    return _DAYS.get(mart, MARTS[mart][-1])


@dataclass(frozen=True)
class Table:
    """Rows of a relation, in no order."""

    columns: tuple[str, ...]
    rows: Counter[tuple[Any, ...]]

    def select(self, columns: tuple[str, ...]) -> Table:
        """The rows with these of their columns, in this order."""
        if columns == self.columns:
            return self
        positions = [self.columns.index(column) for column in columns]
        rows: Counter[tuple[Any, ...]] = Counter()
        for row, times in self.rows.items():
            rows[tuple(row[position] for position in positions)] += times
        return Table(columns, rows)


@cache
def references() -> Mapping[str, str]:
    """Every definition in plain SQL, those of marts and those that marts read."""
    return {path.stem: path.read_text() for path in sorted(REFERENCES.glob("*.sql"))}


@cache
def _reads(name: str) -> frozenset[str]:
    """The definitions that a definition reads."""
    named = re.findall(r"\b(?:from|join) (\w+)\b(?!\.)", references()[name])
    return frozenset(references().keys() & set(named) - {name})


@cache
def raw_tables_of(name: str) -> frozenset[str]:
    """The raw tables behind a mart; none when it has no definition."""
    text = references().get(name, "")
    found = frozenset(re.findall(r"\braw\.(\w+)", text))
    return found.union(*(raw_tables_of(other) for other in _reads(name))) if text else found


def connect(path: Path | str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    connection.execute("set TimeZone = 'UTC'")
    return connection


def create_reference(
    connection: duckdb.DuckDBPyConnection, name: str, made: set[str], kind: str = "table"
) -> None:
    """Make a definition's table over the raw tables of this connection, and what it reads."""
    if name not in made:
        for other in sorted(_reads(name)):
            create_reference(connection, other, made, kind)
        connection.execute(f"create {kind} {name} as {references()[name]}")
        made.add(name)


def fetch(
    connection: duckdb.DuckDBPyConnection, relation: str, keys_in_order: bool = True
) -> Table:
    """The rows of a relation. The keys of JSON come in an order, those of objects do not."""
    found = connection.execute(f"select * from {relation}")
    # Snowflake answers in upper case
    columns = tuple(column[0].lower() for column in found.description or ())
    is_json = [str(column[1]) == "JSON" for column in found.description or ()]

    def plain(value: Any, of_json: bool) -> Any:
        # 0.50 and 0.5 are the same number
        if of_json and value is not None:
            return json.dumps(json.loads(value), sort_keys=not keys_in_order)
        return value

    rows = (map(plain, row, is_json) for row in found.fetchall())
    table = Table(columns, Counter(map(tuple, rows)))
    return table.select(tuple(column for column in columns if column != NOT_COMPARED))


def differences(name: str, actual: Table, expected: Table, called: str) -> Iterator[str]:
    """Say how a mart differs from what was expected, in a few lines."""
    if set(actual.columns) != set(expected.columns):
        yield f"{name} has the columns {actual.columns}, but {called} has {expected.columns}"
        return
    expected = expected.select(actual.columns)
    for rows, what in (
        (actual.rows - expected.rows, f"only in {name}"),
        (expected.rows - actual.rows, f"only in {called}"),
    ):
        if rows:
            yield f"{name}: {rows.total()} rows {what}, with the columns {actual.columns}:"
            yield from (f"    {_plain(row)}" for row in sorted(rows, key=_plain)[:4])


def rows_differing(actual: Table, expected: Table) -> int:
    """How many rows are in one and not in the other."""
    expected = expected.select(actual.columns)
    return max((actual.rows - expected.rows).total(), (expected.rows - actual.rows).total())


def all_differences(
    one: duckdb.DuckDBPyConnection,
    other: duckdb.DuckDBPyConnection,
    names: Iterable[str],
    called: str,
    keys_in_order: bool = True,
) -> list[str]:
    """Say how the marts of one database differ from those of another."""
    return [
        line
        for name in names
        for line in differences(
            name,
            fetch(one, place(name), keys_in_order),
            fetch(other, place(name), keys_in_order),
            called,
        )
    ]


def _plain(row: tuple[Any, ...]) -> str:
    return ", ".join(str(value) for value in row)
