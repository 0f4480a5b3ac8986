"""Histories in which code changes between runs: after each run all equals a full refresh.

`TIDEMARK_EXAMPLES` says how many histories are played, `TIDEMARK_SEED` which.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from orders_project import CORRECTED, FIRST, Orders, rows_of

EXAMPLES = int(os.environ.get("TIDEMARK_EXAMPLES", "1"))
SEED = int(os.environ.get("TIDEMARK_SEED", "1"))
STEPS = 4
GAPS = [timedelta(hours=1), timedelta(days=1), timedelta(days=5), timedelta(days=20)]

# Each is another rule somewhere: a measure, a bad row, a running total, a session, a raw union.
VARIANTS: dict[str, tuple[str, str, str]] = {
    "measure": ("buyer_days", "sum(amount) as net_amount", "sum(amount) * 2 as net_amount"),
    "bad row": ("stg_movements", "when amount is null", "when coalesce(amount, 16) > 15"),
    "total": ("buyer_balances", "where not movements.is_void", "where true"),
    "day rule": ("stg_movements", "cast(happened_at as date)", "cast(synced_at as date)"),
    "void rule": ("stg_movements", "state = 'cancelled'", "state = 'placed'"),
    "version": ("buyer_days", "where not is_void", "where is_void or amount > 20"),
}


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orders]:
    """One parse for all histories."""
    with pytest.MonkeyPatch.context() as patch:
        # this suite's own, which `make` names
        patch.delenv("DBT_PROFILES_DIR", raising=False)
        orders = Orders.copied(tmp_path_factory.mktemp("histories"))
        orders.succeed(FIRST, "seed")
        yield orders


@pytest.fixture
def files(orders: Orders, tmp_path: Path) -> list[Path]:
    """Two files with the seeds: one is built on and on, the other refreshed at the end."""
    found = [tmp_path / folder / "orders.duckdb" for folder in ("kept", "refreshed")]
    for file in found:
        file.parent.mkdir()
        file.write_bytes((orders.project / "orders.duckdb").read_bytes())
    return found


@contextmanager
def with_code(orders: Orders, names: list[str]) -> Iterator[None]:
    """The project with some variants in the place of what is written."""
    nodes: Any = orders.dbt.manifest.nodes
    written = {f"model.orders.{VARIANTS[name][0]}" for name in names}
    kept = {node: nodes[node].raw_code for node in written}
    try:
        for name in names:
            model, old, new = VARIANTS[name]
            node = nodes[f"model.orders.{model}"]
            assert old in node.raw_code, f"{model} has no {old!r}"
            node.raw_code = node.raw_code.replace(old, new)
        # what macros see of the project
        orders.dbt.manifest.build_flat_graph()
        yield
    finally:
        for node, code in kept.items():
            nodes[node].raw_code = code
        orders.dbt.manifest.build_flat_graph()


def built(
    orders: Orders, file: Path, clock: datetime, *options: str, **variables: str
) -> dict[str, Any]:
    """The rows of all tables after a build in a file."""
    command = ("run", "--exclude", "package:tidemark", *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERS_PATH", str(file))
        orders.dbt.call(*command, as_of=clock, variables=variables).raise_if_failed()
    with duckdb.connect(str(file), read_only=True) as connection:
        return rows_of(connection, "main")


@pytest.mark.parametrize("number", range(SEED, SEED + EXAMPLES))
def test_tables_follow_the_code_of_the_last_run(
    orders: Orders, files: list[Path], number: int
) -> None:
    drawn = random.Random(number)
    clock, changes = FIRST, list[list[str]]()
    for _ in range(STEPS):
        names = sorted(drawn.sample(sorted(VARIANTS), drawn.choice([0, 1, 1, 2])))
        changes.append(names)
        with with_code(orders, names):
            kept = built(orders, files[0], clock)
        clock += drawn.choice(GAPS)
    with with_code(orders, changes[-1]):
        refreshed = built(orders, files[1], clock, "--full-refresh")
        kept = built(orders, files[0], clock)
    assert kept == refreshed, f"seed {number}: {changes}"


def test_what_was_kept_for_a_while_is_rebuilt_when_the_first_code_comes_back(
    orders: Orders, files: list[Path]
) -> None:
    first = built(orders, files[0], FIRST)
    with with_code(orders, ["measure"]):
        mixed = built(orders, files[0], CORRECTED, on_code_change="keep")
    assert mixed["buyer_days"] != first["buyer_days"]
    with duckdb.connect(str(files[0]), read_only=True) as connection:
        stored = "select fingerprint from main_ops.etl_job_runs where job_name = 'buyer_days'"
        before, after = connection.execute(f"{stored} order by ledger_entry").fetchall()
    assert after == (f"{before[0]}+",)
    refreshed = built(orders, files[1], CORRECTED, "--full-refresh")
    assert built(orders, files[0], CORRECTED) == refreshed
