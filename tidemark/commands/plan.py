"""What the code of the project would change in its tables, and changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tidemark import logs
from tidemark.commands.options import AsOf, Json, Log, ProjectDir, Target, Vars
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from tidemark.build import BuildReport

app = typer.Typer()


@app.command(epilog="Example: tidemark plan --compare --days 90 --markdown")
def plan(
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Show which rows and columns a rebuild would change."),
    ] = False,
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            min=1,
            max=36525,
            help="Of how many ended days, with --compare. Default: var coverage_days.",
            show_default=False,
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Rebuild them, also what is held or kept.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")
    ] = False,
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Show which tables other code made, through what, and what a rebuild means. Writes nothing.

    Exit code 6 says that there are some.
    """
    if days is not None and not compare:
        raise typer.BadParameter("--days belongs to --compare", param_hint="--days")
    if json_ and markdown:
        raise typer.BadParameter("either --json or --markdown", param_hint="--markdown")
    dbt = begin("plan", log_format, project_dir, target, vars_, only_looks=not apply)
    from tidemark.plan import apply as applied
    from tidemark.plan import plan as planned
    from tidemark.report.plan import as_markdown, plan_as_json, show_applied, show_plan
    from tidemark.report.tables import console

    with explained("plan", json_, "Nothing was changed."), logs.progress(dbt, "Comparing code"):
        found = planned(dbt, as_of, compare, days)
    out = console(quiet=json_ or markdown)
    if markdown:
        typer.echo(as_markdown(found))
    show_plan(out, found)
    built: BuildReport | None = None
    code = found.exit_code
    if apply:
        left = "What was rebuilt before that is complete and recorded."
        with explained("plan", json_, left), logs.progress(dbt, "Rebuilding"):
            built = applied(dbt, found)
        show_applied(out, built)
        code = Exit.FAILED if built.failures else Exit.DONE
    leave("plan", json_, code, plan_as_json(found, built))
