"""The commands. They read their options, call the pipeline and show what came of it.

Everything that is slow to import is imported inside a command, so that help and usage errors are
instant.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import uuid4

import typer

from tidemark import interrupts, logs
from tidemark.cadence import DAYS, at, duration
from tidemark.clock import Interval, parse_clock
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from tidemark.engine import Dbt
    from tidemark.gaps import Asked, Look
    from tidemark.judgement import Judgement

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
Explain = Annotated[
    bool,
    typer.Option(
        "--explain", help="Show which partitions would be touched, and why, and write nothing."
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
    explain: Explain = False,
) -> None:
    """Build the models that have new, fresh input, with their tests; skip the rest and say why."""
    if heal and explain:
        raise typer.BadParameter(
            "what --heal repairs, `tidemark backfill` shows", param_hint="--heal"
        )
    dbt = _begin("run", _dbt(project_dir, target, vars_), log_format)
    from tidemark import alerts, report
    from tidemark.build import build, exit_code
    from tidemark.judgement import judge

    out = report.console(quiet=json_)
    with _explained("run", json_, "Nothing was built."), alerts.told_when_it_fails(dbt):
        with logs.progress(dbt, "Checking the sources"):
            judgement = judge(dbt, as_of)
        report.show_judgement(out, judgement)
    if explain:
        _explain("run", dbt, judgement, json_)
    healing = None
    if heal:
        from tidemark.backfill import begin_healing, end_healing

        with _explained("run", json_, "Nothing was built."), alerts.told_when_it_fails(dbt):
            with logs.progress(dbt, "Comparing"):
                healing = begin_healing(dbt, judgement)
            report.show_healing(out, healing)
    left = "What was built before that is complete and recorded."
    with _explained("run", json_, left), alerts.told_when_it_fails(dbt):
        with logs.progress(dbt, "Building"):
            built = build(dbt, judgement, healing.started.models if healing else ())
        report.show_build(out, judgement, built)
        if healing:
            with logs.progress(dbt, "Comparing again"):
                end_healing(dbt, judgement, healing, built.failures)
            report.show_healed(out, healing)
    alerts.after_run(dbt, judgement, built, alert_on_success)
    code = exit_code(judgement, built, skip_exit_code)
    if healing and not healing.is_done:
        code = Exit.FAILED
    told = report.as_json(judgement, built)
    _leave("run", json_, code, {**told, "healing": report.healing_as_json(healing)})


def _explain(command: str, dbt: Dbt, judgement: Judgement, json_: bool) -> NoReturn:
    from tidemark import report
    from tidemark.build import exit_code
    from tidemark.explain import explain, tables_to_build

    with _explained(command, json_, "Nothing was built."), logs.progress(dbt, "Explaining"):
        touched = explain(dbt, judgement.as_of, tables_to_build(dbt, judgement))
    report.show_touched(report.console(quiet=json_), touched)
    told = {**report.as_json(judgement), **report.touched_as_json(touched)}
    _leave(command, json_, exit_code(judgement), told)


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
    from tidemark import alerts, report
    from tidemark.health import look

    with _explained("status", json_, "Nothing is known."), logs.progress(dbt, "Looking"):
        health = look(dbt, as_of)
    report.show_health(report.console(quiet=json_), health)
    alerts.after_look(dbt, health)
    code = health.exit_code if exit_code else Exit.DONE
    _leave("status", json_, code, report.health_as_json(health))


def _duration(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _cron(text: str) -> str:
    try:
        at(text, datetime.min, datetime.min)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


@app.command(epilog="Example: tidemark cadence --every 15m")
def cadence(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    days: Annotated[
        int, typer.Option("--days", min=1, max=365, help="How many days to look back.")
    ] = DAYS,
    every: Annotated[
        timedelta | None,
        typer.Option("--every", parser=_duration, metavar="15m", help="Judge checks so far apart."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", parser=_cron, metavar="CRON", help="Judge this schedule (UTC)."),
    ] = None,
) -> None:
    """Show how often sources are really refreshed, what checks of them found, and what would do.

    Without --every and --schedule it judges the checks that `run` and `check` have recorded.
    """
    if every and schedule:
        raise typer.BadParameter("give --every or --schedule", param_hint="--schedule")
    dbt = _begin("cadence", _dbt(project_dir, target, vars_), log_format)
    from tidemark import report
    from tidemark.cadence import look

    with _explained("cadence", json_, "Nothing is known."), logs.progress(dbt, "Looking"):
        seen = look(dbt, days, every, schedule or "", as_of)
    report.show_cadence(report.console(quiet=json_), seen)
    _leave("cadence", json_, Exit.DONE, report.cadence_as_json(seen))


@app.command(epilog="Example: tidemark metrics --textfile /var/lib/node_exporter/tidemark.prom")
def metrics(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    textfile: Annotated[
        Path | None,
        typer.Option(
            "--textfile",
            dir_okay=False,
            help="Write them here, whole or not at all; without it they go to standard output.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Look as `status` does, and tell the figures as Prometheus reads them."""
    dbt = _begin("metrics", _dbt(project_dir, target, vars_), log_format)
    from tidemark.health import look
    from tidemark.metrics import text, write

    with _explained("metrics", json_, "Nothing was written."), logs.progress(dbt, "Looking"):
        health = look(dbt, as_of)
    if textfile:
        try:
            write(health, textfile)
        except OSError as error:
            raise typer.BadParameter(
                f"{textfile} cannot be written: {error.strerror}", param_hint="--textfile"
            ) from None
    elif not json_:
        typer.echo(text(health), nl=False)
    told = {"textfile": str(textfile) if textfile else None, "level": health.level.word}
    _leave("metrics", json_, Exit.DONE, {"as_of": health.as_of.isoformat(), **told})


