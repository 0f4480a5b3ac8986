"""The order of things: facts, freshness, decisions, their record, and the build of what is new."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidemark.engine import Dbt, DbtError, Outcome
from tidemark.exits import Exit
from tidemark.facts import GateFacts, read_facts
from tidemark.freshness import Freshness, assess
from tidemark.gate import Decision, ModelState, SourceCheck, decide
from tidemark.lineage import Lineage

_BUILT = ("model", "snapshot")
_TESTS = ("test", "unit_test")


@dataclass(frozen=True)
class Judgement:
    """The gate's table at one clock, and what it takes to act on it."""

    as_of: datetime
    checks: list[SourceCheck]
    decisions: list[Decision]
    missing: list[str] = field(default_factory=list)
    seeded: bool = False

    def models(self, state: ModelState) -> list[str]:
        """The names of the models in a state, parents before children."""
        return [decision.model for decision in self.decisions if decision.state is state]


@dataclass
class Built:
    """One relation of the build; its post-hook reported `mode`, `rows` and `partitions`."""

    model: str
    status: str
    seconds: float
    mode: str
    rows: int | None = None
    partitions: int | None = None
    tests: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Failure:
    """A node that failed, with the first lines of what dbt says of it."""

    node: str
    kind: str
    message: str


@dataclass
class BuildReport:
    """What one `dbt build` did: relations, tests, failures, and what it did not reach."""

    models: list[Built] = field(default_factory=list)
    tests: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)


def judge(dbt: Dbt, as_of: datetime | None = None) -> Judgement:
    """Ask, decide and record. The first answer fixes the clock; every later call is handed it."""
    facts = _gate_facts(dbt, as_of)
    seeded = bool(facts.missing) and dbt.seeds.issuperset(facts.missing)
    if seeded:
        _succeed(dbt.call("seed", as_of=facts.as_of))
        facts = _gate_facts(dbt, facts.as_of)
    # Stale sources make dbt exit with an error of its own; for the gate they are an answer.
    freshness = dbt.call("source", "freshness", as_of=facts.as_of)
    results = [Freshness.of(result) for result in _of_kind(freshness, "source")]
    checks = assess(facts.sources, results, facts.as_of)
    decisions = decide(facts.models.values(), checks)
    dbt.operate("record_checks", {"checks": _records(checks, decisions)}, facts.as_of)
    return Judgement(facts.as_of, checks, decisions, facts.missing, seeded)


def build(dbt: Dbt, judgement: Judgement) -> BuildReport:
    """Build the new models with their tests, and the views that go with them."""
    new = judgement.models(ModelState.NEW)
    if not new:
        return BuildReport()
    judged = [decision.model for decision in judgement.decisions]
    selected = selection(dbt.lineage, new, judged, judgement.missing)
    # Unit tests judge the code on rows of their own: new input cannot make them fail.
    outcome = dbt.call(
        "build",
        *("--select", *selected),
        *("--indirect-selection", "buildable"),
        *("--exclude-resource-type", "unit_test"),
        as_of=judgement.as_of,
    )
    return report_build(outcome, dbt.lineage)


def selection(
    lineage: Lineage, new: Iterable[str], judged: Iterable[str], missing: Iterable[str] = ()
) -> list[str]:
    """What a build names: the new models, and beside them models without a decision of their own.

    Those are the staging views above the new models and the views at the end of the graph (`ops`),
    with what these read, unless one of their raw tables is missing.
    """
    new, judged, missing = list(new), frozenset(judged), frozenset(missing)
    ends = [end for end in lineage.ends(judged) if not lineage.sources_above(end) & missing]
    companions = (lineage.models_above([*new, *ends]) | frozenset(ends)) - judged
    return [*sorted(companions), *new]


