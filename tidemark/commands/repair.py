"""Comparing tables with their raw rows, repairing what is wrong, and restating a window."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tidemark import logs
from tidemark.clock import Interval
from tidemark.commands.options import (
    AsOf,
    Explain,
    Json,
    Log,
    ProjectDir,
    Target,
    Vars,
    Yes,
    read_clock,
    refused,
)
from tidemark.commands.publish import made_public, readers
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

if TYPE_CHECKING:
    from datetime import date

    from tidemark.backfill import Restated, Step
    from tidemark.build import Failure
    from tidemark.engine import Dbt
    from tidemark.gaps import Asked, Look
    from tidemark.publish import Destination

app = typer.Typer()

Days = Annotated[
    int | None,
    typer.Option(
        "--days",
        min=1,
        # A hundred years: what is asked for is listed day by day.
        max=36525,
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
MaxDays = Annotated[
    int | None,
    typer.Option(
        "--max-days",
        min=1,
        help="How many days of a domain to plan, the newest first. Default: var backfill.",
        show_default=False,
    ),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        help="A domain, or one of its tables, which stands for it. Default: all domains.",
        show_default=False,
    ),
]
BelowMinimum = Annotated[
    bool,
    typer.Option("--below-minimum", help="Also when fewer are damaged than var backfill says."),
]
Start = Annotated[
    datetime | None,
    typer.Option(
        "--start",
        parser=read_clock,
        metavar="TIME",
        help="Restate a window instead: its first day.",
    ),
]
End = Annotated[
    datetime | None,
    typer.Option(
        "--end",
        parser=read_clock,
        metavar="TIME",
        help="The window's end: 2025-10-01 ends September.",
    ),
]
IntervalOfSteps = Annotated[
    Interval | None,
    typer.Option("--interval", help="How much of the window at once. Default: daily."),
]


@app.command(epilog="Example: tidemark gaps --days 90 --table web_hourly_stats --entity 7")
def gaps(
    days: Days = None,
    table: TableName = None,
    select: Select = None,
    entity: Entity = None,
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also what is never planned: today, disabled teams, pruned days, a bare calendar.",
        ),
    ] = False,
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Compare tables with what their raw rows say; show what is wrong. Repairs nothing."""
    dbt = begin("gaps", log_format, project_dir, target, vars_, only_looks=True)
    from tidemark.gaps import Asked
    from tidemark.report.gaps import look_as_json, show_gaps
    from tidemark.report.tables import console

    with explained("gaps", json_, "Nothing is known."):
        tables = _tables(dbt, table, select)
        found = _look(dbt, as_of, Asked(days, tables, entity))
    show_gaps(console(quiet=json_), found, all_)
    code = Exit.FAILED if found.failures else Exit.DONE
    leave("gaps", json_, code, look_as_json(found, all_))


def _tables(dbt: Dbt, table: str | None, selected: list[str] | None) -> tuple[str, ...]:
    """The tables that are asked for; none for all of them."""
    from tidemark.backfill import chosen_tables
    from tidemark.gaps import named_table

    if table is not None and selected:
        raise typer.BadParameter("give --table or --select", param_hint="--table")
    if table is not None:
        with refused("--table"):
            return (named_table(dbt.stored_marts, table).name,)
    if not selected:
        return ()
    with refused("--select"):
        return tuple(mart.name for mart in chosen_tables(dbt.stored_marts, selected))


def _look(dbt: Dbt, as_of: datetime | None, asked: Asked) -> Look:
    from tidemark.gaps import look, the_clock

    with logs.progress(dbt, "Comparing"):
        return look(dbt, the_clock(dbt, as_of), asked)


