"""What a load brought, what it could not, and how the ingest jobs before it went."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from tidemark.ingest.landing import JobReport, shown
from tidemark.load import BroughtIn, Load, by_table
from tidemark.report.tables import count, number, short_time, table
from tidemark.report.values import as_values, fields_as_values

# How many files a sentence names; --json has them all.
_NAMED = 5


def show_load(out: Console, load: Load) -> None:
    """The files by table, then what needs somebody's attention."""
    show_jobs(out, load)
    if load.loaded:
        columns = ("loaded", "files", "rows", "first load", "last load")
        loaded = table(*columns, right=(1, 2), whole=columns[1:])
        for name, files in by_table(load.loaded).items():
            times = sorted(file.loaded_at for file in files)
            loaded.add_row(
                name,
                number(len(files)),
                number(sum(file.records for file in files)),
                short_time(times[0]),
                short_time(times[-1]),
            )
        out.print(loaded)
    else:
        out.print(f"Nothing new has landed in {escape(load.landing)}.")
    if load.set_back:
        jobs = count(len(load.set_back), "model")
        out.print(
            f"Runs had gone past some load times, so {jobs} will look again at what was loaded"
            f" since: {', '.join(load.set_back)}."
        )
    for name, unknown in sorted(load.unknown.items()):
        out.print(
            f"[yellow]Not loaded: {count(unknown, 'file')} in the folder {escape(name)}, which is"
            " no raw table of the domains that are switched on.[/]"
        )
    if load.unread:
        named = ", ".join(load.unread[:_NAMED])
        more = f" and {number(len(load.unread) - _NAMED)} more" if load.unread[_NAMED:] else ""
        out.print(
            f"[yellow]Not read: {count(len(load.unread), 'file')}[/], {escape(named)}{more}. Landed"
            " files are called RAW_TABLE/DAY/LOAD_TIME-NAME.parquet, as in"
            " crm_daily/2025-10-15/20251015T020500000000Z-crm.parquet."
        )
    for failed in load.failed:
        out.print(f"[red]Not loaded: {escape(shown(failed.path))}[/]\n{escape(failed.reason)}")
    if load.failed:
        out.print(
            "All others are loaded. The next load tries these again; to be done with one, move it"
            " and the other files of its name out of the landing."
        )


def show_brought_in(out: Console, brought: BroughtIn) -> None:
    """The load before a run, or why there was none."""
    if brought.load:
        show_load(out, brought.load)
    if brought.error:
        out.print(
            f"[red]What is new could not be brought in:[/] {escape(brought.error)}\n"
            "The run goes on with what the raw tables hold."
        )


def show_jobs(out: Console, load: Load) -> None:
    """The ingest jobs that have reported since the last load."""
    if not load.jobs:
        return
    columns = ("ingest job", "ended", "status", "rows", "error")
    jobs = table(*columns, right=(3,), whole=columns[1:4])
    for report in load.jobs.values():
        jobs.add_row(
            report.job,
            short_time(report.completed_at),
            _status(report),
            number(report.records),
            escape(report.error or ""),
        )
    out.print(jobs)


def _status(report: JobReport) -> str:
    return f"[{'green' if report.status == 'success' else 'red'}]{report.status}[/]"


def brought_in_as_json(brought: BroughtIn | None) -> dict[str, Any] | None:
    """What a run brought in besides."""
    if brought is None:
        return None
    return {"error": brought.error, "load": load_as_json(brought.load) if brought.load else None}


def load_as_json(load: Load) -> dict[str, Any]:
    """Everything that a load found."""
    told = {name: value for name, value in fields_as_values(load).items() if name != "jobs"}
    return {**told, "jobs": as_values(list(load.jobs.values())), "error": load.error}
