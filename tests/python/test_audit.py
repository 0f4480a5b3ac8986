"""Audit before publish: a wrong increment, or rebuild, is refused, and nobody ever sees it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
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
from orders_project import CORRECTED, FILE_NAME, FIRST, REFUNDED, Orders

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


def test_what_was_audited_whole_is_not_asked_again(marts: Marts) -> None:
    from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper

    sent: list[str] = []
    execute = DuckDBCursorWrapper.execute

    def recorded(self: Any, sql: str, *bindings: Any) -> Any:
        sent.append(sql)
        return execute(self, sql, *bindings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DuckDBCursorWrapper, "execute", recorded)
        outcome = marts.build(FIRST, "--full-refresh")
        of_tests = [sql for sql in sent if '"node_id": "test.' in sql and "should_error" in sql]
        sent.clear()
        marts.orders.succeed(FIRST, "test", "--select", "is_there")
    results = [r for r in outcome.results if str(r.node.resource_type) == "test"]
    assert [str(r.status) for r in results] == ["pass"] * len(NAMES)
    assert len(of_tests) == len(NAMES)
    assert [sql for sql in of_tests if "dbt_internal_test" in sql] == []
    # who asks for tests alone gets them
    assert any("dbt_internal_test" in sql for sql in sent)


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


@pytest.mark.parametrize("when", ["before", "in", "after"])
def test_a_kill_around_the_audit_publishes_nothing(marts: Marts, when: str) -> None:
    before = marts.rows()
    script = [sys.executable, str(Path(__file__).parent / "killed_at.py"), when, "as audit,"]
    variables = json.dumps({"as_of": CORRECTED.isoformat(), "wrong": when == "in"})
    dbt = ["run", "--select", "is_single", "--vars", variables, "--profiles-dir", "."]
    killed = subprocess.run([*script, *dbt], cwd=marts.orders.project, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    assert marts.rows() == before


def test_after_it_is_right_again_all_is_as_a_full_refresh_leaves_it(marts: Marts) -> None:
    assert not refused(marts.build(CORRECTED))
    kept = marts.rows()
    assert not refused(marts.build(CORRECTED, "--full-refresh"))
    assert marts.rows() == kept
    assert marts.waiting() == []


def test_who_says_after_is_tested_when_it_is_there(marts: Marts) -> None:
    node = marts.orders.dbt.manifest.nodes["model.orders.is_there"]
    before = marts.rows()["is_there"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(node.config.meta, "audit", "after")
        marts.orders.dbt.manifest.build_flat_graph()
        outcome = marts.build(REFUNDED, "--exclude", "resource_type:unit_test", wrong=True)
    assert "is_there" not in refused(outcome)
    assert {str(r.status) for r in outcome.results if "not_null_is_there_net" in r.node.name} == {
        "fail"
    }
    assert marts.rows()["is_there"] != before
    marts.orders.dbt.manifest.build_flat_graph()
    assert not refused(marts.build(REFUNDED, "--full-refresh"))


def test_each_reads_no_more_than_it_needs(marts: Marts) -> None:
    planned = {
        test["test"]: (test["when"], test["reads"])
        for test in marts.orders.dbt.operate("audit_plan").event("audit_plan")["tests"]
        if test["model"] in NAMES
    }
    assert {when for when, _ in planned.values()} == {"before"}
    reads = {test: reads for test, (_, reads) in planned.items() if reads != "rows"}
    assert sorted(reads.values()) == ["keys"] * 2 + ["whole"] * 4


def test_sensitive_columns_are_neither_kept_nor_told(marts: Marts) -> None:
    node = marts.orders.dbt.manifest.nodes["model.orders.is_single"]
    column = node.columns["day_key"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column, "meta", {"sensitive": True})
        marts.orders.dbt.manifest.build_flat_graph()
        told = refused(marts.build(REFUNDED, "--full-refresh", wrong=True))
    marts.orders.dbt.manifest.build_flat_graph()
    assert "buyer=ada" in told["is_single"]
    assert "day_key=" not in told["is_single"]
    kept = marts.sql("select row_json from main_ops.rejected_rows where model_name = 'is_single'")
    assert kept
    assert not any("day_key" in row for (row,) in kept)
