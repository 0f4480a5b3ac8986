"""The columns of the raw tables: the sources' YAML says them, and all else agrees with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Template

PROJECT = Path(__file__).parents[2]


def read(path: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((PROJECT / path).read_text(encoding="utf-8"))[kind]
    return found


def on_duckdb(data_type: str) -> str:
    return Template(data_type).render(target={"type": "duckdb"})


RAW = {
    table["name"]: table["columns"]
    for source in read("models/staging/_staging.yml", "sources")
    if source["name"] == "raw"
    for table in source["tables"]
}
SEEDS = {seed["name"]: seed for seed in read("seeds/_seeds.yml", "seeds")}


def test_a_seed_for_every_raw_table() -> None:
    assert set(SEEDS) == set(RAW)


@pytest.mark.parametrize("table", RAW)
def test_a_seed_has_the_types_of_its_source(table: str) -> None:
    # on target `demo`, where the seeds are
    types = {column["name"]: on_duckdb(column["data_type"]) for column in RAW[table]}
    assert types == SEEDS[table]["config"]["column_types"]


@pytest.mark.parametrize("table", RAW)
def test_a_column_is_required_where_its_description_says_so(table: str) -> None:
    required = {
        column["name"]
        for column in RAW[table]
        if column.get("config", {}).get("meta", {}).get("required")
    }
    described = {
        column["name"] for column in SEEDS[table]["columns"] if "Required" in column["description"]
    }
    assert required == described
