"""The in-process calls to dbt: parse once, reuse the manifest, hear what the macros say.

dbt is imported on the first call, so that `tidemark --help` and a typing error cost nothing.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from traceback import clear_frames
from typing import Any
from uuid import uuid4

from tidemark import interrupts, logs
from tidemark.lineage import EngineError, Lineage, StoredMart, refuse_other_engine, stored_marts
from tidemark.messages import telling_lines
from tidemark.shown import hidden

# Macros report to the command line in one-line log events: `tidemark:<kind> <json>`.
_EVENT = re.compile(r"tidemark:(?P<kind>\w+) (?P<payload>\{.*\})", re.DOTALL)
_LOCKED = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")

# What JSON says otherwise than YAML does.
_NOT_PLAIN = re.compile(r"[^ -~]")

# The console belongs to the tables of this command.
_SILENT = ("--log-level", "none", "--no-print")

# What a project is known by once it was read.
_READ = ("manifest", "lineage", "stored_marts")

# How long to wait before the ledger is told of an interruption, and before it is told again.
_WAITS = (0, 1)


class DbtError(Exception):
    """A dbt call that failed as a whole, in dbt's own words, but for the secrets in them."""

    def __init__(self, text: str) -> None:
        super().__init__(hidden(text))


class DatabaseLockedError(DbtError):
    """Another process holds the database file."""


@dataclass
class Outcome:
    """What one dbt call left behind: its results, and what its macros reported, by kind."""

    success: bool = False
    result: Any = None
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def results(self) -> list[Any]:
        """One result per node. Nothing selected is a success without any: count them."""
        return list(getattr(self.result, "results", None) or [])

    def results_of(self, kind: str) -> list[Any]:
        """The results of one kind of node; the project's hooks before it must have succeeded."""
        for result in self.results:
            if str(result.node.resource_type) == "operation" and str(result.status) == "error":
                raise DbtError(telling_lines(result.message or "a hook failed"))
        return [result for result in self.results if str(result.node.resource_type) == kind]

    def raise_if_failed(self) -> None:
        """For calls that must succeed as a whole."""
        if not self.success:
            messages = [str(result.message) for result in self.results if result.message]
            raise DbtError(telling_lines("\n".join(self.errors or messages)))

    def failure(self, otherwise: str) -> DbtError:
        """What dbt says of a call that did nothing at all; `otherwise` when it says nothing."""
        return DbtError(telling_lines("\n".join(self.errors)) or otherwise)

    def event(self, kind: str) -> dict[str, Any]:
        """The one event of a kind that a macro must have sent."""
        sent = self.events.get(kind, [])
        if len(sent) != 1:
            raise DbtError(f"expected one event {kind!r} from dbt, heard {len(sent)}")
        return sent[0]

    def hear(self, message: Any) -> None:
        """Take in one of dbt's log events."""
        text = str(message.info.msg)
        if told := _EVENT.search(text):
            heard = self.events.setdefault(told["kind"], [])
            heard.append(json.loads(told["payload"]))
        elif message.info.level == "error":
            self.errors.append(text)


