"""How raw tables and the contract differ, and what to write where."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from tidemark.contract import Level, Verdict
from tidemark.report.tables import count, table

_COLOURS = {Level.MUST: "red", Level.LOOK: "yellow", Level.NOTE: "dim"}


def show_contract(out: Console, verdicts: Sequence[Verdict], target: str | None) -> None:
    """Each table with its findings, and below it what to write."""
    fitting = [verdict for verdict in verdicts if not verdict.findings]
    for verdict in (each for each in verdicts if each.findings):
        fits = "fits" if verdict.fits else "does not fit"
        name = f"{verdict.table.relation} ({verdict.table.source})"
        out.print(f"[bold]{escape(name)} {fits} the contract:[/]")
        findings = table("", "column", "what is so", "what it means", whole=("",))
        for finding in verdict.findings:
            level = f"[{_COLOURS[finding.level]}]{finding.level.value}[/]"
            told = (finding.column or "-", finding.what, finding.meaning)
            findings.add_row(level, *(escape(text) for text in told))
        out.print(findings)
        show_what_to_write(out, verdict, target)
    if fitting:
        names = ", ".join(verdict.table.source for verdict in fitting)
        out.print(f"As the contract has it: {names}.")
    misfits = sum(not verdict.fits for verdict in verdicts)
    done = f"{count(misfits, 'raw table')} cannot be built on yet" if misfits else "All of it fits"
    out.print(f"{done}; compared were names and types, and the first 10,000 rows.")


def show_what_to_write(out: Console, verdict: Verdict, target: str | None) -> None:
    """Lines and commands that can be copied: they are not wrapped."""
    if verdict.settings:
        out.print(f"Write into tidemark.yml:\n\n    {escape(verdict.settings)}\n", soft_wrap=True)
    if verdict.mapping and verdict.is_to_be_written:
        command = escape(write_command(verdict, target))
        out.print(f"Have the staging view say so:\n\n    {command}\n", soft_wrap=True)


def write_command(verdict: Verdict, target: str | None) -> str:
    """The command that writes the staging view, all guesses in it for everybody to see."""
    words = ["tidemark", "check", "--contract", "--write", verdict.table.view]
    words += ["--target", target] if target else []
    for name, made in verdict.changed.items():
        if made != "null":
            words += ["--map", f"{name}={made}"]
    for name in verdict.open:
        words += ["--map", f"{name}=..."]
    return shlex.join(words)


def contract_as_json(verdicts: Sequence[Verdict], target: str | None) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "tables": [
            {
                "source": verdict.table.source,
                "relation": verdict.table.relation,
                "fits": verdict.fits,
                "findings": [
                    {
                        "level": finding.level.value,
                        "column": finding.column or None,
                        "what": finding.what,
                        "meaning": finding.meaning,
                    }
                    for finding in verdict.findings
                ],
                "columns": dict(verdict.changed),
                "settings": verdict.settings or None,
                "command": write_command(verdict, target)
                if verdict.mapping and verdict.is_to_be_written
                else None,
            }
            for verdict in verdicts
        ]
    }
