"""Giving readers a copy of their own."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from tidemark import logs
from tidemark.commands.options import AsOf, Json, Log, ProjectDir, Target, Vars, refused
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from tidemark.engine import Dbt
    from tidemark.publish import Destination

app = typer.Typer()


@app.command(epilog="Example: TIDEMARK_PUBLISH=published/marts.duckdb tidemark publish")
def publish(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Copy marts and ops to where readers open them, as `run` does after a build.

    The copy is the file TIDEMARK_PUBLISH, the folder of Parquet TIDEMARK_PUBLISH_PARQUET, or both.
    """
    dbt = begin("publish", log_format, project_dir, target, vars_, only_looks=True)
    to = readers("publish", json_, dbt)
    if to is None:
        raise typer.BadParameter(
            "name a file, such as published/marts.duckdb", param_hint="TIDEMARK_PUBLISH"
        )
    leave("publish", json_, Exit.DONE, made_public("publish", json_, dbt, to, as_of, True))


def readers(command: str, json_: bool, dbt: Dbt) -> Destination | None:
    """Where the environment wants copies; what is wrong with that is said before any work."""
    from tidemark.publish import destination, refuse_ambiguous

    with refused():
        to = destination(dbt.project_dir)
    if to:
        with explained(command, json_, "Nothing was touched."):
            nodes = dbt.manifest.nodes.values()
        with refused():
            refuse_ambiguous(to, {str(node.schema) for node in nodes})
    return to


def made_public(
    command: str,
    json_: bool,
    dbt: Dbt,
    to: Destination | None,
    as_of: datetime | None,
    is_new: bool,
) -> dict[str, Any]:
    """Copy what is new, or what was never copied; what came of it, as JSON values."""
    if to is None or not (is_new or to.published_at is None):
        return {"published": None}
    from tidemark.publish import publish as copy
    from tidemark.report.publish import published_as_json, show_published
    from tidemark.report.tables import console

    left = "What was built is complete and recorded. Readers keep the copy that they had."
    with explained(command, json_, left), logs.progress(dbt, "Publishing"):
        published = copy(dbt, to, as_of)
    show_published(console(quiet=json_), published)
    return {"published": published_as_json(published)}
