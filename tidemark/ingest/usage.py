"""`tidemark ingest usage`: which days to ask the usage API for, and landing what it answers.

A day's rows land before its answer, so that an answer never stands without its rows: a day that
was answered without a company is a day of silence, and would read as churn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

from tidemark.clock import day_plus
from tidemark.ingest import reported, unseen, words
from tidemark.ingest.landing import (
    JobReport,
    LandedFile,
    Landing,
    LandingError,
    now,
    refuse_wrong_clock,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemark.ingest.usage_api import Answer, Settings, UsageApi

JOB = "usage"
_ROWS, _ANSWERS = "product_usage_daily", "usage_answers"

# The churn flag of a day rests on seven days: what the API corrects in them is asked for again.
REASK_DAYS = 7
# Days between answered ones that were never answered are asked for by themselves as far back as
# coverage looks; an API that will never answer older ones must not make every run fail.
_GAP_DAYS = 30

_A_DAY = timedelta(days=1)

# As long as a SIGTERM may go unnoticed, in seconds.
_LOOK_UP = 0.5


class Status(str, Enum):
    """What became of a day."""

    LANDED = "landed"
    EMPTY = "no rows"
    FAILED = "failed"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Day:
    """One day, how many rows were landed, and what there is to say of it."""

    day: date
    status: Status
    rows: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """The days to ask for, and those that nobody asks for any more though none was answered."""

    days: tuple[date, ...]
    given_up: tuple[date, ...] = ()


@dataclass
class Ingested:
    """What came of a run."""

    days: list[Day] = field(default_factory=list)
    requests: int = 0
    error: str | None = None
    trimmed_ids: int = 0
    # field -> the days in which it came
    unknown: dict[str, list[date]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All landed rows."""
        return sum(day.rows for day in self.days)

    @property
    def open(self) -> list[date]:
        """The days that are to be asked for again."""
        return [day.day for day in self.days if day.status in (Status.FAILED, Status.NOT_ASKED)]


def plan(
    answers: Iterable[LandedFile],
    clock: datetime,
    start: date | None = None,
    end: date | None = None,
    days: Sequence[date] = (),
    reask: int = REASK_DAYS,
    left_open: Iterable[date] = (),
) -> Plan:
    """Which days to ask for. Raises ValueError when what was asked for makes no sense.

    Unless told, from the last answered day, with the `reask` days that end with it, to the last
    day that has ended, and the days before that were missed. An answer that was given during its
    day is a part of it, and does not count. Of days before the first answer only the last run
    knows that they are missed: it has left them open.
    """
    last = end or day_plus(clock.date(), -1)
    wanted = sorted(set(days)) or None
    latest = wanted[-1] if wanted else last
    if latest > clock.date():
        raise ValueError(f"{latest} has not begun")
    if wanted:
        return Plan(tuple(wanted))
    if start:
        if start > last:
            raise ValueError(f"the first day, {start}, comes after the last one, {last}")
        return Plan(tuple(_range(start, last)))
    answered = {
        day
        for file in answers
        if (day := _day_named(file.name))
        and file.loaded_at >= datetime.combine(day_plus(day, 1), _ZERO)
    }
    if not answered:
        raise ValueError("no answer has landed yet, so --start must say from which day on to ask")
    newest = max(answered)
    missed = sorted(day for day in left_open if day < min(answered))
    missed += [day for day in _range(min(answered), newest) if day not in answered]
    oldest_gap = day_plus(newest, -_GAP_DAYS)
    again = _range(day_plus(newest, 1 - reask), last)
    # Before the first answer there may be nothing to ask for.
    again = [day for day in again if day >= min(answered)]
    asked = {*again, *(day for day in missed if oldest_gap < day <= last)}
    return Plan(tuple(sorted(asked)), tuple(day for day in missed if day <= oldest_gap))


def prepare(
    landing: Landing,
    clock: datetime,
    start: date | None = None,
    end: date | None = None,
    days: Sequence[date] = (),
    reask: int = REASK_DAYS,
) -> Plan:
    """Plan with the answers that have landed. Raises ValueError as `plan` does, and IngestError."""
    files = landing.files(_ANSWERS)
    refuse_wrong_clock([*files, *landing.files(_ROWS)], clock)
    return plan(files, clock, start, end, days, reask, _left_open(landing))


def _left_open(landing: Landing) -> list[date]:
    """The days that the last run was to ask for, and that were not answered."""
    for path in reversed(landing.report_paths()):
        if path.endswith(f"-{JOB}.json"):
            # Who loads the report tells what is wrong with it.
            with suppress(LandingError):
                told = landing.read_report(path).figures.get("open_days", [])
                return [day for text in told if (day := _day_named(text))]
    return []


def ingest(
    landing: Landing,
    settings: Settings,
    asked: Plan,
    clock: Callable[[], datetime] = now,
    counted: Callable[[int], AbstractContextManager[Callable[[], None]]] = unseen,
) -> Ingested:
    """Ask for the days in order, several at a time, and land them; a report is left in any case.

    `counted` looks on. Raises LandingError when the landing area cannot be written.
    """
    from tidemark.ingest.usage_api import UsageApi

    began, ingested = now(), Ingested()
    try:
        with closing(UsageApi(settings, clock)) as api, counted(len(asked.days)) as done:
            _ask(api, settings.parallel, landing, asked.days, ingested, done)
    except (Exception, KeyboardInterrupt) as error:
        ingested.error = words(error)
        report = _report(began, ingested)
        raise reported(error, lambda: landing.report(report)) from None
    landing.report(_report(began, ingested))
    return ingested


