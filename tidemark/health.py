"""How the pipeline is: the figures of `ops.pipeline_health`, after a fresh look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from tidemark.clock import parse_clock, parse_if_known, show_seconds
from tidemark.engine import Dbt, DbtError
from tidemark.exits import Exit
from tidemark.judgement import gate_facts


class Level(IntEnum):
    """How bad it is; the greater, the worse."""

    NORMAL = 0
    WARNING = 1
    CRITICAL = 2

    @property
    def word(self) -> str:
        """As the view writes it."""
        return self.name.lower()


_EXITS = {Level.NORMAL: Exit.DONE, Level.WARNING: Exit.WARNING, Level.CRITICAL: Exit.CRITICAL}


@dataclass(frozen=True)
class Figure:
    """One row of the view."""

    metric: str
    subject: str
    amount: float | None
    unit: str
    level: Level
    warning_at: int | None
    critical_at: int | None
    detail: str | None
    reference_time: datetime | None
    as_of: datetime

    @property
    def about(self) -> str:
        """The subject alone: bad rows are told by source and reason."""
        return self.subject.partition(":")[0]

    @property
    def words(self) -> str:
        """Whose figure it is, and how much."""
        if self.amount is None:
            return f"{self.subject} ({self.detail or 'never built'})"
        if self.unit == "seconds":
            return f"{self.subject} ({show_seconds(self.amount)})"
        return f"{self.subject} ({self.amount:,.0f})"


@dataclass(frozen=True)
class Health:
    """All figures at a clock, and the watermarks beside them."""

    as_of: datetime
    figures: list[Figure]
    watermarks: Mapping[str, datetime | None] = field(default_factory=dict)

    @property
    def level(self) -> Level:
        """The worst of all."""
        return worst(self.figures)

    @property
    def exit_code(self) -> Exit:
        """What a scheduler may be told of it."""
        return _EXITS[self.level]

    @property
    def last_build(self) -> datetime | None:
        """When a job last succeeded, by the wall clock."""
        built = (figure.reference_time for figure in self.figures if figure.metric == "job_time")
        return max((moment for moment in built if moment), default=None)

    def of(self, *metrics: str) -> dict[str, dict[str, Figure]]:
        """Figures by subject and metric, in the order of the subjects."""
        found: dict[str, dict[str, Figure]] = {}
        for figure in sorted(self.figures, key=lambda figure: figure.subject):
            if figure.metric in metrics:
                found.setdefault(figure.subject, {})[figure.metric] = figure
        return found


def worst(figures: Iterable[Figure]) -> Level:
    """The worst level of some figures; without any, all is well."""
    return max((figure.level for figure in figures), default=Level.NORMAL)


def look(dbt: Dbt, as_of: datetime | None = None) -> Health:
    """Have the gate look at everything, and read how the view judges it."""
    facts = gate_facts(dbt, as_of, count_quarantined=True)
    rows = dbt.show("pipeline_health", facts.as_of)
    watermarks = {name: model.watermark for name, model in facts.models.items()}
    return Health(facts.as_of, [read_figure(row) for row in rows], watermarks)


def known(dbt: Dbt) -> Health:
    """How the view judges what was last seen, without a fresh look: it only reads."""
    figures = [read_figure(row) for row in dbt.show("pipeline_health")]
    if not figures:
        raise DbtError("Nothing was ever looked at here: `tidemark run` or `status` has to, once.")
    return Health(max(figure.as_of for figure in figures), figures)


def read_figure(row: Mapping[str, Any]) -> Figure:
    """Read one row of the view."""
    return Figure(
        metric=row["metric"],
        subject=row["subject"],
        amount=row["amount"],
        unit=row["unit"],
        level=Level[row["level"].upper()],
        warning_at=_number(row["warning_at"]),
        critical_at=_number(row["critical_at"]),
        detail=row["detail"],
        reference_time=parse_if_known(row["reference_time"]),
        as_of=parse_clock(row["as_of"]),
    )


def _number(value: Any) -> int | None:
    return int(value) if value is not None else None
