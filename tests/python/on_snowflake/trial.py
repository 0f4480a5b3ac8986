"""Try the project on a Snowflake account, in a database that is made for it and dropped again.

`make try-snowflake` plays the demo's raw rows on Snowflake and on DuckDB: a first build, three
increments, a repair, a load, a prune. After each, every mart is compared row for row. It needs a
role that may create a database, and a warehouse; nothing outside of that database is touched.
`make try-snowflake EMULATED=--emulated` plays it on the emulator, which any machine can.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock
from uuid import uuid4

import duckdb
from exact.marts import MARTS_OF, NOT_COMPARED, Table, connect, differences, fetch, place
from exact.project import FILE_NAME, ROOT
from exact.raw import TABLES
from typer.testing import CliRunner

from tidemark import cli
from tidemark.commands import session
from tidemark.engine import Dbt
from tidemark.ingest.landing import Landing
from tidemark.load import load

from .loader import from_seed

BUILT = datetime(2025, 10, 12, 12)
INCREMENTS = (datetime(2025, 10, 12, 18), datetime(2025, 10, 13, 12), datetime(2025, 10, 14, 12))
# What was loaded later is landed later, too.
LOADED = INCREMENTS[-1]
AT_LAST = datetime(2025, 10, 20)
WITHOUT_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
# Marts that lose a day, by the column that says which; disabled teams of the web stay damaged.
DAMAGED = {
    "company": ("fact_events_daily", "activity_date"),
    "engagement": ("fct_engagement_metrics", "metric_hour"),
}
LOST_DAY = "2025-10-04"
KEPT_FROM = "2025-09-05"
# The connector's numbers for what holds JSON: variant, object, array.
_JSON = (5, 9, 10)


@dataclass
class Trial:
    """The same project on both, and what came of each step."""

    snowflake: Dbt
    duckdb: Dbt
    session: Any
    database: str
    home: Path
    domains: Sequence[str]
    table: list[tuple[str, float, int, int]] = field(default_factory=list)
    pruned: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def landing(self) -> Landing:
        return Landing(str(self.home / "landing"))

    @property
    def raw(self) -> list[str]:
        """The raw tables of the domains."""
        sources = self.duckdb.manifest.sources.values()
        return sorted({s.name for s in sources if s.source_name == "raw"} & set(TABLES))

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """What is done on both; then every mart is compared."""
        began = time.monotonic()
        yield
        rows, found = self._compare()
        self.differences += [f"{title}: {line}" for line in found]
        self.table.append((title, time.monotonic() - began, rows, len(found)))

    def on_both(self, clock: datetime, *args: str) -> None:
        for dbt in (self.duckdb, self.snowflake):
            dbt.call(*args, as_of=clock).raise_if_failed()

    def sql(self, statement: str) -> Any:
        return self.session.cursor().execute(statement)

    def make_database(self) -> None:
        """The part of `create_landing` that stands inside a database; roles stay as they are."""
        raw = f"{self.database}.raw"
        self.sql(f"create database {self.database}")
        self.sql(f"create schema {raw}")
        self.sql(f"create file format {raw}.landing_parquet type = parquet use_logical_type = true")
        self.sql(
            f"create stage {raw}.landing file_format = (format_name = '{raw}.landing_parquet')"
        )

    def load(self, clock: datetime, condition: str) -> None:
        """Land what of the seeds a condition on the load time picks, stage it, and load it."""
        for name in self.raw:
            found = f"{from_seed(name)} where {condition.format(TABLES[name].load_time)}"
            rows = duckdb.sql(found).to_arrow_table()
            path = self.landing.land(name, rows, "try", clock)
            folder = path.rpartition("/")[0]
            self.sql(
                f"put 'file://{self.landing.root}/{path}' @{self.database}.raw.landing/{folder}/"
                " auto_compress = false"
            )
        for dbt in (self.duckdb, self.snowflake):
            done = load(dbt, self.landing, clock)
            if done.failed:
                raise RuntimeError(f"{dbt.target}: {done.error}")

    def repair(self, clock: datetime) -> None:
        """Lose a day of a mart of each domain, let coverage find it, and have it repaired."""
        for mart, column in (DAMAGED[domain] for domain in self.domains if domain in DAMAGED):
            day = f"cast({column} as date) = '{LOST_DAY}'"
            self.sql(f"delete from {self.database}.{place(mart)} where {day}")
        with mock.patch.object(session, "dbt_of", return_value=self.snowflake):
            asked = ["backfill", "--apply", "--json", "--as-of", clock.isoformat()]
            ran = CliRunner().invoke(cli.app, asked, catch_exceptions=False)
        if ran.exit_code:
            raise RuntimeError(f"the repair failed: {ran.output}")

    def prune(self, clock: datetime) -> None:
        """Delete the raw rows of the first days on both; without any, nothing would be tried."""
        before = self._raw_rows()
        arguments = {"dry_run": False, "kept_from": KEPT_FROM, "reason": "a trial"}
        for dbt in (self.duckdb, self.snowflake):
            dbt.operate("prune", arguments, clock)
        deleted = {target: count - self._raw_rows()[target] for target, count in before.items()}
        there, here = deleted[self.snowflake.target], deleted[self.duckdb.target]
        if not there or there != here:
            raise RuntimeError(f"prune deleted {dict(there)} on Snowflake, {dict(here)} on DuckDB")
        self.pruned = there.total()

    def _raw_rows(self) -> dict[str, Counter[str]]:
        """How many rows the raw tables have, by target."""
        counts = " union all ".join(f"select '{t}', count(*) from raw.{t}" for t in self.raw)
        there = self.sql(counts.replace("from raw", f"from {self.database}.raw")).fetchall()
        with connect(self.home / FILE_NAME) as file:
            here = file.execute(counts).fetchall()
        answers = {self.snowflake.target: there, self.duckdb.target: here}
        return {target: Counter(dict(rows)) for target, rows in answers.items()}

    def _compare(self) -> tuple[int, list[str]]:
        rows, found = 0, list[str]()
        with connect(self.home / FILE_NAME) as file:
            for mart in (mart for domain in self.domains for mart in MARTS_OF[domain]):
                stored = self._mart(mart)
                rows += stored.rows.total()
                expected = fetch(file, place(mart), keys_in_order=False)
                found += differences(mart, stored, expected, "DuckDB")
        return rows, found

    def _mart(self, name: str) -> Table:
        cursor = self.sql(f"select * from {self.database}.{place(name)}")
        columns = tuple(column.name.lower() for column in cursor.description)
        is_json = [column.type_code in _JSON for column in cursor.description]
        rows: Counter[tuple[Any, ...]] = Counter()
        for row in cursor.fetchall():
            rows[tuple(map(_plain, row, is_json))] += 1
        return Table(columns, rows).select(tuple(c for c in columns if c != NOT_COMPARED))

    def shown(self) -> str:
        """One line per step, and what differs."""
        lines = [f"{'step':34}{'seconds':>9}{'rows compared':>15}{'differences':>13}"]
        lines += [f"{t:34}{s:9.1f}{rows:15,}{found:13}" for t, s, rows, found in self.table]
        lines.append(f"{self.pruned:,} raw rows pruned")
        return "\n".join([*lines, *self.differences])


def _plain(value: Any, is_json: bool) -> Any:
    return json.dumps(json.loads(value), sort_keys=True) if is_json and value else value


def play(trial: Trial) -> None:
    """Every step, on both."""
    with trial.step("landed, loaded and built"):
        trial.load(BUILT, f"{{0}} <= '{LOADED}' or {{0}} is null")
        trial.on_both(BUILT, "build", *WITHOUT_TESTS)
    for number, clock in enumerate(INCREMENTS, 1):
        with trial.step(f"increment {number}"):
            trial.on_both(clock, "run")
    with trial.step("lost, found and repaired"):
        trial.repair(LOADED)
    with trial.step("more landed and loaded"):
        trial.load(AT_LAST, f"{{0}} > '{LOADED}'")
        trial.on_both(AT_LAST, "run")
    with trial.step("pruned"):
        trial.prune(AT_LAST)
        trial.on_both(AT_LAST, "run")


@contextmanager
def prepared(home: Path, domains: Sequence[str] = tuple(MARTS_OF)) -> Iterator[Trial]:
    """A database of its own on the account of the environment, dropped whatever happens."""
    from snowflake.connector import connect as log_in

    database = f"TIDEMARK_TRY_{uuid4().hex[:8].upper()}"
    environment = {
        "SNOWFLAKE_DATABASE": database,
        "TIDEMARK_DUCKDB_PATH": str(home / FILE_NAME),
        "DBT_LOG_PATH": str(home / "logs"),
    }
    with mock.patch.dict(os.environ, environment):
        variables = {"domains": list(domains)}
        sides = [Dbt(ROOT, name, variables, home / name) for name in ("snowflake", "duckdb")]
        opened = log_in(**credentials())
        trial = Trial(*sides, opened, database, home, domains)
        try:
            trial.make_database()
            yield trial
        finally:
            trial.sql(f"drop database if exists {database}")
            opened.close()


def credentials() -> dict[str, Any]:
    """What profiles.yml takes from the environment, in the connector's words."""
    names = {
        "account": "ACCOUNT",
        "user": "USER",
        "password": "PASSWORD",
        "private_key_file": "PRIVATE_KEY_PATH",
        "private_key_file_pwd": "PRIVATE_KEY_PASSPHRASE",
        "role": "ROLE",
        "warehouse": "WAREHOUSE",
    }
    given = {name: os.environ.get(f"SNOWFLAKE_{variable}") for name, variable in names.items()}
    return {name: value for name, value in given.items() if value}


def main(arguments: Sequence[str]) -> int:
    """Play it, print the table, and say with the exit code whether both were equal throughout."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory()))
        if "--emulated" in arguments:
            from .shim import ENVIRONMENT, emulated_snowflake

            stack.enter_context(mock.patch.dict(os.environ, ENVIRONMENT))
            stack.enter_context(emulated_snowflake())
        elif "SNOWFLAKE_ACCOUNT" not in os.environ:
            print(
                "Set SNOWFLAKE_ACCOUNT and what docs/snowflake.md names besides.", file=sys.stderr
            )
            return 2
        trial = stack.enter_context(prepared(home))
        try:
            play(trial)
        finally:
            print(trial.shown())
    return 1 if trial.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
