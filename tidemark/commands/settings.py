"""The settings of this deployment."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemark.commands.options import Json, ProjectDir, project, refused
from tidemark.commands.session import leave
from tidemark.exits import Exit

app = typer.Typer()


@app.command(epilog='Example: dbt build --target duckdb --vars "$(tidemark settings --vars)"')
def settings(
    json_: Json = False,
    project_dir: ProjectDir = None,
    vars_: Annotated[
        bool, typer.Option("--vars", help="Print what differs from the defaults, as vars for dbt.")
    ] = False,
) -> None:
    """Show every setting, and where it was said: tidemark.yml, the environment, or the default."""
    from tidemark.engine import as_yaml
    from tidemark.report.settings import settings_as_json, show_settings
    from tidemark.report.tables import console
    from tidemark.settings import read

    folder = project(project_dir)
    with refused():
        found = read(folder)
    if vars_:
        typer.echo(as_yaml(found.variables))
        raise typer.Exit(Exit.DONE)
    show_settings(console(quiet=json_), found)
    leave("settings", json_, Exit.DONE, settings_as_json(found))
