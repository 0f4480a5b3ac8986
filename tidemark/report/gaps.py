"""What one comparison found: a strip of days per table, and what is wrong as ranges of days."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidemark.clock import day_plus
from tidemark.gaps import Cell, Finding, GapRange, Look, TableDay, joined, strip
from tidemark.report.tables import count, from_outside, show_clock, show_failures, table
from tidemark.report.values import as_values

# The share of a day's partitions that is damaged; without colours the height tells.
_HEIGHTS = "▂▃▄▅▆▇█"
# Up to a third, up to two thirds, beyond.
_HEAT = ("yellow", "dark_orange", "red")


def show_gaps(out: Console, look: Look, everything: bool) -> None:
    """A strip of days per table, and below them what is wrong, as ranges of days."""
    first, end = look.window
    show_clock(out, look.as_of)
    compared = count(len(look.compared), "table")
    out.print(f"Compared {compared} from {first} to {day_plus(end, -1)}, day by day:")
    out.print(_strips_table(look))
    show_uncompared(out, look)
    if found := look.gaps(everything):
        out.print(findings_table(found))
    else:
        out.print("[green]No gaps.[/]" if not look.failures else "No gaps in what was compared.")
    if elsewhere := len(look.findings) - len(look.gaps(everything=True)):
        partitions = count(elsewhere, "partition")
        out.print(f"Besides, {partitions} outside of that, as an earlier look found.")


def show_uncompared(out: Console, look: Look) -> None:
    """What could not be compared is unknown, which is not the same as sound."""
    show_failures(out, look.failures)
    if unknown := [*dict.fromkeys([f.node for f in look.failures] + look.untouched)]:
        out.print(f"[red]Not compared, so nothing is known of them: {', '.join(unknown)}.[/]")


def findings_table(findings: Iterable[Finding]) -> Table:
    """Findings as ranges of days, with the plan's decision."""
    columns = ("table", "entity", "from", "to", "days", "state", "rows off", "plan")
    ranges = table(*columns, right=(4, 6), whole=columns[2:7])
    for gap in joined(findings):
        ranges.add_row(
            gap.model,
            from_outside(gap.entity),
            str(gap.first or "-"),
            str(gap.last or "-"),
            f"{gap.days:,}" if gap.days else "-",
            gap.state,
            f"{gap.rows:,}",
            escape(_plan(gap)),
        )
    return ranges


def _plan(gap: GapRange) -> str:
    """The plan's decision, and why where it is another one than to repair."""
    return gap.decision if gap.decision == "planned" else f"{gap.decision}: {gap.reason}"


def _strips_table(look: Look) -> Table:
    strips = table(
        "table",
        "days",
        "partitions",
        "damaged",
        right=(2, 3),
        whole=("days", "partitions", "damaged"),
    )
    for model in look.compared:
        days = _days_of(model, look)
        ended = [day for day in days if not day.is_current]
        strips.add_row(
            model,
            "".join(_heat(cell) for cell in strip(days, look.window)),
            f"{sum(day.partitions for day in ended):,}",
            f"{sum(day.damaged for day in ended):,}",
        )
    return strips


def _days_of(model: str, look: Look) -> list[TableDay]:
    """The days of a table within the window; a table that is rebuilt whole has one without date."""
    first, end = look.window
    return [
        day
        for day in look.days
        if day.model == model and (day.day is None or first <= day.day < end)
    ]


def _heat(cell: Cell) -> str:
    if cell.is_current:
        return "[dim]?[/]"
    if not cell.partitions:
        return "[dim]·[/]"
    if not cell.damaged:
        return "[green]▁[/]"
    share = cell.damaged / cell.partitions
    height = _HEIGHTS[math.ceil(share * len(_HEIGHTS)) - 1]
    return f"[{_HEAT[math.ceil(share * len(_HEAT)) - 1]}]{height}[/]"


def look_as_json(look: Look, everything: bool = True) -> dict[str, Any]:
    """What was compared, day by day, and what is wrong of it."""
    return {
        "as_of": look.as_of.isoformat(),
        "first_day": str(look.window[0]),
        "end_day": str(look.window[1]),
        "tables": [
            {"table": model, "days": [_day(day) for day in _days_of(model, look)]}
            for model in look.compared
        ],
        "gaps": as_values(joined(look.gaps(everything))),
        "failures": as_values(look.failures),
        "not_compared": look.untouched,
    }


def _day(day: TableDay) -> dict[str, Any]:
    values: dict[str, Any] = as_values(day)
    del values["model"]
    return values
