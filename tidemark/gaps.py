"""Gaps: where tables are not what their raw rows say. dbt compares; here days are put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from tidemark.build import Failure, failures_of
from tidemark.clock import day_plus, parse_clock
from tidemark.engine import Dbt, DbtError
from tidemark.lineage import StoredMart

# They say what of it is to be repaired; made again with every look, so that they are there.
_VIEWS = ("data_gaps", "gap_attempts", "backfill_candidates", "backfill_plan")
# Neither planned nor worth a word, unless everything is asked for.
NEVER_PLANNED = ("today", "beyond retention", "disabled", "no source")
# As many cells fit beside a table's name and figures on 110 columns; further days share cells.
_STRIP_CELLS = 52


@dataclass(frozen=True)
class Asked:
    """What is to be compared: ended days before the clock's, some tables, one entity.

    `max_days` is how many days the plan may take of a domain, where it is not var `backfill`'s.
    """

    days: int | None = None
    tables: tuple[str, ...] = ()
    entity: str | None = None
    max_days: int | None = None

    @property
    def coverage(self) -> dict[str, Any]:
        """As the var `coverage` takes it."""
        asked = {"days": self.days, "entity": self.entity, "max_days": self.max_days}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Finding:
    """One partition that is not as it should be; a table that is rebuilt whole has no days.

    `decision` is the plan's; findings of one `plan_day` are repaired together.
    """

    model: str
    entity: str
    day: date | None
    state: str
    rows: int
    columns: str | None
    decision: str
    reason: str
    plan_day: date | None = None
    plan_order: int | None = None
    strategy: str = ""


@dataclass(frozen=True)
class Recheck:
    """What is compared again: entities of tables, within some days or from their first day on.

    A replay goes on from what is stored before it: only from the first day on is it seen where
    damage begins.
    """

    tables: tuple[str, ...]
    entities: tuple[str, ...]
    span: tuple[date, date] | None = None

    @property
    def coverage(self) -> dict[str, Any]:
        """As the var `coverage` takes it."""
        days: dict[str, Any] = {"from_first_day": True}
        if self.span is not None:
            days = {"start": self.span[0].isoformat(), "end": self.span[1].isoformat()}
        return {**days, "entity": list(self.entities)}


@dataclass(frozen=True)
class GapRange:
    """Consecutive days of one table and entity that share state and decision."""

    model: str
    entity: str
    state: str
    first: date | None
    last: date | None
    days: int
    rows: int
    decision: str
    reason: str


@dataclass(frozen=True)
class TableDay:
    """How many partitions of a table were compared on a day, and how many are damaged."""

    model: str
    day: date | None
    partitions: int
    damaged: int
    is_current: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of a heat strip: a day, or a few where there are many."""

    first: date | None
    partitions: int = 0
    damaged: int = 0
    is_current: bool = False


@dataclass(frozen=True)
class Look:
    """What one comparison found: `window` is [first, end); failed tables were not compared."""

    as_of: datetime
    window: tuple[date, date]
    compared: list[str]
    findings: list[Finding] = field(default_factory=list)
    days: list[TableDay] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)

    def gaps(self, everything: bool = False) -> list[Finding]:
        """What is wrong in the tables and days that were compared; else without what is no gap."""
        return [
            finding
            for finding in self.findings
            if finding.model in self.compared
            and (finding.day is None or self.window[0] <= finding.day < self.window[1])
            and (everything or finding.decision not in NEVER_PLANNED)
        ]


def the_clock(dbt: Dbt, as_of: datetime | None = None) -> datetime:
    """The one clock of a command; later calls are handed it."""
    return parse_clock(dbt.operate("tell_clock", as_of=as_of).event("clock")["as_of"])


def named_table(marts: Mapping[str, StoredMart], name: str) -> StoredMart:
    """The stored table of a name."""
    if name not in marts:
        raise ValueError(
            f"there is no table {name!r}; these are stored: {', '.join(sorted(marts))}"
        )
    return marts[name]


def look(dbt: Dbt, as_of: datetime, asked: Asked, among: Iterable[str] | None = None) -> Look:
    """Compare tables with what their raw rows say, and read what is wrong and what is planned."""
    tables = sorted(asked.tables or among or dbt.stored_marts)
    compared = compare(dbt, as_of, [*tables, *_VIEWS], asked.coverage)
    found, failures = findings_after_rechecks(dbt, as_of, asked, compared.compared)
    return Look(
        as_of=as_of,
        window=compared.window,
        compared=compared.compared,
        findings=found,
        days=_days(dbt, as_of, asked),
        failures=[*compared.failures, *failures],
        untouched=compared.untouched,
    )


def findings_after_rechecks(
    dbt: Dbt, as_of: datetime, asked: Asked, tables: Iterable[str]
) -> tuple[list[Finding], list[Failure]]:
    """What is wrong after all; of some tables, what the plan doubts is compared once more first.

    What is found again is planned then, and may be all that was doubtful; what is mended makes
    room for others, which may be as doubtful.
    """
    among, failures = frozenset(tables), list[Failure]()
    compared_again = set[Recheck]()
    while True:
        found = findings(dbt, as_of, asked)
        doubtful = rechecks(finding for finding in found if finding.model in among)
        new = [recheck for recheck in doubtful if recheck not in compared_again]
        if not new:
            return found, failures
        for recheck in new:
            failures += compare(dbt, as_of, recheck.tables, recheck.coverage).failures
        compared_again.update(new)


