"""Audit before publish on the emulated Snowflake, where every statement is published at once."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unittest import mock

import pytest
from audited_models import REFUSED, write
from orders_project import CORRECTED, FIRST, Orders

from tidemark.engine import Outcome

from . import shim
from .shim import Emulator, emulated_snowflake
from .test_example import PROFILE

pytestmark = [
    pytest.mark.snowflake,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="fakesnow needs Python 3.11"),
    # A minute, for what test_audit.py shows of DuckDB.
    pytest.mark.skipif("TIDEMARK_EXAMPLES" not in os.environ, reason="only by make test-snowflake"),
]

# Of each kind one: a row, a key over days, a whole table, a replayed one, one of sessions.
AUDITED = [
    model
    for model in REFUSED
    if model.name in {"is_there", "is_one_over_days", "adds_up", "replayed", "in_sessions"}
]
NAMES = [model.name for model in AUDITED]
Rows = dict[str, Counter[Any]]


@dataclass
class Marts:
    """The project with the models, and what readers see of them."""

    orders: Orders
    emulator: Emulator

    def build(self, clock: datetime, *args: str, wrong: bool = False) -> Outcome:
        chosen = ("run", "--select", "audited", *args)
        return self.orders.dbt.call(*chosen, as_of=clock, variables={"wrong": wrong})

    def rows(self) -> Rows:
        connection = self.emulator.account.duck_conn.cursor()
        found = {
            name.lower()
            for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()
        }
        return {
            name: Counter(connection.execute(f"select * from ORDERS.SHOP.{name}").fetchall())
            for name in NAMES
            if name in found
        }

    @contextmanager
    def watched(self) -> Iterator[list[Rows]]:
        """What is there after each statement: each state that is another."""
        seen: list[Rows] = []

        def look(*_: Any) -> None:
            if (rows := self.rows()) not in seen:
                seen.append(rows)

        with mock.patch.object(shim, "_interfere", look):
            yield seen


def refused(outcome: Outcome) -> set[str]:
    return {
        result.node.name
        for result in outcome.results
        if "Nothing was published" in (result.message or "")
    }


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marts]:
    home = tmp_path_factory.mktemp("audit")
    with pytest.MonkeyPatch.context() as patch, emulated_snowflake() as emulator:
        patch.delenv("DBT_PROFILES_DIR", raising=False)
        orders = Orders.copied(home, "snowflake")
        write(orders.project, AUDITED)
        with (orders.project / "profiles.yml").open("a") as profile:
            profile.write(PROFILE.replace("DATABASE", "ORDERS"))
        orders.succeed(None, "seed")
        orders.succeed(FIRST, "run", "--select", "stg_movements")
        yield Marts(orders, emulator)


def test_of_a_wrong_first_build_nothing_is_there(marts: Marts) -> None:
    with marts.watched() as seen:
        assert refused(marts.build(FIRST, wrong=True)) == set(NAMES)
    assert seen == [{}]


@pytest.mark.parametrize("flags", [(), ("--full-refresh",)], ids=["increment", "rebuild"])
def test_a_wrong_build_is_refused_and_nobody_sees_it(marts: Marts, flags: tuple[str, ...]) -> None:
    assert marts.build(FIRST).success
    before = marts.rows()
    assert set(before) == set(NAMES)
    with marts.watched() as seen:
        assert refused(marts.build(CORRECTED, *flags, wrong=True)) == set(NAMES)
    assert seen == [before]


def test_after_it_is_right_again_all_is_as_a_full_refresh_leaves_it(marts: Marts) -> None:
    assert marts.build(CORRECTED).success
    kept = marts.rows()
    assert marts.build(CORRECTED, "--full-refresh").success
    assert marts.rows() == kept
    copies = "select table_name from duckdb_tables() where table_name ilike '%__dbt_audit'"
    assert marts.emulator.account.duck_conn.execute(copies).fetchall() == []
