"""What people and programs get to see: rich tables, and the same as JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from datetime import date, datetime, timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidemark.backfill import Healing, Repair, Repairs, Restated, Step
from tidemark.build import BuildReport, Built, Failure
from tidemark.cadence import Cadence, Checks, Saved
from tidemark.clock import show_duration, show_seconds, show_time
from tidemark.explain import Touched
from tidemark.gaps import Cell, GapRange, Look, TableDay, joined, strip
from tidemark.gate import Decision, ModelState, SourceCheck, SourceState
from tidemark.health import Figure, Health, Level, worst
from tidemark.judgement import Judgement

_COLOURS = {
    SourceState.FRESH: "green",
    SourceState.WARN: "yellow",
    ModelState.NEW: "cyan",
    ModelState.UNCHANGED: "dim",
    Level.NORMAL: "green",
    Level.WARNING: "yellow",
}
# A pipe or a log file has no width of its own; the tables are made for this one.
_WIDTH_WITHOUT_TERMINAL = 110
# How many subjects of one finding are named.
_FINDINGS = 3
# The share of a day's partitions that is damaged; without colours the height tells.
_HEIGHTS = "▂▃▄▅▆▇█"
# Up to a third, up to two thirds, beyond.
_HEAT = ("yellow", "dark_orange", "red")


def console(quiet: bool = False) -> Console:
    """The console that all tables go to; quiet when standard output belongs to JSON."""
    measured = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if measured else _WIDTH_WITHOUT_TERMINAL
    return Console(width=width, quiet=quiet, highlight=False)


def show_sources(out: Console, judgement: Judgement) -> None:
    """Every source with its state, age and limits."""
    _show_clock(out, judgement)
    table = _table("source", "state", "last load", "age", "warning", "limit")
    for check in judgement.checks:
        table.add_row(
            check.source,
            _coloured(check.state),
            show_time(check.newest) if check.newest else "-",
            _duration(check.age),
            _duration(check.warn_after),
            _duration(check.error_after),
        )
    out.print(table)


def show_decisions(out: Console, judgement: Judgement) -> None:
    """Every model with the gate's decision and its reason."""
    table = _table("model", "decision", "reason")
    for decision in judgement.decisions:
        table.add_row(decision.model, _coloured(decision.state), escape(decision.reason))
    out.print(table)


def show_judgement(out: Console, judgement: Judgement) -> None:
    """What is decided for which reason, headed by the clock and the sources that are not fresh."""
    _show_clock(out, judgement)
    for check in judgement.checks:
        if check.state is not SourceState.FRESH:
            out.print(f"[{_colour(check.state)}]{escape(check.reason)}[/]")
    models: dict[tuple[ModelState, str], list[str]] = {}
    for decision in judgement.decisions:
        models.setdefault((decision.state, decision.reason), []).append(decision.model)
    table = _table("decision", "reason", "models", wrapping=("reason", "models"))
    for (state, reason), names in sorted(models.items()):
        table.add_row(_coloured(state), escape(reason), ", ".join(names))
    out.print(table)


def show_build(out: Console, judgement: Judgement, report: BuildReport) -> None:
    """What was built, what failed and was not reached because of it, and what to do next."""
    if report.models:
        out.print(_built_table(_judged(judgement, report)))
    _show_failures(out, report.failures)
    if report.untouched:
        out.print(f"Not touched because of that: {', '.join(report.untouched)}.")
    if report.failures:
        out.print(
            "What succeeded is complete and recorded. Mend what failed, then repeat `tidemark run`:"
            " it takes up what is still open. dbt's whole message is in logs/dbt.log."
        )
    _show_end(out, judgement, report)


def _show_clock(out: Console, judgement: Judgement) -> None:
    if judgement.seeded:
        out.print("The raw tables of the demo were missing: `dbt seed` made them.")
    out.print(f"The clock stands at {show_time(judgement.as_of)}.")


