"""Repairs: the plan and what came of it, on its own or with a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from tidemark.backfill import Healing, Repair, Repairs, to_repair
from tidemark.gaps import Look
from tidemark.report.gaps import findings_table, show_uncompared
from tidemark.report.tables import count, show_clock, show_failures
from tidemark.report.values import as_values


def show_plan(out: Console, look: Look, even_few: bool = False) -> None:
    """What a repair would do, `even_few` when that is too little to be planned; what it leaves."""
    show_clock(out, look.as_of)
    show_uncompared(out, look)
    if not look.findings:
        out.print("[green]Nothing is to be repaired.[/]")
        return
    out.print(findings_table(look.findings))
    planned = to_repair(look.findings, even_few)
    days = {finding.plan_day for finding in planned}
    out.print(f"Planned: {count(len(planned), 'partition')}, in {count(len(days), 'part')}.")
    if few := len(to_repair(look.findings, even_few=True)) - len(planned):
        left = count(few, "partition")
        out.print(f"{left} below the minimum of var backfill: --below-minimum repairs that, too.")


def show_repair(out: Console, repair: Repair) -> None:
    """One day of the plan, and what came of it."""
    outcome = f"{repair.repaired:,} repaired"
    if repair.failed:
        outcome += f", [red]{repair.failed:,} failed[/]"
    out.print(f"{repair.day}: {outcome}. {_per_table(repair.partitions)}")
    show_failures(out, repair.failures)


def show_repairs_end(out: Console, repairs: Repairs) -> None:
    """What was done in all, which tests failed afterwards, and what is left to do."""
    repaired = count(sum(repair.repaired for repair in repairs.done), "partition")
    out.print(f"Repaired {repaired} in {count(len(repairs.done), 'part')}.")
    show_failures(out, repairs.failures)
    if any(not repair.is_done for repair in repairs.done):
        out.print(
            "[red]Not all of it could be repaired.[/] The other parts are complete and recorded."
            " ops.backfill_attempts has every attempt, logs/dbt.log dbt's whole messages."
        )
    if repairs.left:
        counts = Counter(finding.decision for finding in repairs.left)
        told = ", ".join(f"{found:,} {decision}" for decision, found in sorted(counts.items()))
        out.print(f"Left: {told}. `tidemark backfill` says why; the next --apply goes on.")


def show_healing(out: Console, healing: Healing) -> None:
    """What a run found to be repaired."""
    if healing.known:
        show_uncompared(out, healing.known)
    if partitions := healing.started.partitions:
        in_all = count(sum(partitions.values()), "partition")
        out.print(f"To be repaired besides: {in_all}: {_per_table(partitions)}.")
    else:
        out.print("No repair is planned.")


def show_healed(out: Console, healing: Healing) -> None:
    """What came of it."""
    show_failures(out, healing.failures)
    if healing.started.models:
        out.print(f"Repaired {count(healing.repaired, 'partition')}, {healing.failed:,} failed.")


def _per_table(partitions: Mapping[str, int]) -> str:
    return ", ".join(f"{model} ({damaged:,})" for model, damaged in partitions.items())


def plan_as_json(repairs: Repairs) -> dict[str, Any]:
    """Every partition with the plan's decision, the repairs that were made, and what failed."""
    known = repairs.known
    return {
        "as_of": known.as_of.isoformat(),
        "plan": as_values(known.findings),
        "failures": as_values([*known.failures, *repairs.failures]),
        "not_compared": known.untouched,
        "repairs": as_values(repairs.done),
        "left": as_values(repairs.left),
    }


def healing_as_json(healing: Healing | None) -> dict[str, Any] | None:
    """What a run repaired besides."""
    if healing is None:
        return None
    compared = healing.known.failures if healing.known else []
    return {
        "partitions": dict(healing.started.partitions),
        "repaired": healing.repaired,
        "failed": healing.failed,
        "failures": as_values([*compared, *healing.failures]),
    }