@app.command(epilog="Example: tidemark serve --target duckdb --port 8321")
def serve(
    target: Target = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; 0.0.0.0 is everywhere.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8321,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            min=1,
            metavar="SECONDS",
            help="How long until the figures are read again.",
        ),
    ] = 30,
) -> None:
    """Serve /health and /metrics until it is stopped: the figures that were last seen.

    It reads them in the background and looks at no raw table. While a run holds the database file,
    it serves what it has, and says so.
    """
    dbt = _begin("serve", _dbt(project_dir, target, vars_), log_format)
    import signal

    from tidemark.metrics import Monitor, server

    # A busy database is not waited for, and the parsed project of other commands stays theirs.
    os.environ["TIDEMARK_CONNECT_ATTEMPTS"] = "1"
    dbt.target_path = Path(os.environ.get("DBT_TARGET_PATH", "target")) / "serve"
    monitor = Monitor(dbt, interval)
    try:
        serving = server(monitor, host, port)
    except OSError as error:
        told = f"{host}:{port} cannot be listened on: {error.strerror}. Choose another --port."
        typer.echo(f"{told} Nothing was started.", err=True)
        raise typer.Exit(Exit.FAILED) from None
    url = f"http://{host}:{serving.server_port}"
    if json_:
        typer.echo(json.dumps({"command": "serve", "url": url}))
    else:
        typer.echo(f"Serving {url}/health and {url}/metrics; Ctrl-C ends it.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    monitor.start()
    try:
        serving.serve_forever()
    except KeyboardInterrupt:
        logs.tell(logging.INFO, "serve ends")
    finally:
        monitor.stop()
        serving.server_close()


Days = Annotated[
    int | None,
    typer.Option(
        "--days",
        min=1,
        help="Ended days to compare. Default: var coverage_days.",
        show_default=False,
    ),
]
TableName = Annotated[
    str | None, typer.Option("--table", help="One table alone.", show_default=False)
]
Entity = Annotated[
    str | None, typer.Option("--entity", help="One entity alone.", show_default=False)
]


@app.command(epilog="Example: tidemark gaps --days 90 --table web_hourly_stats --entity 7")
def gaps(
    days: Days = None,
    table: TableName = None,
    entity: Entity = None,
    all_: Annotated[
        bool,
        typer.Option("--all", help="Also what is never planned: today, disabled teams."),
    ] = False,
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Compare tables with what their raw rows say; show what is wrong. Repairs nothing."""
    dbt = _begin("gaps", _dbt(project_dir, target, vars_), log_format)
    from tidemark import report
    from tidemark.gaps import Asked

    with _explained("gaps", json_, "Nothing is known."):
        found = _look(dbt, as_of, Asked(days, table, entity))
    report.show_gaps(report.console(quiet=json_), found, all_)
    code = Exit.FAILED if found.failures else Exit.DONE
    _leave("gaps", json_, code, report.look_as_json(found, all_))


def _look(dbt: Dbt, as_of: datetime | None, asked: Asked) -> Look:
    from tidemark.gaps import look, named_table, the_clock

    if asked.table:
        with _refused("--table"):
            named_table(dbt.stored_marts, asked.table)
    with logs.progress(dbt, "Comparing"):
        return look(dbt, the_clock(dbt, as_of), asked)


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(
    epilog="Example: tidemark backfill --apply; tidemark backfill --start 2025-09-01"
    " --end 2025-10-01 --interval weekly --select web"
)
def backfill(
    apply: Annotated[bool, typer.Option("--apply", help="Repair what is planned.")] = False,
    below_minimum: Annotated[
        bool,
        typer.Option("--below-minimum", help="Also when fewer are damaged than var backfill says."),
    ] = False,
    days: Days = None,
    table: TableName = None,
    entity: Entity = None,
    start: Annotated[
        datetime | None,
        typer.Option(
            "--start",
            parser=_clock,
            metavar="TIME",
            help="Restate a window instead: its first day.",
        ),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(
            "--end",
            parser=_clock,
            metavar="TIME",
            help="The window's end: 2025-10-01 ends September.",
        ),
    ] = None,
    interval: Annotated[
        Interval | None,
        typer.Option("--interval", help="How much of the window at once. Default: daily."),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            "-s",
            help="A domain, or one of its tables, which stands for it. Default: all domains.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
    explain: Explain = False,
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Show what is to be repaired, and why; repair it; or restate any window of days.

    A repair rewrites the damaged partitions alone, through the ordinary models, a day at a time.
    A restatement rewrites every partition of its days.
    """
    if (start is None) != (end is None):
        raise typer.BadParameter("a window has both --start and --end", param_hint="--start")
    if start is not None and (apply or below_minimum or days or table or entity):
        raise typer.BadParameter(
            "a window is restated whole; --apply, --below-minimum, --days, --table and --entity"
            " belong to the plan",
            param_hint="--start",
        )
    if apply and explain:
        raise typer.BadParameter(
            "--explain writes nothing; leave --apply out", param_hint="--apply"
        )
    if start is None and (interval or select or yes):
        raise typer.BadParameter(
            "--interval, --select and --yes belong to a window", param_hint="--start"
        )
    if start is not None and end is not None:
        from tidemark.backfill import whole_days

        with _refused("--start"):
            whole_days(start, end)
        if json_ and not (yes or explain):
            raise typer.BadParameter("--json cannot ask; add --yes", param_hint="--yes")
    dbt = _begin("backfill", _dbt(project_dir, target, vars_), log_format)
    if start is not None and end is not None:
        window, every = (start, end), interval or Interval.DAILY
        _restate(dbt, window, every, select or [], as_of, yes, explain, json_)
    from tidemark.gaps import Asked

    _repair(dbt, as_of, Asked(days, table, entity), apply, below_minimum, json_)


def _repair(
    dbt: Dbt, as_of: datetime | None, asked: Asked, apply: bool, even_few: bool, json_: bool
) -> NoReturn:
    from tidemark import report
    from tidemark.backfill import Repairs, repair

    out = report.console(quiet=json_)
    with _explained("backfill", json_, "Nothing was repaired."):
        known = _look(dbt, as_of, asked)
    report.show_plan(out, known)
    repairs = Repairs(known)
    if apply:
        with _explained(
            "backfill", json_, "What was repaired before that is complete and recorded."
        ):
            repairs = repair(
                *(dbt, known, asked, even_few),
                progress=lambda doing: logs.progress(dbt, doing),
                tell=lambda done: report.show_repair(out, done),
            )
        report.show_repairs_end(out, repairs)
    _leave("backfill", json_, repairs.exit_code, report.plan_as_json(repairs))


def _restate(
    dbt: Dbt,
    window: tuple[datetime, datetime],
    interval: Interval,
    selected: list[str],
    as_of: datetime | None,
    yes: bool,
    dry: bool,
    json_: bool,
) -> NoReturn:
    from tidemark import report
    from tidemark.backfill import (
        chosen_tables,
        failed_tests,
        refuse_the_future,
        restate,
        steps_of,
        whole_days,
    )
    from tidemark.explain import explain
    from tidemark.gaps import the_clock

    out = report.console(quiet=json_)
    with _explained("backfill", json_, "Nothing was restated."):
        with _refused("--select"):
            tables = chosen_tables(dbt.stored_marts, selected)
        clock = the_clock(dbt, as_of)
        with _refused("--end"):
            refuse_the_future(window[1], clock)
    steps = steps_of(tables, whole_days(*window), interval)
    report.show_steps(out, clock, steps)
    if dry:
        with _explained("backfill", json_, "Nothing was restated."):
            names = [table.name for table in tables]
            touched = explain(dbt, clock, names, whole_days(*window))
        report.show_touched(out, touched)
        told = {"as_of": clock.isoformat(), **report.touched_as_json(touched)}
        _leave("backfill", json_, Exit.DONE, told)
    if not yes and not typer.confirm("Shall these days be rewritten?"):
        typer.echo("Nothing was restated.")
        raise typer.Exit(Exit.FAILED)
    done = []
    with _explained("backfill", json_, "What was restated before that is complete and recorded."):
        for restated in restate(dbt, clock, steps, lambda doing: logs.progress(dbt, doing)):
            report.show_restated(out, restated)
            done.append(restated)
        with logs.progress(dbt, "Testing"):
            failures = failed_tests(dbt, clock, [table.name for table in tables])
        report.show_tested(out, failures)
    code = Exit.FAILED if failures or any(each.failures for each in done) else Exit.DONE
    told = {"as_of": clock.isoformat(), "steps": [report.restated_as_json(each) for each in done]}
    _leave("backfill", json_, code, {**told, **report.failures_as_json(failures)})


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
def _refused(option: str) -> Iterator[None]:
    """Turn what is wrong with an option into a usage error: nothing has been touched."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


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