def report_build(outcome: Outcome, lineage: Lineage) -> BuildReport:
    """Read a build's results and the macros' `job` events."""
    report = BuildReport()
    jobs = {job["job"]: job for job in outcome.events.get("job", [])}
    tests: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in outcome.results:
        kind, status = str(result.node.resource_type), str(result.status)
        if kind in _TESTS:
            report.tests[status] += 1
            tests[_tested(result.node, lineage)][status] += 1
        elif kind in _BUILT:
            report.models.append(_built(result, jobs))
        if status in ("error", "fail", "runtime error"):
            report.failures.append(Failure(result.node.name, kind, _first_lines(result.message)))
        elif status == "skipped" and kind in _BUILT:
            report.untouched.append(result.node.name)
    for built in report.models:
        built.tests = tests[built.model]
    if not outcome.success and not report.failures:
        raise DbtError("\n".join(outcome.errors) or "dbt build failed without saying why.")
    if not outcome.results:
        raise DbtError("dbt build selected nothing, though the gate found something to build.")
    return report


def show(dbt: Dbt, analysis: str) -> list[dict[str, Any]]:
    """The rows of a model or an analysis, as `dbt show` fetches them."""
    outcome = dbt.call("show", "--select", analysis, "--limit", "-1")
    _succeed(outcome)
    return [
        dict(zip(result.agate_table.column_names, row.values(), strict=True))
        for result in outcome.results
        for row in result.agate_table.rows
    ]


def exit_code(
    judgement: Judgement, report: BuildReport | None = None, skip: int = Exit.DONE
) -> int:
    """A failure outweighs a blocked branch; `skip` is for a run that found nothing new."""
    if report and report.failures:
        return Exit.FAILED
    if judgement.models(ModelState.BLOCKED):
        return Exit.BLOCKED
    return Exit.DONE if judgement.models(ModelState.NEW) else skip


def _gate_facts(dbt: Dbt, as_of: datetime | None) -> GateFacts:
    return read_facts(dbt.operate("gate_facts", as_of=as_of).event("gate_facts"), dbt.lineage)


def _of_kind(outcome: Outcome, kind: str) -> list[Any]:
    """The results of one kind of node; the hooks around them must have succeeded."""
    for result in outcome.results:
        if str(result.node.resource_type) == "operation" and str(result.status) == "error":
            raise DbtError(_first_lines(result.message))
    return [result for result in outcome.results if str(result.node.resource_type) == kind]


def _succeed(outcome: Outcome) -> None:
    if not outcome.success:
        failed = [_first_lines(result.message) for result in outcome.results if result.message]
        raise DbtError("\n".join(outcome.errors or failed))


def _records(
    checks: Iterable[SourceCheck], decisions: Iterable[Decision]
) -> list[dict[str, object]]:
    """Every decision as the macro `record_checks` takes it."""
    sources: list[dict[str, object]] = [
        {
            "subject": check.source,
            "subject_type": "source",
            "state": check.state.value,
            "reason": check.reason,
            "max_loaded_at": check.newest.isoformat() if check.newest else None,
            "age_seconds": int(check.age.total_seconds()) if check.age is not None else None,
        }
        for check in checks
    ]
    return sources + [
        {
            "subject": decision.model,
            "subject_type": "model",
            "state": decision.state.value,
            "reason": decision.reason,
            "max_loaded_at": None,
            "age_seconds": None,
        }
        for decision in decisions
    ]


def _built(result: Any, jobs: Mapping[str, Mapping[str, Any]]) -> Built:
    job = jobs.get(result.node.name, {})
    materialized = str(result.node.config.materialized)
    return Built(
        model=result.node.name,
        status=str(result.status),
        seconds=round(result.execution_time, 3),
        mode=materialized if materialized != "incremental" else job.get("mode", ""),
        rows=job.get("rows"),
        partitions=job.get("partitions"),
    )


def _tested(test: Any, lineage: Lineage) -> str:
    """The model that a test belongs to; a test of several belongs to none of them."""
    if attached := getattr(test, "attached_node", None):
        return lineage.names.get(attached, "")
    tested = [lineage.names[id_] for id_ in test.depends_on.nodes if id_ in lineage.names]
    return tested[0] if len(tested) == 1 else ""


def _first_lines(message: str | None, lines: int = 4) -> str:
    """dbt's message begins with a heading and may hold the whole query."""
    told = [line.rstrip() for line in (message or "no message").splitlines() if line.strip()]
    return "\n".join(told[:lines])