def _built_table(models: Sequence[Built]) -> Table:
    table = _table("built", "mode", "rows", "partitions", "seconds", "tests")
    _right(table, 2, 3, 4)
    for built in models:
        table.add_row(
            built.model,
            built.mode if built.status == "success" else f"[red]{built.status}[/]",
            _number(built.rows),
            _number(built.partitions),
            f"{built.seconds:.2f}",
            _show_tests(built.tests),
        )
    return table


def _show_end(out: Console, judgement: Judgement, report: BuildReport) -> None:
    """One sentence per outcome."""
    built = {built.model for built in report.models}
    unchanged = [name for name in judgement.models(ModelState.UNCHANGED) if name not in built]
    blocked = judgement.models(ModelState.BLOCKED)
    if report.models:
        views = [built for built in report.models if built not in _judged(judgement, report)]
        out.print(
            f"Ran {_count(_judged(judgement, report), 'model')} and {_count(views, 'view')} beside"
            f" them in {report.seconds:.1f} s, tests included: {_show_tests(report.tests)}."
        )
    if unchanged:
        out.print(f"Skipped {_count(unchanged, 'model')} without new input.")
    if blocked:
        sources = ", ".join(check.source for check in judgement.checks if check.blocks)
        out.print(
            f"[red]Blocked {_count(blocked, 'model')} below {sources}.[/]"
            " They keep what they have, and catch up when the source does."
        )


def _judged(judgement: Judgement, report: BuildReport) -> list[Built]:
    """The models of a build that the gate decided on; the views beside them are only counted."""
    judged = {decision.model for decision in judgement.decisions}
    return [built for built in report.models if built.model in judged]


def _show_tests(tests: Counter[str]) -> str:
    """Test results in words: `5 passed, 1 warned`."""
    words = {"pass": "passed", "warn": "warned", "fail": "failed", "error": "in error"}
    told = [
        f"{number} {words.get(status, status)}"
        for status, number in sorted(tests.items())
        if number
    ]
    return ", ".join(told) if told else "no tests"


def show_gaps(out: Console, look: Look, everything: bool) -> None:
    """A strip of days per table, and below them what is wrong, as ranges of days."""
    first, end = look.window
    out.print(f"The clock stands at {show_time(look.as_of)}.")
    compared = _count(look.compared, "table")
    out.print(f"Compared {compared} from {first} to {end - timedelta(days=1)}, day by day:")
    out.print(_strips_table(look))
    _show_uncompared(out, look)
    ranges = joined(look.gaps(everything))
    if ranges:
        out.print(_gaps_table(ranges))
    else:
        out.print("[green]No gaps.[/]" if not look.failures else "No gaps in what was compared.")
    if elsewhere := len(look.findings) - len(look.gaps(everything=True)):
        out.print(f"Besides, {_partitions(elsewhere)} outside of that, as an earlier look found.")


def _strips_table(look: Look) -> Table:
    table = _table("table", "days", "partitions", "damaged")
    _right(table, 2, 3)
    for model in look.compared:
        days = [day for day in look.days if day.model == model and _is_in(day, look)]
        ended = [day for day in days if not day.is_current]
        table.add_row(
            model,
            "".join(_heat(cell) for cell in strip(days, look.window)),
            f"{sum(day.partitions for day in ended):,}",
            f"{sum(day.damaged for day in ended):,}",
        )
    return table


def _is_in(day: TableDay, look: Look) -> bool:
    return day.day is None or look.window[0] <= day.day < look.window[1]


def _heat(cell: Cell) -> str:
    if cell.is_current:
        return "[dim]?[/]"
    if not cell.partitions:
        return "[dim]·[/]"
    if not cell.damaged:
        return "[green]▁[/]"
    share = cell.damaged / cell.partitions
    height = _HEIGHTS[math.ceil(share * len(_HEIGHTS)) - 1]
    return f"[{_HEAT[math.ceil(share * len(_HEAT)) - 1]}]{height}[/]"


