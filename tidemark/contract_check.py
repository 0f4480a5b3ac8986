"""Comparing raw tables with the contract, and writing what a staging view takes for its columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tidemark.clock import parse_clock
from tidemark.contract import (
    RawTable,
    Verdict,
    epochs_as_times,
    judged,
    judged_missing,
    proposed,
    sample_of,
)
from tidemark.engine import Dbt

_BLOCK = re.compile(
    r"\A({#- What the columns of the raw table .*? -#}\n)?"
    r"{{ config\(meta={'raw_columns': {\n.*?\n}}\) }}\n+",
    re.DOTALL,
)
_SAYS = "{#- What the columns of the raw table are called, by the names of the contract. -#}"


def look(
    dbt: Dbt,
    as_of: datetime | None = None,
    tables: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """Compare raw tables, all or those named. `given` says what columns of one table are."""
    asked = {"tables": list(tables)} if tables else None
    told = dbt.operate("contract_catalog", asked, as_of).event("contract_catalog")
    clock = parse_clock(told["as_of"])
    known = [RawTable.of(each) for each in told["tables"]]
    there = {each.source: each for each in known if each.exists}
    mappings = {name: proposed(table, given) for name, table in there.items()}
    asked_of = [sample_of(table, mappings[name]) for name, table in there.items()]
    samples = {}
    if asked_of:
        outcome = dbt.operate("contract_samples", {"samples": asked_of}, clock)
        samples = outcome.event("contract_samples")
    numbers = {
        name: epochs_as_times(table, mappings[name], samples[name]) for name, table in there.items()
    }
    again = [sample_of(there[name], made) for name, (made, found) in numbers.items() if found]
    if again:
        outcome = dbt.operate("contract_samples", {"samples": again}, clock)
        samples |= outcome.event("contract_samples")
    return [
        judged(table, numbers[table.source][0], samples[table.source], clock, numbers[name][1])
        if (name := table.source) in there
        else judged_missing(table, told["others"], told["domains"])
        for table in known
    ]


def refuse_unknown(verdict: Verdict, given: Mapping[str, str]) -> None:
    """Raise ValueError for a column that the contract does not have."""
    names = [column.name for column in verdict.table.columns]
    for name in given:
        if name not in names:
            raise ValueError(f"{verdict.table.source} has no column {name}: {', '.join(names)}")


def table_of(dbt: Dbt, view: Path) -> str:
    """The raw table that a staging view reads, which is named by its file or by its own name.

    Raises ValueError where there is no such view.
    """
    views: dict[Path, str] = {}
    files: list[str] = []
    for node in dbt.manifest.nodes.values():
        if str(node.resource_type) == "model" and node.config.materialized == "view":
            for parent in node.depends_on.nodes:
                if parent in dbt.lineage.sources:
                    file = dbt.project_dir / node.original_file_path
                    views |= dict.fromkeys((file, Path(node.name)), dbt.lineage.names[parent])
                    files.append(str(node.original_file_path))
    found = views.get(view) or views.get(view.resolve())
    if found is None:
        raise ValueError(f"{view} is no staging view of a raw table: {', '.join(sorted(files))}")
    return found


def block_of(columns: Mapping[str, str]) -> str:
    """What a staging view says of the columns of its raw table."""
    lines = ",\n".join(f"    '{name}': {_literal(made)}" for name, made in columns.items())
    return f"{_SAYS}\n{{{{ config(meta={{'raw_columns': {{\n{lines}\n}}}}) }}}}\n\n"


def written(text: str, columns: Mapping[str, str]) -> str:
    """The text of a staging view that says these columns, in place of what it said before.

    Raises ValueError where its config is somebody's own.
    """
    rest = _BLOCK.sub("", text)
    if rest.lstrip().startswith("{{ config("):
        raise ValueError(
            "the view has a config of its own: add the meta by hand.\n" + block_of(columns)
        )
    return (block_of(columns) if columns else "") + rest


def write(project_dir: Path, verdict: Verdict) -> None:
    """Write the staging view of a table: whole or not at all."""
    path = project_dir / verdict.table.view
    text = written(path.read_text(encoding="utf-8"), verdict.changed)
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def without_guesses(verdict: Verdict, given: Mapping[str, str]) -> list[str]:
    """The columns whose mapping nobody has said, but this command would have guessed."""
    said = {*given, *verdict.table.mapped}
    guessed = [name for name, made in verdict.changed.items() if made != "null"]
    return [name for name in [*guessed, *verdict.open] if name not in said]


def as_written(verdict: Verdict) -> Verdict:
    """The same once the view says it: what was only called otherwise is settled."""
    return replace(verdict, table=replace(verdict.table, mapped=verdict.mapping))


def _literal(text: str) -> str:
    """A text as Jinja has it."""
    escaped = text.replace("\\", "\\\\")
    if "'" not in text:
        return f"'{escaped}'"
    return '"' + escaped.replace('"', '\\"') + '"'
