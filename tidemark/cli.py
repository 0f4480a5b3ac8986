"""The commands. They read their options, call the pipeline and show what came of it.

Everything that is slow to import is imported inside a command, so that help and usage errors are
instant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tidemark.clock import parse_clock
from tidemark.exits import Exit

if TYPE_CHECKING:
    from tidemark.engine import Dbt

app = typer.Typer(
    help="Build what has new, fresh input; skip the rest; say why.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 blocked by stale sources.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _clock(text: str) -> datetime:
    try:
        return parse_clock(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _variables(text: str) -> dict[str, Any]:
    from dbt.clients.yaml_helper import load_yaml_text
    from dbt_common.exceptions import DbtValidationError

    try:
        given = load_yaml_text(text)
    except DbtValidationError as error:
        raise typer.BadParameter(str(error)) from None
    if not isinstance(given, dict):
        raise typer.BadParameter(f"{text!r} is not a mapping such as '{{domains: [company]}}'")
    if "as_of" in given:
        raise typer.BadParameter("the clock has an option of its own: --as-of")
    return given


def _project(directory: Path | None) -> Path:
    """The given directory, or the nearest one upwards that holds a dbt project."""
    here = (directory or Path.cwd()).resolve()
    candidates = [here] if directory else [here, *here.parents]
    for candidate in candidates:
        if (candidate / "dbt_project.yml").is_file():
            return candidate
    raise typer.BadParameter(f"no dbt_project.yml in {here}{'' if directory else ' or above it'}")


Target = Annotated[
    str | None,
    typer.Option("--target", "-t", help="The target in profiles.yml.", show_default=False),
]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        parser=_clock,
        metavar="TIME",
        help="The clock, ISO 8601; UTC unless it names a zone. Default: the target's.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Vars = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--vars", parser=_variables, metavar="YAML", help="Vars for dbt, as dbt takes them."
    ),
]
ProjectDir = Annotated[
    Path | None,
    typer.Option(
        "--project-dir",
        file_okay=False,
        exists=True,
        help="The dbt project. Default: the nearest one, upwards from here.",
        show_default=False,
    ),
]
SkipExitCode = Annotated[
    int,
    typer.Option(
        "--skip-exit-code",
        min=0,
        max=255,
        help="Exit with this when nothing was new; 99 marks an Airflow task as skipped.",
    ),
]


@app.command(epilog="Example: tidemark run --as-of 2025-10-15T13:00:00 --json")
def run(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    skip_exit_code: SkipExitCode = 0,
) -> None:
    """Build the models that have new, fresh input, with their tests; skip the rest and say why."""
    dbt = _dbt(project_dir, target, vars_)
    from tidemark import report
    from tidemark.build import build, exit_code
    from tidemark.judgement import judge

    out = report.console(quiet=json_)
    with _explained("run", json_, "Nothing was built."):
        judgement = judge(dbt, as_of)
        report.show_judgement(out, judgement)
    with _explained("run", json_, "What was built before that is complete and recorded."):
        built = build(dbt, judgement)
        report.show_build(out, judgement, built)
    code = exit_code(judgement, built, skip_exit_code)
    _leave("run", json_, code, report.as_json(judgement, built))


@app.command(epilog="Example: tidemark check --target duckdb")
def check(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
) -> None:
    """Show what `run` would do, and why: sources, ages, decisions. Builds nothing."""
    dbt = _dbt(project_dir, target, vars_)
    from tidemark import report
    from tidemark.build import exit_code
    from tidemark.judgement import judge

    out = report.console(quiet=json_)
    with _explained("check", json_, "Nothing was decided."):
        judgement = judge(dbt, as_of)
    report.show_sources(out, judgement)
    report.show_decisions(out, judgement)
    _leave("check", json_, exit_code(judgement), report.as_json(judgement))


@app.command(epilog="Example: tidemark demo")
def demo(
    target: Target = "demo",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of", parser=_clock, metavar="TIME", help="Leave out what happens after this."
        ),
    ] = None,
    json_: Json = False,
    project_dir: ProjectDir = None,
) -> None:
    """Walk through the seeded story, step by step, in a database file of its own."""
    if target != "demo":
        raise typer.BadParameter(
            "the story is told by the seeds of target demo", param_hint="--target"
        )
    from tidemark import report
    from tidemark.demo import tell

    with _explained("demo", json_, "The story ends here; it starts anew each time."):
        steps = tell(_project(project_dir), report.console(quiet=json_), until=as_of)
    as_told = all(step["exit_code"] == step["expected_exit_code"] for step in steps)
    _leave("demo", json_, Exit.DONE if as_told else Exit.FAILED, {"steps": steps})


def main() -> None:
    """The console script."""
    app()


def _dbt(project_dir: Path | None, target: str | None, variables: dict[str, Any] | None) -> Dbt:
    from tidemark.engine import Dbt

    return Dbt(_project(project_dir), target, variables or {})


@contextmanager
def _explained(command: str, as_json: bool, untouched: str) -> Iterator[None]:
    """Turn a dbt call that failed as a whole into a message, what it left, and exit code 1."""
    from tidemark.engine import DatabaseLockedError, DbtError

    try:
        yield
    except DbtError as error:
        if isinstance(error, DatabaseLockedError):
            advice = "Try again when the other process has ended."
        else:
            advice = "dbt's whole log is in logs/dbt.log."
        message = str(error).strip()
        if as_json:
            _leave(command, as_json, Exit.FAILED, {"error": message, "untouched": untouched})
        typer.echo(f"{message}\n{untouched} {advice}", err=True)
        raise typer.Exit(Exit.FAILED) from None


def _leave(command: str, as_json: bool, code: int, told: dict[str, Any]) -> NoReturn:
    """End with the exit code, and with the one JSON object if that was asked for."""
    if as_json:
        typer.echo(json.dumps({"command": command, "exit_code": int(code), **told}, indent=2))
    raise typer.Exit(code)
