"""When `tidemark run --every` runs next: decisions on a clock that is given, and the machine's.

Nothing is counted up: what is next follows from the schedule and from what the clock says now. So a
clock that jumps, or a machine that slept, makes one run of all that was missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from threading import Event

from tidemark.cadence import at
from tidemark.clock import show_duration, show_time

# A wait counts no seconds while the machine sleeps: the clock is looked at so often at least.
_LONGEST_WAIT = timedelta(seconds=30)


@dataclass(frozen=True)
class Schedule:
    """A cron expression in UTC, how often a failed run is tried again, and how long after."""

    cron: str
    retries: int
    retry_after: timedelta

    def tick_after(self, moment: datetime) -> datetime:
        """The first tick after a moment. Raises ValueError for what is no schedule."""
        tick = next(at(self.cron, moment, datetime.max), None)
        if tick is None:
            raise ValueError(f"{self.cron!r} names no day that ever comes")
        return tick


@dataclass(frozen=True)
class Due:
    """A run to come: at a tick, or as the so many-th retry of one that failed."""

    at: datetime
    retry: int = 0


def awake(schedule: Schedule, due: Due, now: datetime) -> Due:
    """What is due when the clock is looked at: one that was set back is not waited for."""
    if due.at <= now:
        return due
    tick = schedule.tick_after(now)
    return due if due.at <= tick else Due(tick)


def pause(due: Due, now: datetime) -> timedelta:
    """How long to wait before the clock is looked at again; none when the run is due."""
    return max(min(due.at - now, _LONGEST_WAIT), timedelta(0))


def after(schedule: Schedule, due: Due, began: datetime, ended: datetime, failed: bool) -> Due:
    """What is due after a run: a retry that is over before the next tick, or that tick.

    It counts from the beginning of the run. All ticks that went by before are done by it; those
    since then are one more run, at once.
    """
    tick = schedule.tick_after(began)
    again = ended + schedule.retry_after
    if failed and due.retry < schedule.retries and again < tick:
        return Due(again, due.retry + 1)
    return Due(tick)


def lateness(schedule: Schedule, due: Due, now: datetime) -> str:
    """What is said of a run that stands for further ticks; nothing of one in time."""
    if schedule.tick_after(due.at) > now:
        return ""
    late = show_duration(now - due.at)
    return f"{late} late: this run stands for all that was missed since {show_time(due.at)}."


class Clock:
    """The machine's, in UTC; a wait ends early when somebody calls."""

    def __init__(self) -> None:
        self.called = Event()

    def now(self) -> datetime:
        """The time, without a zone."""
        return datetime.now(timezone.utc).replace(tzinfo=None)

    def wait(self, longest: timedelta) -> None:
        """Wait, or until somebody calls."""
        self.called.wait(longest.total_seconds())
        self.called.clear()


def keep_running(
    schedule: Schedule,
    clock: Clock,
    run: Callable[[Due, datetime], bool],
    idle: Callable[[Due], None],
) -> None:
    """Run now, and whenever a run is due. Ends by what interrupts a run or a wait.

    `run` says whether it failed; `idle` is called before each wait.
    """
    due = Due(clock.now())
    while True:
        now = clock.now()
        due = awake(schedule, due, now)
        if now < due.at:
            idle(due)
            clock.wait(pause(due, clock.now()))
        else:
            failed = run(due, now)
            due = after(schedule, due, now, clock.now(), failed)
