"""The restatement of a window: its steps, what came of each, and the tests after them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console

from tidemark.backfill import Restated, Step
from tidemark.build import Failure
from tidemark.clock import day_plus
from tidemark.report.tables import show_clock, show_failures, table
from tidemark.report.values import as_values


def show_steps(out: Console, as_of: datetime, steps: Sequence[Step]) -> None:
    """What a restatement is going to do."""
    show_clock(out, as_of)
    planned = table("from", "to", "tables", whole=("from", "to"))
    for step in steps:
        last = day_plus(step.end, -1)
        planned.add_row(str(step.first), str(last), ", ".join(step.tables))
    out.print(planned)


def show_restated(out: Console, restated: Restated) -> None:
    """One step of a restatement."""
    step = restated.step
    outcome = "[red]failed[/]" if restated.failures else f"{restated.rows:,} rows written"
    out.print(f"{step.first} to {day_plus(step.end, -1)}: {outcome}.")
    show_failures(out, restated.failures)


def show_tested(out: Console, failures: Sequence[Failure]) -> None:
    """How the tests of all restated tables went."""
    show_failures(out, failures)
    out.print("[red]Tests failed.[/]" if failures else "All tests of these tables passed.")


def restated_as_json(
    as_of: datetime, done: Sequence[Restated], failures: Sequence[Failure]
) -> dict[str, Any]:
    """Every step, and the tests that failed after them."""
    return {
        "as_of": as_of.isoformat(),
        "steps": [_step(restated) for restated in done],
        "failures": as_values(failures),
    }


def _step(restated: Restated) -> dict[str, Any]:
    return {
        "first_day": str(restated.step.first),
        "end_day": str(restated.step.end),
        "tables": list(restated.step.tables),
        "rows": restated.rows,
        "failures": as_values(restated.failures),
    }
