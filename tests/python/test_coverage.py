"""Coverage finds what is wrong with built tables, and the repair puts exactly that right."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from damage import RAW_TABLES, spoil
from exact.marts import day_column_of, entity_of

from tidemark.engine import Dbt, Outcome

PROJECT = Path(__file__).parents[2]
SEED_CLOCK = datetime(2025, 10, 15, 12)
# What coverage compares at the seed clock: thirty ended days.
FIRST_DAY, TODAY = date(2025, 9, 15), date(2025, 10, 15)

STORED = "config.materialized:incremental"

# Each plays one damage per domain. `make test-coverage` plays at length.
ROUNDS = int(os.environ.get("TIDEMARK_DAMAGES", "10")) // len(RAW_TABLES)

Key = tuple[str, date | None]


@dataclass
class Warehouse:
    """One demo database, and dbt on it."""

    path: Path
    dbt: Dbt

    def call(self, *args: str, as_of: datetime = SEED_CLOCK, **variables: Any) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TIDEMARK_DEMO_PATH", str(self.path))
            patch.setenv("DBT_LOG_PATH", str(self.path.parent / "logs"))
            return self.dbt.call(*args, as_of=as_of, variables=variables)

    def run(self, *args: str, as_of: datetime = SEED_CLOCK, **variables: Any) -> Outcome:
        outcome = self.call(*args, as_of=as_of, **variables)
        assert outcome.success, [*outcome.errors, *(r.message for r in outcome.results)]
        return outcome

    def check(self, *select: str, as_of: datetime = SEED_CLOCK, **asked: Any) -> Outcome:
        selected = select or (STORED,)
        return self.run("run", "--select", *selected, as_of=as_of, coverage=asked)

    def sql(self, *statements: str) -> list[Any]:
        with duckdb.connect(str(self.path)) as connection:
            for statement in statements:
                answer = connection.execute(statement).fetchall()
        return answer

    def copy(self, folder: Path) -> Warehouse:
        shutil.copy(self.path, folder / self.path.name)
        return Warehouse(folder / self.path.name, self.dbt)

    def gaps(self) -> dict[str, set[Key]]:
        found: dict[str, set[Key]] = defaultdict(set)
        for model, entity, day in self.sql("select model_name, entity, day from ops.data_gaps"):
            found[model].add((entity, day))
        return found

    def plan(self, *columns: str) -> list[Any]:
        return self.sql(f"select {', '.join(columns)} from ops.backfill_plan order by all")

    def repair(self, run_id: str, **picked: Any) -> dict[str, Any]:
        """Start, build, look again, finish: as `tidemark backfill --apply` does."""
        arguments = ("--args", json.dumps(picked))
        started = self.run("run-operation", "start_backfill", *arguments, run_id=run_id)
        models = started.event("backfill_started")["models"]
        touched = [f"{model}+,{STORED}" for model in models]
        if touched:
            self.run("run", "--select", *touched, run_id=run_id)
            self.run("run", "--select", *touched, run_id=run_id, coverage={})
        finished = self.run("run-operation", "finish_backfill", run_id=run_id)
        return {"models": models, **finished.event("backfill_finished")}


@dataclass(frozen=True)
class Marts:
    """What the project stores: the strategy of each table, per domain, and what it is built on."""

    strategies: Mapping[str, Mapping[str, str]]
    built_on: Mapping[str, set[str]]

    @property
    def all(self) -> dict[str, str]:
        return {name: kind for tables in self.strategies.values() for name, kind in tables.items()}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The demo, built once at the seed clock."""
    home = tmp_path_factory.mktemp("coverage")
    built = Warehouse(
        home / "tidemark.duckdb", Dbt(PROJECT, "demo", target_path=home / "target", listeners=[])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(built.path))
        built.run("seed")
        built.run("run")
        yield built


@pytest.fixture
def warehouse(sound: Warehouse, tmp_path: Path) -> Warehouse:
    return sound.copy(tmp_path)


@pytest.fixture(scope="module")
def marts(sound: Warehouse) -> Marts:
    nodes = {
        node.unique_id: node
        for node in sound.dbt.manifest.nodes.values()
        if node.resource_type == "model" and node.config.materialized == "incremental"
    }
    strategies: dict[str, dict[str, str]] = defaultdict(dict)
    built_on: dict[str, set[str]] = defaultdict(set)
    parents = sound.dbt.manifest.parent_map
    for unique_id, node in nodes.items():
        strategies[node.fqn[-2]][node.name] = node.config.incremental_strategy
        ahead = list(parents[unique_id])
        while ahead:
            parent = ahead.pop()
            ahead += parents.get(parent, [])
            if parent in nodes:
                built_on[node.name].add(nodes[parent].name)
    return Marts(strategies, built_on)


