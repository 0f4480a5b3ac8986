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
    event_time: str
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
        event_time="usage_date",
    ),
    "usage_answers": Table(
        columns={"usage_date": "date", "loaded_at": "timestamp"},
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
        event_time="session_date",
        load_time="updated_at",
        entity="server_id",
    ),
}


def day_of(table: str, values: Values) -> date | None:
    """The UTC day of a row; its times are in UTC."""
    moment = values[TABLES[table].event_time]
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
