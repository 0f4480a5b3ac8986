"""How often sources are really refreshed, and how often it is worth looking. Pure but for `look`.

A check is useful when something was loaded since the check before it. The schedule that is
advised keeps the useful ones: as many an hour as the source has refreshes, at the minute at which
rows have waited least, in the hours and on the weekdays that bring something.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, pairwise, takewhile
from typing import Any

from tidemark.clock import parse_clock, show_duration
from tidemark.engine import Dbt

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_EPOCH = datetime(1970, 1, 1)

# No schedule that is advised is finer than five minutes; what lies closer together is one refresh
# to it: the pieces of a batch, or a batch that takes its time.
_GAP = timedelta(minutes=5)
# A source is a stream when it is being loaded for more than half of the time.
_STREAM = 0.5
# Minutes between two checks; each divides the hour, so that cron can say it.
_STEPS = (5, 10, 15, 20, 30, 60)
# Loads drift: an interval that is this much shorter than a step still goes with it.
_DRIFT = 0.9
# Fewer refreshes than these are no rhythm.
_FEWEST = 4
# An hour that brings something on fewer than a tenth of the days is left to the next check: a load
# that was repeated by hand does not make a schedule.
_RARE = 0.1
# A few quiet hours among 24 are chance; from this many on all of them are checked.
_MOST_HOURS = 18
# How far to look back: before a weekday counts as one that rests, it must have been seen twice.
DAYS = 14


@dataclass(frozen=True)
class Load:
    """Rows that arrived together: the first and the last load time of them."""

    first: datetime
    last: datetime

    @property
    def landed(self) -> datetime:
        """The first whole minute at which a check sees all of it."""
        return _EPOCH + math.ceil((self.last - _EPOCH) / _MINUTE) * _MINUTE


@dataclass(frozen=True)
class Rhythm:
    """How often a source was refreshed."""

    refreshes: int
    is_stream: bool = False
    median: timedelta | None = None
    p95: timedelta | None = None
    last: datetime | None = None


@dataclass(frozen=True)
class Checks:
    """What came of looking at certain times; `wait` is the median from a landing to its check."""

    number: int
    useful: int
    wait: timedelta | None = None

    @property
    def saved(self) -> float | None:
        """The share of checks that found nothing, which the gate makes cheap."""
        return 1 - self.useful / self.number if self.number else None


@dataclass(frozen=True)
class Lateness:
    """How long after the event rows were loaded."""

    p50: timedelta
    p99: timedelta
    max: timedelta


@dataclass(frozen=True)
class Source:
    """One source: its rhythm, what checks of it found, and what would do as well."""

    source: str
    rhythm: Rhythm
    lands: str = ""
    lateness: Lateness | None = None
    checks: Checks | None = None
    advised: str = ""
    advised_checks: Checks | None = None


@dataclass(frozen=True)
class Job:
    """How often a model was built and skipped, and the mean engine seconds of a build."""

    builds: int
    skips: int
    seconds: float


@dataclass(frozen=True)
class Saved:
    """What the gate spared: runs of models, and the engine seconds that they would have taken."""

    builds: int
    skips: int
    spent: float
    saved: float

    @property
    def share_of_runs(self) -> float | None:
        """Skipped runs among all that were due."""
        due = self.builds + self.skips
        return self.skips / due if due else None

    @property
    def share_of_seconds(self) -> float | None:
        """Spared seconds among all that a run at every check would have taken."""
        due = self.spent + self.saved
        return self.saved / due if due else None


@dataclass(frozen=True)
class Cadence:
    """The whole answer; `schedule` says which checks were counted, as given or `recorded`."""

    since: datetime
    as_of: datetime
    schedule: str
    sources: list[Source]
    saved: Saved
    advised: str = ""
    all_together: Mapping[str, Checks] = field(default_factory=dict)

    @property
    def days(self) -> float:
        """The length of what was looked at."""
        return (self.as_of - self.since) / _DAY


def look(
    dbt: Dbt,
    days: int = DAYS,
    every: timedelta | None = None,
    schedule: str = "",
    as_of: datetime | None = None,
) -> Cadence:
    """Ask the warehouse about the days before the clock, and judge a schedule by them."""
    told = dbt.operate("cadence_facts", {"days": days}, as_of).event("cadence_facts")
    return judge(told, every, schedule)


def judge(told: Mapping[str, Any], every: timedelta | None = None, schedule: str = "") -> Cadence:
    """Judge a schedule, else the recorded checks, by what the macro `cadence_facts` reports."""
    since, as_of = parse_clock(told["since"]), parse_clock(told["as_of"])
    if every is not None:
        name, times = f"every {show_duration(every)}", list(regular(every, since, as_of))
    elif schedule:
        name, times = schedule, list(at(schedule, since, as_of))
    else:
        name, times = "recorded", [parse_clock(text) for text in told["checks"]]
    loads = {source: _loads(facts["loads"]) for source, facts in told["sources"].items()}
    sources = [
        _source(source, loads[source], times, told["sources"][source]["lateness"], since, as_of)
        for source in sorted(loads)
    ]
    regular_ones = [join(loads[source.source]) for source in sources if source.advised]
    step = min((_step(refreshes) for refreshes in regular_ones), default=_STEPS[-1])
    together = sorted(chain(*regular_ones), key=lambda load: load.first)
    advised = advise(together, since, as_of, step)
    schedules = {name: times} if times else {}
    if advised:
        schedules[advised] = list(at(advised, since, as_of))
    jobs = [Job(**facts) for facts in told["jobs"].values()]
    everything = list(chain(*loads.values()))
    return Cadence(
        since=since,
        as_of=as_of,
        schedule=name,
        sources=sources,
        saved=saved(jobs),
        advised=advised,
        all_together={cron: judge_checks(everything, found) for cron, found in schedules.items()},
    )


def join(loads: Iterable[Load], gap: timedelta = _GAP) -> list[Load]:
    """Refreshes: loads closer together than the gap are one."""
    refreshes: list[Load] = []
    for load in sorted(loads, key=lambda load: load.first):
        if refreshes and load.first - refreshes[-1].last < gap:
            before = refreshes.pop()
            load = Load(before.first, max(before.last, load.last))
        refreshes.append(load)
    return refreshes


def rhythm(refreshes: Sequence[Load]) -> Rhythm:
    """Median and 95th percentile of the time from one refresh to the next."""
    if not refreshes:
        return Rhythm(0)
    intervals = sorted(_intervals(refreshes))
    took = sum((load.last - load.first for load in refreshes), timedelta())
    whole = refreshes[-1].last - refreshes[0].first
    return Rhythm(
        refreshes=len(refreshes),
        is_stream=whole > _HOUR and took > _STREAM * whole,
        median=percentile(intervals, 0.5),
        p95=percentile(intervals, 0.95),
        last=refreshes[-1].last,
    )


def judge_checks(loads: Iterable[Load], times: Sequence[datetime]) -> Checks:
    """How many checks found something, and how long what they found had waited."""
    loads = list(loads)
    useful = {
        found
        for load in loads
        for moment in (load.first, load.last)
        if (found := _next(times, moment)) is not None
    }
    waits = sorted(
        times[found] - load.landed
        for load in join(loads)
        if (found := _next(times, load.landed)) is not None
    )
    return Checks(len(times), len(useful), percentile(waits, 0.5))


def advise(
    refreshes: Sequence[Load], since: datetime, until: datetime, step: int | None = None
) -> str:
    """The schedule for these refreshes as a cron expression; empty when they have no rhythm."""
    found = rhythm(refreshes)
    if found.is_stream or found.median is None or len(refreshes) < _FEWEST:
        return ""
    step = step or _step(refreshes)
    landings = [load.landed for load in refreshes]
    minute = min(
        range(step), key=lambda m: (sum(_minutes_until(m, at, step) for at in landings), m)
    )
    checks = [at + _minutes_until(minute, at, step) * _MINUTE for at in landings]
    weekdays = set(range(7))
    if until - since >= DAYS * _DAY:
        weekdays = {check.weekday() for check in checks}
    days = max(1, sum(day.weekday() in weekdays for day in _days(since, until)))
    seen = {(check.date(), check.hour) for check in checks}
    on_days = Counter(hour for _, hour in seen)
    hours = {hour for hour in range(24) if on_days[hour] >= max(1, _RARE * days)}
    if not hours:
        return ""
    if len(hours) >= _MOST_HOURS:
        hours = set(range(24))
    minutes = str(minute) if step == 60 else f"{minute or '*'}{'-59' if minute else ''}/{step}"
    # cron counts from Sunday, Python from Monday
    cron_days = {(day + 1) % 7 for day in weekdays}
    return f"{minutes} {_ranges(hours, 24)} * * {_ranges(cron_days, 7)}"


def lands(refreshes: Sequence[Load], cron: str) -> str:
    """When in the hour, or in the day, nine of ten refreshes land."""
    if not cron:
        return ""
    minute, hours, *_ = cron.split()
    if not minute.isdigit():
        return f"every {minute.rpartition('/')[2]} min"
    last = int(minute)
    early = sorted(_minutes_until(last, load.landed, 60) for load in refreshes)
    spread = early[math.ceil(0.9 * len(early)) - 1]
    at = f":{last:02}" if not spread else f":{(last - spread) % 60:02} to :{last:02}"
    if hours.isdigit() and spread <= last:
        return at.replace(":", f"{int(hours):02}:")
    return at


def saved(jobs: Iterable[Job]) -> Saved:
    """What the skips of all jobs spared: each as long as a build of that job takes on average."""
    jobs = list(jobs)
    return Saved(
        builds=sum(job.builds for job in jobs),
        skips=sum(job.skips for job in jobs),
        spent=round(sum(job.builds * job.seconds for job in jobs), 3),
        saved=round(sum(job.skips * job.seconds for job in jobs), 3),
    )


def duration(text: str) -> timedelta:
    """Read `15m`, `6h` or `1d`; a ValueError says when it is none of these.

    >>> duration("15m")
    datetime.timedelta(seconds=900)
    """
    found = re.fullmatch(r"([1-9]\d{0,4}) ?(m|h|d)[a-z]*", text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration such as 15m, 6h or 1d")
    return int(found[1]) * {"m": _MINUTE, "h": _HOUR, "d": _DAY}[found[2]]


def regular(every: timedelta, since: datetime, until: datetime) -> Iterator[datetime]:
    """Times at multiples of a duration, counted from midnight UTC of the first day."""
    moment = datetime(since.year, since.month, since.day)
    moment += math.floor((since - moment) / every) * every
    while (moment := moment + every) <= until:
        yield moment


def at(cron: str, since: datetime, until: datetime) -> Iterator[datetime]:
    """The times of a cron expression, in UTC; a ValueError says what is wrong with it."""
    from cronsim import CronSim, CronSimError

    try:
        times = CronSim(cron, since)
    except CronSimError as error:
        raise ValueError(f"{cron!r} is no cron expression such as '5 * * * *': {error}") from None
    return takewhile(lambda moment: moment <= until, times)


def percentile(ordered: Sequence[timedelta], share: float) -> timedelta | None:
    """The least value that so many of all do not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _source(
    name: str,
    loads: Sequence[Load],
    times: Sequence[datetime],
    lateness: Sequence[int] | None,
    since: datetime,
    until: datetime,
) -> Source:
    refreshes = join(loads)
    cron = advise(refreshes, since, until)
    return Source(
        source=name,
        rhythm=rhythm(refreshes),
        lands=lands(refreshes, cron),
        lateness=Lateness(*(timedelta(seconds=each) for each in lateness)) if lateness else None,
        checks=judge_checks(loads, times) if times else None,
        advised=cron,
        advised_checks=judge_checks(loads, list(at(cron, since, until))) if cron else None,
    )


