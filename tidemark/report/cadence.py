"""How often sources come, what checks of them found, and what would do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from tidemark.cadence import Cadence, Checks, Saved
from tidemark.clock import show_time
from tidemark.report.tables import duration, short_time, table
from tidemark.report.values import as_values, fields_as_values


def show_cadence(out: Console, cadence: Cadence) -> None:
    """Every source's rhythm; what checks of it found, and what would do; what the gate spared."""
    out.print(f"{cadence.days:g} days up to {show_time(cadence.as_of)}.")
    out.print(_rhythms_table(cadence))
    out.print(_checks_table(cadence))
    _show_saved(out, cadence)


def _rhythms_table(cadence: Cadence) -> Table:
    columns = ("refreshed every", "p95", "last", "lands", "late: p50", "late: p99", "late: max")
    sources = table("source", *columns, whole=("last",))
    for source in cadence.sources:
        rhythm, lateness = source.rhythm, source.lateness
        sources.add_row(
            source.source,
            "all the time" if rhythm.is_stream else duration(rhythm.median),
            duration(rhythm.p95),
            short_time(rhythm.last),
            source.lands or "-",
            *map(duration, (lateness.p50, lateness.p99, lateness.max) if lateness else [None] * 3),
        )
    return sources


def _checks_table(cadence: Cadence) -> Table:
    is_recorded = cadence.schedule == "recorded"
    checks = "checks" if is_recorded else "checks a day"
    columns = (checks, "useful", "nothing new", "waited", "would do", "checks a day", "waited")
    sources = table("source", *columns, right=(1, 2, 3, 4, 6, 7))
    days = 1 if is_recorded else cadence.days
    for source in cadence.sources:
        given, advised = source.checks, source.advised_checks
        sources.add_row(source.source, *_checks(cadence, days, given, source.advised, advised))
    given, advised = (cadence.all_together.get(key) for key in (cadence.schedule, cadence.advised))
    sources.add_section()
    sources.add_row("all of them", *_checks(cadence, days, given, cadence.advised, advised))
    return sources


def _checks(
    cadence: Cadence, days: float, given: Checks | None, cron: str, advised: Checks | None
) -> list[str]:
    """What checks found, and beside it the schedule that would do, with its checks."""
    cells = ["-"] * 4
    if given is not None and given.saved is not None:
        numbers = [f"{round(checks / days, 1):g}" for checks in (given.number, given.useful)]
        cells = [*numbers, f"{given.saved:.0%}", _waited(given.wait)]
    if advised is None:
        return [*cells, "-", "-", "-"]
    return [*cells, cron, f"{round(advised.number / cadence.days, 1):g}", _waited(advised.wait)]


def _waited(wait: timedelta | None) -> str:
    """Waiting is counted from the minute; none is no time."""
    return "0 min" if wait == timedelta() else duration(wait)


def _show_saved(out: Console, cadence: Cadence) -> None:
    given = cadence.all_together.get(cadence.schedule)
    if given is None:
        out.print("No check is on record. Judge a schedule with --every 15m or --schedule CRON.")
    elif given.saved is not None:
        out.print(
            f"Checks {cadence.schedule}: {given.number}, of which {given.useful} found something"
            f" new in any source, and {given.number - given.useful} nothing ({given.saved:.0%})."
        )
    saved = cadence.saved
    if saved.share_of_runs is not None and saved.share_of_seconds is not None:
        out.print(
            f"The gate skipped {saved.skips} of {saved.builds + saved.skips} runs of models"
            f" ({saved.share_of_runs:.0%}), and {saved.saved:.1f} of"
            f" {saved.spent + saved.saved:.1f} engine seconds ({saved.share_of_seconds:.0%})."
        )
    if cadence.advised:
        out.print(f"One schedule for all: [bold]{cadence.advised}[/] (cron, UTC).")


def cadence_as_json(cadence: Cadence) -> dict[str, Any]:
    """The same, durations in seconds."""
    return fields_as_values(cadence)


@as_values.register
def _(checks: Checks) -> dict[str, Any]:
    return {**fields_as_values(checks), "saved": checks.saved}


@as_values.register
def _(saved: Saved) -> dict[str, Any]:
    shares = {"share_of_runs": saved.share_of_runs, "share_of_seconds": saved.share_of_seconds}
    return {**fields_as_values(saved), **shares}
