"""From dbt's freshness results to the gate's source states.

dbt knows `pass`, `warn`, `error` and `runtime error`. A source without rows, or with rows from the
future only, is an `error` two thousand years old to dbt; the facts tell these apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tidemark.facts import SourceFacts
from tidemark.gate import SourceCheck, SourceState
from tidemark.messages import in_one_line

_STATES = {"pass": SourceState.FRESH, "warn": SourceState.WARN, "error": SourceState.STALE}


@dataclass(frozen=True)
class Freshness:
    """dbt's result for one source, limits included."""

    source: str
    status: str
    age: timedelta | None = None
    warn_after: timedelta | None = None
    error_after: timedelta | None = None
    message: str = ""

    @property
    def computed(self) -> bool:
        """Whether dbt could look at the source at all."""
        return self.status in _STATES

    @classmethod
    def of(cls, result: Any) -> Freshness:
        """Read one result of `dbt source freshness`; one that could not be computed has no age."""
        age = getattr(result, "age", None)
        limits = result.node.freshness
        return cls(
            source=result.node.name,
            status=str(result.status),
            age=timedelta(seconds=age) if age is not None else None,
            warn_after=_limit(limits.warn_after if limits else None),
            error_after=_limit(limits.error_after if limits else None),
            message=in_one_line(result.message or ""),
        )


def assess(
    facts: Mapping[str, SourceFacts], results: Iterable[Freshness], as_of: datetime
) -> list[SourceCheck]:
    """Give every source its state. One that dbt did not report has no limits to miss."""
    by_source = {result.source: result for result in results}
    return [
        _assess(facts[source], by_source.get(source, Freshness(source, "pass")), as_of)
        for source in sorted(facts)
    ]


def _assess(facts: SourceFacts, result: Freshness, as_of: datetime) -> SourceCheck:
    problem = ""
    if not facts.exists:
        state, problem = SourceState.ERROR, "its raw table does not exist"
    elif facts.misfit:
        state, problem = SourceState.ERROR, facts.misfit
    elif not result.computed:
        state = SourceState.ERROR
        advice = f"`tidemark check --contract {facts.source}` says whether its columns fit"
        problem = f"{result.message.rstrip('.')}; {advice}"
    elif not facts.has_rows:
        state = SourceState.EMPTY
    elif facts.newest_visible is None:
        state = SourceState.FUTURE
    else:
        state = _STATES[result.status]
    newest = facts.newest_visible
    return SourceCheck(
        source=facts.source,
        state=state,
        newest=newest,
        age=as_of - newest if newest is not None else None,
        warn_after=result.warn_after,
        error_after=result.error_after,
        problem=problem,
    )


def _limit(threshold: Any) -> timedelta | None:
    """dbt's `{count: 6, period: hour}`; a limit that is not set has neither."""
    if threshold is None or threshold.count is None:
        return None
    return timedelta(**{f"{threshold.period}s": threshold.count})