def _gaps_table(ranges: Sequence[GapRange]) -> Table:
    table = _table("table", "entity", "from", "to", "days", "state", "rows off", "plan")
    table.columns[-1].no_wrap = False
    _right(table, 4, 6)
    for gap in ranges:
        table.add_row(
            gap.model,
            escape(gap.entity),
            str(gap.first or "-"),
            str(gap.last or "-"),
            f"{gap.days:,}" if gap.days else "-",
            gap.state,
            f"{gap.rows:,}",
            escape(_plan(gap)),
        )
    return table


def _plan(gap: GapRange) -> str:
    """The plan's decision, and why where it is another one than to repair."""
    return gap.decision if gap.decision == "planned" else f"{gap.decision}: {gap.reason}"


def _show_uncompared(out: Console, look: Look) -> None:
    """What could not be compared is unknown, which is not the same as sound."""
    _show_failures(out, look.failures)
    if unknown := [*dict.fromkeys([f.node for f in look.failures] + look.untouched)]:
        out.print(f"[red]Not compared, so nothing is known of them: {', '.join(unknown)}.[/]")


def _show_failures(out: Console, failures: Sequence[Failure]) -> None:
    for failure in failures:
        out.print(f"[red]The {failure.kind} {failure.node} failed:[/]")
        out.print(escape(failure.message))


def show_plan(out: Console, look: Look) -> None:
    """What a repair would do, and what it leaves alone and why."""
    out.print(f"The clock stands at {show_time(look.as_of)}.")
    _show_uncompared(out, look)
    if not look.findings:
        out.print("[green]Nothing is to be repaired.[/]")
        return
    out.print(_gaps_table(joined(look.findings)))
    planned = [finding for finding in look.findings if finding.decision == "planned"]
    days = {finding.plan_day for finding in planned}
    out.print(f"Planned: {_partitions(len(planned))}, in {_count([*days], 'part')}.")


def show_repair(out: Console, repair: Repair) -> None:
    """One day of the plan, and what came of it."""
    tables = ", ".join(f"{model} ({number:,})" for model, number in repair.partitions.items())
    outcome = f"{repair.repaired:,} repaired"
    if repair.failed:
        outcome += f", [red]{repair.failed:,} failed[/]"
    out.print(f"{repair.day}: {outcome}. {tables}")
    _show_failures(out, repair.failures)


def show_repairs_end(out: Console, repairs: Repairs) -> None:
    """What was done in all, which tests failed afterwards, and what is left to do."""
    repaired = sum(repair.repaired for repair in repairs.done)
    out.print(f"Repaired {_partitions(repaired)} in {_count(repairs.done, 'part')}.")
    _show_failures(out, repairs.failures)
    if any(not repair.is_done for repair in repairs.done):
        out.print(
            "[red]Not all of it could be repaired.[/] The other parts are complete and recorded."
            " ops.backfill_attempts has every attempt, logs/dbt.log dbt's whole messages."
        )
    if repairs.left:
        counts = Counter(finding.decision for finding in repairs.left)
        told = ", ".join(f"{number:,} {decision}" for decision, number in sorted(counts.items()))
        out.print(f"Left: {told}. `tidemark backfill` says why; the next --apply goes on.")


def show_healing(out: Console, healing: Healing) -> None:
    """What a run found to be repaired."""
    if healing.known:
        _show_uncompared(out, healing.known)
    partitions = healing.started.partitions
    if partitions:
        tables = ", ".join(f"{model} ({number:,})" for model, number in partitions.items())
        out.print(f"To be repaired besides: {_partitions(sum(partitions.values()))}: {tables}.")
    else:
        out.print("No repair is planned.")


def show_healed(out: Console, healing: Healing) -> None:
    """What came of it."""
    _show_failures(out, healing.failures)
    if healing.started.models:
        out.print(f"Repaired {_partitions(healing.repaired)}, {healing.failed:,} failed.")


