"""What people and programs get to see: rich tables, and the same as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidemark.build import BuildReport, Built
from tidemark.clock import show_duration, show_time
from tidemark.gate import Decision, ModelState, SourceCheck, SourceState
from tidemark.judgement import Judgement

_COLOURS = {
    SourceState.FRESH: "green",
    SourceState.WARN: "yellow",
    ModelState.NEW: "cyan",
    ModelState.UNCHANGED: "dim",
}
# A pipe or a log file has no width of its own; the tables are made for this one.
_WIDTH_WITHOUT_TERMINAL = 110


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
    table = _table("decision", "reason", "models")
    for (state, reason), names in sorted(models.items()):
        table.add_row(_coloured(state), escape(reason), ", ".join(names))
    out.print(table)


def show_build(out: Console, judgement: Judgement, report: BuildReport) -> None:
    """What was built, what failed and was not reached because of it, and what to do next."""
    if report.models:
        out.print(_built_table(_judged(judgement, report)))
    for failure in report.failures:
        out.print(f"[red]The {failure.kind} {failure.node} failed:[/]")
        out.print(escape(failure.message))
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
    for column in table.columns[2:5]:
        column.justify = "right"
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
    unchanged = judgement.models(ModelState.UNCHANGED)
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


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        # A name that is looked up and copied is never cut; reasons and lists wrap instead.
        table.add_column(column, no_wrap=column not in ("reason", "models"))
    return table


def _colour(state: SourceState | ModelState) -> str:
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
