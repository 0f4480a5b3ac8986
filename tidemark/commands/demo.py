"""The seeded story."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from tidemark.commands.options import Json, Log, ProjectDir, Target, project, read_clock
from tidemark.commands.session import begin_log, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

app = typer.Typer()


@app.command(epilog="Example: tidemark demo")
def demo(
    target: Target = "demo",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of", parser=read_clock, metavar="TIME", help="Leave out what happens after this."
        ),
    ] = None,
    json_: Json = False,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Walk through the seeded story, step by step, in a database file of its own."""
    if target != "demo":
        raise typer.BadParameter(
            "the story is told by the seeds of target demo", param_hint="--target"
        )
    begin_log("demo", log_format, "demo")
    from tidemark.demo import tell
    from tidemark.report.tables import console

    with explained("demo", json_, "The story ends here; it starts anew each time."):
        steps = tell(project(project_dir), console(quiet=json_), until=as_of)
    as_told = all(step["exit_code"] == step["expected_exit_code"] for step in steps)
    leave("demo", json_, Exit.DONE if as_told else Exit.FAILED, {"steps": steps})
