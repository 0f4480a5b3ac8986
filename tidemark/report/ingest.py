"""What was brought in, and what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

from rich.console import Console
from rich.markup import escape

from tidemark.ingest import crm
from tidemark.ingest.usage import Ingested, Plan, Status
from tidemark.report.tables import count, from_outside, number, table
from tidemark.report.values import as_values

_COLOURS = {"landed": "green", "failed": "red", "not asked": "red", "not read": "yellow"}
# How many days a sentence names.
_NAMED = 3


def show_usage(out: Console, came: Ingested, plan: Plan, retry: str | None) -> None:
    """Every day, then what to know, and the command that asks for what is open."""
    days = table("day", "rows", "status", "reason", right=(1,), whole=("day", "rows", "status"))
    for day in came.days:
        # No rows were counted where there was no answer.
        rows = number(day.rows) if day.day not in came.open else "-"
        days.add_row(day.day.isoformat(), rows, _coloured(day.status.value), escape(day.reason))
    out.print(days)
    for field, of in sorted(came.unknown.items()):
        out.print(
            f"[yellow]The field `{escape(field)}` is new[/] ({_listed(of)}). The raw tables do not"
            " have it; the answers are kept, as they came, in rejected/usage."
        )
    if came.trimmed_ids:
        out.print(
            "[yellow]Company ids with white space around them, which was taken off:[/]"
            f" {came.trimmed_ids}."
        )
    if plan.given_up:
        out.print(
            f"[yellow]Never answered, and no longer asked for unless --day names them:[/]"
            f" {_listed(plan.given_up)}."
        )
    counted = Counter(day.status for day in came.days)
    outcome = ", ".join(f"{counted[status]} {status.value}" for status in Status if counted[status])
    out.print(
        f"Asked for {count(len(came.days), 'day')} with {count(came.requests, 'request')}:"
        f" {outcome or 'there was nothing to ask for'}; {count(came.rows, 'row')}."
    )
    if came.error:
        out.print(f"[red]{escape(came.error)}[/]")
    if retry:
        out.print("Ask again for just these days:")
        out.print(f"  {escape(retry)}", soft_wrap=True)


def usage_as_json(came: Ingested, plan: Plan) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "days": [{**as_values(day), "status": day.status.value} for day in came.days],
        "rows": came.rows,
        "requests": came.requests,
        "error": came.error,
        "unknown_fields": as_values(came.unknown),
        "trimmed_ids": came.trimmed_ids,
        "given_up": as_values(plan.given_up),
    }


def show_crm(out: Console, came: Sequence[crm.Delivered]) -> None:
    """Every file, then the warnings."""
    columns = ("file", "load date", "rows", "bad rows", "status", "reason")
    files = table(*columns, right=(2, 3), whole=columns[1:5])
    for file in came:
        files.add_row(
            from_outside(file.file),
            file.load_date.isoformat() if file.load_date else "-",
            number(file.rows) if file.status is crm.Status.LANDED else "-",
            number(file.bad) if file.status in (crm.Status.LANDED, crm.Status.FAILED) else "-",
            _coloured(file.status.value),
            escape(file.reason),
        )
    out.print(files)
    for file in came:
        for warning in file.warnings:
            out.print(f"[yellow]{escape(file.file)}:[/] {escape(warning)}.")
    counted = Counter(file.status for file in came)
    outcome = ", ".join(f"{counted[each]} {each.value}" for each in crm.Status if counted[each])
    rows = sum(file.rows for file in came)
    read = len(came) - counted[crm.Status.IGNORED]
    out.print(f"Read {count(read, 'file')}: {outcome}; {count(rows, 'row')}.")


def crm_as_json(came: Sequence[crm.Delivered]) -> dict[str, Any]:
    """The same as JSON values."""
    files = [{**as_values(file), "status": file.status.value} for file in came]
    return {"files": files, "rows": sum(file.rows for file in came)}


def _coloured(status: str) -> str:
    return f"[{_COLOURS.get(status, 'dim')}]{status}[/]"


def _listed(days: Sequence[date]) -> str:
    """Days in a sentence."""
    more = f" and {len(days) - _NAMED} more" if len(days) > _NAMED else ""
    return ", ".join(day.isoformat() for day in days[:_NAMED]) + more
