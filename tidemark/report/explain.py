"""What would be touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from tidemark.explain import Touched
from tidemark.report.tables import number, table
from tidemark.report.values import as_values


def show_touched(out: Console, touched: Sequence[Touched]) -> None:
    """What would be touched of each table, and why."""
    columns = ("table", "partitions", "rows", "of the table", "why")
    touched_tables = table(*columns, right=(1, 2, 3), whole=columns[1:4])
    for each in touched:
        touched_tables.add_row(
            each.table,
            number(each.partitions),
            number(each.rows),
            f"{each.share:.1%}" if each.share is not None else "-",
            _why(each),
        )
    if touched:
        out.print(touched_tables)
    _show_tests(out, touched)
    out.print("Nothing was built." if touched else "No table would be touched.")


def _show_tests(out: Console, touched: Sequence[Touched]) -> None:
    """How many tests decide before rows are published; of the others, why they do not."""
    before = sum(test["when"] == "before" for each in touched for test in each.tests)
    if before:
        out.print(f"Before anything of them is published: {before} tests.")
    for each in touched:
        for test in each.tests:
            if test["when"] != "before":
                out.print(f"After it: {test['test']}, {test['why']}.", markup=False)


def _why(touched: Touched) -> str:
    if touched.partitions is None:
        return "rebuilt whole"
    reasons = [f"{reason} ({partitions:,})" for reason, partitions in touched.why.items()]
    follows = [f"what {name} changes" for name in touched.follows]
    return ", ".join(reasons + follows) or "nothing"


def touched_as_json(touched: Sequence[Touched]) -> dict[str, Any]:
    """The same as values."""
    return {"touched": as_values(touched)}