@app.command(
    epilog="Example: tidemark backfill --apply; tidemark backfill --start 2025-09-01"
    " --end 2025-10-01 --interval weekly --select web"
)
def backfill(
    apply: Annotated[bool, typer.Option("--apply", help="Repair what is planned.")] = False,
    below_minimum: BelowMinimum = False,
    days: Days = None,
    table: TableName = None,
    entity: Entity = None,
    start: Start = None,
    end: End = None,
    interval: IntervalOfSteps = None,
    select: Select = None,
    max_days: MaxDays = None,
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
    window = _window(start, end)
    if window is None:
        _refuse_options_of_a_window(explain, bool(interval or yes))
    elif apply or below_minimum or days or table or entity or max_days:
        raise typer.BadParameter(
            "a window is restated whole; --apply, --below-minimum, --days, --max-days, --table and"
            " --entity belong to the plan",
            param_hint="--start",
        )
    elif json_ and not (yes or explain):
        raise typer.BadParameter("--json cannot ask; add --yes", param_hint="--yes")
    dbt = begin("backfill", log_format, project_dir, target, vars_, only_looks=not apply)
    writes = not explain if window else apply
    to = readers("backfill", json_, dbt) if writes else None
    if window:
        every = interval or Interval.DAILY
        _restate(dbt, window, every, select or [], as_of, yes, explain, json_, to)
    from tidemark.gaps import Asked

    with explained("backfill", json_, "Nothing was repaired."):
        plan = Asked(days, _tables(dbt, table, select), entity, max_days)
    _repair(dbt, as_of, plan, below_minimum, apply, json_, to)


def _window(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime] | None:
    """The window to be restated, if there is one; refused where it is none."""
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise typer.BadParameter("a window has both --start and --end", param_hint="--start")
    from tidemark.backfill import whole_days

    with refused("--start"):
        whole_days(start, end)
    return start, end


def _refuse_options_of_a_window(explain: bool, steps: bool) -> None:
    if explain:
        raise typer.BadParameter(
            "--explain belongs to a window; without --apply the plan is shown anyway",
            param_hint="--explain",
        )
    if steps:
        raise typer.BadParameter("--interval and --yes belong to a window", param_hint="--start")


def _repair(
    dbt: Dbt,
    as_of: datetime | None,
    asked: Asked,
    even_few: bool,
    apply: bool,
    json_: bool,
    to: Destination | None,
) -> NoReturn:
    from tidemark.backfill import Repairs, repair
    from tidemark.report.repair import plan_as_json, show_plan, show_repair, show_repairs_end
    from tidemark.report.tables import console

    out = console(quiet=json_)
    with explained("backfill", json_, "Nothing was repaired."):
        known = _look(dbt, as_of, asked)
    show_plan(out, known, even_few)
    repairs = Repairs(known)
    if apply:
        with explained(
            "backfill", json_, "What was repaired before that is complete and recorded."
        ):
            repairs = repair(
                *(dbt, known, asked, even_few),
                progress=lambda doing: logs.progress(dbt, doing),
                tell=lambda done: show_repair(out, done),
            )
        show_repairs_end(out, repairs)
    published = made_public("backfill", json_, dbt, to, known.as_of, bool(repairs.done))
    leave("backfill", json_, repairs.exit_code, {**plan_as_json(repairs), **published})


def _restate(
    dbt: Dbt,
    window: tuple[datetime, datetime],
    interval: Interval,
    selected: list[str],
    as_of: datetime | None,
    yes: bool,
    dry: bool,
    json_: bool,
    to: Destination | None,
) -> NoReturn:
    from tidemark.backfill import chosen_tables, refuse_the_future, steps_of, whole_days
    from tidemark.gaps import the_clock
    from tidemark.report.restate import restated_as_json, show_steps
    from tidemark.report.tables import console

    with explained("backfill", json_, "Nothing was restated."):
        with refused("--select"):
            tables = chosen_tables(dbt.stored_marts, selected)
        clock = the_clock(dbt, as_of)
        with refused("--end"):
            refuse_the_future(window[1], clock)
    names, days = [table.name for table in tables], whole_days(*window)
    steps = steps_of(tables, days, interval)
    show_steps(console(quiet=json_), clock, steps)
    if dry:
        _explain(dbt, clock, names, days, json_)
    if not yes and not typer.confirm("Shall these days be rewritten?"):
        typer.echo("Nothing was restated.")
        raise typer.Exit(Exit.FAILED)
    with explained("backfill", json_, "What was restated before that is complete and recorded."):
        done, failures = _restate_steps(dbt, clock, steps, names, json_)
    published = made_public("backfill", json_, dbt, to, clock, bool(done))
    code = Exit.FAILED if failures or any(each.failures for each in done) else Exit.DONE
    leave("backfill", json_, code, {**restated_as_json(clock, done, failures), **published})


def _explain(
    dbt: Dbt, clock: datetime, names: list[str], days: tuple[date, date], json_: bool
) -> NoReturn:
    """Show what the restatement of these days would touch."""
    from tidemark.explain import explain
    from tidemark.report.explain import show_touched, touched_as_json
    from tidemark.report.tables import console

    with explained("backfill", json_, "Nothing was restated."), logs.progress(dbt, "Explaining"):
        touched = explain(dbt, clock, names, days)
    show_touched(console(quiet=json_), touched)
    told = {"as_of": clock.isoformat(), **touched_as_json(touched)}
    leave("backfill", json_, Exit.DONE, told)


def _restate_steps(
    dbt: Dbt, clock: datetime, steps: list[Step], names: list[str], json_: bool
) -> tuple[list[Restated], list[Failure]]:
    """Restate all steps, then test the tables: what came of each step, and which tests failed."""
    from tidemark.backfill import failed_tests, restate
    from tidemark.report.restate import show_restated, show_tested
    from tidemark.report.tables import console

    out, done = console(quiet=json_), []
    for restated in restate(dbt, clock, steps, lambda doing: logs.progress(dbt, doing)):
        show_restated(out, restated)
        done.append(restated)
    with logs.progress(dbt, "Testing"):
        failures = failed_tests(dbt, clock, names)
    show_tested(out, failures)
    return done, failures
