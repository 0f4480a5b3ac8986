"""What every command does around itself: one run id, its log, errors in words, one way to end."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

import typer

from tidemark import interrupts, logs
from tidemark.commands.options import project, refused
from tidemark.exits import Exit
from tidemark.logs import LogFormat
from tidemark.shown import hidden, hidden_in, plain

if TYPE_CHECKING:
    from tidemark.engine import Dbt


class Interrupted(typer.Exit):
    """How a command ends that was told to stop."""


def dbt_of(project_dir: Path | None, target: str | None, variables: dict[str, Any] | None) -> Dbt:
    """dbt as the options and the settings describe it; an option comes before a setting."""
    from tidemark.engine import Dbt
    from tidemark.settings import for_target

    folder = project(project_dir)
    with refused():
        target, settings = for_target(folder, target)
    return Dbt(folder, target, {**settings, **(variables or {})})


def begin(
    command: str,
    log_format: LogFormat,
    project_dir: Path | None,
    target: str | None,
    variables: dict[str, Any] | None,
    only_looks: bool = False,
) -> Dbt:
    """Give everything that a command does one id, in its log and in the ledger."""
    dbt = dbt_of(project_dir, target, variables)
    dbt.only_looks = only_looks
    begin_again(command, log_format, dbt)
    return dbt


def begin_again(command: str, log_format: LogFormat, dbt: Dbt) -> None:
    """Give what a command does next, on the project as it was read, an id of its own."""
    dbt.run_id = str(uuid4())
    begin_log(command, log_format, dbt.run_id)


def begin_log(command: str, log_format: LogFormat, run_id: str) -> None:
    """Begin the log of a command."""
    try:
        logs.set_up(log_format, command, run_id)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="LOG_LEVEL") from None
    logs.tell(logging.INFO, f"{command} begins")


@contextmanager
def explained(command: str, as_json: bool, untouched: str) -> Iterator[None]:
    """Turn what failed as a whole into a message, what it left, and exit code 1."""
    from tidemark.engine import DatabaseLockedError, DbtError
    from tidemark.ingest import IngestError

    ended: type[typer.Exit] = typer.Exit
    try:
        yield
    except DbtError as error:
        message = hidden(str(error).strip())
        if isinstance(error, DatabaseLockedError):
            advice = "Try again when the other process has ended."
        else:
            advice = "dbt's whole log is in logs/dbt.log."
    except IngestError as error:
        # It says itself what to do next.
        message, advice = str(error), ""
    except KeyboardInterrupt as interrupt:
        message = str(interrupt) or f"Interrupted by {interrupts.take()}."
        advice = f"Repeat `tidemark {command}`: it takes up what is still open."
        ended = Interrupted
    else:
        return
    if logs.writes_json():
        logs.tell(logging.ERROR, message, untouched=untouched)
    if as_json:
        leave(command, as_json, Exit.FAILED, {"error": message, "untouched": untouched}, ended)
    if not logs.writes_json():
        typer.echo(plain(f"{message}\n{untouched} {advice}".rstrip()), err=True)
    raise ended(Exit.FAILED)


def leave(
    command: str,
    as_json: bool,
    code: int,
    told: dict[str, Any],
    ended: type[typer.Exit] = typer.Exit,
) -> NoReturn:
    """End with the exit code, and with the one JSON object if that was asked for."""
    logs.tell(logging.INFO, f"{command} ends with exit code {int(code)}", exit_code=int(code))
    if as_json:
        shown = {"command": command, "exit_code": int(code), **hidden_in(told)}
        typer.echo(json.dumps(shown, indent=2))
    raise ended(code)