def show_touched(out: Console, touched: Sequence[Touched]) -> None:
    """What would be touched of each table, and why."""
    table = _table("table", "partitions", "rows", "of the table", "why", wrapping=("why",))
    _right(table, 1, 2, 3)
    for each in touched:
        table.add_row(
            each.table,
            _number(each.partitions),
            _number(each.rows),
            f"{each.share:.1%}" if each.share is not None else "-",
            _why(each),
        )
    if touched:
        out.print(table)
    out.print("Nothing was written." if touched else "No table would be touched.")


def _why(touched: Touched) -> str:
    if touched.partitions is None:
        return "rebuilt whole"
    reasons = [f"{reason} ({number:,})" for reason, number in touched.why.items()]
    follows = [f"what {table} changes" for table in touched.follows]
    return ", ".join(reasons + follows) or "nothing"


def touched_as_json(touched: Sequence[Touched]) -> dict[str, Any]:
    """The same as values."""
    return {"touched": [asdict(each) for each in touched]}


def show_steps(out: Console, as_of: datetime, steps: Sequence[Step]) -> None:
    """What a restatement is going to do."""
    out.print(f"The clock stands at {show_time(as_of)}.")
    table = _table("from", "to", "tables", wrapping=("tables",))
    for step in steps:
        last = step.end - timedelta(days=1)
        table.add_row(str(step.first), str(last), ", ".join(step.tables))
    out.print(table)


def show_restated(out: Console, restated: Restated) -> None:
    """One step of a restatement."""
    step = restated.step
    outcome = "[red]failed[/]" if restated.failures else f"{restated.rows:,} rows written"
    out.print(f"{step.first} to {step.end - timedelta(days=1)}: {outcome}.")
    _show_failures(out, restated.failures)


def show_tested(out: Console, failures: Sequence[Failure]) -> None:
    """How the tests of all restated tables went."""
    _show_failures(out, failures)
    out.print("[red]Tests failed.[/]" if failures else "All tests of these tables passed.")


def failures_as_json(failures: Sequence[Failure]) -> dict[str, Any]:
    """Failures that belong to no step."""
    return {"failures": [asdict(failure) for failure in failures]}


def look_as_json(look: Look, everything: bool = True) -> dict[str, Any]:
    """What was compared, day by day, and what is wrong of it."""
    return {
        "as_of": look.as_of.isoformat(),
        "first_day": str(look.window[0]),
        "end_day": str(look.window[1]),
        "tables": [
            {
                "table": model,
                "days": [
                    {
                        "day": str(day.day) if day.day else None,
                        "partitions": day.partitions,
                        "damaged": day.damaged,
                        "is_current": day.is_current,
                    }
                    for day in look.days
                    if day.model == model and _is_in(day, look)
                ],
            }
            for model in look.compared
        ],
        "gaps": [_as_values(gap) for gap in joined(look.gaps(everything))],
        "failures": [asdict(failure) for failure in look.failures],
        "not_compared": look.untouched,
    }


def plan_as_json(repairs: Repairs) -> dict[str, Any]:
    """Every partition with the plan's decision, the repairs that were made, and what failed."""
    known = repairs.known
    return {
        "as_of": known.as_of.isoformat(),
        "plan": [_as_values(finding) for finding in known.findings],
        "failures": [asdict(failure) for failure in [*known.failures, *repairs.failures]],
        "not_compared": known.untouched,
        "repairs": [_as_values(repair) for repair in repairs.done],
        "left": [_as_values(finding) for finding in repairs.left],
    }


def healing_as_json(healing: Healing | None) -> dict[str, Any] | None:
    """What a run repaired besides."""
    if healing is None:
        return None
    return {
        "partitions": dict(healing.started.partitions),
        "repaired": healing.repaired,
        "failed": healing.failed,
        "failures": [
            asdict(failure)
            for failure in [*(healing.known.failures if healing.known else []), *healing.failures]
        ],
    }


def restated_as_json(restated: Restated) -> dict[str, Any]:
    """One step of a restatement."""
    return {
        "first_day": str(restated.step.first),
        "end_day": str(restated.step.end),
        "tables": list(restated.step.tables),
        "rows": restated.rows,
        "failures": [asdict(failure) for failure in restated.failures],
    }