def _loads(seconds: Iterable[Sequence[int]]) -> list[Load]:
    return [
        Load(_EPOCH + timedelta(seconds=first), _EPOCH + timedelta(seconds=last))
        for first, last in seconds
    ]


def _intervals(refreshes: Sequence[Load]) -> list[timedelta]:
    return [later.last - earlier.last for earlier, later in pairwise(refreshes)]


def _step(refreshes: Sequence[Load]) -> int:
    """The greatest step that the median interval does not undercut."""
    median = percentile(sorted(_intervals(refreshes)), 0.5) or _HOUR
    return max((step for step in _STEPS if step * _DRIFT * _MINUTE <= median), default=_STEPS[0])


def _minutes_until(minute: int, moment: datetime, step: int) -> int:
    """From a whole minute to the next one that is checked."""
    return (minute - moment.minute) % step


def _next(times: Sequence[datetime], moment: datetime) -> int | None:
    """The first check that sees what was loaded at a moment; a load at its very time is seen."""
    found = bisect_left(times, moment)
    return found if found < len(times) else None


def _days(since: datetime, until: datetime) -> Iterator[datetime]:
    for number in range(math.ceil((until - since) / _DAY)):
        yield since + number * _DAY


def _ranges(numbers: set[int], of: int) -> str:
    """Numbers as cron writes them: `*`, `8-21`, `2,14`."""
    if len(numbers) == of:
        return "*"
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    return ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in ranges)
