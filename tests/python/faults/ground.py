"""A database file, `tidemark run` on it as a process, and what a full refresh would hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from exact import raw
from exact.marts import MARTS_OF, Table, connect, differences, fetch, place, rows_differing

from tidemark.engine import Dbt, Outcome

PROJECT = Path(__file__).parents[3]
SEED_CLOCK = datetime(2025, 10, 15, 12)
AN_HOUR = timedelta(hours=1)

# A few kills and signals are always tried, the rest by `make test-faults`.
AT_LENGTH = "TIDEMARK_KILLS" in os.environ

TWO_DOMAINS = ("company", "engagement")
ALL_DOMAINS = tuple(MARTS_OF)

# The manifest holds the database's name, which is the file's: every copy is called so.
FILE_NAME = "tidemark.duckdb"

# A run takes seconds, on a busy machine tens of them; the wait for a lock up to 31 s more.
PATIENCE = 300

_LOG_LINE = re.compile(r"\d\d:\d\d:\d\d UTC (DEBUG|INFO|WARNING|ERROR) ")
_CHECKED = "dbt run-operation record_checks took"
_BUILT = "dbt build --select took"


@dataclass
class Command:
    """A `tidemark` that was started; what it writes goes into files."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def log(self) -> str:
        """Standard error as it is now."""
        return (self.folder / "err.txt").read_text()

    @property
    def shown(self) -> str:
        """What people saw, on one line: the tables, then the messages, without the log."""
        lines = (self.folder / "out.txt").read_text().splitlines()
        lines += [line for line in self.log.splitlines() if not _LOG_LINE.match(line)]
        return " ".join(" ".join(lines).split())

    def wait_for(self, text: str) -> float:
        """Wait until the log holds a text, or the command has ended; when that was noticed."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.log and self.process.poll() is None:
            assert time.monotonic() < deadline, f"no {text!r} in {PATIENCE} s:\n{self.log}"
            time.sleep(0.005)
        return time.monotonic()

    def wait_for_build(self) -> float:
        """Wait until the gate has recorded what it decided: the build begins."""
        return self.wait_for(_CHECKED)

    def wait_for_built(self) -> float:
        """Wait until the build is over."""
        return self.wait_for(_BUILT)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the end: the exit code, negative for the signal that killed it."""
        return self.process.wait(PATIENCE)


