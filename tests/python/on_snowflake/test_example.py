"""`examples/orders` on the emulated Snowflake: the same story as on DuckDB, in test_example.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from orders_project import (
    CORRECTED,
    FIRST,
    GRAINS,
    REFUNDED,
    Orders,
    built,
    decisions,
    rows_of,
)

from .shim import Emulator, emulated_snowflake

pytestmark = [
    pytest.mark.snowflake,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="fakesnow needs Python 3.11"),
    # Minutes, for what the end to end shows of the project already.
    pytest.mark.skipif("TIDEMARK_EXAMPLES" not in os.environ, reason="only by make test-snowflake"),
]

ALL = {*GRAINS, "buyer_tiers"}
KEPT, REFRESHED = "ORDERS", "ORDERS_REFRESHED"

# What a user of Snowflake has in the place of the file's path.
PROFILE = """\
    snowflake:
      {type: snowflake, account: emulated, user: orders, password: let me in, role: TRANSFORMER,
       warehouse: TRANSFORMING, database: DATABASE, schema: shop,
       threads: 1, reuse_connections: false}
"""


@dataclass
class Story:
    """The project, the database that runs change, and one that is only ever refreshed."""

    orders: Orders
    refreshed: Orders
    emulator: Emulator

    def run(self, clock: datetime) -> dict[str, Any]:
        told = self.orders.ask(clock, "run")
        assert told["exit_code"] == 0, told
        self.compare(clock)
        return told

    def compare(self, clock: datetime) -> None:
        self.refreshed.succeed(clock, "run", "--full-refresh", "--exclude", "package:tidemark")
        account = self.emulator.account.duck_conn
        assert rows_of(account, f"{KEPT}.SHOP") == rows_of(account, f"{REFRESHED}.SHOP")

    def sql(self, *statements: str) -> None:
        """What a hand does in the warehouse."""
        session = self.emulator.connect(database=KEPT, schema="SHOP")
        for statement in statements:
            session.cursor().execute(statement)
        session.close()


def seeded(home: Path, database: str) -> Orders:
    """A copy of the project that has a database for itself."""
    orders = Orders.copied(home / database, "snowflake")
    with (orders.project / "profiles.yml").open("a") as profile:
        profile.write(PROFILE.replace("DATABASE", database))
    # test_end_to_end.py has those of the engine's own views, which take half of the time
    with (orders.project / "dbt_project.yml").open("a") as settings:
        settings.write("data_tests: {tidemark: {+enabled: false}}\n")
        settings.write("unit_tests: {tidemark: {+enabled: false}}\n")
    orders.succeed(None, "seed")
    return orders


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("example")
    with pytest.MonkeyPatch.context() as patch, emulated_snowflake() as emulator:
        patch.delenv("DBT_PROFILES_DIR", raising=False)
        yield Story(seeded(home, KEPT), seeded(home, REFRESHED), emulator)


def test_the_first_build_builds_everything(story: Story) -> None:
    told = story.run(FIRST)
    assert decisions(told) == dict.fromkeys(ALL, "new")
    assert set(built(told)) == ALL


def test_what_comes_late_touches_its_partitions(story: Story) -> None:
    assert built(story.run(CORRECTED)) == {
        "buyer_days": ("incremental", 2),
        "buyer_balances": ("incremental", 2),
        "visits": ("incremental", 2),
        "buyer_tiers": ("snapshot", None),
    }
    assert built(story.run(REFUNDED))["buyer_days"] == ("incremental", 2)


def test_damage_is_found_and_repaired(story: Story) -> None:
    story.sql(
        "delete from shop.buyer_days where buyer = 'ada' and sales_day = '2025-03-01'",
        "update shop.buyer_balances set balance = 1 where sales_day = '2025-03-04'",
        "update shop.visits set net_amount = 0 where visit = 'v2'",
    )
    found = story.orders.ask(REFUNDED, "gaps")
    assert {(gap["model"], gap["entity"]) for gap in found["gaps"]} >= {
        ("buyer_days", "ada"),
        ("buyer_balances", "bob"),
        ("visits", "bob"),
    }
    assert story.orders.ask(REFUNDED, "backfill", "--apply")["exit_code"] == 0
    story.compare(REFUNDED)


def test_the_status_knows_it(story: Story) -> None:
    status = story.orders.ask(REFUNDED, "status")
    lags = {f["subject"] for f in status["figures"] if f["metric"] == "watermark_lag"}
    assert lags == ALL
    told = story.orders.ask(REFUNDED, "check")
    assert decisions(told) == dict.fromkeys(ALL, "unchanged")
