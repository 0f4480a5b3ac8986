"""What `tidemark plan` shows: on the terminal, as Markdown and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tidemark.report.tables import number, table
from tidemark.report.values import as_values

if TYPE_CHECKING:
    from rich.console import Console

    from tidemark.build import BuildReport
    from tidemark.plan import Change, Comparison, Plan, Row

_SAME = "The code of the project is what made its tables."
# So many characters of a line of code, or of a value, are enough to know it by.
_WIDTH = 80


def show_plan(out: Console, plan: Plan) -> None:
    """A line for each table, then through what, then what would change."""
    if not plan.changes:
        out.print(_SAME)
        return
    shown = table("table", "is", "rows", "bytes", "last refresh", "through", right=(3, 4, 5))
    for change in plan.changes:
        shown.add_row(*(escape(cell) for cell in _cells(change)))
    out.print(shown)
    for change in plan.changes:
        for line in _notes(change):
            out.print(escape(line), soft_wrap=True)


def show_applied(out: Console, built: BuildReport) -> None:
    """What came of it."""
    for failure in built.failures:
        out.print(escape(f"Failed: {failure.node}: {failure.message}"))
    rebuilt = [model.model for model in built.models if model.mode == "full"]
    if rebuilt:
        out.print(escape(f"Rebuilt whole: {', '.join(rebuilt)}."))


def as_markdown(plan: Plan) -> str:
    """The same, for a pull request."""
    if not plan.changes:
        return f"### Tidemark plan\n\n{_SAME}"
    names = ("table", "is", "rows", "bytes", "last refresh", "through")
    lines = ["### Tidemark plan", "", _row(names), _row(["---"] * len(names))]
    lines += [_row(_cells(change)) for change in plan.changes]
    for change in plan.changes:
        lines += ["", f"**{change.model}**", ""]
        lines += [f"- {line}" for line in _notes(change, sample=False)]
        compared = change.comparison
        if compared and compared.sample:
            lines += ["", _row(["change", "key", "before", "after"]), _row(["---"] * 4)]
            lines += [
                _row([row.change, row.key, _values(row.before), _values(row.after)])
                for row in compared.sample
            ]
    return "\n".join(lines)


def plan_as_json(plan: Plan, built: BuildReport | None = None) -> dict[str, Any]:
    """All of it."""
    told: dict[str, Any] = {
        "as_of": plan.as_of.isoformat(),
        "changes": [{**as_values(change), "does": change.does} for change in plan.changes],
    }
    if built is not None:
        told["built"] = [as_values(model) for model in built.models]
        told["failures"] = [as_values(failure) for failure in built.failures]
    return told


def _cells(change: Change) -> list[str]:
    through = "; ".join(each.place for each in change.differences)
    return [
        change.model,
        change.does,
        number(change.rows),
        number(change.bytes),
        f"{change.seconds:.1f} s" if change.seconds is not None else "-",
        through or f"follows {', '.join(change.follows)}",
    ]


def _notes(change: Change, sample: bool = True) -> list[str]:
    lines = []
    for each in change.differences:
        if each.before or each.after:
            was, now = _short(each.before or ""), _short(each.after or "")
            lines.append(f"{change.model}, {each.place}: {was or '(nothing)'} -> {now or '(gone)'}")
    if change.kept_before:
        lines.append(
            f"{change.model}: days before {change.kept_before} follow the old code for good:"
            " their raw rows were pruned."
        )
    if change.policy == "told":
        lines.append(f"{change.model} is a snapshot: what it holds is never rebuilt.")
    if change.comparison is not None:
        lines += _compared(change, change.comparison, sample)
    return lines


def _compared(change: Change, found: Comparison, sample: bool) -> list[str]:
    since = f" from {found.first_day} on" if found.first_day else ""
    if not found.rows:
        return [f"{change.model}: a rebuild changes no row{since} ({found.seconds:.1f} s)."]
    columns = ", ".join(f"{name} ({count:,})" for name, count in found.columns.items())
    lines = [
        f"{change.model}: a rebuild changes {found.rows:,} rows in {found.partitions:,} partitions"
        f"{since}, {found.new:,} of them new, {found.gone:,} gone ({found.seconds:.1f} s)."
    ]
    if columns:
        lines.append(f"{change.model}: columns: {columns}.")
    most = ", ".join(f"{name} ({count:,})" for name, count in found.entities.items())
    lines.append(f"{change.model}: most of {most}.")
    if sample:
        lines += [f"  {_told(row)}" for row in found.sample]
    return lines


def _told(row: Row) -> str:
    return f"{row.change} {row.key}: {_values(row.before)} -> {_values(row.after)}"


def _values(values: Any) -> str:
    return ", ".join(f"{name} {_short(str(value))}" for name, value in values.items()) or "-"


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _row(cells: Any) -> str:
    escaped = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