class Ground:
    """One database file under a fixed path, so that the parsed project stays valid."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "now" / FILE_NAME
        self.path.parent.mkdir()
        self._bases: dict[tuple[str, ...], Path] = {}
        self._refreshed: dict[tuple[Any, ...], Mapping[str, Table]] = {}
        self._lengths: dict[tuple[str, ...], float] = {}
        self._dbts: dict[tuple[str, ...], Dbt] = {}

    # ---- the database ----

    def restore(self, domains: Sequence[str] = TWO_DOMAINS) -> None:
        """The database as the first run at the seed clock left it."""
        self._clear()
        if tuple(domains) not in self._bases:
            with connect(self.path) as connection:
                _load_seeds(connection)
            self.succeed(SEED_CLOCK, domains)
            base = self.home / f"base-{len(domains)}.duckdb"
            shutil.copy(self.path, base)
            self._bases[tuple(domains)] = base
        else:
            shutil.copy(self._bases[tuple(domains)], self.path)

    def sql(self, *statements: str) -> list[Any]:
        """Look into the database, or change it behind dbt's back."""
        with connect(self.path) as connection:
            for statement in statements:
                answer = connection.execute(statement).fetchall()
        return answer

    def look(self, query: str) -> list[Any]:
        """Ask a copy, with its log of what is not in the file yet: to open it would recover it."""
        folder = self.home / "look"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.path.parent, folder)
        with connect(folder / FILE_NAME) as connection:
            return connection.execute(query).fetchall()

    def _clear(self) -> None:
        shutil.rmtree(self.path.parent)
        self.path.parent.mkdir()

    # ---- commands ----

    def start(
        self,
        clock: datetime,
        domains: Sequence[str] = TWO_DOMAINS,
        called: str = "run",
        within: Sequence[str] = (),
    ) -> Command:
        """Start `tidemark run` at a clock, perhaps as the argument of another command."""
        command = (*within, sys.executable, "-m", "tidemark", "run", "--as-of", clock.isoformat())
        return self.start_process(command, domains, called)

    def start_process(
        self, command: Sequence[str], domains: Sequence[str], called: str = "run"
    ) -> Command:
        """Start a command that takes the options of `tidemark run`."""
        folder = self.home / called
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        options = ("--target", "duckdb", "--project-dir", str(PROJECT))
        variables = ("--vars", json.dumps({"domains": list(domains)}))
        with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
            process = subprocess.Popen(
                [*command, *options, *variables],
                stdout=out,
                stderr=err,
                cwd=PROJECT,
                env=os.environ
                | self._environment(domains)
                | {"DBT_LOG_PATH": str(folder), "DBT_LOG_LEVEL_FILE": "debug"},
            )
        return Command(process, folder)

    def run(self, clock: datetime, **options: Any) -> tuple[int, str]:
        """Run to the end: the exit code, and what people saw."""
        command = self.start(clock, **options)
        return command.end(), command.shown

    def succeed(self, clock: datetime, domains: Sequence[str] = TWO_DOMAINS) -> float:
        """A run that must succeed; how long its build took, in seconds."""
        command = self.start(clock, domains)
        began = command.wait_for_build()
        took = command.wait_for_built() - began
        assert command.end() == 0, command.shown
        return took

    def call(self, clock: datetime, *args: str) -> Outcome:
        """One dbt command in this process."""
        return self._dbt(TWO_DOMAINS, self.path).call(*args, as_of=clock)

    def length_of_build(self, domains: Sequence[str] = TWO_DOMAINS) -> float:
        """How long an hour's build takes that nobody stops, in seconds."""
        if tuple(domains) not in self._lengths:
            self.restore(domains)
            self._lengths[tuple(domains)] = self.succeed(SEED_CLOCK + AN_HOUR, domains)
        return self._lengths[tuple(domains)]

    def _environment(self, domains: Sequence[str]) -> dict[str, str]:
        return {
            "PYTHONPATH": str(PROJECT),
            "DBT_PROFILES_DIR": str(PROJECT),
            "DBT_TARGET_PATH": str(self.home / f"target-{len(domains)}"),
            "TIDEMARK_DUCKDB_PATH": str(self.path),
            "LOG_LEVEL": "info",
            # The tables are not wrapped where a message is looked for.
            "COLUMNS": "400",
        }

    # ---- what it should hold ----

    def rerun(self, clock: datetime, domains: Sequence[str] = TWO_DOMAINS) -> int:
        """Run again, which must succeed; the rows of all marts that differ from a full refresh."""
        self.succeed(clock, domains)
        expected = self._full_refresh(clock, tuple(domains))
        differing = 0
        with connect(self.path) as connection:
            for mart, table in expected.items():
                actual = fetch(connection, place(mart))
                for line in differences(mart, actual, table, "the full refresh"):
                    print(line)
                differing += rows_differing(actual, table)
        return differing

    def _full_refresh(self, clock: datetime, domains: tuple[str, ...]) -> Mapping[str, Table]:
        """Every mart, rebuilt whole in a copy; once for the same raw rows."""
        known = (clock, domains, *self.sql(_fingerprint(raw.TABLES)))
        if known not in self._refreshed:
            path = self.home / "refreshed" / FILE_NAME
            path.parent.mkdir(exist_ok=True)
            shutil.copy(self.path, path)
            outcome = self._dbt(domains, path).call("run", "--full-refresh", as_of=clock)
            assert outcome.success, outcome.errors
            marts = [mart for domain in domains for mart in MARTS_OF[domain]]
            with connect(path) as connection:
                self._refreshed[known] = {m: fetch(connection, place(m)) for m in marts}
        return self._refreshed[known]

    def _dbt(self, domains: tuple[str, ...], path: Path) -> Dbt:
        """dbt in this process, on another file than the commands."""
        environment = self._environment(domains)
        os.environ["DBT_LOG_PATH"] = str(path.parent)
        os.environ["TIDEMARK_DUCKDB_PATH"] = str(self.path)
        if domains not in self._dbts:
            target = Path(environment["DBT_TARGET_PATH"])
            dbt = Dbt(PROJECT, "duckdb", {"domains": list(domains)}, target)
            dbt.manifest  # noqa: B018
            self._dbts[domains] = dbt
        os.environ["TIDEMARK_DUCKDB_PATH"] = str(path)
        return self._dbts[domains]


def _load_seeds(connection: duckdb.DuckDBPyConnection) -> None:
    raw.create(connection)
    for name, table in raw.TABLES.items():
        columns = ", ".join(table.columns)
        seed = f"read_csv('{PROJECT / 'seeds' / name}.csv', header = true, all_varchar = true)"
        connection.execute(f"insert into raw.{name} select {columns} from {seed}")


def _fingerprint(names: Iterable[str]) -> str:
    """A query: as many numbers as there are raw tables, which their rows decide."""
    sums = [f"(select sum(hash(t)) from raw.{name} as t)" for name in names]
    return f"select {', '.join(sums)}"
