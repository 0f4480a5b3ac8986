"""Watermarks: how far each job has come, and having it go over something again."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tidemark import logs
from tidemark.commands.options import AsOf, Json, Log, ProjectDir, Target, Vars, Yes, read_clock
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from tidemark.engine import Dbt

app = typer.Typer()
watermark = typer.Typer(
    help="Show how far each job has processed its sources; set that back, or reset it.",
    no_args_is_help=True,
    epilog="Example: tidemark watermark show",
)
app.add_typer(watermark, name="watermark")

Job = Annotated[str, typer.Argument(help="The model or snapshot.", show_default=False)]
Reason = Annotated[
    str, typer.Option("--reason", help="Why; it is kept in the ledger.", show_default=False)
]


@watermark.command("show", epilog="Example: tidemark watermark show --target duckdb")
def show(
    target: Target = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Show the watermark of every job."""
    dbt = begin("watermark show", log_format, project_dir, target, vars_, only_looks=True)
    from tidemark.report.tables import console
    from tidemark.report.watermarks import show_watermarks
    from tidemark.watermarks import stored

    with explained("watermark show", json_, "Nothing is known."):
        rows = stored(dbt)
    show_watermarks(console(quiet=json_), rows)
    leave("watermark show", json_, Exit.DONE, {"watermarks": rows})


@watermark.command(
    "set",
    epilog="Example: tidemark watermark set fact_events_daily 2025-10-01 --reason 'a doubt'",
)
def set_back(
    job: Job,
    to: Annotated[
        datetime,
        typer.Argument(
            parser=read_clock, metavar="TIME", help="ISO 8601; UTC unless it names a zone."
        ),
    ],
    reason: Reason,
    yes: Yes = False,
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Let the next run of a job look again at everything loaded since a time.

    Refused when that lies after the clock, or when rows would be skipped that no run has processed.
    """
    dbt = begin("watermark set", log_format, project_dir, target, vars_)
    _change("watermark set", dbt, (job, reason, to, as_of), yes, json_)


@watermark.command(
    "reset", epilog="Example: tidemark watermark reset fact_events_daily --reason 'new rule'"
)
def reset(
    job: Job,
    reason: Reason,
    yes: Yes = False,
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Let the next run of a job rebuild it whole."""
    dbt = begin("watermark reset", log_format, project_dir, target, vars_)
    _change("watermark reset", dbt, (job, reason, None, as_of), yes, json_)


def _change(
    command: str,
    dbt: Dbt,
    wanted: tuple[str, str, datetime | None, datetime | None],
    yes: bool,
    json_: bool,
) -> NoReturn:
    from tidemark.watermarks import change

    if json_ and not yes:
        raise typer.BadParameter("--json cannot ask; add --yes", param_hint="--yes")
    with explained(command, json_, "Nothing was changed."):
        changed = change(dbt, *wanted, dry_run=not yes)
        if not json_:
            typer.echo(changed.words)
        if not yes:
            if not typer.confirm("Shall it?"):
                typer.echo("Nothing was changed.")
                raise typer.Exit(Exit.FAILED)
            change(dbt, *wanted)
    logs.tell(logging.INFO, changed.words, reason=wanted[1])
    after = changed.after.isoformat() if changed.after else None
    told = {"job": changed.job, "before": changed.before.isoformat(), "after": after}
    leave(command, json_, Exit.DONE, {**told, "reason": wanted[1], "rows": dict(changed.rows)})
