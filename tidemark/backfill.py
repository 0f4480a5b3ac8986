"""Repairs: the plan's partitions, a plan's day at a time, or any window in steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from tidemark.build import Failure, failures_of
from tidemark.clock import Interval, day_plus, show_time
from tidemark.engine import DatabaseLockedError, Dbt, DbtError
from tidemark.exits import Exit
from tidemark.gaps import (
    NEVER_PLANNED,
    Asked,
    Finding,
    Look,
    compare,
    findings,
    findings_after_rechecks,
    look,
)
from tidemark.gate import ModelState
from tidemark.judgement import Judgement
from tidemark.lineage import StoredMart

# Shows how far dbt is with what is being done.
Progress = Callable[[str], AbstractContextManager[None]]


# ---- the plan ----


@dataclass(frozen=True)
class Started:
    """What is being repaired: partitions per model, and the days to look at again, [first, end)."""

    partitions: Mapping[str, int] = field(default_factory=dict)
    window: tuple[date, date] | None = None

    @property
    def models(self) -> list[str]:
        """The tables to be built."""
        return list(self.partitions)


@dataclass
class Repair:
    """One day of the plan, and what came of it."""

    day: date
    partitions: Mapping[str, int] = field(default_factory=dict)
    repaired: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether everything is as it should be now."""
        return not (self.failed or self.failures)


@dataclass
class Repairs:
    """All of it: what was found before, each day, the tests that failed after it, what is left."""

    known: Look
    done: list[Repair] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    left: list[Finding] = field(default_factory=list)

    @property
    def exit_code(self) -> Exit:
        """A table that could not be compared is a failure, too: nobody knows what it lacks."""
        failed = self.failures or self.known.failures
        return Exit.DONE if not failed and all(d.is_done for d in self.done) else Exit.FAILED


def to_repair(plan: Iterable[Finding], even_few: bool) -> list[Finding]:
    """What of the plan a repair takes; `even_few` also what is too little to be planned."""
    wanted = ("planned", "below minimum") if even_few else ("planned",)
    return [finding for finding in plan if finding.decision in wanted]


def next_day(plan: Iterable[Finding], done: Iterable[date], even_few: bool) -> date | None:
    """The plan's next day: the first by priority, the newest of those."""
    days: dict[date, int] = {}
    for finding in to_repair(plan, even_few):
        day, order = finding.plan_day, finding.plan_order
        if day is not None and order is not None:
            days[day] = min(order, days.get(day, order))
    left = days.keys() - set(done)
    return min(left, key=lambda day: (days[day], -day.toordinal()), default=None)


def repair(
    dbt: Dbt,
    known: Look,
    asked: Asked,
    even_few: bool,
    progress: Progress,
    tell: Callable[[Repair], None],
) -> Repairs:
    """Repair what is planned, tell of each day, then test the tables that are sound again.

    With `even_few` also what is too little to be planned.
    """
    repairs = Repairs(known)
    for done in _repair_days(dbt, known, asked, even_few, progress):
        tell(done)
        repairs.done.append(done)
    repairs.left = findings(dbt, known.as_of, Asked())
    with progress("Testing"):
        sound, damaged = tables_to_test(repairs.done, repairs.left)
        repairs.failures = failed_tests(dbt, known.as_of, sound, damaged)
    return repairs


def _repair_days(
    dbt: Dbt, known: Look, asked: Asked, even_few: bool, progress: Progress
) -> Iterator[Repair]:
    """One of the plan's days after the other; a failed one stops no other.

    What a table without days was wrong about may have been all that is wrong below it: after one
    was repaired, the plan is read again. What was enough to begin with is enough to go on.
    """
    plan, done = known.findings, list[date]()
    even_few = even_few or any(each.decision == "planned" for each in plan)
    so_far = Counter[str]()
    while (day := next_day(plan, done, even_few)) is not None:
        done.append(day)
        with progress(f"Repairing {day}"):
            repair = _repair_day(dbt, known.as_of, day, asked, even_few)
            ended = Counter(finish(dbt, known.as_of, repair.failures))
            if any(finding.plan_day == day and finding.day is None for finding in plan):
                plan, failures = findings_after_rechecks(dbt, known.as_of, asked, known.compared)
                repair.failures.extend(failures)
        outcomes, so_far = ended - so_far, ended
        repair.repaired, repair.failed = outcomes["repaired"], outcomes["failed"]
        yield repair


