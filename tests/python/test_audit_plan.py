"""Pages that are written from the parsed project: which test decides when, and the tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemark.engine import Dbt

ROOT = Path(__file__).parents[2]
AUDITS, TABLES = ROOT / "docs" / "audits.md", ROOT / "docs" / "tables.md"


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dbt]:
    home = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(home / "tidemark.duckdb"))
        yield Dbt(ROOT, "demo", target_path=home / "target")


@pytest.fixture(scope="module")
def planned(dbt: Dbt) -> list[dict[str, Any]]:
    plan: list[dict[str, Any]] = dbt.operate("audit_plan").event("audit_plan")["tests"]
    return [test for test in plan if test["package"] != "tidemark"]


def as_table(planned: Iterable[dict[str, Any]]) -> str:
    """What runs before, by model; then what does not, each with its reason."""
    before: dict[str, list[str]] = {}
    after: dict[tuple[str, str], list[str]] = {}
    for test in planned:
        if test["when"] == "before":
            before.setdefault(test["model"], []).append(test["test"])
        else:
            after.setdefault((test["why"], test["model"]), []).append(test["test"])
    lines = ["| before | tests |", "| --- | --- |"]
    lines += [f"| `{model}` | {_names(tests)} |" for model, tests in sorted(before.items())]
    lines += ["", "| after, because | of | tests |", "| --- | --- | --- |"]
    lines += [
        f"| {why} | {f'`{model}`' if model else '-'} | {_names(tests)} |"
        for (why, model), tests in sorted(after.items())
    ]
    return "\n".join(lines) + "\n"


def _names(tests: list[str]) -> str:
    return ", ".join(f"`{test}`" for test in sorted(tests))


def grains(manifest: Any) -> dict[str, list[str]]:
    """By node the columns of which its tests say that together they are unique."""
    found = {}
    for node in manifest.nodes.values():
        told = getattr(node, "test_metadata", None)
        if told and told.name in ("unique", "unique_combination_of_columns"):
            columns = told.kwargs.get("combination_of_columns") or [told.kwargs["column_name"]]
            found[node.attached_node] = columns
        elif str(node.resource_type) == "snapshot":
            key = node.config.unique_key
            found[node.unique_id] = [*([key] if isinstance(key, str) else key), "dbt_valid_from"]
    return found


def tables_of(manifest: Any) -> str:
    """What people use: its grain, and the beginning of its description."""
    grain, lines = grains(manifest), []
    for node in manifest.nodes.values():
        if node.schema == "marts" and str(node.resource_type) in ("model", "snapshot"):
            columns = grain[node.unique_id]
            more = f" and {len(columns) - 3} more" if len(columns) > 4 else ""
            per = ", ".join(f"`{name}`" for name in (columns[:3] if more else columns))
            text = re.split(r"[.:]\s", f"{node.description.strip()} ")[0]
            lines.append((node.fqn[1:-1], f"| `{node.name}` | {per}{more} | {text} |"))
    head = "| table (schema `marts`) | one row per | what it is |\n| --- | --- | --- |\n"
    return head + "\n".join(line for _, line in sorted(lines)) + "\n"


def is_written(page: Path, table: str) -> None:
    """The page has this table, or these, in the place of what begins alike; else it is an error."""
    text = page.read_text()
    begin = text.index(table.splitlines()[0])
    _, *after = text[begin:].split("\n\n")[table.count("\n\n") :]
    expected = text[:begin] + "\n\n".join([table.rstrip(), *(after or [""])]).rstrip() + "\n"
    if os.environ.get("TIDEMARK_WRITE_DOCS"):
        page.write_text(expected)
    assert page.read_text() == expected


def test_the_page_lists_the_tests_as_they_are(planned: list[dict[str, Any]]) -> None:
    is_written(AUDITS, as_table(planned))


def test_the_page_lists_the_tables_as_they_are(dbt: Dbt) -> None:
    is_written(TABLES, tables_of(dbt.manifest))


def test_each_is_before_or_says_why_not(planned: list[dict[str, Any]]) -> None:
    assert {test["when"] for test in planned} == {"before", "after"}
    assert [test for test in planned if not test["why"]] == []
    # of stored tables only what warns, or waits for a parent, is left to the time after
    reasons = {test["why"] for test in planned if test["is_stored"] and test["when"] == "after"}
    assert reasons <= {"only warns"} | {why for why in reasons if "may build later" in why}