def _ask(
    api: UsageApi,
    parallel: int,
    landing: Landing,
    days: Sequence[date],
    ingested: Ingested,
    done: Callable[[], None],
) -> None:
    """Days land in order, though several are asked at once: a killed run leaves a whole beginning.

    As many are in flight as may be asked at a time; the oldest of them holds up the others.
    """
    from tidemark.ingest.usage_api import DayError, StoppedError

    waiting = iter(days)
    with ThreadPoolExecutor(parallel) as pool:
        in_flight: deque[tuple[date, Future[Answer]]] = deque(
            (day, pool.submit(api.ask, day)) for day in islice(waiting, parallel)
        )
        try:
            while in_flight:
                day, answer = in_flight.popleft()
                try:
                    outcome = _land(landing, _awaited(answer), ingested)
                except DayError as error:
                    outcome = Day(day, Status.FAILED, reason=_keep(landing, day, error))
                except StoppedError as error:
                    begun = f"stopped after page {error.pages}" if error.pages else ""
                    told = f"{error} {day}: {begun}." if begun else str(error)
                    ingested.error = ingested.error or told
                    outcome = Day(day, Status.NOT_ASKED, reason=begun)
                ingested.days.append(outcome)
                done()
                in_flight += [(day, pool.submit(api.ask, day)) for day in islice(waiting, 1)]
        except BaseException:
            api.stop("Interrupted.")
            raise
        finally:
            ingested.requests = api.requests


def _awaited(answer: Future[Answer]) -> Answer:
    """An answer, once it is there. A signal that comes just before a wait ends none: look up."""
    while not wait([answer], timeout=_LOOK_UP).done:
        pass
    return answer.result()


def _land(landing: Landing, answer: Answer, ingested: Ingested) -> Day:
    if answer.unknown:
        names = ", ".join(sorted(answer.unknown))
        _reject(
            landing, answer.day, answer.pages, f"It has landed, but for unknown fields: {names}"
        )
        for name in answer.unknown:
            ingested.unknown.setdefault(name, []).append(answer.day)
    ingested.trimmed_ids += answer.trimmed
    name = answer.day.isoformat()
    if answer.rows:
        landing.land(_ROWS, _rows(answer), name, answer.asked_at)
    landing.land(_ANSWERS, _answer(answer), name, answer.asked_at)
    is_over = answer.asked_at >= datetime.combine(day_plus(answer.day, 1), _ZERO)
    status = Status.LANDED if answer.rows else Status.EMPTY
    reason = "" if is_over else "the day is not over: it does not count as reported"
    return Day(answer.day, status, len(answer.rows), reason)


def _keep(landing: Landing, day: date, error: Any) -> str:
    """Keep the answers that cannot be used: the reason, and where they are."""
    paths = _reject(landing, day, error.pages, str(error), error.first)
    return f"{error}; kept in {paths[-1]}" if paths else str(error)


def _reject(
    landing: Landing, day: date, pages: Sequence[bytes], reason: str, first: int = 1
) -> list[str]:
    return [
        landing.reject(JOB, f"{day}-page-{number}.json", page, reason)
        for number, page in enumerate(pages, first)
    ]


def _rows(answer: Answer) -> pa.Table:
    """The columns of the raw table `product_usage_daily`."""
    import pyarrow as pa

    rows = answer.rows
    return pa.table(
        {
            "company_id": pa.array([row.company_id for row in rows], pa.string()),
            "usage_date": pa.array([row.date for row in rows], pa.date32()),
            "active_users": pa.array([row.active_users for row in rows], pa.int32()),
            "events": pa.array([row.events for row in rows], pa.int32()),
            "loaded_at": pa.array([answer.asked_at] * len(rows), pa.timestamp("us")),
        }
    )


def _answer(answer: Answer) -> pa.Table:
    """The columns of the raw table `usage_answers`."""
    import pyarrow as pa

    return pa.table(
        {
            "usage_date": pa.array([answer.day], pa.date32()),
            "loaded_at": pa.array([answer.asked_at], pa.timestamp("us")),
        }
    )


def _report(began: datetime, ingested: Ingested) -> JobReport:
    error = ingested.error
    if ingested.open and not error:
        failed = [day for day in ingested.days if day.status is Status.FAILED]
        error = f"{failed[0].day}: {failed[0].reason}"
        error += f" (and {len(failed) - 1} further days)" if failed[1:] else ""
    return JobReport(
        JOB,
        began,
        now(),
        "failed" if error else "success",
        ingested.rows,
        error,
        {
            "days": len(ingested.days),
            "requests": ingested.requests,
            "open_days": [day.isoformat() for day in ingested.open],
            "unknown_fields": sorted(ingested.unknown),
            "trimmed_ids": ingested.trimmed_ids,
        },
    )


_ZERO = time()


def _range(first: date, last: date) -> list[date]:
    return [first + number * _A_DAY for number in range((last - first).days + 1)]


def _day_named(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
