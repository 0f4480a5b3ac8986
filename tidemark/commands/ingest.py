"""Bringing data in: what the usage API answers, and the CRM's files, into the landing area."""

from __future__ import annotations

import logging
import shlex
from contextlib import AbstractContextManager
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from tidemark import logs
from tidemark.clock import parse_day
from tidemark.commands.options import (
    Json,
    LandingRoot,
    Log,
    ProjectDir,
    project,
    read_clock,
    refused,
)
from tidemark.commands.session import begin_log, explained, leave
from tidemark.exits import Exit
from tidemark.ingest.boundary import bounded
from tidemark.ingest.landing import Landing, LandingError, now
from tidemark.ingest.usage import REASK_DAYS
from tidemark.logs import LogFormat
from tidemark.paths import of_setting

app = typer.Typer()
ingest = typer.Typer(
    help="Bring data in: into files in a landing area, from where `tidemark load` takes it.",
    no_args_is_help=True,
    epilog="Example: tidemark ingest usage",
)
app.add_typer(ingest, name="ingest")


def _day(text: str) -> date:
    with refused():
        return parse_day(text)


LoadTime = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        parser=read_clock,
        metavar="TIME",
        help="The clock, ISO 8601, which becomes the load time. Default: the machine's.",
    ),
]
FirstDay = Annotated[
    date | None,
    typer.Option("--start", parser=_day, metavar="DAY", help="Ask from this day on."),
]
LastDay = Annotated[
    date | None,
    typer.Option(
        "--end",
        parser=_day,
        metavar="DAY",
        help="Ask up to this day. Default: the last one that is over.",
    ),
]
SingleDays = Annotated[
    list[date] | None,
    typer.Option("--day", parser=_day, metavar="DAY", help="Ask for this day; may be repeated."),
]


@ingest.command("usage", epilog="Example: tidemark ingest usage --start 2025-09-01")
def usage(
    start: FirstDay = None,
    end: LastDay = None,
    day: SingleDays = None,
    reask: Annotated[
        int | None,
        typer.Option(
            "--reask",
            min=0,
            max=3650,
            help="Answered days to ask for once more: what is corrected in them is seen."
            f" Default: TIDEMARK_USAGE_REASK_DAYS, else {REASK_DAYS}.",
            show_default=False,
        ),
    ] = None,
    landing: LandingRoot = None,
    as_of: LoadTime = None,
    json_: Json = False,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Ask the usage API, by day, and land what it answers.

    Without --start and --day it takes up where it stopped, and asks for what was missed. Where the
    API is say TIDEMARK_USAGE_URL and TIDEMARK_USAGE_TOKEN.
    """
    if day and (start or end):
        raise typer.BadParameter("give --day, or --start and --end", param_hint="--day")
    area = begin("ingest usage", log_format, landing, project_dir)
    with explained("ingest usage", json_, "What has landed is complete."), ended(area, "usage"):
        from tidemark.ingest.usage import ingest as ask
        from tidemark.ingest.usage import prepare
        from tidemark.ingest.usage_api import Settings

        settings = Settings.of()
        with refused():
            reask = settings.reask_days if reask is None else reask
            plan = prepare(area, as_of or now(), start, end, day or (), reask)
        came = ask(area, settings, plan, lambda: as_of or now(), partial(logs.counted, "Asking"))
    from tidemark.report.ingest import show_usage, usage_as_json
    from tidemark.report.tables import console

    options = ["--landing", landing] if landing else []
    options += ["--project-dir", str(project_dir)] if project_dir else []
    again = shlex.join(["tidemark", "ingest", "usage", *_days(came.open), *options])
    retry = again if came.open else None
    show_usage(console(quiet=json_), came, plan, retry)
    if came.open and logs.writes_json():
        logs.tell(logging.ERROR, came.error or "Some days failed.", open_days=came.open)
    told = {"landing": area.root, **usage_as_json(came, plan), "retry": retry}
    leave("ingest usage", json_, Exit.FAILED if came.open else Exit.DONE, told)


def _days(days: list[date]) -> list[str]:
    """The options that ask for just these days."""
    if len(days) > 1 and (days[-1] - days[0]).days == len(days) - 1:
        return ["--start", f"{days[0]}", "--end", f"{days[-1]}"]
    return [text for day in days for text in ("--day", f"{day}")]


CrmSource = Annotated[
    str,
    typer.Argument(
        metavar="PATH_OR_URL",
        envvar="TIDEMARK_CRM_PATH",
        help="A CSV file, or a folder of them; here, or s3://bucket/prefix.",
        show_default=False,
    ),
]
CrmEncoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        envvar="TIDEMARK_CRM_ENCODING",
        help="Of files without a byte order mark. Default: UTF-8, or what is beyond doubt.",
    ),
]
CrmDelimiter = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER",
        envvar="TIDEMARK_CRM_DELIMITER",
        help="Between fields: ';', 'tab', ... Default: a comma.",
    ),
]
CrmMap = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="COLUMN=NAME",
        help="What a column is called in the file. Default: TIDEMARK_CRM_MAP, behind commas.",
        show_default=False,
    ),
]


@ingest.command("crm", epilog="Example: tidemark ingest crm s3://exports/crm")
def crm(
    context: typer.Context,
    source: CrmSource,
    encoding: CrmEncoding = None,
    delimiter: CrmDelimiter = None,
    map_: CrmMap = None,
    landing: LandingRoot = None,
    as_of: LoadTime = None,
    json_: Json = False,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Land the CRM's daily files. A file delivered again supersedes; the same bytes are skipped."""
    area = begin("ingest crm", log_format, landing, project_dir)
    with explained("ingest crm", json_, "What has landed is complete."), ended(area, "crm"):
        from tidemark.ingest.crm import Status
        from tidemark.ingest.crm import ingest as take
        from tidemark.ingest.csv_text import Form

        # The enumeration is that of whichever click typer carries with it.
        if getattr(context.get_parameter_source("source"), "name", "") == "ENVIRONMENT":
            source = of_setting(source, project(project_dir))
        form = Form.of(encoding, delimiter, map_)
        came = take(area, source, lambda: as_of or now(), partial(logs.counted, "Reading"), form)
    from tidemark.report.ingest import crm_as_json, show_crm
    from tidemark.report.tables import console

    show_crm(console(quiet=json_), came)
    failed = [file for file in came if file.status is Status.FAILED]
    if logs.writes_json():
        for file in failed:
            logs.tell(logging.ERROR, f"{file.file}: {file.reason}")
    told = {"landing": area.root, **crm_as_json(came)}
    leave("ingest crm", json_, Exit.FAILED if failed else Exit.DONE, told)


def begin(
    command: str, log_format: LogFormat, landing: str | None, project_dir: Path | None
) -> Landing:
    """Begin the log of an ingest command: where it lands what it takes in."""
    try:
        area = Landing.at(landing, project(project_dir))
    except LandingError as error:
        raise typer.BadParameter(str(error), param_hint="--landing") from None
    begin_log(command, log_format, str(uuid4()))
    return area


def ended(area: Landing, job: str) -> AbstractContextManager[None]:
    """Where a job ends in words, with a report. Usage errors are none of its ends."""
    return bounded(area, job, letting_pass=(typer.BadParameter, typer.Exit))
