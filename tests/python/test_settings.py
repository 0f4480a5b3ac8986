"""Settings of a deployment: one file, environment variables over it, and what is no setting."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dbt.clients.yaml_helper import load_yaml_text
from typer.testing import CliRunner

from tidemark import cli
from tidemark.settings import FILE, for_target, read, untold

PROJECT = Path(__file__).parents[2]
LIMITS = load_yaml_text((PROJECT / "dbt_project.yml").read_text())["vars"]["freshness_hours"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's settings and their defaults, without the rest of it."""
    (tmp_path / "dbt_project.yml").write_text((PROJECT / "dbt_project.yml").read_text())
    monkeypatch.delenv("TIDEMARK_SETTINGS")
    return tmp_path


def said(folder: Path, text: str, **environment: str) -> dict[str, Any]:
    (folder / FILE).write_text(text)
    return dict(read(folder, environment).variables)


def test_without_a_file_all_is_as_the_project_has_it(folder: Path) -> None:
    assert read(folder, {}).variables == {}
    assert for_target(folder, "duckdb") == ("duckdb", {})


def test_one_source_changes_without_another(folder: Path) -> None:
    found = said(folder, "freshness_hours: {crm_daily: {error: 100}, web_events: {warn: null}}")
    changed = {"crm_daily": {"warn": 30, "error": 100}, "web_events": {"warn": None, "error": 6}}
    assert found == {"freshness_hours": {**LIMITS, **changed}}


def test_what_is_not_said_keeps_its_default(folder: Path) -> None:
    found = said(folder, "backfill: {priority_entities: [acme]}\nhealth: {open_gaps: {warning: 5}}")
    assert found["backfill"]["priority_entities"] == ["acme"]
    assert found["backfill"]["max_days"] == 7
    assert found["health"]["open_gaps"] == {"warning": 5, "critical": None}
    assert found["health"]["pending_rows"] == {"warning": 1, "critical": 100}


def test_the_environment_comes_before_the_file(folder: Path) -> None:
    environment = {
        "TIDEMARK_DOMAINS": "company, web",
        "TIDEMARK_RAW_IDENTIFIERS": "{web_events: posthog_events}",
        "TIDEMARK_RECONCILIATION_TOLERANCE": "0.1",
        # these have always been something else
        "TIDEMARK_LANDING": "s3://bucket/landing",
        "TIDEMARK_DUCKDB_PATH": "warehouse.duckdb",
    }
    text = "domains: [learning]\nraw_schema: lake\nraw_identifiers: {fact_events: tracks}"
    found = said(folder, text, **environment)
    assert found["domains"] == ["company", "web"]
    assert found["raw_schema"] == "lake"
    assert found["raw_identifiers"]["fact_events"] == "tracks"
    assert found["raw_identifiers"]["web_events"] == "posthog_events"
    assert found["reconciliation_tolerance"] == 0.1
    assert "landing" not in found
    origins = read(folder, environment).origins
    assert origins["raw_identifiers"] == "tidemark.yml, TIDEMARK_RAW_IDENTIFIERS"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("domain: [web]", "tidemark.yml: domain is no setting; did you mean domains?"),
        ("raw_identifiers: {fact_event: x}", "raw_identifiers.fact_event is no setting; did you"),
        ("freshness_hours: {crm_daily: {warning: 1}}", "freshness_hours.crm_daily.warning is no"),
        ("versions: {}", "versions is no setting"),
        ("domains: web", "domains has to be a list"),
        ("retention: 12", "retention has to be a mapping"),
        ("retention: {raw_months: many}", "retention.raw_months has to be a number"),
        ("landing: {pipes: 1}", "landing.pipes has to be true or false"),
        ("raw_database: [a]", "raw_database has to be text or a number"),
        ("domains: [web", "is no YAML"),
        ("- domains", "tidemark.yml is no mapping of settings"),
    ],
)
def test_what_is_no_setting_is_told(folder: Path, text: str, refused: str) -> None:
    with pytest.raises(ValueError, match=re.escape(refused)):
        said(folder, text)


def test_a_variable_that_is_wrong_is_named_and_not_repeated(folder: Path) -> None:
    told = "^TIDEMARK_RETENTION: retention has to be a mapping$"
    with pytest.raises(ValueError, match=told):
        said(folder, "", TIDEMARK_RETENTION="s3cret")


