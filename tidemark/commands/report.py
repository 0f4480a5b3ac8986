"""The report: what happened, as one page for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemark import logs
from tidemark.commands.options import AsOf, Json, Log, ProjectDir, Target, Vars
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

app = typer.Typer()


@app.command(epilog="Example: tidemark report --output report.html --days 90")
def report(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    output: Annotated[
        Path, typer.Option("--output", dir_okay=False, help="Write it here, whole or not at all.")
    ] = Path("report.html"),
    days: Annotated[
        int, typer.Option("--days", min=1, max=730, help="How many days to show.")
    ] = 90,
) -> None:
    """Write one page: the business, and the pipeline behind it. It needs nothing from elsewhere.

    It shows what the ledger knows at its last entry; it builds nothing, and compares nothing.
    """
    from tidemark import page

    if not page.is_installed():
        typer.echo(page.MISSING, err=True)
        raise typer.Exit(Exit.USAGE)
    if not output.absolute().parent.is_dir():
        where = output.absolute().parent
        raise typer.BadParameter(f"there is no folder {where}", param_hint="--output")
    dbt = begin("report", log_format, project_dir, target, vars_, only_looks=True)
    with explained("report", json_, "Nothing was written."), logs.progress(dbt, "Reading"):
        written = page.make(dbt, days, as_of)
    try:
        page.write(written.html, output)
    except OSError as error:
        raise typer.BadParameter(
            f"{output} cannot be written: {error.strerror}", param_hint="--output"
        ) from None
    unread = {panel.name: panel.problem for panel in written.report.problems}
    if not json_:
        typer.echo(f"Written: {output.resolve()}")
        for name, problem in unread.items():
            typer.echo(f"{name} could not be read, and says so on the page: {problem}", err=True)
    told = {"output": str(output.resolve()), "bytes": len(written.html.encode()), "unread": unread}
    clock = {"as_of": written.report.as_of.isoformat(), "days": days}
    leave("report", json_, Exit.FAILED if unread else Exit.DONE, {**clock, **told})