def _repair_day(dbt: Dbt, as_of: datetime, day: date, asked: Asked, even_few: bool) -> Repair:
    """Request, build and compare again."""
    picked: dict[str, Any] = {"day": day.isoformat(), "below_minimum": even_few}
    if asked.tables:
        picked["models"] = list(asked.tables)
    if asked.entity is not None:
        picked["entity"] = asked.entity
    started = start(dbt, as_of, picked)
    repair = Repair(day, started.partitions)
    if not started.models:
        return repair
    try:
        failures = build_started(dbt, as_of, started)
        repair.failures = failures + compare_again(dbt, as_of, started, asked.days)
    except DatabaseLockedError:
        raise
    except DbtError as error:
        repair.failures.append(Failure(str(day), "repair", str(error)))
    return repair


def start(dbt: Dbt, as_of: datetime, picked: Mapping[str, Any]) -> Started:
    """Ask for what is planned, and write down that it is being repaired."""
    told = dbt.operate("start_backfill", picked, as_of).event("backfill_started")["models"]
    days = [
        date.fromisoformat(model[end])
        for model in told.values()
        for end in ("first_day", "last_day")
        if model[end]
    ]
    return Started(
        partitions={name: model["partitions"] for name, model in told.items()},
        window=(min(days), day_plus(max(days), 1)) if days else None,
    )


def build_started(dbt: Dbt, as_of: datetime, started: Started) -> list[Failure]:
    """Build the damaged tables, and what is stored of them further on, through the ordinary models.

    Without tests: they scan whole tables, of which other days may still be damaged. Tells what
    failed.
    """
    stored = "config.materialized:incremental"
    outcome = dbt.call(
        *("run", "--select", *(f"{model}+,{stored}" for model in started.models)), as_of=as_of
    )
    results = outcome.results_of("model")
    if not results:
        raise outcome.failure("dbt built nothing.")
    return failures_of(results, dbt.lineage)


def compare_again(
    dbt: Dbt, as_of: datetime, started: Started, days: int | None = None
) -> list[Failure]:
    """Look at the repaired days, also of what is built on the tables; failures count as such.

    After the repair of tables without days alone, at all days: below them all may be well now.
    """
    damaged = frozenset(started.models)
    tables = [
        table for table in dbt.stored_marts if damaged & {table, *dbt.lineage.models_above([table])}
    ]
    coverage = Asked(days).coverage
    if started.window is not None:
        first, end = started.window
        coverage = {"start": first.isoformat(), "end": end.isoformat()}
    return compare(dbt, as_of, tables, coverage).failures


def finish(dbt: Dbt, as_of: datetime, failures: Sequence[Failure] = ()) -> dict[str, int]:
    """Let what was compared last be the outcome: how many this command has repaired by now."""
    words = "; ".join(f"{failure.node}: {failure.message}" for failure in failures)
    wanted = {"error": words} if words else None
    told = dbt.operate("finish_backfill", wanted, as_of).event("backfill_finished")
    return {outcome: told[outcome] for outcome in ("repaired", "failed")}


def tables_to_test(
    repairs: Iterable[Repair], left: Iterable[Finding]
) -> tuple[list[str], list[str]]:
    """The repaired tables of which nothing is damaged any more, and the damaged ones."""
    repaired = {model for repair in repairs for model in repair.partitions}
    damaged = {finding.model for finding in left if finding.decision not in NEVER_PLANNED}
    return sorted(repaired - damaged), sorted(damaged)


# ---- with a run ----


@dataclass
class Healing:
    """What a run repairs besides: what was found, what was started, and what came of it."""

    known: Look | None = None
    started: Started = field(default_factory=Started)
    repaired: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether nothing that was compared or repaired has failed."""
        return not (self.failed or self.failures or (self.known and self.known.failures))


def begin_healing(dbt: Dbt, judgement: Judgement) -> Healing:
    """Compare, and ask for what is planned of the tables that exist and are not blocked."""
    tables = [
        decision.model
        for decision in judgement.decisions
        if decision.model in dbt.stored_marts
        and decision.model not in judgement.absent
        and decision.state is not ModelState.BLOCKED
    ]
    # the plan reads tables that are not there yet: the next run heals
    if not tables or judgement.absent & dbt.stored_marts.keys():
        return Healing()
    known = look(dbt, judgement.as_of, Asked(), tables)
    return Healing(known, start(dbt, judgement.as_of, {"models": tables}))


def end_healing(
    dbt: Dbt, judgement: Judgement, healing: Healing, failures: Sequence[Failure]
) -> None:
    """Look at what was repaired, and write down what came of it; `failures` are the build's."""
    if not healing.started.models:
        return
    try:
        healing.failures = compare_again(dbt, judgement.as_of, healing.started)
    except DatabaseLockedError:
        raise
    except DbtError as error:
        healing.failures = [Failure("coverage", "comparison", str(error))]
    outcome = finish(dbt, judgement.as_of, [*failures, *healing.failures])
    healing.repaired, healing.failed = outcome["repaired"], outcome["failed"]


