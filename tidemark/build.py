"""Building what the gate found new, and reading what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidemark.engine import Dbt, DbtError, Outcome
from tidemark.exits import Exit
from tidemark.gate import ModelState
from tidemark.judgement import Judgement
from tidemark.lineage import Lineage
from tidemark.logs import FAILED
from tidemark.messages import telling_lines

_RELATIONS = ("model", "snapshot")
_TESTS = ("test", "unit_test")


@dataclass
class Built:
    """One relation of the build; its post-hook reported `mode`, `rows` and `partitions`.

    `is_refresh_cheaper`: they are so many that a full refresh would have taken less time.
    """

    model: str
    status: str
    seconds: float
    mode: str
    rows: int | None = None
    partitions: int | None = None
    is_refresh_cheaper: bool = False
    tests: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Failure:
    """A node that failed, with the first lines of what dbt says of it; a test, with its model."""

    node: str
    kind: str
    message: str
    job: str = ""


@dataclass(frozen=True)
class Checked:
    """A test, its model (none if it is one of several), and dbt's word on it."""

    test: str
    model: str
    status: str
    message: str | None = None


@dataclass
class BuildReport:
    """What one `dbt build` did: relations, tests, failures, and what it did not reach.

    `passed` names what went well, by kind and name.
    """

    models: list[Built] = field(default_factory=list)
    tests: Counter[str] = field(default_factory=Counter)
    checks: list[Checked] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    passed: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_anything(self) -> bool:
        """Whether a relation was written."""
        return any(built.status == "success" for built in self.models)


def build(dbt: Dbt, judgement: Judgement, healed: Iterable[str] = ()) -> BuildReport:
    """Build the new models with their tests, and the views that go with them.

    Models to be healed are built besides, with what is built on them, unless it is blocked.
    """
    new, healed = judgement.models(ModelState.NEW), frozenset(healed)
    also = [
        model
        for model in judgement.models(ModelState.UNCHANGED)
        if healed & {model, *dbt.lineage.models_above([model])}
    ]
    if not (new or also):
        return BuildReport()
    named = [*new, *also]
    selected = selection(dbt.lineage, named, judgement.judged, judgement.out_of_reach)
    # Unit tests judge the code on rows of their own: new input cannot make them fail.
    outcome = dbt.call(
        "build",
        *("--select", *selected),
        *("--indirect-selection", "buildable"),
        *("--exclude-resource-type", "unit_test"),
        as_of=judgement.as_of,
    )
    return read_build(outcome, dbt.lineage)


def selection(
    lineage: Lineage,
    new: Iterable[str],
    judged: Iterable[str],
    out_of_reach: frozenset[str] = frozenset(),
) -> list[str]:
    """What a build names: the new models, and beside them models without a decision of their own.

    Those are the staging views above the new models, and the views at the end of the graph (`ops`)
    with what they read, as long as all of that is in reach.
    """
    new, judged = list(new), frozenset(judged)
    ends = {
        end
        for end in lineage.ends(judged)
        if not (lineage.sources_above(end) | lineage.models_above([end])) & out_of_reach
    }
    companions = (lineage.models_above([*new, *ends]) | ends) - judged
    return [*sorted(companions), *new]


def read_build(outcome: Outcome, lineage: Lineage) -> BuildReport:
    """Read a build's results and the macros' `job` events."""
    report = BuildReport(seconds=getattr(outcome.result, "elapsed_time", 0.0))
    jobs = {job["job"]: job for job in outcome.events.get("job", [])}
    tests: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in outcome.results:
        kind, status = str(result.node.resource_type), str(result.status)
        if kind in _TESTS:
            model = _tested(result.node, lineage)
            report.tests[status] += 1
            tests[model][status] += 1
            report.checks.append(Checked(result.node.name, model, status, result.message))
        elif kind in _RELATIONS:
            report.models.append(_built(result, jobs))
        if status == "skipped" and kind in _RELATIONS:
            report.untouched.append(result.node.name)
        elif status not in ("skipped", *FAILED):
            report.passed.append((kind, result.node.name))
    report.failures = failures_of(outcome.results, lineage)
    for built in report.models:
        built.tests = tests[built.model]
    if not outcome.success and not report.failures:
        raise outcome.failure("dbt build failed without a word.")
    # A selection that matches nothing is a success to dbt.
    if not report.models:
        raise DbtError("dbt build selected nothing, though the gate found something to build.")
    return report


def run_tests(dbt: Dbt, as_of: datetime | None, days: int | None) -> BuildReport:
    """Run all data tests: on everything, or on the days so far back where a test can be bounded."""
    outcome = dbt.call(
        "test",
        *("--exclude-resource-type", "unit_test"),
        as_of=as_of,
        variables={"test_days": days} if days else {},
    )
    results = outcome.results_of("test")
    report = BuildReport(
        tests=Counter(str(result.status) for result in results),
        failures=failures_of(results, dbt.lineage),
        seconds=getattr(outcome.result, "elapsed_time", 0.0),
    )
    if not results or (not outcome.success and not report.failures):
        raise outcome.failure("The project has no data tests.")
    return report


def failures_of(results: Iterable[Any], lineage: Lineage) -> list[Failure]:
    """The nodes that failed, in their order."""
    return [
        Failure(
            result.node.name,
            kind,
            telling_lines(result.message or "no message") + _advice(result.node, lineage),
            result.node.name if kind in _RELATIONS else _tested(result.node, lineage),
        )
        for result in results
        if str(result.status) in FAILED and (kind := str(result.node.resource_type))
    ]


def _advice(node: Any, lineage: Lineage) -> str:
    """What to do where a view of a raw table fails: its columns are mostly not those expected."""
    parents = getattr(getattr(node, "depends_on", None), "nodes", ())
    raw = [lineage.names[each] for each in parents if each in lineage.sources]
    is_view = raw and str(node.config.materialized) == "view"
    return f"\n`tidemark check --contract {raw[0]}` says what differs." if is_view else ""


def exit_code(
    judgement: Judgement, report: BuildReport | None = None, skip: int = Exit.DONE
) -> int:
    """A failure outweighs a blocked branch; `skip` is for a run that found nothing new."""
    if report and report.failures:
        return Exit.FAILED
    if judgement.models(ModelState.BLOCKED):
        return Exit.BLOCKED
    return Exit.DONE if judgement.models(ModelState.NEW) or (report and report.models) else skip


def _built(result: Any, jobs: Mapping[str, Mapping[str, Any]]) -> Built:
    job = jobs.get(result.node.name, {})
    materialized = str(result.node.config.materialized)
    return Built(
        model=result.node.name,
        status=str(result.status),
        seconds=round(result.execution_time, 3),
        mode=job.get("mode", "") if materialized == "incremental" else materialized,
        rows=job.get("rows"),
        partitions=job.get("partitions"),
        is_refresh_cheaper=job.get("is_refresh_cheaper", False),
    )


def _tested(test: Any, lineage: Lineage) -> str:
    """The model that a test belongs to; a test of several belongs to none of them."""
    if attached := getattr(test, "attached_node", None):
        return lineage.names.get(attached, "")
    tested = [lineage.names[id_] for id_ in test.depends_on.nodes if id_ in lineage.names]
    return tested[0] if len(tested) == 1 else ""
