"""The options that several commands share, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from tidemark.clock import parse_clock
from tidemark.logs import LogFormat


@contextmanager
def refused(option: str | None = None) -> Iterator[None]:
    """Turn what is wrong with an option into a usage error: nothing has been touched."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def read_clock(text: str) -> datetime:
    """Read a time."""
    with refused():
        return parse_clock(text)


def read_duration(text: str) -> timedelta:
    """Read `15m`, `6h` or `1d`."""
    from tidemark.cadence import duration

    with refused():
        return duration(text)


def _variables(text: str) -> dict[str, Any]:
    from dbt.clients.yaml_helper import load_yaml_text
    from dbt_common.exceptions import DbtValidationError

    try:
        given = load_yaml_text(text)
    except DbtValidationError as error:
        raise typer.BadParameter(str(error)) from None
    if not isinstance(given, dict):
        raise typer.BadParameter("it is not a mapping such as '{domains: [company]}'")
    if "as_of" in given:
        raise typer.BadParameter("the clock has an option of its own: --as-of")
    return given


def project(directory: Path | None) -> Path:
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
        parser=read_clock,
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
Explain = Annotated[
    bool,
    typer.Option(
        "--explain", help="Show which partitions would be touched, and why; build nothing."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LandingRoot = Annotated[
    str | None,
    typer.Option(
        "--landing",
        metavar="PATH_OR_URL",
        help="The landing area: a folder, or s3://bucket/prefix."
        " Default: TIDEMARK_LANDING, else the bucket S3_BUCKET_RAW_EVENTS, else `landing` in the"
        " project.",
        show_default=False,
    ),
]
