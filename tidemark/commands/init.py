"""The engine in a dbt project that somebody already has."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemark.commands.options import Json, ProjectDir, project
from tidemark.commands.session import leave
from tidemark.exits import Exit

app = typer.Typer()


@app.command(epilog="Example: cd my_dbt_project && tidemark init && dbt deps")
def init(
    json_: Json = False,
    project_dir: ProjectDir = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if something is missing.")
    ] = False,
    package: Annotated[
        str | None,
        typer.Option(
            metavar="PATH_OR_URL",
            help="Where the dbt package is. Default: beside this command line.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the wiring of the engine into a dbt project: asks nothing, overwrites nothing."""
    from tidemark.commands.options import refused
    from tidemark.report.wiring import show_wiring, wiring_as_json
    from tidemark.wiring import wire

    folder = project(project_dir)
    with refused():
        steps = wire(folder, package, write=not check)
    if not json_:
        show_wiring(folder, steps)
    missing = any(step.is_missing for step in steps)
    leave("init", json_, Exit.FAILED if missing else Exit.DONE, wiring_as_json(steps))
