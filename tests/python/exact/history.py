"""What a history is made of: raw rows, and the steps in which somebody builds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from .raw import Values

# phenomenon -> what would have been in the row's place without it; None: nothing
Labels = Mapping[str, Values | None]

# table, entity, day
Partition = tuple[str, str | int, date]

# The days around the first clock cross the end of a leap year's February.
START = datetime(2024, 3, 2, 12)
FIRST_DAY = START.date() - timedelta(days=9)
OVERLAP = timedelta(minutes=30)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Row:
    """A raw row, committed before a step runs."""

    table: str
    step: int
    # None: it never came; only a counterfactual knows it
    values: Values | None
    otherwise: Labels = field(default_factory=dict)
    # erased from the raw table before this step
    erased: int | None = None

    @property
    def content(self) -> Values:
        """Its values; none for a row that never came."""
        return self.values or {}


@dataclass(frozen=True)
class Step:
    """What somebody does at a clock; numbers pick among what the project has."""

    clock: datetime
    action: str
    picks: tuple[int, ...] = ()
    window: tuple[date, date] | None = None
    # what is erased
    partition: Partition | None = None
    # what the watermarks are set back to
    watermark: datetime | None = None
    # the variants that this step runs in the place of what is written
    code: tuple[str, ...] = ()

    @property
    def builds_everything(self) -> bool:
        """Whether every mart is up to date after this step."""
        return self.action in ("build", "build and test", "build tables")


class History:
    """Steps, and the rows that come before each of them, about some of the domains."""

    def __init__(self, domains: Sequence[str], steps: Sequence[Step], rows: Sequence[Row]):
        self.domains = tuple(domains)
        self.steps = tuple(steps)
        self.rows = tuple(rows)

    @property
    def changes_code(self) -> bool:
        """Whether a step runs other code than the one before."""
        return len({step.code for step in self.steps}) > 1

    def __repr__(self) -> str:
        actions = ", ".join(step.action for step in self.steps)
        return f"<History: {len(self.rows)} rows, {self.domains[0]}; {actions}>"