@dataclass
class Dbt:
    """One project on one target, parsed once."""

    project_dir: Path
    target: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    target_path: Path | None = None
    # Who only looks creates no database file.
    only_looks: bool = False
    # Under this id the ledger keeps everything that one command does, over all its calls.
    run_id: str = field(default_factory=lambda: str(uuid4()))
    listeners: list[Callable[[Any], None]] = field(default_factory=lambda: [logs.hear])

    @cached_property
    def manifest(self) -> Any:
        """The parsed project. It freezes the vars used in `config()`; the clock is none of them."""
        # target/manifest.json is left to what builds: writing it takes half as long as reading the
        # project (measured).
        outcome = self._invoke(None, ["parse", "--no-write-json"], self.variables)
        outcome.raise_if_failed()
        try:
            refuse_other_engine(outcome.result)
        except EngineError as error:
            raise DbtError(str(error)) from None
        return outcome.result

    @cached_property
    def lineage(self) -> Lineage:
        """Names and edges of the parsed project."""
        return Lineage.of(self.manifest)

    @cached_property
    def stored_marts(self) -> dict[str, StoredMart]:
        """The tables that are kept by increments, and so can be compared and repaired."""
        return stored_marts(self.manifest)

    def only_looking(self) -> Dbt:
        """The same project as it was read, for who only looks and has nothing told of it."""
        other = replace(self, only_looks=True, listeners=[])
        vars(other).update({name: vars(self)[name] for name in _READ if name in vars(self)})
        return other

    @property
    def seeds(self) -> frozenset[str]:
        """The raw tables that the target makes out of seeds."""
        nodes = self.manifest.nodes.values()
        return frozenset(node.name for node in nodes if str(node.resource_type) == "seed")

    def call(
        self,
        *args: str,
        as_of: datetime | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Run one dbt command at a clock; nodes that fail are the caller's to look at."""
        clock = {"as_of": as_of.isoformat()} if as_of else {}
        given = {**self.variables, **clock, "run_id": self.run_id, **(variables or {})}
        try:
            return self._invoke(self.manifest, list(args), given)
        except KeyboardInterrupt:
            reason = f"Interrupted by {interrupts.take()}."
            if args[0] in ("build", "run"):
                self._close_interrupted_run(reason, as_of)
            raise KeyboardInterrupt(reason) from None

    def operate(
        self, macro: str, arguments: Mapping[str, Any] | None = None, as_of: datetime | None = None
    ) -> Outcome:
        """Run one macro as an operation, which must succeed."""
        given = ("--args", as_yaml(arguments)) if arguments else ()
        # run_results.json stays that of the last build.
        outcome = self.call("run-operation", macro, "--no-write-json", *given, as_of=as_of)
        outcome.raise_if_failed()
        return outcome

    def show(
        self,
        name: str,
        as_of: datetime | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """The rows of a view or an analysis as JSON values; it need not have been built."""
        return next(iter(self.show_all([name], as_of, variables).values()))

    def show_all(
        self,
        names: Sequence[str],
        as_of: datetime | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """The same of several in one call, by name. One that fails fails the call."""
        outcome = self.call(
            "show",
            "--no-write-json",
            *("--select", *names),
            *("--limit", "-1"),
            *("--indirect-selection", "empty"),
            as_of=as_of,
            variables=variables,
        )
        outcome.raise_if_failed()
        if not outcome.results:
            # dbt calls that a success: it would read as a table without rows
            raise DbtError(f"The project has no view and no analysis {', '.join(names)}.")
        return {result.node.name: _rows(result.agate_table) for result in outcome.results}

    def _close_interrupted_run(self, reason: str, as_of: datetime | None) -> None:
        """Let the ledger say how the run ended: dbt calls no hook when it is interrupted."""
        for seconds in _WAITS:
            # dbt's threads may still be at work, and close the database under this call.
            time.sleep(seconds)
            try:
                self.operate("close_interrupted_run", {"reason": reason}, as_of)
            except DbtError as error:
                refused = error
            else:
                return
        text = f"The ledger could not be told; the next run closes this one. {refused}"
        logs.tell(logging.WARNING, text)

    def _invoke(self, manifest: Any, args: list[str], variables: Mapping[str, Any]) -> Outcome:
        from dbt.cli.main import dbtRunner

        from tidemark import duckdb_file

        outcome = Outcome()
        # Without being told, dbt's own log file would be as silent as the console.
        file_level = os.environ.get("DBT_LOG_LEVEL_FILE", "debug")
        options = [*_SILENT, "--log-level-file", file_level, "--project-dir", str(self.project_dir)]
        if profiles := os.environ.get("DBT_PROFILES_DIR"):
            # Meant from where the command is called, which dbt is not.
            options += ["--profiles-dir", str(Path(profiles).resolve())]
        elif (self.project_dir / "profiles.yml").exists():
            options += ["--profiles-dir", str(self.project_dir)]
        if self.target:
            options += ["--target", self.target]
        if self.target_path:
            options += ["--target-path", str(self.target_path)]
        if variables:
            options += ["--vars", as_yaml(variables)]
        began = time.perf_counter()
        with _working_in(self.project_dir), duckdb_file.opened(self.only_looks):
            # A runner keeps state between calls; a new one per call does not.
            runner = dbtRunner(manifest=manifest, callbacks=[outcome.hear, *self.listeners])
            ran = runner.invoke([*args, *options])
        if manifest is not None:
            _forget(manifest)
        outcome.success, outcome.result = ran.success, ran.result
        if ran.exception is not None:
            # A `show` that fails leaves its running thread pool to these frames. Found only by the
            # collector of cycles, it may be taken apart in the wrong order, and complain on stderr.
            clear_frames(ran.exception.__traceback__)
        called = " ".join(args[:2])
        seconds = round(time.perf_counter() - began, 3)
        told = {"dbt": called, "success": ran.success, "seconds": seconds}
        logs.tell(logging.INFO, f"dbt {called} took {seconds:.2f} s", **told)
        interrupts.raise_if_noticed()
        if isinstance(ran.exception, KeyboardInterrupt):
            raise ran.exception
        if ran.exception is not None:
            outcome.errors.append(str(ran.exception))
        self._refuse_locked(outcome)
        if ran.exception is not None:
            raise DbtError(telling_lines(str(ran.exception))) from ran.exception
        return outcome

    @staticmethod
    def _refuse_locked(outcome: Outcome) -> None:
        """A lock that outlasted the profile's attempts."""
        failed = [str(result.message) for result in outcome.results if result.message]
        for text in [*outcome.errors, *failed]:
            if held := _LOCKED.search(text):
                raise DatabaseLockedError(
                    f"The database is in use by {Path(held['program']).name} (PID {held['pid']})."
                )


def _forget(manifest: Any) -> None:
    """Drop what macros have kept during a call: it would stay as long as the parsed project."""
    for name in [name for name in manifest.flat_graph if name.startswith("tidemark_")]:
        del manifest.flat_graph[name]


def _rows(table: Any) -> list[dict[str, Any]]:
    """A table of dbt's as JSON values."""
    return [
        {
            # Snowflake answers in upper case
            column.lower(): _plain(value)
            for column, value in zip(table.column_names, row.values(), strict=True)
        }
        for row in table.rows
    ]


def _plain(value: Any) -> Any:
    """A JSON value: dbt fetches most numbers as decimals."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, int | float) else str(value)


def as_yaml(value: Any) -> str:
    """JSON that YAML, as which dbt reads its arguments, takes for the same.

    Pairs of surrogates, which JSON has for an emoji, are an error there; so is half of one, which
    no text may hold.
    """
    return _NOT_PLAIN.sub(_escaped, json.dumps(value, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\U{0xFFFD if 0xD800 <= code < 0xE000 else code:08x}"


@contextmanager
def _working_in(directory: Path) -> Iterator[None]:
    """A profile of one's own may hold relative paths, which are meant from the project's folder."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
