"""A `tidemark` that kills itself at a step of its work, as a power cut would: no farewell.

The steps are those of landing a file; of a consumer, its commits, too; of `tidemark load`, its
statements and their commits.

python killed.py 7 ingest usage              kills itself at the seventh step, and says at which
python killed.py '2 after the rows' load     kills itself at the second step of this name
python killed.py 0 ingest usage              does not, and says how many steps there were
"""

from __future__ import annotations

import os
import random
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

from tidemark import cli
from tidemark.ingest.events import Job
from tidemark.ingest.landing import Landing

_seen: list[str] = []
# A statement of the tests takes a few milliseconds.
_WITHIN = 0.01


def _step(name: str, within: float = 0.0) -> None:
    """A step to be killed at, perhaps not at once, but within so many seconds."""
    _seen.append(name)
    number, _, named = sys.argv[1].partition(" ")
    seen = _seen.count(named) if named else len(_seen)
    if seen != int(number) or name != (named or name):
        return
    if within:
        Timer(random.uniform(0, within), _kill, [name]).start()
    else:
        _kill(name)


def _kill(name: str) -> None:
    os.write(2, f"Killed {name}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def _around(
    before: Callable[..., str], real: Callable[..., Any], after: str = ""
) -> Callable[..., Any]:
    """A function with a step before it, and perhaps one after."""

    def stepping(*args: Any, **options: Any) -> Any:
        name = before(*args)
        if name:
            _step(name)
        done = real(*args, **options)
        if name and after:
            _step(after)
        return done

    return stepping


def _of_sync(handle: int) -> str:
    is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
    return "" if is_folder else "before the file is on the disk"


def _of_statement(sql: str) -> str:
    """A delivery's rows, with what is said of them, and their commit."""
    if "landed_files" in sql and "insert into" in sql:
        return "the rows"
    is_theirs = bool(_seen) and _seen[-1] == "after the rows"
    return "the commit" if is_theirs and sql.strip().lower() == "commit" else ""


def _step_through_statements() -> None:
    from dbt.adapters.sql import SQLConnectionManager

    real = SQLConnectionManager.add_query

    def stepping(manager: Any, sql: str, *args: Any, **options: Any) -> Any:
        if not (name := _of_statement(sql)):
            return real(manager, sql, *args, **options)
        _step(f"before {name}")
        _step(f"during {name}", within=_WITHIN)
        done = real(manager, sql, *args, **options)
        _step(f"after {name}")
        return done

    SQLConnectionManager.add_query = stepping


def _main() -> None:
    if sys.argv[2] == "load":
        _step_through_statements()
    os.fsync = _around(_of_sync, os.fsync)
    Path.rename = _around(  # type: ignore[method-assign]
        lambda *_: "between write and rename", Path.rename, "after the rename"
    )
    land = _around(
        lambda _, table, *__: f"before a file of {table}", Landing.land, "after a file landed"
    )
    Landing.land = land  # type: ignore[method-assign]
    commit = _around(
        lambda job: "before the commit" if job._landed else "", Job._commit, "after the commit"
    )
    Job._commit = commit  # type: ignore[method-assign]
    sys.argv[0], arguments = "tidemark", sys.argv[2:]
    try:
        cli.app(arguments, standalone_mode=False)
    finally:
        print(f"{len(_seen)} steps", file=sys.stderr)


if __name__ == "__main__":
    _main()
