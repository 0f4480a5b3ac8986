"""Audit before publish: a wrong increment, or rebuild, is refused, and nobody ever sees it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from audited_models import REFUSED, write
from orders_project import CORRECTED, FILE_NAME, FIRST, Orders

from tidemark.engine import Outcome

NAMES = [model.name for model in REFUSED]
Rows = dict[str, Counter[Any]]


@dataclass
class Marts:
    """The project with the models, and what readers see of them."""

    orders: Orders
    path: Path

    def build(self, clock: datetime, *args: str, wrong: bool = False) -> Outcome:
        chosen = ("build", "--select", "audited", *args)
        return self.orders.dbt.call(*chosen, as_of=clock, variables={"wrong": wrong})

    def sql(self, statement: str) -> list[Any]:
        with duckdb.connect(self.path) as connection:
            return connection.execute(statement).fetchall()

    def rows(self) -> Rows:
        return {name: Counter(self.sql(f"select * from {name}")) for name in NAMES}

    def waiting(self) -> list[str]:
        """What `status` says waits unpublished."""
        figures = self.orders.dbt.show("pipeline_health")
        return [row["subject"] for row in figures if row["metric"] == "unpublished"]

    @contextmanager
    def watched(self) -> Iterator[list[Rows]]:
        """All that a second connection sees while a build goes on: each state that is another."""
        seen: list[Rows] = []
        ended = threading.Event()

        def read() -> None:
            with duckdb.connect(self.path) as connection:
                while not ended.is_set():
                    tables = {
                        name
                        for (name,) in connection.execute(
                            "select table_name from duckdb_tables()"
                        ).fetchall()
                    }
                    rows = {
                        name: Counter(connection.execute(f"select * from {name}").fetchall())
                        for name in NAMES
                        if name in tables
                    }
                    if rows not in seen:
                        seen.append(rows)
                    ended.wait(0.01)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield seen
        finally:
            ended.set()
            reader.join()


def refused(outcome: Outcome) -> dict[str, str]:
    """The models that failed, with what dbt says of them."""
    return {
        result.node.name: result.message
        for result in outcome.results
        if str(result.status) == "error" and str(result.node.resource_type) == "model"
    }


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marts]:
    home = tmp_path_factory.mktemp("audit")
    path = home / FILE_NAME
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERS_PATH", str(path))
        patch.delenv("DBT_PROFILES_DIR", raising=False)
        orders = Orders.copied(home)
        write(orders.project)
        orders.succeed(None, "seed")
        orders.succeed(FIRST, "run", "--select", "stg_movements")
        yield Marts(orders, path)


def test_of_a_wrong_first_build_nothing_is_there(marts: Marts) -> None:
    with marts.watched() as seen:
        outcome = marts.build(FIRST, wrong=True)
    assert set(refused(outcome)) == set(NAMES)
    assert seen == [{}]
    built = "select job_name from main_ops.etl_job_runs where status = 'success' and mode = 'full'"
    assert marts.sql(built) == []


def test_what_is_right_is_published(marts: Marts) -> None:
    assert not refused(marts.build(FIRST))
    assert all(marts.rows().values())


@pytest.mark.parametrize("flags", [(), ("--full-refresh",)], ids=["increment", "rebuild"])
def test_a_wrong_build_is_refused_and_nobody_sees_it(marts: Marts, flags: tuple[str, ...]) -> None:
    before = marts.rows()
    with marts.watched() as seen:
        outcome = marts.build(CORRECTED, *flags, wrong=True)
    told = refused(outcome)
    assert set(told) == set(NAMES)
    assert [name for name in told if "Nothing was published" not in told[name]] == []
    assert [rows for rows in seen if rows != before] == []
    assert marts.rows() == before
    assert "buyer=cleo, sales_day=2025-02-20, net_amount=null" in told["is_there"]
    assert "The table stays as it was, of 2025-03-05 12:00:00." in told["is_there"]
    rejected = marts.sql("select distinct model_name from main_ops.rejected_rows")
    assert {name for (name,) in rejected} == set(NAMES)
    assert set(marts.waiting()) == set(NAMES)


def test_after_it_is_right_again_all_is_as_a_full_refresh_leaves_it(marts: Marts) -> None:
    assert not refused(marts.build(CORRECTED))
    kept = marts.rows()
    assert not refused(marts.build(CORRECTED, "--full-refresh"))
    assert marts.rows() == kept
    assert marts.waiting() == []
