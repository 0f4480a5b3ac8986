"""From the landing into the warehouse."""

from __future__ import annotations

import typer

from tidemark import logs
from tidemark.commands.options import AsOf, Json, LandingRoot, Log, ProjectDir, Target, Vars
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

app = typer.Typer()


@app.command(epilog="Example: tidemark load --target duckdb --landing s3://bucket/landing")
def load(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    landing: LandingRoot = None,
) -> None:
    """Load the files that have landed into the raw tables, each once; builds nothing."""
    dbt = begin("load", log_format, project_dir, target, vars_)
    from tidemark import alerts
    from tidemark.load import landing_of
    from tidemark.load import load as load_
    from tidemark.report.load import load_as_json, show_load
    from tidemark.report.tables import console

    untouched = "What was loaded before that is complete and recorded."
    told_when_it_fails = alerts.told_when_it_fails(dbt, "load")
    with explained("load", json_, untouched), told_when_it_fails, logs.progress(dbt, "Loading"):
        done = load_(dbt, landing_of(dbt, landing), as_of)
    show_load(console(quiet=json_), done)
    alerts.after_load(dbt, done)
    leave("load", json_, Exit.DONE if done.is_done else Exit.FAILED, load_as_json(done))
