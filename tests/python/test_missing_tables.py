"""Raw tables that are not there: what waits for them, and the way out that people are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exact.marts import MARTS_OF, connect
from exact.raw import create

from tidemark.engine import Dbt
from tidemark.gate import ModelState, SourceState
from tidemark.judgement import judge

PROJECT = Path(__file__).parents[2]
WEB = {*MARTS_OF["web"]}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Raw tables of somebody's own, empty, without the teams, which have no freshness limits."""
    home = tmp_path_factory.mktemp("missing")
    path = home / "tidemark.duckdb"
    with connect(path) as connection:
        create(connection)
        connection.execute("drop table raw.web_teams")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(path))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        yield path


@pytest.fixture(scope="module")
def dbt(database: Path) -> Dbt:
    return Dbt(PROJECT, "duckdb", {}, database.parent / "target")


def test_a_missing_table_blocks_and_the_way_out_is_told(dbt: Dbt) -> None:
    judgement = judge(dbt)
    (teams,) = [check for check in judgement.checks if check.source == "web_teams"]
    assert (teams.state, teams.blocks) == (SourceState.ERROR, True)
    assert set(judgement.models(ModelState.BLOCKED)) >= WEB
    assert judgement.advice.startswith(
        "This raw table does not exist: tidemark.raw.web_teams. Who does not have them may switch"
        " off domain web: vars: domains in dbt_project.yml, or --vars '{domains: [company,"
        " engagement, consumers, learning]}'."
    )


def test_plain_dbt_tells_the_way_out_after_what_failed(dbt: Dbt, database: Path) -> None:
    with connect(database) as connection:
        connection.execute("drop table raw.learner_events")
    said: list[str] = []

    def hear(message: Any) -> None:
        said.append(str(message.info.msg))

    dbt.listeners.append(hear)
    try:
        outcome = dbt.call("run", "--select", "stg_learner_events", "stg_web_teams")
    finally:
        dbt.listeners.remove(hear)
    assert not outcome.success
    (advice,) = [line for line in said if "These raw tables do not exist" in line]
    assert "domains learning, web: " in advice
    assert "--vars '{domains: [company, engagement, consumers]}'" in advice
