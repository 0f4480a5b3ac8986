"""`tidemark run --every`: one process that stays, and runs whenever a run is due."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from tidemark import interrupts, logs
from tidemark.clock import show_time
from tidemark.commands.options import refused
from tidemark.commands.session import Interrupted, begin_again
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from tidemark.engine import Dbt
    from tidemark.metrics import Monitor
    from tidemark.project_files import Stamp
    from tidemark.schedule import Due, Schedule
    from tidemark.scraped import Server


@dataclass
class Staying:
    """What one run leaves to the next: the project as it was read, and what is shown of it.

    `read` reads settings and project, `once` does a run and ends it as the command ends. Of all
    else that a run knows nothing is kept.
    """

    read: Callable[[], Dbt]
    once: Callable[[Dbt], NoReturn]
    log_format: LogFormat
    as_json: bool
    dbt: Dbt
    stamp: Stamp
    monitor: Monitor | None = None
    is_running: bool = False
    _told: Due | None = field(default=None, repr=False)

    @classmethod
    def begun(
        cls,
        folder: Path,
        read: Callable[[], Dbt],
        once: Callable[[Dbt], NoReturn],
        log_format: LogFormat,
        as_json: bool,
    ) -> Staying:
        """Read the project in a folder for the first time: what is wrong ends the command."""
        from tidemark.project_files import stamp_of

        with refused():
            stamp = stamp_of(folder)
        staying = cls(read, once, log_format, as_json, read(), stamp)
        begin_again("run", log_format, staying.dbt)
        return staying

    def run(self, schedule: Schedule, due: Due, now: datetime) -> bool:
        """One run, on the project as its files are now. Says whether it failed."""
        from tidemark.schedule import lateness

        self.is_running = True
        try:
            self._read_if_changed()
            begin_again("run", self.log_format, self.dbt)
            if late := lateness(schedule, due, now):
                self._say(late)
            self.once(self.dbt)
        except Interrupted:
            raise
        except typer.BadParameter as error:
            # in settings that changed meanwhile: at the beginning it ends the command
            message = f"{error.message}. Nothing was built."
            logs.tell(logging.ERROR, message)
            if not logs.writes_json():
                typer.echo(message, err=True)
            code = int(Exit.USAGE)
        except typer.Exit as ended:
            code = ended.exit_code
        self.is_running = False
        self.show()
        return code in (Exit.FAILED, Exit.USAGE)

    def _read_if_changed(self) -> None:
        from tidemark.project_files import stamp_of

        with refused():
            stamp = stamp_of(self.dbt.project_dir)
        if stamp != self.stamp:
            logs.tell(logging.INFO, "Files of the project changed: they are read again.")
            # known only when they were read: what cannot be is looked at again
            self.dbt, self.stamp = self.read(), stamp

    def show(self) -> None:
        """Have /health and /metrics tell what is known now."""
        from tidemark.engine import DbtError

        if not self.monitor:
            return
        with suppress(DbtError):
            # read once, for runs and looks
            _ = self.dbt.manifest
        self.monitor.dbt = self.dbt.only_looking()
        self.monitor.refresh()

    def idle(self, schedule: Schedule, due: Due) -> None:
        """What is done between runs: say when the next one is due, make the report if asked to."""
        # swallowed on its way, it would be noticed only by the next run
        interrupts.raise_if_noticed()
        if due != self._told:
            self._told, at = due, show_time(due.at)
            again = f"It failed, and is tried again at {at} ({due.retry} of {schedule.retries})."
            self._say(again if due.retry else f"The next run is due at {at}.")
        if self.monitor and self.monitor.is_awaited:
            self.show()

    def _say(self, text: str) -> None:
        logs.tell(logging.INFO, text)
        if not self.as_json:
            typer.echo(text)


def schedule_of(cron: str, retries: int, retry_after: timedelta) -> Schedule:
    """The schedule that the options name, if it is one."""
    from tidemark.schedule import Clock, Schedule

    with refused("--every"):
        schedule = Schedule(cron, retries, retry_after)
        schedule.tick_after(Clock().now())
    return schedule


def stay(staying: Staying, schedule: Schedule, host: str, port: int | None) -> NoReturn:
    """Run until a signal comes: 0 if it came between two runs, 1 if it interrupted one."""
    from tidemark import schedule as scheduling

    clock = scheduling.Clock()
    serving = _serve(staying, clock, host, port) if port is not None else None
    try:
        staying.show()
        scheduling.keep_running(
            schedule,
            clock,
            lambda due, now: staying.run(schedule, due, now),
            lambda due: staying.idle(schedule, due),
        )
    except KeyboardInterrupt as interrupt:
        # a call of dbt has said already by what
        called = str(interrupt) or f"Interrupted by {interrupts.take()}."
        logs.tell(logging.INFO, f"{called} The process ends.")
        raise typer.Exit(Exit.FAILED if staying.is_running else Exit.DONE) from None
    finally:
        if serving:
            serving.shutdown()
            serving.server_close()
    raise AssertionError("only a signal ends it")


def _serve(staying: Staying, clock: Any, host: str, port: int) -> Server:
    """Serve what is known from a thread; it is read between runs, by this one."""
    from tidemark.metrics import Monitor, server

    staying.monitor = Monitor(staying.dbt.only_looking(), 0, clock.called)
    try:
        serving = server(staying.monitor, host, port)
    except ValueError as error:
        typer.echo(f"{error} Choose another --host or --port. Nothing was started.", err=True)
        raise typer.Exit(Exit.FAILED) from None
    url = f"http://{host}:{serving.server_port}"
    if staying.as_json:
        typer.echo(json.dumps({"command": "run", "url": url}))
    else:
        typer.echo(f"Serving {url}/ (the report), {url}/health and {url}/metrics.")
    Thread(target=serving.serve_forever, daemon=True, name="serve").start()
    return serving
