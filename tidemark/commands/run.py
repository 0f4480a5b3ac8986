"""Building what is new, and what the gate says of it beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tidemark import logs
from tidemark.commands import session
from tidemark.commands.every import Staying, schedule_of, stay
from tidemark.commands.options import (
    AsOf,
    Explain,
    Json,
    Log,
    ProjectDir,
    Target,
    Vars,
    project,
    read_duration,
    refused,
)
from tidemark.commands.publish import made_public, readers
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from tidemark.backfill import Healing
    from tidemark.build import BuildReport
    from tidemark.engine import Dbt
    from tidemark.judgement import Judgement
    from tidemark.load import BroughtIn

app = typer.Typer()

_STAYING = "Staying up, with --every"
_RETRY_AFTER = timedelta(minutes=5)


Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        help="A domain or a model, with all that is above it; may be repeated. Default: all.",
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
AlertOnSuccess = Annotated[
    bool,
    typer.Option(
        "--alert-on-success",
        help="Tell the channels in TIDEMARK_ALERT_URLS of a run without failures, too.",
    ),
]
Heal = Annotated[
    bool, typer.Option("--heal", help="Repair what `tidemark backfill` plans, besides.")
]
Ingest = Annotated[
    bool,
    typer.Option(
        "--ingest",
        help="Bring in what is new before: ingest what the environment sets up"
        " (TIDEMARK_USAGE_URL, TIDEMARK_CRM_PATH), and load what has landed.",
    ),
]
Every = Annotated[
    str | None,
    typer.Option(
        "--every",
        metavar="CRON",
        help="Stay, and run now and at every tick of this, in UTC, such as '5 * * * *'. What was"
        " missed becomes one run.",
        show_default=False,
        rich_help_panel=_STAYING,
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        "--retries",
        min=0,
        max=100,
        help="How often a run that failed is tried again before the next tick.",
        rich_help_panel=_STAYING,
    ),
]
RetryAfter = Annotated[
    timedelta | None,
    typer.Option(
        "--retry-after",
        parser=read_duration,
        metavar="DURATION",
        help="How long after its end: 5m, 1h. Default: 5m.",
        show_default=False,
        rich_help_panel=_STAYING,
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Serve /health, /metrics and the report as well, as `tidemark serve` does; 0 takes a"
        " free one.",
        show_default=False,
        rich_help_panel=_STAYING,
    ),
]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        help="Where to listen; 0.0.0.0 is everywhere.",
        rich_help_panel=_STAYING,
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
    alert_on_success: AlertOnSuccess = False,
    heal: Heal = False,
    ingest: Ingest = False,
    select: Select = None,
    explain: Explain = False,
    every: Every = None,
    retries: Retries = 2,
    retry_after: RetryAfter = None,
    port: Port = None,
    host: Host = "127.0.0.1",
) -> None:
    """Build the models that have new, fresh input, with their tests; skip the rest and say why.

    With --every the process stays, and does so now and at every tick of a schedule.
    """
    asked = _Asked(
        as_of,
        json_,
        skip_exit_code,
        alert_on_success,
        heal,
        ingest,
        select or [],
        explain,
    )
    _refuse_what_does_not_go_together(asked, every, port)
    if every:
        schedule = schedule_of(every, retries, retry_after or _RETRY_AFTER)
        read = partial(session.dbt_of, project_dir, target, vars_)
        once = partial(_once, asked=asked)
        stay(
            Staying.begun(project(project_dir), read, once, log_format, json_), schedule, host, port
        )
    _once(begin("run", log_format, project_dir, target, vars_, only_looks=explain), asked)


@dataclass(frozen=True)
class _Asked:
    """What one run is to do, besides building."""

    as_of: datetime | None
    as_json: bool
    skip_exit_code: int
    alert_on_success: bool
    heal: bool
    ingest: bool
    select: list[str]
    explain: bool


def _refuse_what_does_not_go_together(asked: _Asked, every: str | None, port: int | None) -> None:
    staying = "with --every the process stays, and ends by a signal alone"
    its_clock = "with --every each run goes by the time at which it begins"
    for option, is_wrong, why in (
        ("--ingest", asked.ingest and asked.explain, "--explain changes nothing"),
        ("--heal", asked.heal and asked.explain, "what --heal repairs, `tidemark backfill` shows"),
        ("--port", port is not None and not every, "it goes with --every; else: `tidemark serve`"),
        ("--as-of", every and asked.as_of, its_clock),
        ("--explain", every and asked.explain, staying),
        ("--skip-exit-code", every and asked.skip_exit_code, staying),
    ):
        if is_wrong:
            raise typer.BadParameter(why, param_hint=option)


def _once(dbt: Dbt, asked: _Asked) -> NoReturn:
    """One run, up to its exit code."""
    json_, as_of = asked.as_json, asked.as_of
    to = None if asked.explain else readers("run", json_, dbt)
    from tidemark import alerts
    from tidemark.build import exit_code
    from tidemark.report.build import run_as_json
    from tidemark.report.load import brought_in_as_json
    from tidemark.report.repair import healing_as_json

    brought = _bring_in(dbt, as_of, json_) if asked.ingest else None
    judgement = _judge(dbt, as_of, asked.select, json_)
    if asked.explain:
        _explain(dbt, judgement, json_)
    healing = _begin_healing(dbt, judgement, json_) if asked.heal else None
    built = _build(dbt, judgement, healing, json_)
    with alerts.told_when_it_fails(dbt):
        published = made_public("run", json_, dbt, to, judgement.as_of, built.is_anything)
    alerts.after_run(dbt, judgement, built, asked.alert_on_success, alerts.of_brought_in(brought))
    code = exit_code(judgement, built, asked.skip_exit_code)
    if (healing and not healing.is_done) or (brought and not brought.is_done):
        code = Exit.FAILED
    told = run_as_json(judgement, built)
    also = {"healing": healing_as_json(healing), "brought_in": brought_in_as_json(brought)}
    leave("run", json_, code, {**told, **also, **published})


def _judge(dbt: Dbt, as_of: datetime | None, selected: list[str], json_: bool) -> Judgement:
    """Ask the gate, and show what it says of the models that are selected."""
    from tidemark import alerts
    from tidemark.judgement import judge
    from tidemark.report.judgement import show_judgement
    from tidemark.report.tables import console

    with explained("run", json_, "Nothing was built."), alerts.told_when_it_fails(dbt):
        wanted = _chosen(dbt, selected)
        with logs.progress(dbt, "Checking the sources"):
            judgement = judge(dbt, as_of)
        if wanted:
            judgement = judgement.of(wanted, dbt.lineage)
        show_judgement(console(quiet=json_), judgement)
    return judgement


def _begin_healing(dbt: Dbt, judgement: Judgement, json_: bool) -> Healing:
    """Find what is to be repaired, and ask for it."""
    from tidemark import alerts
    from tidemark.backfill import begin_healing
    from tidemark.report.repair import show_healing
    from tidemark.report.tables import console

    with explained("run", json_, "Nothing was built."), alerts.told_when_it_fails(dbt):
        with logs.progress(dbt, "Comparing"):
            healing = begin_healing(dbt, judgement)
        show_healing(console(quiet=json_), healing)
    return healing


def _build(dbt: Dbt, judgement: Judgement, healing: Healing | None, json_: bool) -> BuildReport:
    """Build what is new and what is to be repaired, and look at the repaired again."""
    from tidemark import alerts
    from tidemark.backfill import end_healing
    from tidemark.build import build
    from tidemark.report.build import show_build
    from tidemark.report.repair import show_healed
    from tidemark.report.tables import console

    out, left = console(quiet=json_), "What was built before that is complete and recorded."
    with explained("run", json_, left), alerts.told_when_it_fails(dbt):
        with logs.progress(dbt, "Building"):
            built = build(dbt, judgement, healing.started.models if healing else ())
        show_build(out, judgement, built)
        if healing:
            with logs.progress(dbt, "Comparing again"):
                end_healing(dbt, judgement, healing, built.failures)
            show_healed(out, healing)
    return built


def _chosen(dbt: Dbt, names: list[str]) -> frozenset[str]:
    from tidemark.lineage import chosen_models

    with refused("--select"):
        return chosen_models(dbt.manifest, names)


def _bring_in(dbt: Dbt, as_of: datetime | None, json_: bool) -> BroughtIn:
    from tidemark import alerts
    from tidemark.load import bring_in
    from tidemark.report.load import show_brought_in
    from tidemark.report.tables import console

    untouched = "What has landed is complete, and each file is loaded whole or not at all."
    told_when_it_fails = alerts.told_when_it_fails(dbt)
    with explained("run", json_, untouched), told_when_it_fails, logs.progress(dbt, "Loading"):
        brought = bring_in(dbt, as_of)
    show_brought_in(console(quiet=json_), brought)
    return brought


def _explain(dbt: Dbt, judgement: Judgement, json_: bool) -> NoReturn:
    from tidemark.build import exit_code
    from tidemark.explain import explain, tables_to_build
    from tidemark.report.build import run_as_json
    from tidemark.report.explain import show_touched, touched_as_json
    from tidemark.report.tables import console

    with explained("run", json_, "Nothing was built."), logs.progress(dbt, "Explaining"):
        touched = explain(dbt, judgement.as_of, tables_to_build(dbt, judgement))
    show_touched(console(quiet=json_), touched)
    told = {**run_as_json(judgement), **touched_as_json(touched)}
    leave("run", json_, exit_code(judgement), told)


@app.command(epilog="Example: tidemark check --target duckdb")
def check(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RAW_TABLE]...", help="With --contract: compare these.", show_default=False
        ),
    ] = None,
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    contract: Annotated[
        bool,
        typer.Option(
            "--contract", help="Compare the raw tables, as they are, with what the models expect."
        ),
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="VIEW",
            help="With --contract: write into this staging view, by its file or its name, what its"
            " columns are called.",
            show_default=False,
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=WHAT",
            help="With --write: the raw column, or the SQL, that a column of the contract is.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show what `run` would do, and why: sources, ages, decisions. Builds nothing.

    With --contract it shows instead how raw tables differ from what the models expect of them.
    """
    if (tables or write) and not contract:
        raise typer.BadParameter("raw tables and --write go with --contract")
    if map_ and not write:
        raise typer.BadParameter("it goes with --write", param_hint="--map")
    dbt = begin("check", log_format, project_dir, target, vars_, only_looks=True)
    if contract:
        from tidemark.commands.contract import compare, read_map, write_view

        if write:
            write_view(dbt, as_of, write, read_map(map_ or []), target, json_)
        compare(dbt, as_of, tables or [], target, json_)
    _check(dbt, as_of, json_)


def _check(dbt: Dbt, as_of: datetime | None, json_: bool) -> NoReturn:
    from tidemark.build import exit_code
    from tidemark.judgement import judge
    from tidemark.report.build import run_as_json
    from tidemark.report.judgement import show_decisions, show_sources
    from tidemark.report.tables import console

    out = console(quiet=json_)
    with explained("check", json_, "Nothing was decided."), logs.progress(dbt, "Checking"):
        judgement = judge(dbt, as_of)
    show_sources(out, judgement)
    show_decisions(out, judgement)
    leave("check", json_, exit_code(judgement), run_as_json(judgement))
