"""A `tidemark` that kills itself at a step of landing a file, as a power cut would: no farewell.

Of a consumer, committing offsets is a step, too.

python killed.py 7 ingest usage      kills itself at the seventh step, having said at which
python killed.py 0 ingest usage      does not, and says how many steps there were
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidemark import cli
from tidemark.ingest.events import Job
from tidemark.ingest.landing import Landing

_seen: list[str] = []


def _step(name: str) -> None:
    _seen.append(name)
    if len(_seen) == int(sys.argv[1]):
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


def _main() -> None:
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
