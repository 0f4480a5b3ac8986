"""`tidemark init`: what it writes into a project that somebody has, and what it leaves alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from orders_project import EXAMPLE, PACKAGE, ROOT
from typer.testing import CliRunner

from tidemark import cli
from tidemark.wiring import wire, wiring_sql

SMALL = "name: shop\nprofile: shop\n"
WITH_COMMENTS = """\
# Ours since 2019.
name: shop
profile: shop  # of the team

models:
  # every mart
  shop:
    marts:  # nightly
      +materialized: table
"""
HOOKS = {"+pre-hook": "{{ tidemark.begin_run() }}", "+post-hook": "{{ tidemark.record_run() }}"}
DISPATCH = {"macro_namespace": "dbt", "search_order": ["shop", "tidemark", "dbt"]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dbt_project.yml").write_text(SMALL)
    return tmp_path


def parsed(path: Path) -> dict[str, Any]:
    from dbt.clients.yaml_helper import load_yaml_text

    found: dict[str, Any] = load_yaml_text(path.read_text())
    return found


def files(project: Path) -> dict[str, str]:
    return {
        str(path.relative_to(project)): path.read_text()
        for path in project.rglob("*")
        if path.is_file()
    }


def missing(project: Path, package: str | None = None, write: bool = True) -> list[str]:
    return [step.what for step in wire(project, package, write) if step.is_missing]


def test_a_small_project_gets_all_of_it(project: Path) -> None:
    assert missing(project) == []
    assert parsed(project / "dbt_project.yml") == {
        "name": "shop",
        "profile": "shop",
        "dispatch": [DISPATCH],
        "models": {"shop": HOOKS},
    }
    assert parsed(project / "packages.yml") == {"packages": [{"local": str(PACKAGE)}]}
    assert (project / "macros" / "tidemark.sql").read_text() == wiring_sql()


def test_a_second_time_does_nothing(project: Path) -> None:
    wire(project)
    before = files(project)
    assert all(step.is_there for step in wire(project))
    assert files(project) == before


def test_the_check_writes_nothing_and_says_what_is_missing(project: Path) -> None:
    command = ["init", "--check", "--project-dir", str(project)]
    ran = CliRunner().invoke(cli.app, command)
    assert ran.exit_code == 1
    assert "missing  macros/tidemark.sql: what dbt looks up in the root alone" in ran.output
    assert "search_order: [shop, tidemark, dbt]" in ran.output
    assert files(project) == {"dbt_project.yml": SMALL}
    CliRunner().invoke(cli.app, ["init", "--project-dir", str(project)])
    ran = CliRunner().invoke(cli.app, [*command, "--json"])
    assert ran.exit_code == 0
    assert all(step["is_there"] for step in json.loads(ran.stdout)["steps"])


def test_comments_and_everything_else_stay(project: Path) -> None:
    path = project / "dbt_project.yml"
    path.write_text(WITH_COMMENTS)
    assert missing(project) == []
    written = path.read_text().splitlines()
    rest = iter(written)
    assert all(line in rest for line in WITH_COMMENTS.splitlines())
    assert parsed(path)["models"] == {"shop": {**HOOKS, "marts": {"+materialized": "table"}}}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("models: {shop: {+materialized: table}}\n", "hooks around the models"),
        ("models:\n    shop:\n        +materialized: table\n", "hooks around the models"),
        ("models:\n  shop:\n    +pre-hook: select 1\n", "hooks around the models"),
        ("models:\n  shop: {+post-hook: [select 1]}\n", "hooks around the models"),
        (
            "dispatch:\n  - macro_namespace: dbt\n    search_order: [shop, dbt]\n",
            "the engine answers what dbt dispatches",
        ),
        (
            "dispatch: [{macro_namespace: dbt, search_order: [dbt, tidemark]}]\n",
            "the engine answers what dbt dispatches",
        ),
        (
            "dispatch:\n- {macro_namespace: dbt_utils, search_order: [shop, dbt_utils]}\n",
            "the engine answers what dbt dispatches",
        ),
    ],
    ids=lambda text: text.split("\n")[-2].strip() if "\n" in text else "",
)
def test_what_lines_cannot_be_added_to_is_left_to_its_owner(
    project: Path, text: str, left: str
) -> None:
    path = project / "dbt_project.yml"
    path.write_text(SMALL + text)
    assert missing(project) == [left]
    # the other lines are there, and these are as they were
    assert text in path.read_text()
    key = text.split(":")[0]
    assert parsed(path)[key] == parsed_text(text)[key]


def parsed_text(text: str) -> dict[str, Any]:
    from dbt.clients.yaml_helper import load_yaml_text

    found: dict[str, Any] = load_yaml_text(text)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "dispatch:\n  - {macro_namespace: dbt, search_order: [shop, tidemark, dbt]}\n",
        "dispatch: [{macro_namespace: dbt, search_order: [tidemark, dbt]}]\n",
    ],
)
def test_a_dispatch_that_does_is_enough(project: Path, text: str) -> None:
    (project / "dbt_project.yml").write_text(SMALL + text)
    assert missing(project) == []
    assert parsed(project / "dbt_project.yml")["dispatch"] == parsed_text(text)["dispatch"]


def test_other_dispatches_keep_their_place(project: Path) -> None:
    other = {"macro_namespace": "dbt_utils", "search_order": ["shop", "dbt_utils"]}
    (project / "dbt_project.yml").write_text(
        SMALL + "dispatch:\n  - macro_namespace: dbt_utils\n    search_order: [shop, dbt_utils]\n"
    )
    assert missing(project) == []
    assert parsed(project / "dbt_project.yml")["dispatch"] == [DISPATCH, other]


def test_hooks_by_the_side_of_others_are_hooks(project: Path) -> None:
    (project / "dbt_project.yml").write_text(
        SMALL
        + "models:\n  shop:\n    +pre-hook: ['{{ tidemark.begin_run() }}', select 1]\n"
        + "    +post-hook: '{{ tidemark.record_run() }}'\n"
    )
    assert missing(project) == []


@pytest.mark.parametrize("file", ["packages.yml", "dependencies.yml"])
@pytest.mark.parametrize(
    "entry",
    [
        {"local": "../engine/packages/tidemark/"},
        {"git": "https://git.example/engine.git", "subdirectory": "packages/tidemark"},
        {"package": "somebody/tidemark", "version": "0.2.0"},
    ],
    ids=lambda entry: next(iter(entry)),
)
def test_a_package_that_is_named_is_there(project: Path, file: str, entry: dict[str, str]) -> None:
    text = json.dumps({"packages": [entry]})
    (project / file).write_text(text)
    assert missing(project) == []
    assert (project / file).read_text() == text
    assert {"packages.yml", "dependencies.yml"} & files(project).keys() == {file}


@pytest.mark.parametrize("file", ["packages.yml", "dependencies.yml"])
def test_the_package_joins_the_others_in_their_file(project: Path, file: str) -> None:
    others = [{"local": "/srv/tidemark/packages/dbt_utils_offline"}, {"local": "../shared"}]
    (project / file).write_text(
        "packages:\n" + "".join(f"  - local: {o['local']}\n" for o in others)
    )
    assert missing(project, "https://git.example/engine.git") == []
    engine = {"git": "https://git.example/engine.git", "subdirectory": "packages/tidemark"}
    assert parsed(project / file) == {"packages": [engine, *others]}
    assert {"packages.yml", "dependencies.yml"} & files(project).keys() == {file}


def test_wiring_of_another_version_is_not_overwritten(project: Path) -> None:
    path = project / "macros" / "tidemark.sql"
    path.parent.mkdir()
    path.write_text(wiring_sql().replace("return(1)", "return(0)"))
    before = path.read_text()
    assert missing(project) == ["what dbt looks up in the root alone"]
    assert path.read_text() == before


def test_macros_go_where_the_project_has_them(project: Path) -> None:
    (project / "dbt_project.yml").write_text(SMALL + "macro-paths: [sql/macros, more]\n")
    assert missing(project) == []
    assert (project / "sql" / "macros" / "tidemark.sql").read_text() == wiring_sql()


def test_snapshots_get_hooks_where_there_are_some(project: Path) -> None:
    (project / "snapshots").mkdir()
    (project / "snapshots" / "tiers.sql").write_text("")
    assert missing(project) == []
    assert parsed(project / "dbt_project.yml")["snapshots"] == {"shop": HOOKS}


def test_what_is_no_yaml_is_refused_in_words(project: Path) -> None:
    (project / "dbt_project.yml").write_text("name: [shop\n")
    ran = CliRunner().invoke(cli.app, ["init", "--project-dir", str(project)])
    assert ran.exit_code == 2
    assert "This is no YAML" in ran.output
    assert files(project) == {"dbt_project.yml": "name: [shop\n"}


@pytest.mark.parametrize("wired", [EXAMPLE, ROOT], ids=lambda path: path.name)
def test_the_projects_of_this_repository_are_wired(wired: Path, tmp_path: Path) -> None:
    for file in ("dbt_project.yml", "packages.yml", "macros/tidemark.sql"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(wired / file, tmp_path / file)
    assert missing(tmp_path, write=False) == []
