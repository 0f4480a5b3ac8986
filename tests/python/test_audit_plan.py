"""Which of the project's tests decide before rows are published: docs/audits.md says it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tidemark.engine import Dbt

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "audits.md"
_HEADING = "## This project's tests\n"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    home = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(home / "tidemark.duckdb"))
        dbt = Dbt(ROOT, "demo", target_path=home / "target")
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


def test_the_page_lists_the_tests_as_they_are(planned: list[dict[str, Any]]) -> None:
    told, _, listed = PAGE.read_text().partition(_HEADING)
    introduction, _, _ = listed.partition("\n| before ")
    expected = f"{told}{_HEADING}{introduction.rstrip()}\n\n{as_table(planned)}"
    if os.environ.get("TIDEMARK_WRITE_DOCS"):
        PAGE.write_text(expected)
    assert PAGE.read_text() == expected


def test_each_is_before_or_says_why_not(planned: list[dict[str, Any]]) -> None:
    assert {test["when"] for test in planned} == {"before", "after"}
    assert [test for test in planned if not test["why"]] == []
    # of stored tables only what warns, or waits for a parent, is left to the time after
    reasons = {test["why"] for test in planned if test["is_stored"] and test["when"] == "after"}
    assert reasons <= {"only warns"} | {why for why in reasons if "may build later" in why}
