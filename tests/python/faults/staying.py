"""A `tidemark run --every` whose clock jumps over what there is to wait, and who notes each run.

python staying.py 2025-10-15T12:00 2025-10-16T12:00 progress.txt run --every '*/10 * * * *'

begins at the first time. At the second it waits for real, until a signal comes. The file gets a
line as each run begins, with its time, and one as it ends, with the memory of the process in MB.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tidemark import cli, judgement, schedule
from tidemark.commands.every import Staying

_start, _until = (datetime.fromisoformat(text) for text in sys.argv[1:3])
_progress = Path(sys.argv[3])


class _Jumping(schedule.Clock):
    time = _start

    def now(self) -> datetime:
        return _Jumping.time

    def wait(self, longest: timedelta) -> None:
        if _Jumping.time < _until:
            _Jumping.time = min(_Jumping.time + longest, _until)
        else:
            _note("waits")
            super().wait(timedelta(days=1))


def _note(text: str) -> None:
    with _progress.open("a") as file:
        file.write(f"{text}\n")


def _noted(staying: Staying, *args: Any) -> bool:
    _note(f"begins {_Jumping.time.isoformat()}")
    failed = _run(staying, *args)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    _note(f"ends {pages * os.sysconf('SC_PAGE_SIZE') // 2**20}")
    return failed


if __name__ == "__main__":
    _judge, _run = judgement.judge, Staying.run
    schedule.Clock = _Jumping  # type: ignore[misc]
    judgement.judge = lambda dbt, _: _judge(dbt, _Jumping.time)
    Staying.run = _noted  # type: ignore[method-assign]
    sys.argv = ["tidemark", *sys.argv[4:]]
    cli.main()
