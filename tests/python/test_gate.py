"""The gate's decisions, from facts alone: no dbt, no warehouse."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from tidemark.build import BuildReport, Failure, exit_code, selection
from tidemark.clock import parse_clock, parse_day, show_duration, show_time
from tidemark.facts import read_facts
from tidemark.gate import (
    ChangedCode,
    Decision,
    ModelFacts,
    ModelState,
    SourceCheck,
    SourceState,
    decide,
)
from tidemark.judgement import Judgement
from tidemark.lineage import Lineage

CLOCK = datetime(2025, 10, 15, 12)
HOUR = timedelta(hours=1)


def source(state: SourceState, name: str = "events", **known: object) -> SourceCheck:
    """A source with limits, an hour old unless told otherwise."""
    facts: dict[str, object] = {"age": HOUR, "warn_after": 2 * HOUR, "error_after": 6 * HOUR}
    return SourceCheck(name, state, **(facts | known))  # type: ignore[arg-type]


def model(name: str = "daily", **known: object) -> ModelFacts:
    """A model that was built at the clock and has nothing to do."""
    facts: dict[str, object] = {
        "sources": frozenset({"events"}),
        "watermark": CLOCK,
        "built_entry": 10,
        "new_rows": {"events": 0},
        "late_rows": {"events": 0},
    }
    return ModelFacts(name, **(facts | known))  # type: ignore[arg-type]


def judge(facts: ModelFacts, *checks: SourceCheck) -> Decision:
    (decision,) = decide([facts], checks or [source(SourceState.FRESH)])
    return decision


# ---- sources ----


def told_of(state: str, **known: object) -> SourceCheck:
    """What the gate reads from what the macros say of a source, whose limit is six hours."""
    facts = {
        "exists": True,
        "misfit": "",
        "state": state,
        "age": 3600.5,
        "limits": {"warning": None, "critical": 21600},
        "newest_visible": "2025-10-15T11:00:00",
    }
    told = {"as_of": "2025-10-15T12:00:00", "sources": {"events": {**facts, **known}}}
    lineage = Lineage({}, {}, frozenset())
    payload = {**told, "models": {}, "advice": "", "figures": []}
    return read_facts(payload, lineage, {"events": "boom."}).sources["events"]


@pytest.mark.parametrize("state", list(SourceState))
def test_only_a_fresh_source_or_a_late_one_is_built_on(state: SourceState) -> None:
    check = told_of(state.value)
    assert (check.state, check.age) == (state, HOUR + timedelta(seconds=0.5))
    assert check.blocks == (state not in (SourceState.FRESH, SourceState.WARN))


def test_a_source_without_a_limit_never_blocks() -> None:
    check = told_of("empty", limits={"warning": None, "critical": None})
    assert check.error_after is None
    assert not check.blocks


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        ({"exists": False}, "its raw table does not exist"),
        ({"misfit": "it has no column id"}, "it has no column id"),
        ({}, "boom; `tidemark check --contract events` says whether its columns fit"),
    ],
)
def test_a_source_that_could_not_be_read_blocks_without_a_limit(
    known: dict[str, object], problem: str
) -> None:
    check = told_of("error", limits={"warning": None, "critical": None}, **known)
    assert (check.blocks, check.problem) == (True, problem)


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (source(SourceState.FRESH), "events is fresh: last loaded 1 h ago."),
        (
            source(SourceState.WARN, age=timedelta(hours=3, minutes=5)),
            "events is late: last loaded 3 h 5 min ago, a warning is due after 2 h.",
        ),
        (
            source(SourceState.STALE, age=timedelta(hours=8, seconds=59)),
            "events is stale: last loaded 8 h ago, the limit is 6 h.",
        ),
        (source(SourceState.EMPTY, age=None), "events is empty: it holds no rows."),
        (
            source(SourceState.FUTURE, age=None),
            "events is in the future: it holds rows, but none loaded by the clock of this run. "
            "A load time of now() never is: stamp rows when they are loaded.",
        ),
        (source(SourceState.ERROR, problem="boom"), "events could not be checked: boom."),
    ],
)
def test_reason_of_a_source(check: SourceCheck, reason: str) -> None:
    assert check.reason == reason


# ---- one model ----


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        (
            model(),
            ModelState.UNCHANGED,
            "No new rows in events since 2025-10-15 12:00 UTC.",
        ),
        (model(exists=False, watermark=None), ModelState.NEW, "Never built."),
        (model(exists=False, new_rows={"events": 3}), ModelState.NEW, "Never built."),
        (model(watermark=None), ModelState.NEW, "No successful run of it is on record."),
        (
            model(is_reset=True),
            ModelState.NEW,
            "Its watermark was reset to 2025-10-15 12:00 UTC.",
        ),
        (model(is_reset=True, watermark=None), ModelState.NEW, "Its watermark was reset."),
        (model(new_rows={"events": 1}), ModelState.NEW, "1 new row in events."),
        (model(new_rows={"events": 1234}), ModelState.NEW, "1,234 new rows in events."),
        (
            model(late_rows={"events": 2}),
            ModelState.NEW,
            "2 rows of events arrived behind its watermark.",
        ),
        (
            model(late_rows={"events": -1}),
            ModelState.NEW,
            "1 row of events disappeared behind its watermark.",
        ),
        (model(failed=True), ModelState.NEW, "It or a test of it failed the last time."),
        (model(changed_keys=1), ModelState.NEW, "1 changed partition to take over."),
        (model(changed_keys=1200), ModelState.NEW, "1,200 changed partitions to take over."),
        (model(open_requests=2), ModelState.NEW, "2 requested partitions to recompute."),
        (
            model(new_rows={"events": 5}, open_requests=1),
            ModelState.NEW,
            "5 new rows in events. 1 requested partition to recompute.",
        ),
        (
            model(changed_code=ChangedCode("rebuild", "models/daily.sql:7")),
            ModelState.NEW,
            "Its code changed (models/daily.sql:7): it is rebuilt whole.",
        ),
        (
            model(changed_code=ChangedCode("keep", "setting days"), new_rows={"events": 5}),
            ModelState.NEW,
            "5 new rows in events. Its code changed (setting days); its old rows are kept.",
        ),
        (
            model(changed_code=ChangedCode("told", "macro rule", parse_clock("2025-10-14T12:00"))),
            ModelState.UNCHANGED,
            "No new rows in events since 2025-10-15 12:00 UTC. Its code changed (macro rule)"
            " since 2025-10-14 12:00 UTC; what it holds cannot be rebuilt.",
        ),
        (model(sources=frozenset()), ModelState.UNCHANGED, "No source above it."),
    ],
)
def test_a_model_below_a_fresh_source(facts: ModelFacts, state: ModelState, reason: str) -> None:
    assert judge(facts) == Decision("daily", state, reason)


def test_a_held_model_waits_and_so_does_what_is_below_it() -> None:
    held = model("daily", changed_code=ChangedCode("hold", "models/daily.sql:7"), failed=True)
    below = model("weekly", parents=frozenset({"daily"}), new_rows={"events": 5})
    beside = model("hourly", new_rows={"events": 5})
    decided = {
        decision.model: decision
        for decision in decide([held, below, beside], [source(SourceState.FRESH)])
    }
    assert decided["daily"].reason == (
        "Held: its code changed (models/daily.sql:7). `tidemark plan` shows what that means, and"
        " `tidemark plan --apply` does it."
    )
    assert decided["weekly"].reason == "Waits: daily is held."
    states = [decided[name].state for name in ("daily", "weekly", "hourly")]
    assert states == [ModelState.BLOCKED, ModelState.BLOCKED, ModelState.NEW]


@pytest.mark.parametrize(
    ("state", "blocked"),
    [
        (SourceState.FRESH, False),
        (SourceState.WARN, False),
        (SourceState.STALE, True),
        (SourceState.EMPTY, True),
        (SourceState.FUTURE, True),
        (SourceState.ERROR, True),
    ],
)
@pytest.mark.parametrize("facts", [model(), model(new_rows={"events": 9}), model(exists=False)])
def test_what_blocks_a_model(facts: ModelFacts, state: SourceState, blocked: bool) -> None:
    assert (judge(facts, source(state)).state is ModelState.BLOCKED) == blocked
    # without an error limit there is no cadence to miss, but there may be no table
    without_limit = judge(facts, source(state, error_after=None))
    assert (without_limit.state is ModelState.BLOCKED) == (state is SourceState.ERROR)


def test_one_bad_source_of_several_blocks_and_is_named() -> None:
    facts = model(sources=frozenset({"events", "files"}), new_rows={"files": 4})
    stale = source(SourceState.STALE, age=timedelta(hours=8))
    decision = judge(facts, source(SourceState.FRESH, "files"), stale)
    assert decision.state is ModelState.BLOCKED
    assert decision.reason == "Waits: events is stale: last loaded 8 h ago, the limit is 6 h."


def test_a_source_that_nobody_checked_fails_closed() -> None:
    decision = judge(model(sources=frozenset({"forgotten"})))
    assert decision.state is ModelState.BLOCKED


# ---- models above models ----


def two(parent: ModelFacts, child: ModelFacts, *checks: SourceCheck) -> dict[str, Decision]:
    """Judge a child (given first, so that the order is the gate's own) below a parent."""
    made = decide([child, parent], checks or [source(SourceState.FRESH)])
    assert [decision.model for decision in made] == [parent.model, child.model]
    return {decision.model: decision for decision in made}


def test_a_model_below_a_new_one_is_new() -> None:
    made = two(
        model("a", new_rows={"events": 1}), model("b", parents=frozenset({"a"}), built_entry=11)
    )
    assert made["b"] == Decision("b", ModelState.NEW, "a is built in this run.")


def test_a_model_that_missed_its_turn_is_new() -> None:
    made = two(model("a", built_entry=12), model("b", parents=frozenset({"a"}), built_entry=11))
    assert made["a"].state is ModelState.UNCHANGED
    assert made["b"] == Decision("b", ModelState.NEW, "a was built after it.")


def test_a_model_built_after_its_parent_is_unchanged() -> None:
    made = two(model("a", built_entry=10), model("b", parents=frozenset({"a"}), built_entry=11))
    assert made["b"].state is ModelState.UNCHANGED


def test_a_blocked_branch_leaves_its_parents_running() -> None:
    made = two(
        model("a", new_rows={"events": 1}),
        model("b", parents=frozenset({"a"}), sources=frozenset({"events", "files"})),
        source(SourceState.FRESH),
        source(SourceState.STALE, "files"),
    )
    assert made["a"].state is ModelState.NEW
    assert made["b"].state is ModelState.BLOCKED


def test_a_parent_without_facts_is_no_reason() -> None:
    assert judge(model(parents=frozenset({"switched_off"}))).state is ModelState.UNCHANGED


# ---- what is built with what ----

GRAPH = {
    "staged_events": {"events"},
    "staged_files": {"files"},
    "daily": {"staged_events"},
    "names": {"staged_files"},
    "report": {"daily", "names"},
    "quarantine": {"staged_events", "staged_files"},
    "ledger": set(),
}
LINEAGE = Lineage(
    names={name: name for name in [*GRAPH, "events", "files"]},
    parents={name: frozenset(parents) for name, parents in GRAPH.items()},
    sources=frozenset({"events", "files"}),
)
JUDGED = ["daily", "names", "report"]


def test_lineage_over_any_number_of_models() -> None:
    assert LINEAGE.sources_above("report") == {"events", "files"}
    assert LINEAGE.sources_above("daily") == {"events"}
    assert LINEAGE.nearest_above("report", among=JUDGED) == {"daily", "names"}
    assert LINEAGE.nearest_above("report", among=["staged_files"]) == {"staged_files"}
    assert LINEAGE.ends(JUDGED) == {"quarantine", "ledger"}


def test_views_ride_along_with_what_is_new() -> None:
    assert selection(LINEAGE, ["daily"], JUDGED) == [
        *["ledger", "quarantine", "staged_events", "staged_files"],
        "daily",
    ]


def test_a_view_over_a_missing_table_stays_at_home() -> None:
    assert selection(LINEAGE, ["daily"], JUDGED, out_of_reach=frozenset({"files"})) == [
        *["ledger", "staged_events"],
        "daily",
    ]


@pytest.mark.parametrize(
    ("states", "failed", "code"),
    [
        ([ModelState.NEW], False, 0),
        ([ModelState.NEW, ModelState.UNCHANGED], False, 0),
        ([ModelState.UNCHANGED], False, 99),
        ([], False, 99),
        ([ModelState.BLOCKED, ModelState.NEW], False, 3),
        ([ModelState.BLOCKED, ModelState.UNCHANGED], False, 3),
        ([ModelState.NEW], True, 1),
        ([ModelState.NEW, ModelState.BLOCKED], True, 1),
    ],
)
def test_exit_code(states: list[ModelState], failed: bool, code: int) -> None:
    judgement = Judgement(CLOCK, [], [Decision("m", state, "") for state in states])
    failures = [Failure("m", "test", "boom")] if failed else []
    assert exit_code(judgement, BuildReport(failures=failures), skip=99) == code


# ---- times ----


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-15T12:00:00",
        "2025-10-15 12:00",
        "2025-10-15T12:00:00Z",
        "2025-10-15T12:00:00.0+00:00",
        "2025-10-15T12:00:00.000000999Z",
        "2025-10-15T14:00:00+02:00",
        "2025-10-15T07:00:00-0500",
        # as PostgreSQL's COPY writes it, and others
        "2025-10-15 12:00:00+00",
        "2025-10-15 14:00:00.000000+02",
        "2025-10-15T12Z",
        "2025-10-15T12",
        "2025-10-15T12:00:00,000000Z",
        "2025-10-15t12:00:00z",
        "2025-10-15T07:00\u221205:00",
        "20251015T120000Z",
        "20251015T14+0200",
        "2025-288T12:00:00",
        "2025288T1200",
        "2025-W42-3T12:00:00Z",
        "2025W423T12",
        "2025-10-16T01:30+13:30",
        "2025-10-15T11:59,999999999999Z",
        "2025-10-15T11.9999999999",
        "2025-10-14T24:00:00-12:00",
    ],
)
def test_clocks_are_read_as_utc(text: str) -> None:
    # a fraction is cut off at the microsecond
    assert timedelta() <= CLOCK - parse_clock(text) <= timedelta(microseconds=1)


