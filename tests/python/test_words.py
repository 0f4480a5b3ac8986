"""What people read first is short: README, CONTRIBUTING, and the decisions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DECISIONS = sorted((PROJECT / "docs" / "decisions").glob("*.md"))
READ_FIRST = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *DECISIONS]
names = pytest.mark.parametrize("page", READ_FIRST, ids=lambda page: page.stem)


def prose(text: str) -> list[str]:
    """The sentences of a page, without code, tables and headings."""
    text = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:[-|#]|\d+\.) ?)", text)
    told = (" ".join(each.split()) for each in paragraphs if not each.startswith(("|", "#")))
    return [sentence for each in told for sentence in re.split(r"(?<=[.?!])[*)\"]*\s+", each)]


@names
def test_lines_and_sentences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if len(line) > 120 and line[0] != "|"] == []
    assert [each for each in prose(text) if len(each.split()) > 25] == []


def test_a_long_sentence_is_found() -> None:
    text = "# Heading\n\nShort.\n\n- " + "word " * 25 + "word. Short.\n- **It** is.\n"
    assert [len(each.split()) for each in prose(text)] == [1, 27, 1, 3]


@pytest.mark.parametrize(("page", "most"), [("README.md", 150), ("CONTRIBUTING.md", 120)])
def test_how_long(page: str, most: int) -> None:
    assert len((PROJECT / page).read_text(encoding="utf-8").splitlines()) < most


@names
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_says_context_decision_and_measure(page: Path) -> None:
    if page.stem == "README":
        listed = re.findall(r"\]\((\w+\.md)\)", page.read_text(encoding="utf-8"))
        assert sorted(listed) == [each.name for each in DECISIONS if each != page]
        return
    decisions = page.read_text(encoding="utf-8").split("\n## ")[1:]
    parts = [re.findall(r"^- \*\*(\w+)\.\*\*", each, flags=re.MULTILINE) for each in decisions]
    assert parts == [["Context", "Decision", "Measured"]] * len(decisions)
    assert decisions


def test_the_readme_shows_the_model_as_it_is() -> None:
    shown = re.findall(r"```sql\n(.*?)```", (PROJECT / "README.md").read_text(), flags=re.DOTALL)
    assert shown == [(PROJECT / "models/marts/company/fact_events_daily.sql").read_text()]
