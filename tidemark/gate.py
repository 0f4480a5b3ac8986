"""The gate: decide from facts which models are built now. Pure functions; nothing here calls dbt.

A model is judged with all the sources above it, over any number of models in between. Judging per
model, not per source, is what keeps a model whose turn was missed (a failed test above it, a build
of a subset, a fresh clone of one table) from being forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from graphlib import TopologicalSorter

from tidemark.clock import show_duration, show_time


class SourceState(str, Enum):
    """What freshness says of a source at the clock of the run."""

    FRESH = "fresh"
    WARN = "warn"
    STALE = "stale"
    EMPTY = "empty"
    FUTURE = "future"
    ERROR = "error"


class ModelState(str, Enum):
    """What the gate says of a model; only a new one is built."""

    NEW = "new"
    UNCHANGED = "unchanged"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class SourceCheck:
    """One source at the clock of the run; `problem` is what kept it from being checked."""

    source: str
    state: SourceState
    newest: datetime | None = None
    age: timedelta | None = None
    warn_after: timedelta | None = None
    error_after: timedelta | None = None
    problem: str = ""

    @property
    def blocks(self) -> bool:
        """Whether models below wait for it; without an error limit there is no cadence to miss.

        One that is not there, or that nobody could look at, has no rows to build on.
        """
        if self.error_after is None:
            return self.state is SourceState.ERROR
        return self.state not in (SourceState.FRESH, SourceState.WARN)

    @property
    def reason(self) -> str:
        """The state as one sentence."""
        return f"{self.source} {_predicate(self)}."


@dataclass(frozen=True)
class ChangedCode:
    """Other code than the project's made a table: through what, and since when that is seen.

    `policy` is `rebuild`, `hold` or `keep`; `told` of a snapshot, which nothing rebuilds.
    """

    policy: str
    why: str
    since: datetime | None = None

    @property
    def reason(self) -> str:
        """What happens, as one sentence."""
        since = f" since {show_time(self.since)}" if self.since else ""
        match self.policy:
            case "rebuild":
                return f"Its code changed ({self.why}): it is rebuilt whole."
            case "hold":
                return (
                    f"Held: its code changed ({self.why}){since}. `tidemark plan` shows what that"
                    " means, and `tidemark plan --apply` does it."
                )
            case "keep":
                return f"Its code changed ({self.why}){since}; its old rows are kept."
        return f"Its code changed ({self.why}){since}; what it holds cannot be rebuilt."


@dataclass(frozen=True)
class ModelFacts:
    """What the warehouse and the manifest know of a model before it is judged.

    `sources` are all sources above it, `parents` the nearest judged models above it. `new_rows` are
    visible rows loaded after its watermark; `late_rows`, per source, how many more rows than at its
    last run lie in the overlap before the watermark. `changed_keys` are partitions that a table of
    sessions above it changed and that it has not taken over yet. `failed` says that it, or a test
    of it, failed since it was last built, `is_reset` that somebody has set its watermark,
    `changed_code` that other code made it.
    """

    model: str
    sources: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()
    exists: bool = True
    watermark: datetime | None = None
    built_entry: int | None = None
    new_rows: Mapping[str, int] = field(default_factory=dict)
    late_rows: Mapping[str, int] = field(default_factory=dict)
    changed_keys: int = 0
    open_requests: int = 0
    failed: bool = False
    is_reset: bool = False
    changed_code: ChangedCode | None = None


@dataclass(frozen=True)
class Decision:
    """The gate's word on one model, and why."""

    model: str
    state: ModelState
    reason: str
    # Its code changed, or that of a table above it, and somebody is to decide what follows.
    is_held: bool = False
    code: ChangedCode | None = field(default=None, compare=False)


def decide(facts: Iterable[ModelFacts], checks: Iterable[SourceCheck]) -> list[Decision]:
    """Judge every model, parents before children."""
    by_model = {fact.model: fact for fact in facts}
    by_source = {check.source: check for check in checks}
    order = TopologicalSorter(
        {name: sorted(fact.parents & by_model.keys()) for name, fact in sorted(by_model.items())}
    )
    decisions: dict[str, Decision] = {}
    for name in order.static_order():
        decisions[name] = _judge(by_model[name], by_model, by_source, decisions)
    return list(decisions.values())