@pytest.mark.parametrize(
    "text",
    [
        *("2025-10-15T00:00:00.000000", "2025-10-15", "20251015", "2025-288", "2025-W42-3"),
        *("2025-10-14T24:00:00", "20251014T24", "2025-10-14T24:00:00,000Z"),
    ],
)
def test_a_day_alone_is_its_midnight(text: str) -> None:
    assert parse_clock(text) == datetime(2025, 10, 15)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2025-13-01", "2025-02-30", "12:00", "15.10.2025"),
        *("0001-01-01T00:00+05:00", "9999-12-31T24:00:00", "9999-12-31T23:00-02:00"),
        # only a part of a day, or one of several
        *("2025", "2025-10", "2025-W42", "251015", "10/11/2025", "2025-366", "2025-W60-1"),
        # seconds since 1970 are no date, whatever digits they have
        *("1760522400", "1760122400", "1760522400000", "2025101512", "2025-10-15 1200 CET"),
        *("2025-10-15T24:00:01", "2025-10-15T24:00,5", "2025-10-15T25", "2025-10-15T12:60"),
        *("2025-10-15_12:00", "2025-10-15T12:00:00 +02:00", "2025-10-15T", "2025-1-5"),
        *("+12025-10-15", "2025-10-15T12:00:00+24:00", "\uff12025-10-15"),
    ],
)
def test_what_is_no_clock(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_clock(text)


@pytest.mark.parametrize("text", ["2025-10-15", "20251015", "2025-288", "2025-W42-3"])
def test_days_in_all_ways_of_the_standard(text: str) -> None:
    assert parse_day(text) == date(2025, 10, 15)


@pytest.mark.parametrize("text", ["2025-10-15T00:00", "2025-1-5", "2025-10", "15.10.2025"])
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        parse_day(text)


def test_times_for_people() -> None:
    assert show_time(CLOCK) == "2025-10-15 12:00 UTC"
    assert show_time(CLOCK + timedelta(seconds=5)) == "2025-10-15 12:00:05 UTC"
    assert show_duration(timedelta(seconds=59)) == "less than a minute"
    assert show_duration(timedelta(minutes=55)) == "55 min"
    assert show_duration(timedelta(hours=54)) == "54 h"
    assert show_duration(timedelta(days=3, hours=4, minutes=2)) == "3 d 4 h"