@pytest.fixture(scope="module")
def usual(sound: Warehouse, marts: Marts, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a build at the same clock rewrites of sound tables: it reads the overlap again."""
    again = sound.copy(tmp_path_factory.mktemp("usual"))
    forget_when_written(again, marts)
    again.run("run", "--select", STORED)
    return rewritten(again, marts)


def key_of(mart: str, strategy: str) -> str:
    day = "cast(null as date)" if strategy == "whole" else f"cast({day_column_of(mart)} as date)"
    return f"cast({entity_of(mart)} as varchar), {day}"


def forget_when_written(warehouse: Warehouse, marts: Marts) -> None:
    warehouse.sql(
        *(f"update marts.{mart} set record_loaded_at = '2000-01-01'" for mart in marts.all)
    )


def rewritten(warehouse: Warehouse, marts: Marts) -> dict[str, set[Key]]:
    return {
        mart: set(
            warehouse.sql(
                f"select distinct {key_of(mart, strategy)} from marts.{mart} "
                "where record_loaded_at <> '2000-01-01'"
            )
        )
        for mart, strategy in marts.all.items()
    }


def differences(warehouse: Warehouse, fresh: Warehouse, marts: Marts) -> dict[str, set[Key]]:
    """Partitions of ended days in the window that are not those of a full refresh."""
    found: dict[str, set[Key]] = {}
    with duckdb.connect() as connection:
        connection.execute(f"attach '{warehouse.path}' as stored (read_only)")
        connection.execute(f"attach '{fresh.path}' as fresh (read_only)")
        for mart, strategy in marts.all.items():
            rows = "select * exclude (record_loaded_at) from {}.marts." + mart
            one, other = rows.format("stored"), rows.format("fresh")
            keys = connection.execute(
                f"select distinct {key_of(mart, strategy)} from "
                f"(({one} except all {other}) union all ({other} except all {one})) as different"
            ).fetchall()
            differing = {
                (who, day) for who, day in keys if day is None or FIRST_DAY <= day < TODAY
            }
            if differing:
                found[mart] = differing
    return found


def replayed_from(keys: set[Key]) -> dict[str, date]:
    first: dict[str, date] = {}
    for entity, day in keys:
        assert day is not None
        first[entity] = min(day, first.get(entity, day))
    return first


def unasked(
    warehouse: Warehouse, marts: Marts, truth: dict[str, set[Key]], usual: dict[str, set[Key]]
) -> dict[str, set[Key]]:
    """Sound partitions that the repair rewrote, beyond what its models have to."""
    now, surplus = rewritten(warehouse, marts), {}
    for mart, strategy in marts.all.items():
        allowed = truth.get(mart, set()) | usual[mart]
        extra = now[mart] - allowed
        if strategy == "whole":
            extra = set()
        elif strategy == "replay":
            first = replayed_from(truth.get(mart, set()))
            extra = {key for key in extra if key[0] not in first or key[1] < first[key[0]]}  # type: ignore[operator]
        elif strategy == "sessions":
            extra -= reaching_into(warehouse, mart, truth.get(mart, set()))
        # the partitions of sessions that were written again
        elif sessions := [m for m in marts.built_on[mart] if marts.all[m] == "sessions"]:
            extra -= set().union(*(now[name] for name in sessions))
        if extra:
            surplus[mart] = extra
    return surplus


def reaching_into(warehouse: Warehouse, mart: str, keys: set[Key]) -> set[Key]:
    """Partitions with sessions that reach into a damaged day: these are recomputed with it."""
    sessions = warehouse.sql(
        f"select cast({entity_of(mart)} as varchar), session_start, session_end from marts.{mart}"
    )
    return {
        (entity, start.date())
        for entity, start, end in sessions
        for who, day in keys
        if who == entity and day is not None and start.date() <= day <= end.date()
    }


@pytest.mark.parametrize("number", range(ROUNDS))
def test_damage_is_found_and_repaired(
    sound: Warehouse, warehouse: Warehouse, marts: Marts, usual: Any, tmp_path: Path, number: int
) -> None:
    random = Random(number)
    forget_when_written(warehouse, marts)
    with duckdb.connect(str(warehouse.path)) as connection:
        damages = [
            spoil(connection, random, domain, tables)
            for domain, tables in sorted(marts.strategies.items())
        ]
    fresh = sound
    if any(damage.is_raw for damage in damages):
        (tmp_path / "fresh").mkdir()
        fresh = warehouse.copy(tmp_path / "fresh")
        fresh.run("run", "--full-refresh", "--select", STORED)
    truth = differences(warehouse, fresh, marts)
    wrecked = {damage.table for damage in damages if damage.kind == "interrupted"}

    warehouse.check()
    gaps = warehouse.gaps()
    for mart in marts.all:
        # what is built on something wrong is judged when that is right again
        if not any(other in truth for other in marts.built_on[mart]):
            assert gaps.get(mart, set()) == truth.get(mart, set()), (mart, damages)

    repairs = 0
    while any(decision in ("planned", "below minimum") for (decision,) in warehouse.plan("decision")):
        repairs += 1
        assert repairs <= 9, damages
        done = warehouse.repair(f"repair {repairs}", below_minimum=True)
        assert done["failed"] == 0, (damages, done)
    assert warehouse.plan("*") == []
    assert differences(warehouse, fresh, marts) == {}, damages
    surplus = unasked(warehouse, marts, truth, usual)
    for mart in surplus:
        # a table that was never finished is rebuilt whole, and so is what is built on it
        assert mart in wrecked or wrecked & marts.built_on[mart], (damages, surplus)