def _as_values(thing: Any) -> dict[str, Any]:
    """A dataclass as JSON values: days as text."""
    values = asdict(thing)
    return {name: str(v) if isinstance(v, date) else v for name, v in values.items()}


def _partitions(number: int) -> str:
    return f"{number:,} partition{'' if number == 1 else 's'}"


def show_health(out: Console, health: Health) -> None:
    """One screen: sources, jobs, the last run, and what is not normal."""
    out.print(f"The clock stands at {show_time(health.as_of)}.")
    out.print(_sources_table(health))
    if jobs := health.of("watermark_lag"):
        out.print(_jobs_table(health, list(jobs)))
    for figure in health.figures:
        if figure.metric == "run_time":
            ended = f"{figure.subject} ended in {figure.detail} after {figure.amount:.1f} s"
            out.print(f"The last run: {ended}, {_short(figure.reference_time)} by the wall clock.")
    findings = [figure for figure in health.figures if figure.level is not Level.NORMAL]
    for level in (Level.CRITICAL, Level.WARNING):
        for metric in dict.fromkeys(f.metric for f in findings if f.level is level):
            told = [f.words for f in findings if (f.level, f.metric) == (level, metric)]
            rest = f" and {len(told) - _FINDINGS} more" if len(told) > _FINDINGS else ""
            words = escape(", ".join(sorted(told)[:_FINDINGS]))
            out.print(f"[{_colour(level)}]{level.word}[/] {metric}: {words}{rest}")
    if not findings:
        out.print("[green]All is normal.[/]")


def _sources_table(health: Health) -> Table:
    columns = ("state", "last load", "age", "warning", "limit", "waiting", "bad rows")
    table = _table("source", *columns, wrapping=columns)
    _right(table, 6, 7)
    for source, figures in health.of("source_age", "waiting_rows").items():
        age, waiting = figures["source_age"], figures["waiting_rows"]
        bad = [f for f in health.figures if f.metric == "quarantined_rows" and _source(f) == source]
        table.add_row(
            source,
            f"[{_colour(age.level)}]{age.detail}[/]",
            _short(age.reference_time),
            _seconds_in_words(age.amount),
            _seconds_in_words(age.warning_at),
            _seconds_in_words(age.critical_at),
            _amount(waiting),
            f"{sum(f.amount or 0 for f in bad):,.0f}" if bad else "-",
        )
    return table


def _jobs_table(health: Health, jobs: Sequence[str]) -> Table:
    columns = ("watermark", "lag", "pending", "last run", "seconds", "rows", "parts")
    table = _table("job", *columns, wrapping=columns)
    _right(table, 2, 3, 5, 6, 7)
    metrics = ("watermark_lag", "pending_rows", "job_failures", "code_drift")
    results = ("job_time", "job_rows", "job_partitions")
    for job, figures in health.of(*metrics, *results).items():
        if job not in jobs:
            continue
        # The level is in the colour and, in words, below the tables.
        level = worst(figures.values())
        seconds = figures["job_time"].amount
        table.add_row(
            f"[{_colour(level)}]{job}[/]",
            _short(health.watermarks.get(job)),
            _seconds_in_words(figures["watermark_lag"].amount),
            _amount(figures["pending_rows"]),
            _short(figures["job_time"].reference_time),
            f"{seconds:.2f}" if seconds is not None else "-",
            _amount(figures["job_rows"]),
            _amount(figures["job_partitions"]),
        )
    return table


def _source(figure: Figure) -> str:
    """Bad rows are told by source and reason."""
    return figure.subject.partition(":")[0]


def _short(moment: datetime | None) -> str:
    return f"{moment:%m-%d %H:%M}" if moment else "-"


def _amount(figure: Figure) -> str:
    return f"{figure.amount:,.0f}" if figure.amount is not None else "-"


