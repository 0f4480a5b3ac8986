"""What the macro `gate_facts` reports of the warehouse, joined with the lineage of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidemark.clock import parse_clock, parse_if_known
from tidemark.gate import ChangedCode, ModelFacts
from tidemark.lineage import Lineage


@dataclass(frozen=True)
class SourceFacts:
    """One raw table: `newest_visible` is its greatest load time that the clock has reached."""

    source: str
    exists: bool
    has_rows: bool
    newest_visible: datetime | None
    # why nothing can be built on it, whose columns are not those of the contract
    misfit: str = ""


@dataclass(frozen=True)
class GateFacts:
    """Everything the gate knows before it looks at freshness, and the clock it was seen at."""

    as_of: datetime
    sources: Mapping[str, SourceFacts]
    models: Mapping[str, ModelFacts]
    # What to do about those that are missing.
    advice: str = ""
    # For the record alone, as the macros make and take them.
    figures: Sequence[Mapping[str, Any]] = ()

    @property
    def missing(self) -> list[str]:
        """The sources whose raw table does not exist."""
        return sorted(facts.source for facts in self.sources.values() if not facts.exists)


def read_facts(payload: Mapping[str, Any], lineage: Lineage) -> GateFacts:
    """Read the payload of the `gate_facts` event; the judged models are those it names."""
    judged = payload["models"].keys()
    return GateFacts(
        as_of=parse_clock(payload["as_of"]),
        sources={
            source: SourceFacts(
                source=source,
                exists=facts["exists"],
                has_rows=facts["has_rows"],
                newest_visible=parse_if_known(facts["newest_visible"]),
                misfit=facts["misfit"],
            )
            for source, facts in payload["sources"].items()
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
    )


def _changed_code(told: Mapping[str, Any] | None) -> ChangedCode | None:
    """What the macros say of a table that other code made."""
    if told is None:
        return None
    return ChangedCode(told["policy"], told["why"], parse_if_known(told["since"]))
