"""A dbt that kills itself at a statement, as a power cut would: before, in or after it.

python killed_at.py in 'as audit,' run --select ...      kills itself in the first one that matches
"""

from __future__ import annotations

import os
import re
import signal
import sys
from threading import Timer
from typing import Any


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(when: str, pattern: str, *args: str) -> None:
    from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper
    from dbt.cli.main import dbtRunner

    execute = DuckDBCursorWrapper.execute

    def executed(self: Any, sql: str, *bindings: Any) -> Any:
        if not re.search(pattern, sql):
            return execute(self, sql, *bindings)
        if when == "before":
            _kill()
        if when == "in":
            Timer(0, _kill).start()
        execute(self, sql, *bindings)
        return _kill()

    DuckDBCursorWrapper.execute = executed
    dbtRunner().invoke(list(args))


if __name__ == "__main__":
    main(*sys.argv[1:])
