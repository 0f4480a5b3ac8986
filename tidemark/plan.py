"""What a change of code means for the tables, before it is made, and making it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tidemark.build import BuildReport, read_build, selection
from tidemark.clock import parse_clock
from tidemark.engine import Dbt
from tidemark.exits import Exit


@dataclass(frozen=True)
class Difference:
    """One part of the code that is not what made the table; `line` is that of its file."""

    kind: str
    part: str
    path: str | None = None
    line: int | None = None
    before: str | None = None
    after: str | None = None

    @property
    def place(self) -> str:
        """Where to look."""
        where = f"{self.path}:{self.line}" if self.path and self.line else self.path or ""
        if self.kind in ("model", "snapshot"):
            return where
        return f"{self.kind} {self.part}{f' ({where})' if where else ''}"


@dataclass(frozen=True)
class Row:
    """One row that would change: its key, and of what changes the values before and after."""

    change: str
    key: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """What a rebuild would change in some days of a table; or why nobody could say."""

    first_day: str | None = None
    rows: int = 0
    new: int = 0
    gone: int = 0
    partitions: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    entities: Mapping[str, int] = field(default_factory=dict)
    sample: Sequence[Row] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Change:
    """A table that other code made: what differs, what happens to it, and how large that is.

    `follows` names what it is rebuilt with: tables of sessions that it reads.
    """

    model: str
    policy: str
    differences: Sequence[Difference] = ()
    since: str | None = None
    materialized: str = "incremental"
    rows: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    kept_before: str | None = None
    follows: Sequence[str] = ()
    comparison: Comparison | None = None

    @property
    def does(self) -> str:
        """What the next run does with it."""
        if self.policy == "rebuild" and self.materialized == "view":
            return "replaced"
        words = {"rebuild": "rebuilt", "hold": "held", "keep": "kept", "told": "told"}
        return words[self.policy]


@dataclass(frozen=True)
class Plan:
    """All tables that the code of the project did not make."""

    as_of: datetime
    changes: list[Change]

    @property
    def exit_code(self) -> Exit:
        """Whether there is anything to decide."""
        return Exit.CHANGES if self.changes else Exit.DONE

    @property
    def to_apply(self) -> list[str]:
        """What is rebuilt when somebody says so, also what is held or kept."""
        return [change.model for change in self.changes if change.policy != "told"]


def plan(
    dbt: Dbt, as_of: datetime | None = None, compare: bool = False, days: int | None = None
) -> Plan:
    """Ask what differs; with `compare`, also what a rebuild would change. Nothing is written."""
    wanted = {"compare": compare, **({"days": days} if days is not None else {})}
    told = dbt.operate("plan_facts", wanted, as_of).event("plan")
    changes = [_change(dbt, name, facts) for name, facts in sorted(told["models"].items())]
    return Plan(parse_clock(told["as_of"]), changes)


def apply(dbt: Dbt, planned: Plan) -> BuildReport:
    """Rebuild what the plan names, with its tests and the views that go with it.

    A stored table that the plan does not name is left alone, also where another stands on it.
    """
    names = planned.to_apply
    if not names:
        return BuildReport()
    judged = [change.model for change in planned.changes]
    left_alone = dbt.stored_marts.keys() - set(names)
    selected = selection(dbt.lineage, names, judged)
    outcome = dbt.call(
        "build",
        "--full-refresh",
        *("--select", *(model for model in selected if model not in left_alone)),
        *("--indirect-selection", "buildable"),
        *("--exclude-resource-type", "unit_test"),
        as_of=planned.as_of,
    )
    return read_build(outcome, dbt.lineage)


def _change(dbt: Dbt, name: str, facts: Mapping[str, Any]) -> Change:
    found = [Difference(**each) for each in facts["differences"]]
    compared = facts.get("comparison")
    return Change(
        model=name,
        policy=facts["policy"],
        differences=[_placed(dbt.project_dir, each) for each in found],
        since=facts["since"],
        materialized=facts["materialized"],
        rows=facts["rows"],
        bytes=facts["bytes"],
        seconds=facts["seconds"],
        kept_before=facts["kept_before"],
        follows=facts["follows"],
        comparison=_comparison(compared) if compared else None,
    )


def _comparison(told: Mapping[str, Any]) -> Comparison:
    return Comparison(**{**told, "sample": [Row(**row) for row in told["sample"]]})


def _placed(project: Path, difference: Difference) -> Difference:
    """The line of the file: a macro's text begins somewhere in it, a setting stands in one."""
    path = project / difference.path if difference.path else None
    if path is None or difference.kind not in ("macro", "setting") or not path.is_file():
        return difference
    name = re.escape(difference.part.rpartition(" ")[2])
    is_macro = difference.kind == "macro"
    begins = rf"\bmacro\s+{name}\s*\(" if is_macro else rf"^\s*['\"]?{name}['\"]?:"
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next((n for n, line in enumerate(lines, 1) if re.search(begins, line)), None)
    if at is not None and is_macro:
        at += (difference.line or 1) - 1
    return Difference(
        difference.kind, difference.part, difference.path, at, difference.before, difference.after
    )
