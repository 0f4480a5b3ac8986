"""Damage of every kind to a built demo: what people, loaders and crashes do to tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import duckdb
from exact.marts import day_column_of, entity_of, place
from exact.raw import TABLES

# Inside the window that is compared, so that what a day's rows reach is in it, too.
FIRST_DAY, LAST_DAY = "2025-09-22", "2025-10-13"

RAW_TABLES = {
    "company": ("crm_daily", "product_usage_daily", "usage_answers", "fact_events"),
    "engagement": ("engagement_events",),
    "consumers": ("customer_events",),
    "learning": ("learner_events",),
    "web": ("web_events", "web_teams"),
}

# A later version of what has no id of its own: loaded a minute after the row that it is made from.
_LATER_VERSIONS = {
    "crm_daily": "name = name || ' (late)'",
    "product_usage_daily": "active_users = active_users + 5, events = events + 5",
    "web_teams": "name = name || ' (late)'",
}

ON_MARTS = ("partitions", "rows", "duplicates", "column", "interrupted")
ON_RAW = ("raw deleted", "raw late")


@dataclass(frozen=True)
class Damage:
    """One damage, with what was hit, in words."""

    kind: str
    table: str
    detail: str = ""

    @property
    def is_raw(self) -> bool:
        return self.kind in ON_RAW


def spoil(
    connection: duckdb.DuckDBPyConnection,
    random: Random,
    domain: str,
    strategies: Mapping[str, str],
) -> Damage:
    """Draw one damage for a domain and do it."""
    kind = random.choice((*ON_MARTS, *ON_RAW))
    if kind in ON_RAW:
        late = [name for name in RAW_TABLES[domain] if name in _LATER_VERSIONS or _has_id(name)]
        table = random.choice(late if kind == "raw late" else RAW_TABLES[domain])
        detail = _RAW_DAMAGES[kind](connection, random, table)
    else:
        table = random.choice(sorted(strategies))
        detail = _DAMAGES[kind](connection, random, table, strategies[table])
    return Damage(kind, table, detail)


def _has_id(table: str) -> bool:
    return "event_id" in TABLES[table].identity


def _days(table: str, strategy: str) -> str:
    """Rows of ended days of the window; a table without days is compared whole."""
    if strategy == "full":
        return "true"
    day = f"cast({day_column_of(table)} as date)"
    return f"{day} between '{FIRST_DAY}' and '{LAST_DAY}'"


def _pick(
    connection: duckdb.DuckDBPyConnection, random: Random, sql: str, most: int
) -> list[tuple[Any, ...]]:
    found = connection.execute(sql).fetchall()
    return random.sample(found, min(len(found), random.randint(1, most)))


def _some_rows(
    connection: duckdb.DuckDBPyConnection, random: Random, table: str, strategy: str
) -> str:
    rows = _pick(
        connection,
        random,
        f"select rowid from {place(table)} where {_days(table, strategy)} order by rowid",
        3,
    )
    return f"rowid in ({', '.join(str(row[0]) for row in rows)})"


def _partitions(
    connection: duckdb.DuckDBPyConnection, random: Random, table: str, strategy: str
) -> str:
    key = entity_of(table)
    if strategy != "full":
        key += f", cast({day_column_of(table)} as date)"
    partitions = connection.execute(
        f"select distinct {key} from {place(table)} where {_days(table, strategy)} order by all"
    ).fetchall()
    gone = random.sample(partitions, -(-len(partitions) // 10))
    for partition in gone:
        places = ", ".join("?" * len(partition))
        connection.execute(f"delete from {place(table)} where ({key}) = ({places})", partition)
    return f"{len(gone)} partitions"


def _rows(connection: duckdb.DuckDBPyConnection, random: Random, table: str, strategy: str) -> str:
    rows = _some_rows(connection, random, table, strategy)
    connection.execute(f"delete from {place(table)} where {rows}")
    return rows


def _duplicates(
    connection: duckdb.DuckDBPyConnection, random: Random, table: str, strategy: str
) -> str:
    rows = _some_rows(connection, random, table, strategy)
    connection.execute(f"insert into {place(table)} from {place(table)} where {rows}")
    return rows


def _column(
    connection: duckdb.DuckDBPyConnection, random: Random, table: str, strategy: str
) -> str:
    columns = connection.execute(
        "select column_name, data_type from duckdb_columns() "
        "where schema_name in ('marts', 'intermediate') "
        "and table_name = ? and column_name <> 'record_loaded_at' order by column_index",
        [table],
    ).fetchall()
    column, kind = random.choice(columns)
    changed = {
        "BOOLEAN": f"not coalesce({column}, false)",
        "DATE": f"coalesce({column}, date '2025-10-01') - 1",
        "TIMESTAMP": f"coalesce({column}, timestamp '2025-10-01') - interval 1 hour",
        "VARCHAR": f"coalesce({column}, '') || 'x'",
    }.get(kind, f"coalesce({column}, 0) + 1")
    if kind.startswith("DECIMAL(7") or kind.startswith("DECIMAL(8"):
        changed = f"coalesce({column}, 0) / 2 + 0.1"
    rows = _some_rows(connection, random, table, strategy)
    connection.execute(f"update {place(table)} set {column} = {changed} where {rows}")
    return f"{column} of {rows}"


def _interrupted(
    connection: duckdb.DuckDBPyConnection, random: Random, table: str, strategy: str
) -> str:
    """A full refresh that ended half way: half of the table, and no success in the ledger."""
    share = random.randint(2, 5)
    connection.execute(
        f"delete from {place(table)} where hash(rowid) % {share} = 0 and {_days(table, strategy)}"
    )
    connection.execute(
        "delete from ops.etl_job_runs where job_name = ? and status = 'success'", [table]
    )
    return f"without a {share}th"


def _raw_deleted(connection: duckdb.DuckDBPyConnection, random: Random, table: str) -> str:
    """Every version of a few rows goes."""
    raw = TABLES[table]
    where = "true"
    if raw.event_time:
        where = f"cast({raw.event_time} as date) between '{FIRST_DAY}' and '{LAST_DAY}'"
    identity = ", ".join(raw.identity)
    rows = _pick(
        connection,
        random,
        f"select distinct {identity} from raw.{table} where {where} order by all",
        3,
    )
    for row in rows:
        places = ", ".join("?" * len(row))
        connection.execute(f"delete from raw.{table} where ({identity}) = ({places})", row)
    return str(rows)


def _raw_late(connection: duckdb.DuckDBPyConnection, random: Random, table: str) -> str:
    """Rows appear that were loaded long before the watermark, as their load time says."""
    raw = TABLES[table]
    # two hours: further back than the overlap
    where = f"{raw.load_time} < timestamp '2025-10-15 10:00:00'"
    if raw.event_time:
        where += f" and cast({raw.event_time} as date) between '{FIRST_DAY}' and '{LAST_DAY}'"
    rows = _pick(connection, random, f"select rowid from raw.{table} where {where} order by all", 3)
    some = f"rowid in ({', '.join(str(row[0]) for row in rows)})"
    load_time = raw.load_time
    changed = "event_id = event_id || '-late'"
    if not _has_id(table):
        changed = f"{_LATER_VERSIONS[table]}, {load_time} = {load_time} + interval 1 minute"
    connection.execute(f"create or replace temp table late as from raw.{table} where {some}")
    connection.execute(f"update late set {changed}")
    connection.execute(f"insert into raw.{table} from late")
    return some


_DAMAGES = {
    "partitions": _partitions,
    "rows": _rows,
    "duplicates": _duplicates,
    "column": _column,
    "interrupted": _interrupted,
}
_RAW_DAMAGES = {"raw deleted": _raw_deleted, "raw late": _raw_late}
