"""Looking at the pipeline: how it is, and how often it is worth looking."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from tidemark import logs
from tidemark.cadence import DAYS, at
from tidemark.commands.options import (
    AsOf,
    Json,
    Log,
    ProjectDir,
    Target,
    Vars,
    read_duration,
    refused,
)
from tidemark.commands.publish import readers
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

app = typer.Typer()


def _cron(text: str) -> str:
    with refused():
        at(text, datetime.min, datetime.min)
    return text


@app.command(epilog="Example: tidemark status --target duckdb --exit-code")
def status(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code", help="Exit with 4 when something is a warning, 5 when it is critical."
        ),
    ] = False,
) -> None:
    """Show how the pipeline is: sources, jobs and runs against the limits in vars: health:."""
    dbt = begin("status", log_format, project_dir, target, vars_, only_looks=True)
    to = readers("status", json_, dbt)
    from tidemark import alerts
    from tidemark.health import look
    from tidemark.report.health import health_as_json, show_health
    from tidemark.report.publish import age_as_json, show_age
    from tidemark.report.tables import console

    with explained("status", json_, "Nothing is known."), logs.progress(dbt, "Looking"):
        health = look(dbt, as_of)
    out = console(quiet=json_)
    show_health(out, health)
    if to:
        show_age(out, to, health.last_build)
    alerts.after_look(dbt, health)
    code = health.exit_code if exit_code else Exit.DONE
    published = age_as_json(to, health.last_build) if to else None
    leave("status", json_, code, {**health_as_json(health), "published": published})


@app.command("test", epilog="Example: tidemark test --days 30")
def sweep(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=36500, help="Look so many days back, not at everything."),
    ] = None,
) -> None:
    """Test everything that is stored; a build's tests look at what the build wrote."""
    dbt = begin("test", log_format, project_dir, target, vars_)
    from tidemark.build import run_tests
    from tidemark.report.build import show_tests
    from tidemark.report.tables import console
    from tidemark.report.values import as_values

    with explained("test", json_, "No table was touched."), logs.progress(dbt, "Testing"):
        report = run_tests(dbt, as_of, days)
    show_tests(console(quiet=json_), report, days)
    code = Exit.FAILED if report.failures else Exit.DONE
    told = {"days": days, "tests": dict(report.tests), "failures": as_values(report.failures)}
    leave("test", json_, code, told)


@app.command(epilog="Example: tidemark cadence --every 15m")
def cadence(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    days: Annotated[
        int, typer.Option("--days", min=1, max=365, help="How many days to look back.")
    ] = DAYS,
    every: Annotated[
        timedelta | None,
        typer.Option(
            "--every", parser=read_duration, metavar="15m", help="Judge checks so far apart."
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", parser=_cron, metavar="CRON", help="Judge this schedule (UTC)."),
    ] = None,
) -> None:
    """Show how often sources are really refreshed, what checks of them found, and what would do.

    Without --every and --schedule it judges the checks that `run` and `check` have recorded.
    """
    if every and schedule:
        raise typer.BadParameter("give --every or --schedule", param_hint="--schedule")
    dbt = begin("cadence", log_format, project_dir, target, vars_, only_looks=True)
    from tidemark.cadence import look
    from tidemark.report.cadence import cadence_as_json, show_cadence
    from tidemark.report.tables import console

    with explained("cadence", json_, "Nothing is known."), logs.progress(dbt, "Looking"):
        seen = look(dbt, days, every, schedule or "", as_of)
    show_cadence(console(quiet=json_), seen)
    leave("cadence", json_, Exit.DONE, cadence_as_json(seen))