def _judge(
    facts: ModelFacts,
    models: Mapping[str, ModelFacts],
    checks: Mapping[str, SourceCheck],
    decisions: Mapping[str, Decision],
) -> Decision:
    """Judge one model whose parents have been judged."""
    blockers = [check for name in sorted(facts.sources) if (check := _check(name, checks)).blocks]
    parents = [models[name] for name in sorted(facts.parents) if name in models]
    code = facts.changed_code
    is_held = code is not None and code.policy == "hold"
    held = [parent.model for parent in parents if decisions[parent.model].is_held]
    if blockers:
        state, reasons = ModelState.BLOCKED, [f"Waits: {check.reason}" for check in blockers]
    elif code and is_held:
        state, reasons = ModelState.BLOCKED, [code.reason]
    elif held:
        state, reasons = ModelState.BLOCKED, [f"Waits: {name} is held." for name in held]
    elif news := [*_news(facts)] or [*_news_of_parents(facts, parents, decisions)]:
        state, reasons = ModelState.NEW, news
    else:
        state, reasons = ModelState.UNCHANGED, [_nothing_new(facts)]
    if code and not is_held and code.policy != "rebuild":
        reasons.append(code.reason)
    return Decision(facts.model, state, " ".join(reasons), is_held or bool(held), code)


def _check(source: str, checks: Mapping[str, SourceCheck]) -> SourceCheck:
    """The check of a source; one that nobody made fails closed."""
    unchecked = SourceCheck(source, SourceState.ERROR, problem="nothing was reported of it")
    return checks.get(source, unchecked)


def _news(facts: ModelFacts) -> Iterator[str]:
    """Why the model itself has something to do, a sentence each."""
    if not facts.exists:
        yield "Never built."
    elif facts.is_reset:
        since = f" to {show_time(facts.watermark)}" if facts.watermark else ""
        yield f"Its watermark was reset{since}."
    elif facts.watermark is None:
        yield "No successful run of it is on record."
    else:
        for source, rows in sorted(facts.new_rows.items()):
            if rows > 0:
                yield f"{_count(rows, 'new row')} in {source}."
        for source, rows in sorted(facts.late_rows.items()):
            if rows > 0:
                yield f"{_count(rows, 'row')} of {source} arrived behind its watermark."
            elif rows < 0:
                yield f"{_count(-rows, 'row')} of {source} disappeared behind its watermark."
    if facts.changed_keys > 0:
        yield f"{_count(facts.changed_keys, 'changed partition')} to take over."
    if facts.changed_code and facts.changed_code.policy == "rebuild":
        yield facts.changed_code.reason
    if facts.failed:
        yield "It or a test of it failed the last time."
    if facts.open_requests > 0:
        yield f"{_count(facts.open_requests, 'requested partition')} to recompute."


def _news_of_parents(
    facts: ModelFacts, parents: list[ModelFacts], decisions: Mapping[str, Decision]
) -> Iterator[str]:
    """Which models above it change in this run, or changed since it was built."""
    for parent in parents:
        if decisions[parent.model].state is ModelState.NEW:
            yield f"{parent.model} is built in this run."
        elif (parent.built_entry or 0) > (facts.built_entry or 0):
            yield f"{parent.model} was built after it."


def _nothing_new(facts: ModelFacts) -> str:
    """Why nothing is to be done."""
    if not facts.sources:
        return "No source above it."
    since = f" since {show_time(facts.watermark)}" if facts.watermark else ""
    *others, last = sorted(facts.sources)
    return f"No new rows in {', '.join(others)}{' or ' if others else ''}{last}{since}."


def _predicate(check: SourceCheck) -> str:
    """What the reason says of a source, in the words of its state."""
    age = f"last loaded {show_duration(check.age)} ago" if check.age is not None else "age unknown"
    match check.state:
        case SourceState.STALE:
            return f"is stale: {age}, {_limit('the limit is', check.error_after)}"
        case SourceState.WARN:
            return f"is late: {age}, {_limit('a warning is due after', check.warn_after)}"
        case SourceState.EMPTY:
            return "is empty: it holds no rows"
        case SourceState.FUTURE:
            return (
                "is in the future: it holds rows, but none loaded by the clock of this run. A load"
                " time of now() never is: stamp rows when they are loaded"
            )
        case SourceState.ERROR:
            return f"could not be checked: {check.problem or 'no reason was given'}"
        case SourceState.FRESH:
            return f"is fresh: {age}"


def _limit(words: str, limit: timedelta | None) -> str:
    return f"{words} {show_duration(limit)}" if limit is not None else "without a limit"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
