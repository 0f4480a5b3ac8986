"""The project on an emulated Snowflake, from its first build on; every mart as on DuckDB.

dbt, its Snowflake adapter and our SQL run as they are. The tests go on from one another, in their
order: time passes for both engines alike. shim.py says what no test here can show.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from exact.marts import MARTS, Table, connect, differences, fetch
from exact.project import FILE_NAME, ROOT
from exact.raw import TABLES, create

from tidemark.engine import Dbt, Outcome

from .loader import SEEDS, create_raw_tables, load_seeds
from .shim import DATABASE, ENVIRONMENT, Emulator, emulated_snowflake

pytestmark = [
    pytest.mark.snowflake,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="fakesnow needs Python 3.11"),
]

NOON = datetime(2025, 10, 15, 12)
AN_HOUR_LATER = datetime(2025, 10, 15, 13)
NEXT_MORNING = datetime(2025, 10, 16, 3)
AFTER_ALL = datetime(2025, 10, 20)


@dataclass
class Both:
    """The same project with the same raw rows on both engines."""

    emulator: Emulator
    snowflake: Dbt
    duckdb: Dbt
    file: Path
    told: list[str] = field(default_factory=list)

    def on_both(self, clock: datetime, *args: str) -> Outcome:
        """One dbt command on both, which must succeed; the outcome on Snowflake."""
        for dbt in (self.duckdb, self.snowflake):
            outcome = dbt.call(*args, as_of=clock)
            outcome.raise_if_failed()
        return outcome

    def on_snowflake(self, clock: datetime, *args: str) -> Outcome:
        outcome = self.snowflake.call(*args, as_of=clock)
        outcome.raise_if_failed()
        return outcome

    def compare(self, step: str) -> int:
        """Every mart row for row; how many rows there were."""
        rows = 0
        with connect(self.file) as connection:
            found = []
            for mart in MARTS:
                stored = self.mart(mart)
                rows += stored.rows.total()
                expected = fetch(connection, f"marts.{mart}", keys_in_order=False)
                found += differences(mart, stored, expected, "DuckDB")
        assert not found, "\n".join([f"{step}:", *found])
        self.told.append(f"{step}: {len(MARTS)} marts, {rows:,} rows, 0 differences")
        return rows

    def mart(self, name: str) -> Table:
        account = self.emulator.account.duck_conn
        return fetch(account, f"{DATABASE}.MARTS.{name}", keys_in_order=False)

    def sql(self, *statements: str) -> list[Any]:
        """What a hand does in the emulated account, in Snowflake's SQL."""
        session = self.emulator.connect(database=DATABASE, schema="MARTS")
        try:
            for statement in statements:
                answer = session.cursor().execute(statement).fetchall()
        finally:
            session.close()
        return answer


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home = tmp_path_factory.mktemp("snowflake")
    file = home / FILE_NAME
    with connect(file) as connection:
        create(connection)
        for name, table in TABLES.items():
            types = ", ".join(f"'{column}': '{kind}'" for column, kind in table.columns.items())
            connection.execute(
                f"insert into raw.{name} by name "
                f"from read_csv('{SEEDS / name}.csv', nullstr = '', types = {{{types}}})"
            )
    with pytest.MonkeyPatch.context() as patch, emulated_snowflake() as emulator:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(file))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        create_raw_tables(emulator, DATABASE)
        load_seeds(emulator, DATABASE)
        snowflake = Dbt(ROOT, "snowflake", target_path=home / "snowflake")
        yield Both(emulator, snowflake, Dbt(ROOT, "duckdb", target_path=home / "duckdb"), file)


def test_a_first_build(both: Both) -> None:
    both.on_both(NOON, "build", "--exclude-resource-type", "unit_test")
    both.compare("first build")


def test_an_hour_later(both: Both) -> None:
    both.on_both(AN_HOUR_LATER, "run")
    both.compare("an hour later")
