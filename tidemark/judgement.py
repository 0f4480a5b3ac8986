"""What the gate sees and says at one clock: facts, freshness, decisions, and their record."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from tidemark.engine import DatabaseLockedError, Dbt, DbtError
from tidemark.facts import GateFacts, read_facts
from tidemark.gate import Decision, ModelState, SourceCheck, SourceState, decide
from tidemark.lineage import Lineage
from tidemark.logs import tell
from tidemark.messages import in_one_line


@dataclass(frozen=True)
class Judgement:
    """The gate's table; `absent` names judged models that do not exist in the warehouse yet.

    Those `beside` were judged and recorded like all, but nobody asked to have them built.
    """

    as_of: datetime
    checks: list[SourceCheck]
    decisions: list[Decision]
    absent: frozenset[str] = frozenset()
    seeded: bool = False
    # what to do about raw tables that are missing
    advice: str = ""
    beside: frozenset[str] = frozenset()

    def of(self, wanted: Iterable[str], lineage: Lineage) -> Judgement:
        """What concerns some models alone: them, all judged ones above them, and their sources."""
        named = frozenset(wanted)
        kept = named | lineage.models_above(named)
        sources = frozenset[str]().union(*(lineage.sources_above(model) for model in named))
        return replace(
            self,
            checks=[check for check in self.checks if check.source in sources],
            decisions=[decision for decision in self.decisions if decision.model in kept],
            beside=frozenset(decision.model for decision in self.decisions) - kept,
        )

    @property
    def judged(self) -> frozenset[str]:
        """All models that were judged, asked for or not."""
        return self.beside | {decision.model for decision in self.decisions}

    def models(self, state: ModelState) -> list[str]:
        """The names of the models in a state, parents before children."""
        return [decision.model for decision in self.decisions if decision.state is state]

    @property
    def out_of_reach(self) -> frozenset[str]:
        """Sources and models that nothing can be built on: unreadable, or absent and not built."""
        unreadable = {check.source for check in self.checks if check.state is SourceState.ERROR}
        return self.absent - frozenset(self.models(ModelState.NEW)) | unreadable


def judge(dbt: Dbt, as_of: datetime | None = None) -> Judgement:
    """Ask, decide and record. The first answer fixes the clock; every later call is handed it."""
    facts = gate_facts(dbt, as_of, is_recorded_later=True)
    seeded = bool(facts.missing) and dbt.seeds.issuperset(facts.missing)
    if seeded:
        dbt.call("seed", as_of=facts.as_of).raise_if_failed()
        facts = gate_facts(dbt, facts.as_of, is_recorded_later=True)
    checks = list(facts.sources.values())
    decisions = decide(facts.models.values(), checks)
    records = _records(checks, decisions)
    dbt.operate("record_checks", {"checks": records, "figures": facts.figures}, facts.as_of)
    for record in records:
        tell(logging.INFO, f"{record['subject']} is {record['state']}", **record)
    absent = frozenset(model.model for model in facts.models.values() if not model.exists)
    return Judgement(facts.as_of, checks, decisions, absent, seeded, facts.advice)


def gate_facts(dbt: Dbt, as_of: datetime | None = None, **wanted: bool) -> GateFacts:
    """Ask the warehouse, by the macro's arguments.

    Sources that it cannot read are left out: they block their own branch.
    """
    problems: dict[str, str] = {}
    try:
        outcome = dbt.operate("gate_facts", wanted, as_of)
    except DatabaseLockedError:
        raise
    except DbtError:
        if wanted.pop("count_quarantined", False):
            # Bad rows are counted in staging views: one that is broken must not hide all the rest.
            return gate_facts(dbt, as_of, **wanted)
        problems = _unreadable(dbt, as_of)
        if not problems:
            raise
        outcome = dbt.operate("gate_facts", {**wanted, "unreadable": list(problems)}, as_of)
    return read_facts(outcome.event("gate_facts"), dbt.lineage, problems)


def _unreadable(dbt: Dbt, as_of: datetime | None) -> dict[str, str]:
    """The sources that dbt's own freshness check cannot look at, each with the reason."""
    outcome = dbt.call("source", "freshness", "--no-write-json", as_of=as_of)
    return {
        result.node.name: in_one_line(result.message or "")
        for result in outcome.results_of("source")
        if str(result.status) not in ("pass", "warn", "error")
    }


def _records(
    checks: Iterable[SourceCheck], decisions: Iterable[Decision]
) -> list[dict[str, object]]:
    """Every decision, as the log has it and the macro `record_checks` takes it."""
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
