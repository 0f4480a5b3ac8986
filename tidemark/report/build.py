"""What a build did, and how a run ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tidemark.build import BuildReport, Built
from tidemark.gate import ModelState
from tidemark.judgement import Judgement
from tidemark.report.judgement import judgement_as_json
from tidemark.report.tables import count, number, show_failures, table
from tidemark.report.values import as_values


def show_build(out: Console, judgement: Judgement, report: BuildReport) -> None:
    """What was built, what failed and was not reached because of it, and what to do next."""
    if report.models:
        out.print(_built_table(_judged(judgement, report)))
    show_failures(out, report.failures)
    if report.untouched:
        out.print(f"Not touched because of that: {', '.join(report.untouched)}.")
    if report.failures:
        out.print(
            "What succeeded is complete and recorded. Mend what failed, then repeat `tidemark run`:"
            " it takes up what is still open. dbt's whole message is in logs/dbt.log."
        )
    _show_end(out, judgement, report)
    _show_cheaper(out, [built.model for built in report.models if built.is_refresh_cheaper])


def show_tests(out: Console, report: BuildReport, days: int | None) -> None:
    """What failed, and how the others ended."""
    show_failures(out, report.failures)
    far = f"the last {count(days, 'day')}" if days else "everything"
    out.print(f"Tested {far} in {report.seconds:.1f} s: {_tests(report.tests)}.")


def _show_cheaper(out: Console, tables: Sequence[str]) -> None:
    """Tables that are better refreshed fully than rewritten in so large a part."""
    if tables:
        out.print(
            f"[yellow]Cheaper as a full refresh (dbt build --full-refresh --select TABLE):[/]"
            f" {', '.join(tables)}."
        )


def _built_table(models: Sequence[Built]) -> Table:
    columns = ("built", "mode", "rows", "partitions", "seconds", "tests")
    built_models = table(*columns, right=(2, 3, 4), whole=columns[1:5])
    for built in models:
        built_models.add_row(
            built.model,
            built.mode if built.status == "success" else f"[red]{built.status}[/]",
            number(built.rows),
            number(built.partitions),
            f"{built.seconds:.2f}",
            _tests(built.tests),
        )
    return built_models


def _show_end(out: Console, judgement: Judgement, report: BuildReport) -> None:
    """One sentence per outcome."""
    built = {built.model for built in report.models}
    unchanged = [name for name in judgement.models(ModelState.UNCHANGED) if name not in built]
    blocked = judgement.models(ModelState.BLOCKED)
    if report.models:
        judged = len(_judged(judgement, report))
        out.print(
            f"Ran {count(judged, 'model')} and {count(len(report.models) - judged, 'view')} beside"
            f" them in {report.seconds:.1f} s, tests included: {_tests(report.tests)}."
        )
    if unchanged:
        out.print(f"Skipped {count(len(unchanged), 'model')} without new input.")
    if blocked:
        sources = ", ".join(check.source for check in judgement.checks if check.blocks)
        out.print(
            f"[red]Blocked {count(len(blocked), 'model')} below {sources}.[/]"
            " They keep what they have, and catch up when the source does."
        )


def _judged(judgement: Judgement, report: BuildReport) -> list[Built]:
    """The models of a build that the gate decided on; the views beside them are only counted."""
    judged = {decision.model for decision in judgement.decisions}
    return [built for built in report.models if built.model in judged]


def _tests(tests: Counter[str]) -> str:
    """Test results in words: `5 passed, 1 warned`."""
    words = {"pass": "passed", "warn": "warned", "fail": "failed", "error": "in error"}
    told = [
        f"{results} {words.get(status, status)}"
        for status, results in sorted(tests.items())
        if results
    ]
    return ", ".join(told) if told else "no tests"


def run_as_json(judgement: Judgement, report: BuildReport | None = None) -> dict[str, Any]:
    """A judgement, and the build that came of it if there was one."""
    return {**judgement_as_json(judgement), "build": _as_json(report) if report else None}


def _as_json(report: BuildReport) -> dict[str, Any]:
    return {
        "models": as_values(report.models),
        "tests": dict(report.tests),
        "checks": as_values(report.checks),
        "failures": [
            {"node": failure.node, "kind": failure.kind, "message": failure.message}
            for failure in report.failures
        ],
        "untouched": report.untouched,
    }
