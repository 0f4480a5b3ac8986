"""`examples/orders`, somebody else's project on the engine: every run equal to a full refresh."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from orders_project import (
    CORRECTED,
    EXAMPLE,
    FILE_NAME,
    FIRST,
    GRAINS,
    REFUNDED,
    Orders,
    built,
    decisions,
    rows_of,
)

LINES = 150
ALL = {*GRAINS, "buyer_tiers"}


@dataclass
class Story:
    """The project, the file that runs change, and one that is only ever refreshed."""

    orders: Orders
    kept: Path
    refreshed: Path

    def run(self, clock: datetime) -> dict[str, Any]:
        """`tidemark run`, and whether it left what a full refresh leaves."""
        told = self.orders.ask(clock, "run")
        assert told["exit_code"] == 0, told
        self.compare(clock)
        return told

    def compare(self, clock: datetime) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ORDERS_PATH", str(self.refreshed))
            self.orders.succeed(clock, "run", "--full-refresh", "--exclude", "package:tidemark")
        with duckdb.connect(self.kept) as kept, duckdb.connect(self.refreshed) as refreshed:
            assert rows_of(kept, "main") == rows_of(refreshed, "main")

    def sql(self, statement: str) -> list[Any]:
        """What a hand does in the warehouse."""
        with duckdb.connect(self.kept) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("example")
    kept, refreshed = home / "kept" / FILE_NAME, home / "refreshed" / FILE_NAME
    kept.parent.mkdir()
    refreshed.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERS_PATH", str(kept))
        patch.delenv("DBT_PROFILES_DIR", raising=False)
        orders = Orders.copied(home)
        orders.succeed(None, "seed")
        shutil.copy(kept, refreshed)
        yield Story(orders, kept, refreshed)


def test_it_is_small() -> None:
    written = [
        path
        for pattern in ("*.sql", "*.yml")
        for path in EXAMPLE.rglob(pattern)
        if not {"dbt_packages", "target"} & {*path.relative_to(EXAMPLE).parts}
    ]
    assert sum(len(path.read_text().splitlines()) for path in written) < LINES


# ---- its story: the tests go on from one another, in their order ----


def test_the_first_build_builds_everything(story: Story) -> None:
    told = story.run(FIRST)
    assert decisions(told) == dict.fromkeys(ALL, "new")
    assert set(built(told)) == ALL


def test_corrections_cancellations_and_late_orders_touch_their_partitions(story: Story) -> None:
    told = story.run(CORRECTED)
    assert built(told) == {
        "buyer_days": ("incremental", 2),
        "buyer_balances": ("incremental", 2),
        "visits": ("incremental", 2),
        "buyer_tiers": ("snapshot", None),
    }
    assert (date(2025, 2, 20), Decimal("70.00")) in story.sql(
        "select sales_day, net_amount from buyer_days where buyer = 'cleo'"
    )
    # the order without a buyer is kept visible, and out of everything else
    assert story.sql("select source_name, quarantine_reason from main_ops.quarantined_rows") == [
        ("movements", "no buyer")
    ]


def test_a_refund_that_comes_weeks_late_touches_its_day(story: Story) -> None:
    told = story.run(REFUNDED)
    assert built(told)["buyer_days"] == built(told)["buyer_balances"] == ("incremental", 2)
    assert built(told)["visits"] == ("incremental", 1)
    assert (Decimal("5.00"),) in story.sql(
        "select net_amount from buyer_days where buyer = 'ada' and sales_day = '2025-03-05'"
    )
    tiers = story.sql("select tier, dbt_valid_to is null from buyer_tiers where buyer = 'bob'")
    assert Counter(tiers) == Counter([("new", False), ("gold", True)])


def test_nothing_new_builds_nothing(story: Story) -> None:
    told = story.orders.ask(REFUNDED, "run")
    assert decisions(told) == dict.fromkeys(ALL, "unchanged")
    assert told["build"]["models"] == []


def test_everything_is_tested_when_somebody_asks(story: Story) -> None:
    def ages() -> set[float]:
        figures = story.orders.ask(REFUNDED, "status")["figures"]
        ages = [f for f in figures if f["metric"] == "test_age" and f["subject"] in GRAINS]
        assert {figure["subject"] for figure in ages} == GRAINS.keys()
        return {figure["amount"] for figure in ages}

    # the first build looked at everything, those after it at what they wrote
    assert ages() == {(REFUNDED - FIRST).total_seconds()}
    told = story.orders.ask(REFUNDED, "test", "--days", "3")
    assert (told["exit_code"], told["days"], told["failures"]) == (0, 3, [])
    assert ages() == {(REFUNDED - FIRST).total_seconds()}
    assert story.orders.ask(REFUNDED, "test")["tests"]["pass"] >= len(GRAINS)
    assert ages() == {0}


def test_damage_is_found_and_repaired(story: Story) -> None:
    story.sql("delete from buyer_days where buyer = 'ada' and sales_day = '2025-03-01'")
    story.sql(
        "update buyer_balances set balance = 1 where buyer = 'bob' and sales_day = '2025-03-04'"
    )
    story.sql("update visits set net_amount = 0 where visit = 'v2'")
    found = story.orders.ask(REFUNDED, "gaps")
    assert {(gap["model"], gap["entity"]) for gap in found["gaps"]} == {
        ("buyer_days", "ada"),
        ("buyer_balances", "bob"),
        ("visits", "bob"),
    }
    assert story.orders.ask(REFUNDED, "backfill", "--apply")["exit_code"] == 0
    story.compare(REFUNDED)


def test_the_status_knows_its_own_tables_alone(story: Story) -> None:
    status = story.orders.ask(REFUNDED, "status")
    subjects = {(figure["metric"], figure["subject"]) for figure in status["figures"]}
    assert {subject for metric, subject in subjects if metric == "source_age"} == {
        "orders",
        "refunds",
        "buyers",
    }
    assert {subject for metric, subject in subjects if metric == "watermark_lag"} == ALL


def test_nothing_of_another_project_leaks_into_it(story: Story) -> None:
    schemas = {
        schema
        for (schema,) in story.sql("select distinct table_schema from information_schema.tables")
    }
    assert schemas == {"main", "main_shop", "main_ops"}
    packages = {node.package_name for node in story.orders.dbt.manifest.nodes.values()}
    assert packages == {"orders", "tidemark"}
    tables = story.sql(
        "select table_name from information_schema.tables where table_schema = 'main'"
    )
    assert {name for (name,) in tables} == {*ALL, "stg_movements", "stg_buyers"}
