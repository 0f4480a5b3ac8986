"""What the gate sees and decides: sources, decisions, and both in short before a build."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from tidemark.clock import show_time
from tidemark.gate import ModelState, SourceCheck, SourceState
from tidemark.judgement import Judgement
from tidemark.report import tables
from tidemark.report.tables import colour, coloured, duration, table
from tidemark.report.values import as_values


def show_sources(out: Console, judgement: Judgement) -> None:
    """Every source with its state, age and limits."""
    _show_clock(out, judgement)
    columns = ("source", "state", "last load", "age", "warning", "limit")
    sources = table(*columns, whole=("state", "last load"))
    for check in judgement.checks:
        sources.add_row(
            check.source,
            coloured(check.state),
            show_time(check.newest) if check.newest else "-",
            duration(check.age),
            duration(check.warn_after),
            duration(check.error_after),
        )
    out.print(sources)
    _show_advice(out, judgement)


def show_decisions(out: Console, judgement: Judgement) -> None:
    """Every model with the gate's decision and its reason."""
    decisions = table("model", "decision", "reason", whole=("decision",))
    for decision in judgement.decisions:
        decisions.add_row(decision.model, coloured(decision.state), escape(decision.reason))
    out.print(decisions)


def show_judgement(out: Console, judgement: Judgement) -> None:
    """What is decided for which reason, headed by the clock and the sources that are not fresh."""
    _show_clock(out, judgement)
    for check in judgement.checks:
        if check.state is not SourceState.FRESH:
            out.print(f"[{colour(check.state)}]{escape(check.reason)}[/]")
    _show_advice(out, judgement)
    models: dict[tuple[ModelState, str], list[str]] = {}
    for decision in judgement.decisions:
        models.setdefault((decision.state, decision.reason), []).append(decision.model)
    decisions = table("decision", "reason", "models", whole=("decision",))
    for (state, reason), names in sorted(models.items()):
        decisions.add_row(coloured(state), escape(reason), ", ".join(names))
    out.print(decisions)


def _show_advice(out: Console, judgement: Judgement) -> None:
    if judgement.advice:
        out.print(escape(judgement.advice))


def _show_clock(out: Console, judgement: Judgement) -> None:
    if judgement.seeded:
        out.print("The raw tables of the demo were missing: `dbt seed` made them.")
    tables.show_clock(out, judgement.as_of)


def judgement_as_json(judgement: Judgement) -> dict[str, Any]:
    """Every source and every decision."""
    return {
        "as_of": judgement.as_of.isoformat(),
        "seeded": judgement.seeded,
        "advice": judgement.advice or None,
        "sources": [_source(check) for check in judgement.checks],
        "models": [
            {"model": each.model, "state": each.state.value, "reason": each.reason}
            for each in judgement.decisions
        ],
    }


def _source(check: SourceCheck) -> dict[str, Any]:
    return {
        "source": check.source,
        "state": check.state.value,
        "blocks": check.blocks,
        "last_loaded_at": as_values(check.newest),
        "age_seconds": as_values(check.age),
        "warn_after_seconds": as_values(check.warn_after),
        "error_after_seconds": as_values(check.error_after),
        "reason": check.reason,
    }