def test_a_file_of_one_target_is_not_for_others(folder: Path) -> None:
    (folder / FILE).write_text("target: duckdb\nraw_schema: lake")
    assert for_target(folder, None) == ("duckdb", {"raw_schema": "lake"})
    assert for_target(folder, "duckdb") == ("duckdb", {"raw_schema": "lake"})
    assert for_target(folder, "demo") == ("demo", {})


def test_another_file_and_none(folder: Path) -> None:
    (folder / FILE).write_text("raw_schema: lake")
    (folder / "other.yml").write_text("raw_schema: pond")
    assert read(folder, {"TIDEMARK_SETTINGS": "other.yml"}).variables == {"raw_schema": "pond"}
    assert read(folder, {"TIDEMARK_SETTINGS": ""}).variables == {}
    with pytest.raises(ValueError, match="which TIDEMARK_SETTINGS names"):
        read(folder, {"TIDEMARK_SETTINGS": "gone.yml"})


def test_commands_refuse_what_is_no_setting(folder: Path) -> None:
    (folder / FILE).write_text("domain: [web]")
    for command in (["check"], ["run"], ["settings"]):
        ran = CliRunner().invoke(cli.app, [*command, "--project-dir", str(folder)])
        assert ran.exit_code == 2
        assert "did you mean domains?" in " ".join(ran.output.replace("│", " ").split())


def test_vars_under_the_name_of_the_project_are_heard_by_the_gate(folder: Path) -> None:
    file = folder / "dbt_project.yml"
    file.write_text(
        file.read_text().replace("\nvars:\n", "\nvars:\n  tidemark_marts: {window: 9}\n")
    )
    assert for_target(folder, "duckdb") == ("duckdb", {"window": 9})
    assert read(folder, {"TIDEMARK_WINDOW": "8"}).variables == {"window": 8}
    with pytest.raises(ValueError, match="tidemark_marts is no setting"):
        said(folder, "tidemark_marts: {window: 8}")


def test_vars_under_the_name_of_the_engine_are_refused(folder: Path) -> None:
    file = folder / "dbt_project.yml"
    file.write_text(file.read_text().replace("\nvars:\n", "\nvars:\n  tidemark: {ops_days: 9}\n"))
    ran = CliRunner().invoke(cli.app, ["check", "--project-dir", str(folder)])
    assert ran.exit_code == 2
    told = " ".join(ran.output.replace("│", " ").split())
    assert "do not see: ops_days. Write them one level up" in told


def test_the_settings_are_shown_with_where_they_were_said(folder: Path) -> None:
    (folder / FILE).write_text("raw_schema: lake")
    asked = ["settings", "--project-dir", str(folder)]
    told = json.loads(CliRunner().invoke(cli.app, [*asked, "--json"]).output)["settings"]
    by_name = {each["setting"]: (each["value"], each["said_by"]) for each in told}
    assert by_name["raw_schema"] == ("lake", "tidemark.yml")
    assert by_name["coverage_days"] == (30, "the default")
    as_vars = CliRunner().invoke(cli.app, [*asked, "--vars"]).output
    assert load_yaml_text(as_vars) == {"raw_schema": "lake"}


def test_plain_dbt_is_stopped_where_it_was_not_told(folder: Path, monkeypatch: Any) -> None:
    from types import SimpleNamespace

    from dbt import flags
    from dbt_common.exceptions import DbtRuntimeError

    from tidemark.duckdb_file import refuse_untold_settings

    (folder / FILE).write_text("raw_schema: lake")
    assert untold(folder, "duckdb", {}) == ["raw_schema"]
    called = SimpleNamespace(PROJECT_DIR=str(folder), TARGET="duckdb", VARS={})
    monkeypatch.setattr(flags, "get_flags", lambda: called)
    with pytest.raises(DbtRuntimeError, match="not told of the settings raw_schema"):
        refuse_untold_settings()
    called.VARS = {"raw_schema": "lake"}
    refuse_untold_settings()


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    page = (PROJECT / "docs" / "settings.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert documented == sorted(documented)
    assert {*documented} == {"target", *read(PROJECT, {"TIDEMARK_SETTINGS": ""}).defaults}


def test_the_example_of_the_page_is_right(folder: Path) -> None:
    page = (PROJECT / "docs" / "settings.md").read_text()
    (example,) = re.findall(r"```yaml\n(# tidemark.yml.*?)```", page, re.DOTALL)
    assert said(folder, example)["domains"] == ["company", "web"]
