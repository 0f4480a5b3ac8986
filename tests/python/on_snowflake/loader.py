"""Raw tables on the emulated Snowflake, from the seeds: on a real one a loader writes them."""

from __future__ import annotations

from pathlib import Path

from exact.raw import TABLES

from .shim import Emulator

SEEDS = Path(__file__).parents[3] / "seeds"

# Snowflake's names for the contract's types; `timestamp` alone means what the account says.
_TYPES = {"timestamp": "timestamp_ntz", "timestamptz": "timestamp_tz"}


def create_raw_tables(emulator: Emulator, database: str, schema: str = "raw") -> None:
    """Create the contract's raw tables, empty."""
    session = emulator.connect(database=database, schema=schema)
    for name, table in TABLES.items():
        columns = ", ".join(f"{c} {_TYPES.get(kind, kind)}" for c, kind in table.columns.items())
        session.cursor().execute(f"create table {database}.{schema}.{name} ({columns})")
    session.close()


def load_seeds(emulator: Emulator, database: str) -> None:
    """Fill the raw tables from the seeds."""
    for name in TABLES:
        emulator.account.duck_conn.execute(
            f"insert into {database}.RAW.{name} by name {from_seed(name)}"
        )


def from_seed(name: str) -> str:
    """The rows of a seed, for DuckDB; an empty field is null, as it is to dbt."""
    types = ", ".join(f"'{column}': '{kind}'" for column, kind in TABLES[name].columns.items())
    return f"from read_csv('{SEEDS / name}.csv', header = true, nullstr = '', types = {{{types}}})"