# ---- a window ----


@dataclass(frozen=True)
class Step:
    """Some tables and the days, [first, end), that are restated in one go."""

    first: date
    end: date
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Restated:
    """A step, and what failed in it."""

    step: Step
    rows: int = 0
    failures: list[Failure] = field(default_factory=list)


def whole_days(start: datetime, end: datetime) -> tuple[date, date]:
    """The days that a window touches, [first, end). Refused when it is empty or runs backwards."""
    if start >= end:
        raise ValueError(f"the start, {show_time(start)}, is not before the end, {show_time(end)}")
    # Later than the start, the end has a moment before it.
    return start.date(), day_plus((end - timedelta(microseconds=1)).date(), 1)


def refuse_the_future(end: datetime, clock: datetime) -> None:
    """What lies after the clock has not happened."""
    if end > clock:
        raise ValueError(f"the end, {show_time(end)}, lies after the clock, {show_time(clock)}")


def chosen_tables(marts: Mapping[str, StoredMart], selected: Sequence[str]) -> list[StoredMart]:
    """The tables of the domains that are named, themselves or by one of their tables.

    Whole domains: after the restatement of a single table its neighbours would disagree on days.
    """
    domains = {mart.domain for mart in marts.values()}
    unknown = [name for name in selected if name not in marts and name not in domains]
    if unknown:
        raise ValueError(
            f"there is no domain or table {', '.join(unknown)};"
            f" domains: {', '.join(sorted(domains))}; tables: {', '.join(sorted(marts))}"
        )
    chosen = {marts[name].domain if name in marts else name for name in selected} or domains
    return sorted(
        (mart for mart in marts.values() if mart.domain in chosen),
        key=lambda mart: (mart.domain, mart.name),
    )


def steps_of(
    tables: Iterable[StoredMart], window: tuple[date, date], interval: Interval
) -> list[Step]:
    """The steps of a window, oldest first.

    Tables that are replayed from a day on, or rebuilt whole, would do all that lies after a step
    again in each of them: they come last, once.
    """
    tables = list(tables)
    by_day = tuple(t.name for t in tables if t.strategy not in ("replay", "full"))
    at_once = tuple(t.name for t in tables if t.strategy in ("replay", "full"))
    steps, first = [], window[0]
    while by_day and first < window[1]:
        end = min(day_plus(first, interval.days), window[1])
        steps.append(Step(first, end, by_day))
        first = end
    return [*steps, Step(*window, at_once)] if at_once else steps


def restate(
    dbt: Dbt, as_of: datetime, steps: Iterable[Step], progress: Progress
) -> Iterator[Restated]:
    """Restate step by step; a failure stops no other."""
    for step in steps:
        with progress(f"Restating {step.first}"):
            outcome = dbt.call(
                "run",
                *("--select", *step.tables),
                *("--event-time-start", step.first.isoformat()),
                *("--event-time-end", step.end.isoformat()),
                as_of=as_of,
            )
        results = outcome.results_of("model")
        failures = failures_of(results, dbt.lineage)
        if not results:
            raise outcome.failure("dbt restated nothing.")
        rows = sum(job["rows"] or 0 for job in outcome.events.get("job", []))
        yield Restated(step, rows, failures)


def failed_tests(
    dbt: Dbt, as_of: datetime, tables: Sequence[str], damaged: Sequence[str] = ()
) -> list[Failure]:
    """Test what was rewritten, once, when all of it is in place, as far as no damage reaches."""
    if not tables:
        return []
    excluded = ("--exclude", *(f"{table}+" for table in damaged)) if damaged else ()
    outcome = dbt.call(
        "test",
        *("--select", *tables),
        *excluded,
        *("--exclude-resource-type", "unit_test"),
        as_of=as_of,
    )
    if not outcome.results:
        outcome.raise_if_failed()
    return failures_of(outcome.results_of("test"), dbt.lineage)
