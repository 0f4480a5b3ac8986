"""dbt in this process, with a stopwatch on every statement that it sends."""

from __future__ import annotations

import json
import os
import re
import resource
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner

PROFILES = Path(__file__).parent

# What a statement is for, by the first pattern that is found in it.
_KINDS = {
    "touched keys": "create or replace temporary table",
    "touched days": r"select \w+, count\(\*\) from \S+__touched|^\s*select distinct",
    "count of rows": r"^\s*select count\(\*\) from",
    "replace": r"^\s*delete from",
    "ledger": r"\bops\W+\w+\b|etl_job_runs",
    "recompute": r"^\s*create\s+(temporary\s+|temp\s+)?table",
    "transaction": r"^\s*(begin|commit|rollback)",
}
_OTHER = "dbt's own"


@dataclass(frozen=True)
class Statement:
    """One statement of a dbt command, the node that sent it and the seconds that it took."""

    node: str
    kind: str
    seconds: float
    sql: str


@dataclass
class Call:
    """The statements of one dbt command, and how long the whole of it took."""

    statements: list[Statement] = field(default_factory=list)
    wall_seconds: float = 0.0
    _open: str = ""

    @property
    def engine_seconds(self) -> float:
        return sum(statement.seconds for statement in self.statements)

    def seconds_by(self, *attributes: str) -> Counter[tuple[str, ...]]:
        seconds: Counter[tuple[str, ...]] = Counter()
        for statement in self.statements:
            key = tuple(str(getattr(statement, attribute)) for attribute in attributes)
            seconds[key] += statement.seconds  # type: ignore[assignment]
        return seconds

    def hear(self, message: Any) -> None:
        """Take in dbt's events. With one thread, a status belongs to the statement before it."""
        if message.info.name == "SQLQuery":
            self._open = re.sub(r"^\s*/\*.*?\*/\s*", "", message.data.sql, flags=re.DOTALL)
        elif message.info.name == "SQLQueryStatus":
            node = message.data.node_info.node_name or "run"
            elapsed = message.data.elapsed
            self.statements.append(Statement(node, _kind(self._open), elapsed, self._open))


@dataclass
class Project:
    """A dbt project, parsed once, on whatever database file a call names."""

    directory: Path
    target: str
    database: Path
    target_path: Path
    variables: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> Any:
        return self._invoke(Call(), None, self.database, ["parse"], self.variables)

    def call(self, database: Path, *args: str, **variables: Any) -> Call:
        call, manifest = Call(), self.manifest
        start = time.perf_counter()
        self._invoke(call, manifest, database, list(args), {**self.variables, **variables})
        call.wall_seconds = time.perf_counter() - start
        return call

    def _invoke(
        self,
        call: Call,
        manifest: Any,
        database: Path,
        args: list[str],
        variables: Mapping[str, Any],
    ) -> Any:
        # The manifest remembers the name of the file, not its folder.
        assert database.name == self.database.name
        os.environ["TIDEMARK_DUCKDB_PATH"] = str(database)
        options = {
            "--project-dir": self.directory,
            "--profiles-dir": PROFILES,
            "--target": self.target,
            "--target-path": self.target_path,
            "--log-level": "none",
            "--log-level-file": "none",
            "--log-path": self.target_path,
            "--vars": json.dumps(variables),
        }
        flags = [str(part) for option in options.items() for part in option]
        # A runner keeps state between calls; a new one per call does not.
        ran = dbtRunner(manifest=manifest, callbacks=[call.hear]).invoke([*args, *flags])
        if not ran.success:
            told = [result.message for result in getattr(ran.result, "results", [])]
            raise RuntimeError(f"dbt {' '.join(args)} failed: {ran.exception or told}")
        return ran.result


def _kind(sql: str) -> str:
    for kind, pattern in _KINDS.items():
        if re.search(pattern, sql, re.IGNORECASE):
            return kind
    return _OTHER


def reset_peak_memory() -> None:
    """Start the peak anew, where the system can (Linux); elsewhere it is that of the process."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def peak_memory() -> float:
    """The greatest memory of this process since the last reset, in GB."""
    status = Path("/proc/self/status")
    if status.exists():
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
