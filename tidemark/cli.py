"""The commands. They read their options, call the pipeline and show what came of it.

Everything that is slow to import is imported inside a command, so that help and usage errors are
instant.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import uuid4

import typer

from tidemark import interrupts, logs
from tidemark.clock import parse_clock
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from tidemark.engine import Dbt

app = typer.Typer(
    help="Build what has new, fresh input; skip the rest; say why.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 blocked by stale sources;"
    " `status --exit-code` also 4 warning, 5 critical.",
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
Log = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        help="How to log to standard error; LOG_LEVEL says how much (debug, info, warning, error).",
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
    log_format: Log = LogFormat.TEXT,
    skip_exit_code: SkipExitCode = 0,
) -> None:
    """Build the models that have new, fresh input, with their tests; skip the rest and say why."""
    dbt = _begin("run", _dbt(project_dir, target, vars_), log_format)
    from tidemark import report
    from tidemark.build import build, exit_code
    from tidemark.judgement import judge

    out = report.console(quiet=json_)
    with _explained("run", json_, "Nothing was built."):
        with logs.progress(dbt, "Checking the sources"):
            judgement = judge(dbt, as_of)
        report.show_judgement(out, judgement)
    with _explained("run", json_, "What was built before that is complete and recorded."):
        with logs.progress(dbt, "Building"):
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
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Show what `run` would do, and why: sources, ages, decisions. Builds nothing."""
    dbt = _begin("check", _dbt(project_dir, target, vars_), log_format)
    from tidemark import report
    from tidemark.build import exit_code
    from tidemark.judgement import judge

    out = report.console(quiet=json_)
    with _explained("check", json_, "Nothing was decided."), logs.progress(dbt, "Checking"):
        judgement = judge(dbt, as_of)
    report.show_sources(out, judgement)
    report.show_decisions(out, judgement)
    _leave("check", json_, exit_code(judgement), report.as_json(judgement))


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
    dbt = _begin("status", _dbt(project_dir, target, vars_), log_format)
    from tidemark import report
    from tidemark.health import look

    with _explained("status", json_, "Nothing is known."), logs.progress(dbt, "Looking"):
        health = look(dbt, as_of)
    report.show_health(report.console(quiet=json_), health)
    code = health.exit_code if exit_code else Exit.DONE
    _leave("status", json_, code, report.health_as_json(health))


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
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@watermark.command("show", epilog="Example: tidemark watermark show --target duckdb")
def show_watermarks(
    target: Target = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Show the watermark of every job."""
    dbt = _begin("watermark show", _dbt(project_dir, target, vars_), log_format)
    from tidemark import report
    from tidemark.watermarks import stored

    with _explained("watermark show", json_, "Nothing is known."):
        rows = stored(dbt)
    report.show_watermarks(report.console(quiet=json_), rows)
    _leave("watermark show", json_, Exit.DONE, {"watermarks": rows})


@watermark.command(
    "set",
    epilog="Example: tidemark watermark set fact_events_daily 2025-10-01 --reason 'a doubt'",
)
def set_watermark(
    job: Job,
    to: Annotated[
        datetime,
        typer.Argument(parser=_clock, metavar="TIME", help="ISO 8601; UTC unless it names a zone."),
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
    dbt = _begin("watermark set", _dbt(project_dir, target, vars_), log_format)
    _change_watermark("watermark set", dbt, (job, reason, to, as_of), yes, json_)


@watermark.command(
    "reset", epilog="Example: tidemark watermark reset fact_events_daily --reason 'new rule'"
)
def reset_watermark(
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
    dbt = _begin("watermark reset", _dbt(project_dir, target, vars_), log_format)
    _change_watermark("watermark reset", dbt, (job, reason, None, as_of), yes, json_)


def _change_watermark(
    command: str,
    dbt: Dbt,
    wanted: tuple[str, str, datetime | None, datetime | None],
    yes: bool,
    json_: bool,
) -> NoReturn:
    from tidemark.watermarks import change

    if json_ and not yes:
        raise typer.BadParameter("--json cannot ask; add --yes", param_hint="--yes")
    with _explained(command, json_, "Nothing was changed."):
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
    _leave(command, json_, Exit.DONE, {**told, "reason": wanted[1], "rows": dict(changed.rows)})


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
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Walk through the seeded story, step by step, in a database file of its own."""
    if target != "demo":
        raise typer.BadParameter(
            "the story is told by the seeds of target demo", param_hint="--target"
        )
    _log("demo", log_format, "demo")
    from tidemark import report
    from tidemark.demo import tell

    with _explained("demo", json_, "The story ends here; it starts anew each time."):
        steps = tell(_project(project_dir), report.console(quiet=json_), until=as_of)
    as_told = all(step["exit_code"] == step["expected_exit_code"] for step in steps)
    _leave("demo", json_, Exit.DONE if as_told else Exit.FAILED, {"steps": steps})


def main() -> None:
    """The console script."""
    interrupts.listen()
    app()


def _dbt(project_dir: Path | None, target: str | None, variables: dict[str, Any] | None) -> Dbt:
    from tidemark.engine import Dbt

    return Dbt(_project(project_dir), target, variables or {})


def _begin(command: str, dbt: Dbt, log_format: LogFormat) -> Dbt:
    """Give everything that a command does one id, in its log and in the ledger."""
    dbt.run_id = str(uuid4())
    _log(command, log_format, dbt.run_id)
    return dbt


def _log(command: str, log_format: LogFormat, run_id: str) -> None:
    try:
        logs.set_up(log_format, command, run_id)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="LOG_LEVEL") from None
    logs.tell(logging.INFO, f"{command} begins")


@contextmanager
def _explained(command: str, as_json: bool, untouched: str) -> Iterator[None]:
    """Turn a dbt call that failed as a whole into a message, what it left, and exit code 1."""
    from tidemark.engine import DatabaseLockedError, DbtError

    try:
        yield
    except DbtError as error:
        message = str(error).strip()
        if isinstance(error, DatabaseLockedError):
            advice = "Try again when the other process has ended."
        else:
            advice = "dbt's whole log is in logs/dbt.log."
    except KeyboardInterrupt as interrupt:
        message = str(interrupt) or f"Interrupted by {interrupts.take()}."
        advice = f"Repeat `tidemark {command}`: it takes up what is still open."
    else:
        return
    if logs.writes_json():
        logs.tell(logging.ERROR, message, untouched=untouched)
    if as_json:
        _leave(command, as_json, Exit.FAILED, {"error": message, "untouched": untouched})
    if not logs.writes_json():
        typer.echo(f"{message}\n{untouched} {advice}", err=True)
    raise typer.Exit(Exit.FAILED)


def _leave(command: str, as_json: bool, code: int, told: dict[str, Any]) -> NoReturn:
    """End with the exit code, and with the one JSON object if that was asked for."""
    logs.tell(logging.INFO, f"{command} ends with exit code {int(code)}", exit_code=int(code))
    if as_json:
        typer.echo(json.dumps({"command": command, "exit_code": int(code), **told}, indent=2))
    raise typer.Exit(code)