def rechecks(findings: Iterable[Finding]) -> list[Recheck]:
    """What is to be compared again before it is planned: replayed entities, of others days."""
    doubtful = [finding for finding in findings if finding.decision == "doubtful"]
    replayed = [finding for finding in doubtful if finding.strategy == "replay"]
    by_day: dict[date, list[Finding]] = defaultdict(list)
    for finding in doubtful:
        if finding.strategy != "replay" and finding.day is not None:
            by_day[finding.day].append(finding)
    asked = [_recheck(replayed)] if replayed else []
    for first, end in spans(by_day):
        asked.append(
            _recheck([f for day in by_day if first <= day < end for f in by_day[day]], (first, end))
        )
    return asked


def spans(days: Iterable[date]) -> list[tuple[date, date]]:
    """Consecutive days as [first, end)."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        first = found.pop()[0] if found and found[-1][1] == day else day
        found.append((first, day_plus(day, 1)))
    return found


def _recheck(findings: Sequence[Finding], span: tuple[date, date] | None = None) -> Recheck:
    tables = sorted({finding.model for finding in findings})
    return Recheck(tuple(tables), tuple(sorted({finding.entity for finding in findings})), span)


def compare(dbt: Dbt, as_of: datetime, tables: Sequence[str], coverage: Mapping[str, Any]) -> Look:
    """Have dbt compare some tables. One that fails is told, and never taken for sound."""
    outcome = dbt.call(
        "run",
        *("--select", *tables),
        as_of=as_of,
        variables={"coverage": dict(coverage)},
    )
    results = outcome.results_of("model")
    failures, told = failures_of(results, dbt.lineage), outcome.events.get("coverage", [])
    if not told:
        if failures:
            raise DbtError(f"{failures[0].node}: {failures[0].message}")
        raise outcome.failure("dbt compared nothing, without a word.")
    first, end = told[0]["window"]
    return Look(
        as_of=as_of,
        window=(date.fromisoformat(first), date.fromisoformat(end)),
        compared=sorted(event["model"] for event in told),
        failures=failures,
        untouched=[result.node.name for result in results if str(result.status) == "skipped"],
    )


def findings(dbt: Dbt, as_of: datetime, asked: Asked) -> list[Finding]:
    """What is known to be wrong, whenever it was found, with the plan's decision."""
    return [
        Finding(
            model=row["model_name"],
            entity=row["entity"],
            day=_date(row["day"]),
            state=row["state"],
            rows=row["differing_rows"],
            columns=row["differing_columns"],
            decision=row["decision"],
            reason=row["reason"],
            plan_day=_date(row["plan_day"]),
            plan_order=row["plan_order"],
            strategy=row["strategy"],
        )
        for row in dbt.show("coverage_findings", as_of)
        if row["model_name"] in (asked.tables or (row["model_name"],))
        and asked.entity in (None, row["entity"])
    ]


def joined(findings: Iterable[Finding]) -> list[GapRange]:
    """Consecutive days as ranges, per table, entity, state and decision."""

    def thread(finding: Finding) -> tuple[str, str, str, str, str]:
        return finding.model, finding.entity, finding.state, finding.decision, finding.reason

    ranges: list[GapRange] = []
    before: Finding | None = None
    for finding in sorted(findings, key=lambda each: (thread(each), each.day or date.min)):
        if (
            before is not None
            and thread(before) == thread(finding)
            and before.day is not None
            and finding.day == day_plus(before.day, 1)
        ):
            known = ranges.pop()
            first, days, rows = known.first, known.days + 1, known.rows + finding.rows
        else:
            first, days, rows = finding.day, int(finding.day is not None), finding.rows
        ranges.append(
            GapRange(
                model=finding.model,
                entity=finding.entity,
                state=finding.state,
                first=first,
                last=finding.day,
                days=days,
                rows=rows,
                decision=finding.decision,
                reason=finding.reason,
            )
        )
        before = finding
    return sorted(ranges, key=lambda each: (each.model, each.entity, each.first or date.min))


def strip(
    days: Iterable[TableDay], window: tuple[date, date], most: int = _STRIP_CELLS
) -> list[Cell]:
    """The cells of a window for one table, from its first day on; without days a single one.

    More days than `most` share cells, as evenly many in each as possible.
    """
    days = list(days)
    if days and all(day.day is None for day in days):
        return [Cell(None, sum(d.partitions for d in days), sum(d.damaged for d in days))]
    number = (window[1] - window[0]).days
    width = -(-number // most)
    cells = []
    for offset in range(0, number, width):
        first = day_plus(window[0], offset)
        end = min(day_plus(first, width), window[1])
        here = [day for day in days if day.day is not None and first <= day.day < end]
        ended = [day for day in here if not day.is_current]
        cells.append(
            Cell(
                first,
                partitions=sum(day.partitions for day in ended),
                damaged=sum(day.damaged for day in ended),
                is_current=bool(here) and not ended,
            )
        )
    return cells


def _days(dbt: Dbt, as_of: datetime, asked: Asked) -> list[TableDay]:
    rows = dbt.show("coverage_by_day", as_of, {"coverage": asked.coverage})
    return [
        TableDay(
            model=row["model_name"],
            day=_date(row["day"]),
            partitions=row["partitions"],
            damaged=row["damaged"],
            is_current=bool(row["is_current"]),
        )
        for row in rows
    ]


def _date(text: str | None) -> date | None:
    """A day of the warehouse, which holds more of them than Python does."""
    if text is None:
        return None
    if "(BC)" in text or text.startswith("-"):
        return date.min
    is_beyond = text == "infinity" or len(text.partition("-")[0]) > len("9999")
    return date.max if is_beyond else parse_clock(text).date()
