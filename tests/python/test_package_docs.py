"""What the package's README and docs/models.md promise is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from orders_project import EXAMPLE, PACKAGE, ROOT

README = (PACKAGE / "README.md").read_text()
MODELS = (ROOT / "docs" / "models.md").read_text()


def first_column(heading: str) -> list[str]:
    """The names in the table below a heading of the README."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def macros() -> dict[str, str]:
    """The macros and generic tests of the package, with the text that they begin with."""
    files = [*(PACKAGE / "macros").rglob("*.sql"), *(PACKAGE / "tests").rglob("*.sql")]
    found = re.findall(
        r"{%-?\s*(macro|test)\s+(\w+)", "\n".join(path.read_text() for path in files)
    )
    return {f"test_{name}" if kind == "test" else name: kind for kind, name in found}


def public_macros() -> list[str]:
    """Those that _macros.yml marks as public."""
    from dbt.clients.yaml_helper import load_yaml_text

    described = load_yaml_text((PACKAGE / "macros" / "_macros.yml").read_text())["macros"]
    return [
        macro["name"]
        for macro in described
        if macro.get("config", {}).get("meta", {}).get("public")
    ]


def called_by_users(macro: str) -> str:
    """The name of a strategy or a test, as a project writes it."""
    strategy = re.fullmatch(r"get_incremental_(\w+)_sql", macro)
    return strategy[1] if strategy else macro.removeprefix("test_")


def test_every_setting_is_in_the_table_and_vice_versa() -> None:
    text = (PACKAGE / "macros" / "settings.sql").read_text().split("macro default_settings()")[1]
    assert first_column("Settings") == re.findall(r"^ {8}'(\w+)':", text, re.MULTILINE)


def test_every_public_macro_is_in_the_table_and_vice_versa() -> None:
    public = sorted(called_by_users(name) for name in public_macros())
    assert sorted(first_column("What is public")) == public
    assert set(public_macros()) <= macros().keys()


def test_the_way_to_a_first_run_fits_on_one_screen() -> None:
    use = README.split("\n## Use it\n")[1].split("\n## ")[0]
    assert len(use.splitlines()) <= 60


@pytest.mark.parametrize("model", ["buyer_days", "buyer_balances", "visits"])
def test_recipes_are_models_that_run(model: str) -> None:
    (strategy,) = re.findall(
        r"incremental_strategy='(\w+)'", text := (EXAMPLE / "models" / f"{model}.sql").read_text()
    )
    recipes = re.findall(r"```sql\n(.*?)```", MODELS, re.DOTALL)
    (recipe,) = [recipe for recipe in recipes if f"incremental_strategy='{strategy}'" in recipe]
    assert recipe.split() == text.split()


def test_glossary_is_in_order_and_short() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    words = re.findall(r"^\| ([\w ]+) \|", text, re.MULTILINE)[1:]
    assert words == sorted(words)
    assert len(words) == len(set(words)) <= 25


@pytest.mark.parametrize(
    "page",
    [PACKAGE / "README.md", ROOT / "docs" / "models.md", EXAMPLE / "README.md"],
    ids=lambda page: page.parent.name,
)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link