def _seconds_in_words(seconds: float | None) -> str:
    return show_seconds(seconds) if seconds is not None else "-"


def show_watermarks(out: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Every job with its watermark, and how its last run ended."""
    table = _table("job", "watermark", "known until", "last run")
    for row in rows:
        watermark, known_until = row["last_processed_timestamp"], row["known_until"]
        table.add_row(
            row["job_name"],
            str(watermark or "- (rebuilt whole by its next run)"),
            str(known_until or "-"),
            row["last_run_status"],
        )
    out.print(table)


def show_cadence(out: Console, cadence: Cadence) -> None:
    """Every source's rhythm; what checks of it found, and what would do; what the gate spared."""
    out.print(f"{cadence.days:g} days up to {show_time(cadence.as_of)}.")
    columns = ("refreshed every", "p95", "last", "lands", "late: p50", "late: p99", "late: max")
    table = _table("source", *columns, wrapping=columns)
    for source in cadence.sources:
        rhythm, lateness = source.rhythm, source.lateness
        table.add_row(
            source.source,
            "all the time" if rhythm.is_stream else _duration(rhythm.median),
            _duration(rhythm.p95),
            _short(rhythm.last),
            source.lands or "-",
            *map(_duration, (lateness.p50, lateness.p99, lateness.max) if lateness else [None] * 3),
        )
    out.print(table)
    is_recorded = cadence.schedule == "recorded"
    checks = "checks" if is_recorded else "checks a day"
    columns = (checks, "useful", "nothing new", "waited", "would do", "checks a day", "waited")
    table = _table("source", *columns, wrapping=columns)
    _right(table, 1, 2, 3, 4, 6, 7)
    days = 1 if is_recorded else cadence.days
    for source in cadence.sources:
        given, advised = source.checks, source.advised_checks
        table.add_row(source.source, *_checks(cadence, days, given, source.advised, advised))
    given, advised = (cadence.all_together.get(key) for key in (cadence.schedule, cadence.advised))
    table.add_section()
    table.add_row("all of them", *_checks(cadence, days, given, cadence.advised, advised))
    out.print(table)
    _show_saved(out, cadence)


def _checks(
    cadence: Cadence, days: float, given: Checks | None, cron: str, advised: Checks | None
) -> list[str]:
    """What checks found, and beside it the schedule that would do, with its checks."""
    cells = ["-"] * 4
    if given is not None and given.saved is not None:
        numbers = [f"{round(number / days, 1):g}" for number in (given.number, given.useful)]
        cells = [*numbers, f"{given.saved:.0%}", _minutes(given.wait)]
    if advised is None:
        return [*cells, "-", "-", "-"]
    return [*cells, cron, f"{round(advised.number / cadence.days, 1):g}", _minutes(advised.wait)]


def _minutes(wait: timedelta | None) -> str:
    """Waiting is counted from the minute; none is no time."""
    return "-" if wait is None else show_duration(wait) if wait else "0 min"


def _show_saved(out: Console, cadence: Cadence) -> None:
    given = cadence.all_together.get(cadence.schedule)
    if given is None:
        out.print("No check is on record. Judge a schedule with --every 15m or --schedule CRON.")
    elif given.saved is not None:
        out.print(
            f"Checks {cadence.schedule}: {given.number}, of which {given.useful} found something"
            f" new in any source, and {given.number - given.useful} nothing ({given.saved:.0%})."
        )
    saved = cadence.saved
    if saved.share_of_runs is not None and saved.share_of_seconds is not None:
        out.print(
            f"The gate skipped {saved.skips} of {saved.builds + saved.skips} runs of models"
            f" ({saved.share_of_runs:.0%}), and {saved.saved:.1f} of"
            f" {saved.spent + saved.saved:.1f} engine seconds ({saved.share_of_seconds:.0%})."
        )
    if cadence.advised:
        out.print(f"One schedule for all: [bold]{cadence.advised}[/] (cron, UTC).")


def cadence_as_json(cadence: Cadence) -> dict[str, Any]:
    """The same, durations in seconds."""
    return dict(_json_value(cadence))


def _json_value(value: Any) -> Any:
    match value:
        case Checks():
            return {**_json_fields(value), "saved": value.saved}
        case Saved():
            return {
                **_json_fields(value),
                "share_of_runs": value.share_of_runs,
                "share_of_seconds": value.share_of_seconds,
            }
        case list():
            return [_json_value(each) for each in value]
        case dict():
            return {key: _json_value(each) for key, each in value.items()}
        case timedelta():
            return int(value.total_seconds())
        case datetime():
            return value.isoformat()
    return _json_fields(value) if is_dataclass(value) else value


def _json_fields(value: Any) -> dict[str, Any]:
    return {field.name: _json_value(getattr(value, field.name)) for field in fields(value)}


def health_as_json(health: Health) -> dict[str, Any]:
    """The figures as the view has them, and the watermarks."""
    return {
        "as_of": health.as_of.isoformat(),
        "level": health.level.word,
        "watermarks": {job: _iso(moment) for job, moment in health.watermarks.items()},
        "figures": [
            {
                **asdict(figure),
                "level": figure.level.word,
                "reference_time": _iso(figure.reference_time),
                "as_of": _iso(figure.as_of),
            }
            for figure in health.figures
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def show_rows(out: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of JSON values, one column per name."""
    table = _table(*(rows[0] if rows else ["no rows"]))
    for row in rows:
        table.add_row(*(escape(json.dumps(value).strip('"')) for value in row.values()))
    out.print(table)


def as_json(judgement: Judgement, report: BuildReport | None = None) -> dict[str, Any]:
    """A judgement, and the build that came of it if there was one, as JSON values."""
    return {
        "as_of": judgement.as_of.isoformat(),
        "seeded": judgement.seeded,
        "sources": [_source_json(check) for check in judgement.checks],
        "models": [_decision_json(decision) for decision in judgement.decisions],
        "build": _build_json(report) if report else None,
    }


def _source_json(check: SourceCheck) -> dict[str, Any]:
    return {
        "source": check.source,
        "state": check.state.value,
        "blocks": check.blocks,
        "last_loaded_at": check.newest.isoformat() if check.newest else None,
        "age_seconds": _seconds(check.age),
        "warn_after_seconds": _seconds(check.warn_after),
        "error_after_seconds": _seconds(check.error_after),
        "reason": check.reason,
    }


def _decision_json(decision: Decision) -> dict[str, Any]:
    return {"model": decision.model, "state": decision.state.value, "reason": decision.reason}


def _build_json(report: BuildReport) -> dict[str, Any]:
    return {
        "models": [
            {
                "model": built.model,
                "status": built.status,
                "mode": built.mode,
                "rows": built.rows,
                "partitions": built.partitions,
                "seconds": built.seconds,
                "tests": dict(built.tests),
            }
            for built in report.models
        ],
        "tests": dict(report.tests),
        "failures": [
            {"node": failure.node, "kind": failure.kind, "message": failure.message}
            for failure in report.failures
        ],
        "untouched": report.untouched,
    }


def _table(*columns: str, wrapping: Sequence[str] = ("reason",)) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        # A name that is looked up and copied is never cut; reasons, lists and times wrap instead.
        table.add_column(column, no_wrap=column not in wrapping)
    return table


def _right(table: Table, *columns: int) -> None:
    for column in columns:
        table.columns[column].justify = "right"


def _colour(state: SourceState | ModelState | Level) -> str:
    return _COLOURS.get(state, "red")


def _coloured(state: SourceState | ModelState) -> str:
    return f"[{_colour(state)}]{state.value}[/]"


def _duration(duration: timedelta | None) -> str:
    return show_duration(duration) if duration is not None else "-"


def _seconds(duration: timedelta | None) -> int | None:
    return int(duration.total_seconds()) if duration is not None else None


def _number(number: int | None) -> str:
    return f"{number:,}" if number is not None else "-"


def _count(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
