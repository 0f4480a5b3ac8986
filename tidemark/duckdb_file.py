"""How dbt opens a DuckDB file: a plugin of dbt-duckdb in profiles.yml, so for plain dbt as well.

DuckDB calls everything an IOException. Only a lock is worth waiting for, and waiting is told at
once; a path that cannot be right is said at once, and who only looks creates no file.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtRuntimeError

from tidemark.settings import untold

_LOCK = re.compile(r"could not set lock on file", re.IGNORECASE)
_HOLDER = re.compile(r"lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
# in memory, or a service
_ELSEWHERE = re.compile(r":memory:|\w{2,}:")
# The variable that names the file of somebody's own data: the demo's has no settings.
_OWN_DATA = "TIDEMARK_DUCKDB_PATH"
_LOGGER = AdapterLogger("DuckDB")

# Whether the command that goes on only looks; dbt opens the file in threads of its own.
_only_looks = False
# Connections that keep the file open for as long as a call lasts. None: nobody would close them.
_kept: list[duckdb.DuckDBPyConnection] | None = None


@contextmanager
def opened(only_to_look: bool) -> Iterator[None]:
    """Around a call of dbt: one that only looks creates no file.

    The file stays open until the call ends. dbt closes it whenever no node is at work, and to open
    and write it anew between nodes took a sixth of a run on a small database.
    """
    global _only_looks, _kept
    before, _only_looks = _only_looks, only_to_look
    outer, _kept = _kept, []
    try:
        yield
    finally:
        for connection in _kept:
            connection.close()
        _only_looks, _kept = before, outer


def problem_of(path: Path, setting: str, only_looks: bool, other: Path | None) -> str | None:
    """What is wrong with the path of a database, if anything is; `other` is another target's."""
    if other is not None and path.resolve() == other.resolve():
        return (
            f"{path} is the file of target duckdb (TIDEMARK_DUCKDB_PATH), and the demo's unless"
            f" {setting} names another. Name another file in one of the two."
        )
    if not path.parent.is_dir():
        return (
            f"There is no folder {path.parent.resolve()} for the database {path.name}. Make it,"
            f" or correct {setting}."
        )
    if path.is_dir():
        return f"{path} is a folder, not a database. Correct {setting}."
    if only_looks and not path.exists():
        return (
            f"There is no database {path.resolve()} to look at. Correct {setting}, or make it:"
            " `tidemark run`, `tidemark load` or `dbt build`."
        )
    return None


def refuse_untold_settings() -> None:
    """Stop plain dbt, which reads no settings but its own, where a deployment has others."""
    from dbt.flags import get_flags

    flags = get_flags()  # type: ignore[no-untyped-call]
    folder, told = getattr(flags, "PROJECT_DIR", None), getattr(flags, "VARS", None)
    try:
        names = untold(Path(folder), getattr(flags, "TARGET", None), told or {}) if folder else []
    except ValueError as error:
        raise DbtRuntimeError(f"{error}. Nothing was touched.") from None
    if names:
        raise DbtRuntimeError(
            f"dbt was not told of the settings {', '.join(names)}. Nothing was touched. Add"
            ' --vars "$(tidemark settings --vars)", or leave them out with TIDEMARK_SETTINGS= .'
        )


def waits(attempts: int) -> Iterator[int]:
    """How many seconds to wait before each further attempt."""
    return (2**number for number in range(attempts - 1))


class Plugin(BasePlugin):
    """Looks at the path before dbt-duckdb connects, and waits until nobody else holds the file."""

    # Who has waited in vain need not wait as long again, until the file was open once.
    _in_vain = False

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take `setting`, the variable that names the path, and `connect_attempts`."""
        self._setting = str(plugin_config.get("setting", "the path in profiles.yml"))
        self._attempts = int(plugin_config.get("connect_attempts", 1))
        other = plugin_config.get("other")
        self._other = Path(other) if other and self._setting not in os.environ else None
        self._waiting: duckdb.DuckDBPyConnection | None = None

    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        """Before each opening of the file."""
        if _ELSEWHERE.match(creds.path):
            return
        path = Path(creds.path)
        if problem := problem_of(path, self._setting, _only_looks, self._other):
            raise DbtRuntimeError(problem)
        if self._setting == _OWN_DATA:
            refuse_untold_settings()
        if _kept and _answers(_kept[-1]):
            return
        # Kept until dbt has connected, too: to open the file once takes no longer.
        self._waiting = self._connect(path, config)

    def configure_connection(self, _conn: duckdb.DuckDBPyConnection) -> None:
        """When dbt has the file."""
        if self._waiting is None:
            return
        if _kept is None:
            self._waiting.close()
        else:
            _kept.append(self._waiting)
        self._waiting = None

    def _connect(self, path: Path, config: dict[str, Any]) -> duckdb.DuckDBPyConnection | None:
        left = list(waits(1 if Plugin._in_vain else self._attempts))
        total = sum(left)
        while True:
            try:
                connection = duckdb.connect(str(path), read_only=False, config=config)
            except duckdb.IOException as error:
                if not _LOCK.search(str(error)):
                    # dbt meets it as well, and says so
                    return None
                if not left:
                    Plugin._in_vain = True
                    raise
                if sum(left) == total:
                    _LOGGER.warning(_waiting_for(path, str(error), total))
                time.sleep(left.pop(0))
            else:
                Plugin._in_vain = False
                return connection


def _answers(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether its database does: after a failed commit only opening the file again helps."""
    try:
        connection.execute("select 1")
    except duckdb.Error:
        connection.close()
        return False
    return True


def _waiting_for(path: Path, error: str, seconds: int) -> str:
    held = _HOLDER.search(error)
    holder = f"{Path(held['program']).name} (PID {held['pid']})" if held else "another process"
    return f"Waiting for {path}, which {holder} has open: up to {seconds} s."
