"""What the macro `gate_facts` reports of the warehouse, joined with the lineage of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tidemark.clock import parse_clock, parse_if_known
from tidemark.gate import ChangedCode, ModelFacts, SourceCheck, SourceState
from tidemark.lineage import Lineage


@dataclass(frozen=True)
class GateFacts:
    """Everything the gate knows before it decides, and the clock it was seen at."""

    as_of: datetime
    sources: Mapping[str, SourceCheck]
    models: Mapping[str, ModelFacts]
    # What to do about those that are missing.
    advice: str = ""
    # For the record alone, as the macros make and take them.
    figures: Sequence[Mapping[str, Any]] = ()

    # The sources whose raw table does not exist.
    missing: Sequence[str] = ()


def read_facts(
    payload: Mapping[str, Any], lineage: Lineage, problems: Mapping[str, str]
) -> GateFacts:
    """Read the payload of the `gate_facts` event; the judged models are those it names.

    `problems` are the warehouse's words on the sources that it could not read.
    """
    judged = payload["models"].keys()
    return GateFacts(
        as_of=parse_clock(payload["as_of"]),
        sources={
            source: _check(source, facts, problems.get(source))
            for source, facts in sorted(payload["sources"].items())
        },
        models={
            model: ModelFacts(
                model=model,
                sources=lineage.sources_above(model),
                parents=lineage.nearest_above(model, among=judged),
                exists=facts["exists"],
                watermark=parse_if_known(facts["watermark"]),
                built_entry=facts["built_entry"],
                new_rows=facts["new_rows"],
                late_rows=facts["late_rows"],
                failed=facts["failed"],
                changed_keys=facts["changed_keys"],
                is_reset=facts["is_reset"],
                open_requests=facts["open_requests"],
                changed_code=_changed_code(facts["code"]),
            )
            for model, facts in payload["models"].items()
        },
        advice=payload["advice"],
        figures=payload["figures"],
        missing=sorted(name for name, facts in payload["sources"].items() if not facts["exists"]),
    )


def _check(source: str, facts: Mapping[str, Any], problem: str | None) -> SourceCheck:
    """The state is the macro's to say; why a source is in error, in one sentence."""
    if not facts["exists"]:
        problem = "its raw table does not exist"
    elif facts["misfit"]:
        problem = facts["misfit"]
    elif problem is not None:
        advice = f"`tidemark check --contract {source}` says whether its columns fit"
        problem = f"{problem.rstrip('.')}; {advice}"
    return SourceCheck(
        source=source,
        state=SourceState(facts["state"]),
        newest=parse_if_known(facts["newest_visible"]),
        age=_seconds(facts["age"]),
        warn_after=_seconds(facts["limits"]["warning"]),
        error_after=_seconds(facts["limits"]["critical"]),
        problem=problem or "",
    )


def _seconds(told: float | None) -> timedelta | None:
    return timedelta(seconds=told) if told is not None else None


def _changed_code(told: Mapping[str, Any] | None) -> ChangedCode | None:
    """What the macros say of a table that other code made."""
    if told is None:
        return None
    return ChangedCode(told["policy"], told["why"], parse_if_known(told["since"]))
