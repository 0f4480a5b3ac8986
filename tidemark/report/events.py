"""What the consumer of the event stream has landed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from tidemark.ingest.events import Outcome
from tidemark.ingest.landing import Landing
from tidemark.report.tables import count
from tidemark.report.values import as_values


def show_events(out: Console, landing: Landing, came: Outcome, is_cut_short: bool) -> None:
    """What landed, what could not, how much is left, and what went wrong."""
    counts = came.counts
    lag = count(sum(came.lag.values()), "message") if came.lag else "unknown"
    out.print(
        f"{count(counts.rows, 'row')} landed in {count(counts.files, 'file')} of"
        f" {escape(landing.root)}. Still to be read: {lag}.",
        soft_wrap=True,
    )
    if counts.dead_letters:
        out.print(
            f"[yellow]{count(counts.dead_letters, 'message')} could not become rows[/]: they are"
            " kept in rejected/events, with their reasons."
        )
    if counts.trimmed_ids:
        out.print(
            "[yellow]Ids with white space around them, which was taken off:[/]"
            f" {counts.trimmed_ids}."
        )
    if counts.unknown_fields:
        out.print(
            f"[yellow]Fields without a column were left out:[/]"
            f" {escape(', '.join(sorted(counts.unknown_fields)))}."
        )
    if came.report.error:
        out.print(f"[red]{escape(came.report.error)}[/]")
        out.print("What was read and not committed is delivered again, by the next run.")
    elif is_cut_short:
        out.print("[yellow]It was stopped before the topic was drained.[/]")


def events_as_json(came: Outcome) -> dict[str, Any]:
    """The same as JSON values: the report of the whole run."""
    return {**as_values(came.report), "is_drained": came.is_drained}
