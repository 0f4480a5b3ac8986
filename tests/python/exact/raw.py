"""The raw tables of the contract, as the test writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Columns with their types, and which of them say whose, when, and when it was loaded."""

    columns: Mapping[str, str]
    # what makes two rows versions of one another, besides the UTC day of an event
    identity: tuple[str, ...]
    # none where a row says how something is, not what happened
    event_time: str | None
    load_time: str = "loaded_at"
    entity: str | None = "company_id"


TABLES = {
    "crm_daily": Table(
        columns={
            "company_id": "varchar",
            "name": "varchar",
            "country": "varchar",
            "industry_tag": "varchar",
            "last_contact_at": "timestamp",
            "load_date": "date",
            "loaded_at": "timestamp",
        },
        identity=("company_id", "load_date"),
        event_time="load_date",
    ),
    "product_usage_daily": Table(
        columns={
            "company_id": "varchar",
            "usage_date": "date",
            "active_users": "integer",
            "events": "integer",
            "loaded_at": "timestamp",
        },
        identity=("company_id", "usage_date"),
        event_time="usage_date",
    ),
    "usage_answers": Table(
        columns={"usage_date": "date", "loaded_at": "timestamp"},
        identity=("usage_date",),
        event_time="usage_date",
        entity=None,
    ),
    "fact_events": Table(
        columns={
            "event_id": "varchar",
            "company_id": "varchar",
            "event_timestamp": "timestamptz",
            "events": "integer",
            "is_deleted": "boolean",
            "loaded_at": "timestamp",
        },
        identity=("event_id", "company_id"),
        event_time="event_timestamp",
    ),
    "engagement_events": Table(
        columns={
            "event_id": "varchar",
            "user_id": "varchar",
            "server_id": "varchar",
            "session_date": "timestamp",
            "feature_used": "varchar",
            "interaction_count": "integer",
            "duration_minutes": "decimal(12, 2)",
            "is_deleted": "boolean",
            "updated_at": "timestamp",
        },
        identity=("event_id", "server_id"),
        event_time="session_date",
        load_time="updated_at",
        entity="server_id",
    ),
    "consumers": Table(
        columns={
            "consumer_id": "varchar",
            "name": "varchar",
            "status": "varchar",
            "created_at": "timestamp",
            "updated_at": "timestamp",
            "loaded_at": "timestamp",
        },
        identity=("consumer_id",),
        event_time=None,
        entity="consumer_id",
    ),
    "customers": Table(
        columns={
            "customer_id": "varchar",
            "consumer_id": "varchar",
            "name": "varchar",
            "status": "varchar",
            "created_at": "timestamp",
            "updated_at": "timestamp",
            "loaded_at": "timestamp",
        },
        identity=("customer_id", "consumer_id"),
        event_time=None,
        entity="consumer_id",
    ),
    "customer_events": Table(
        columns={
            "event_id": "varchar",
            "consumer_id": "varchar",
            "customer_id": "varchar",
            "event_type": "varchar",
            "payload_json": "varchar",
            "created_at": "timestamp",
            "loaded_at": "timestamp",
        },
        identity=("event_id", "consumer_id"),
        event_time="created_at",
        entity="consumer_id",
    ),
    "learner_events": Table(
        columns={
            "learner_id": "varchar",
            "event_type": "varchar",
            "event_id": "varchar",
            "session_id": "varchar",
            "timestamp": "timestamp",
            "data": "varchar",
            "metadata": "varchar",
            "version": "varchar",
            "processed_at": "timestamp",
            "partition_date": "date",
            "s3_path": "varchar",
        },
        identity=("event_id", "learner_id"),
        event_time="timestamp",
        load_time="processed_at",
        entity="learner_id",
    ),
    "web_events": Table(
        columns={
            "event_id": "varchar",
            "team_id": "integer",
            "person_id": "varchar",
            "session_id": "varchar",
            "event": "varchar",
            "timestamp": "timestamp",
            "host": "varchar",
            "pathname": "varchar",
            "device_type": "varchar",
            "browser": "varchar",
            "os": "varchar",
            "referring_domain": "varchar",
            "utm_source": "varchar",
            "utm_medium": "varchar",
            "utm_campaign": "varchar",
            "country_code": "varchar",
            "loaded_at": "timestamp",
        },
        identity=("event_id", "team_id"),
        event_time="timestamp",
        entity="team_id",
    ),
    "web_teams": Table(
        columns={
            "team_id": "integer",
            "name": "varchar",
            "is_enabled": "boolean",
            "enabled_at": "timestamp",
            "updated_at": "timestamp",
        },
        identity=("team_id",),
        event_time=None,
        load_time="updated_at",
        entity="team_id",
    ),
}


def day_of(table: str, values: Values) -> date | None:
    """The UTC day of a row, if it has one; its times are in UTC."""
    event_time = TABLES[table].event_time
    moment: date | None = values[event_time] if event_time else None
    return moment.date() if isinstance(moment, datetime) else moment


def create(connection: duckdb.DuckDBPyConnection, schema: str = "raw") -> None:
    """Create the raw tables, empty."""
    connection.execute(f"create schema {schema}")
    for name, table in TABLES.items():
        columns = ", ".join(f"{column} {kind}" for column, kind in table.columns.items())
        connection.execute(f"create table {schema}.{name} ({columns})")


def insert(
    connection: duckdb.DuckDBPyConnection, relation: str, rows: Iterable[Iterable[Any]]
) -> None:
    """Insert rows in one statement: DuckDB takes a millisecond for each one that comes alone."""
    tuples = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)
    if tuples:
        connection.execute(f"insert into {relation} values {tuples}")


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    return "'" + str(value).replace("'", "''") + "'"
