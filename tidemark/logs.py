"""The log: lines on standard error about what happens, with one run id; and progress on a terminal.

Standard output belongs to the tables and to `--json`. `LOG_LEVEL` says how much is told: by default
warnings, and with JSON lines, which are read by machines, everything of note.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any

from tidemark.messages import telling_lines
from tidemark.shown import hidden, hidden_in, plain

if TYPE_CHECKING:
    from rich.progress import Progress

    from tidemark.engine import Dbt

LOG = logging.getLogger("tidemark")
_LEVELS = ("debug", "info", "warning", "error")
# What dbt calls a node that failed.
FAILED = ("error", "fail", "runtime error", "partial success")


class LogFormat(str, Enum):
    """Lines for people or for machines."""

    TEXT = "text"
    JSON = "json"


class _ForPeople(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc)
        # Here and not in `tell`: what the clients of brokers write comes by here, too.
        return plain(f"{at:%H:%M:%S} UTC {record.levelname:7} {hidden(record.getMessage())}")


class _ForMachines(logging.Formatter):
    def __init__(self, command: str, run_id: str) -> None:
        super().__init__()
        self.command, self.run_id = command, run_id

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "run_id": self.run_id,
            "command": self.command,
            "message": record.getMessage(),
            **getattr(record, "told", {}),
        }
        return json.dumps(hidden_in(line), default=str)


class _StandardError(logging.Handler):
    """Standard error as it is when a line is written: a progress bar moves it out of its way."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def set_up(log_format: LogFormat, command: str, run_id: str) -> None:
    """Send the log of one command to standard error."""
    default = "info" if log_format is LogFormat.JSON else "warning"
    level = (os.environ.get("LOG_LEVEL") or default).lower()
    if level not in _LEVELS:
        raise ValueError(f"LOG_LEVEL must be one of {', '.join(_LEVELS)}")
    handler = _StandardError()
    as_json = log_format is LogFormat.JSON
    handler.setFormatter(_ForMachines(command, run_id) if as_json else _ForPeople())
    LOG.handlers[:] = [handler]
    LOG.setLevel(level.upper())
    LOG.propagate = False


def writes_json() -> bool:
    """Whether standard error belongs to JSON lines."""
    return any(isinstance(handler.formatter, _ForMachines) for handler in LOG.handlers)


def tell(level: int, message: str, **told: Any) -> None:
    """A line, and what machines may want to know besides."""
    LOG.log(level, message, extra={"told": told})


def hear(message: Any) -> None:
    """A line for every node that dbt is through with, and for what adapter and macros warn of."""
    if message.info.name == "AdapterEventWarning":
        # of a wait for the database, which must not be silent
        tell(logging.WARNING, str(message.data.base_msg))
    if message.info.name == "JinjaLogWarning":
        tell(logging.WARNING, message.info.msg, invocation_id=message.info.invocation_id)
    if message.info.name != "NodeFinished":
        return
    node, result = message.data.node_info, message.data.run_result
    # a source past its limit is no failure of a run: the gate judges it, and says so
    failed = result.status in FAILED and node.resource_type != "source"
    tell(
        logging.ERROR if failed else logging.INFO,
        f"{node.resource_type} {node.node_name}: {result.status} in {result.execution_time:.2f} s"
        + (f": {telling_lines(result.message or 'no message')}" if failed else ""),
        node=node.unique_id,
        status=result.status,
        seconds=round(result.execution_time, 3),
        invocation_id=message.info.invocation_id,
    )


@contextmanager
def progress(dbt: Dbt, doing: str) -> Iterator[None]:
    """Show how far dbt is, as long as people look on."""
    with _bar() as bar:
        task = bar.add_task(doing, total=None)

        def watch(message: Any) -> None:
            if message.info.name == "ConcurrencyLine":
                bar.update(task, total=message.data.node_count, completed=0)
            elif message.info.name == "NodeFinished":
                bar.update(task, advance=1)

        dbt.listeners.append(watch)
        try:
            yield
        finally:
            dbt.listeners.remove(watch)


@contextmanager
def counted(doing: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how many of so many things are done; each is told by a call."""
    with _bar() as bar:
        task = bar.add_task(doing, total=total)
        yield lambda: bar.update(task, advance=1)


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    out = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=out,
        transient=True,
        disable=not out.is_terminal or writes_json(),
    ) as bar:
        yield bar
