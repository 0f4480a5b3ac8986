"""Building what is new, and what the gate says of it beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tidemark import logs
from tidemark.commands.options import (
    AsOf,
    Explain,
    Json,
    Log,
    ProjectDir,
    RefreshIfCheaper,
    Target,
    Vars,
)
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from tidemark.engine import Dbt
    from tidemark.judgement import Judgement

app = typer.Typer()

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
    heal: Annotated[
        bool, typer.Option("--heal", help="Repair what `tidemark backfill` plans, besides.")
    ] = False,
    refresh_if_cheaper: RefreshIfCheaper = False,
    explain: Explain = False,
) -> None:
    """Build the models that have new, fresh input, with their tests; skip the rest and say why."""
    if heal and explain:
        raise typer.BadParameter(
            "what --heal repairs, `tidemark backfill` shows", param_hint="--heal"
        )
    dbt = begin("run", log_format, project_dir, target, vars_)
    from tidemark import alerts
    from tidemark.build import build, exit_code
    from tidemark.explain import tables_to_build, to_refresh
    from tidemark.judgement import judge
    from tidemark.report.build import run_as_json, show_build
    from tidemark.report.explain import show_refreshed
    from tidemark.report.judgement import show_judgement
    from tidemark.report.repair import healing_as_json, show_healed, show_healing
    from tidemark.report.tables import console

    out = console(quiet=json_)
    with explained("run", json_, "Nothing was built."), alerts.told_when_it_fails(dbt):
        with logs.progress(dbt, "Checking the sources"):
            judgement = judge(dbt, as_of)
        show_judgement(out, judgement)
    if explain:
        _explain(dbt, judgement, json_)
    healing = None
    if heal:
        from tidemark.backfill import begin_healing, end_healing

        with explained("run", json_, "Nothing was built."), alerts.told_when_it_fails(dbt):
            with logs.progress(dbt, "Comparing"):
                healing = begin_healing(dbt, judgement)
            show_healing(out, healing)
    healed, refreshed = healing.started.models if healing else [], list[str]()
    if refresh_if_cheaper:
        with explained("run", json_, "Nothing was built."), alerts.told_when_it_fails(dbt):
            with logs.progress(dbt, "Explaining"):
                tables = tables_to_build(dbt, judgement, healed)
                refreshed = to_refresh(dbt, judgement.as_of, tables)
            show_refreshed(out, refreshed)
    left = "What was built before that is complete and recorded."
    with explained("run", json_, left), alerts.told_when_it_fails(dbt):
        with logs.progress(dbt, "Building"):
            built = build(dbt, judgement, healed, refreshed)
        show_build(out, judgement, built)
        if healing:
            with logs.progress(dbt, "Comparing again"):
                end_healing(dbt, judgement, healing, built.failures)
            show_healed(out, healing)
    alerts.after_run(dbt, judgement, built, alert_on_success)
    code = exit_code(judgement, built, skip_exit_code)
    if healing and not healing.is_done:
        code = Exit.FAILED
    told = run_as_json(judgement, built)
    leave("run", json_, code, {**told, "healing": healing_as_json(healing)})


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
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Show what `run` would do, and why: sources, ages, decisions. Builds nothing."""
    dbt = begin("check", log_format, project_dir, target, vars_)
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
