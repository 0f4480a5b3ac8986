"""`tidemark check --contract`: the user's raw tables against the contract."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from tidemark import logs
from tidemark.commands.options import refused
from tidemark.commands.session import explained, leave
from tidemark.exits import Exit

if TYPE_CHECKING:
    from tidemark.contract import Verdict
    from tidemark.engine import Dbt


def read_map(pairs: list[str]) -> dict[str, str]:
    """What columns of the contract are made of, of `column=what`."""
    given = {}
    for pair in pairs:
        name, equals, made = pair.partition("=")
        if not (name.strip() and equals and made.strip()):
            raise typer.BadParameter(f"{pair!r} is not COLUMN=WHAT", param_hint="--map")
        given[name.strip()] = made.strip()
    return given


def compare(
    dbt: Dbt, as_of: datetime | None, tables: list[str], target: str | None, json_: bool
) -> NoReturn:
    """Show how raw tables and the contract differ; exit with 1 where nothing can be built so."""
    from tidemark.contract_check import look
    from tidemark.report.contract import contract_as_json, show_contract
    from tidemark.report.tables import console

    with explained("check", json_, "Nothing was compared."), logs.progress(dbt, "Comparing"):
        unknown = [name for name in tables if name not in _raw_tables(dbt)]
        if unknown:
            known = ", ".join(sorted(_raw_tables(dbt)))
            raise typer.BadParameter(f"no raw table is called {unknown[0]}: {known}")
        verdicts = look(dbt, as_of, tables)
    show_contract(console(quiet=json_), verdicts, target)
    fits = all(verdict.fits for verdict in verdicts)
    leave("check", json_, Exit.DONE if fits else Exit.FAILED, contract_as_json(verdicts, target))


def write_view(
    dbt: Dbt,
    as_of: datetime | None,
    file: Path,
    given: dict[str, str],
    target: str | None,
    json_: bool,
) -> NoReturn:
    """Write a staging view from a mapping that is given, or asked for at a terminal."""
    from tidemark import contract_check
    from tidemark.report.contract import contract_as_json, show_contract
    from tidemark.report.tables import console

    out = console(quiet=json_)
    with explained("check", json_, "Nothing was written."), logs.progress(dbt, "Comparing"):
        with refused("--write"):
            source = contract_check.table_of(dbt, file)
        (verdict,) = contract_check.look(dbt, as_of, [source], given)
        with refused("--map"):
            contract_check.refuse_unknown(verdict, given)
    if open_ := contract_check.without_guesses(verdict, given):
        given = {**given, **_asked(verdict, open_, target)}
        with explained("check", json_, "Nothing was written."), logs.progress(dbt, "Comparing"):
            (verdict,) = contract_check.look(dbt, as_of, [source], given)
    if not verdict.table.exists or verdict.open:
        show_contract(out, [verdict], target)
        leave("check", json_, Exit.FAILED, contract_as_json([verdict], target))
    with refused("--write"):
        contract_check.write(dbt.project_dir, verdict)
    once_written = contract_check.as_written(verdict)
    out.print(f"Written: {verdict.table.view}. Next: tidemark check --contract {source}")
    leave("check", json_, Exit.DONE, contract_as_json([once_written], target))


def _asked(verdict: Verdict, columns: list[str], target: str | None) -> dict[str, str]:
    """Ask for each column, offering what looks like it; without a terminal say what is missing."""
    from tidemark.report.contract import write_command

    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"say what these are: {', '.join(columns)}. What looks like it:\n"
            f"{write_command(verdict, target)}",
            param_hint="--map",
        )
    stored = ", ".join(verdict.table.stored)
    typer.echo(f"{verdict.table.relation} has {stored}.")
    types = {column.name: column.type for column in verdict.table.columns}
    return {
        name: typer.prompt(f"{name} ({types[name]}) is", default=verdict.mapping.get(name))
        for name in columns
    }


def _raw_tables(dbt: Dbt) -> set[str]:
    return {dbt.lineage.names[source] for source in dbt.lineage.sources}
