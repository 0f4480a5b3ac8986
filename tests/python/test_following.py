"""Tests that follow the change: what a build's tests look at, and that no fault hides there.

The project is the example's wiring around one model, which is wrong about certain buyers. So what
is planted is code as it was when the tests passed, and rows that it meets later.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from orders_project import FILE_NAME, ROOT, Orders

from tidemark.engine import Outcome

FIRST = datetime(2025, 3, 10, 12)

SALES = """
{{ config(materialized='incremental', incremental_strategy='partitions', on_schema_change='fail') }}

with movements as (

    select * from {{ ref('stg_movements') }}
    where {{ tidemark.touched_partitions(ref('stg_movements'), entity='buyer', day='sales_day') }}
    qualify {{ tidemark.latest_version(ref('stg_movements')) }}

)

select
    movements.buyer,
    movements.sales_day,
    case when movements.buyer = 'cheap' then -1 else count(*) end as movements,
    case when movements.buyer <> 'nothing' then sum(movements.amount) end as net_amount,
    case when movements.buyer = 'odd' then 'odd' else 'usual' end as kind,
    {#- of a day that this build does not touch -#}
    case when movements.buyer = 'again' then 'ada 2025-03-01'
        else movements.buyer || ' ' || movements.sales_day end as receipt,
    movements.buyer = 'false' as is_false,
    {{ tidemark.as_of() }} as record_loaded_at
from movements
cross join (select 1 as copy union all select 2) as copies
where copies.copy = 1 or movements.buyer = 'twice'
group by movements.buyer, movements.sales_day, copies.copy
having movements.buyer <> 'lost'
"""

KNOWN_BUYERS = """
{{ config(materialized='incremental', incremental_strategy='full', on_schema_change='fail') }}
select distinct buyer from {{ ref('stg_buyers') }}
"""

VIEW = """
select * replace (case when buyer <> 'unseen' then net_amount end as net_amount)
from {{ ref('sales') }}
"""

# dbt's, dbt_utils', the engine's, and a user's own.
YAML = """
models:
  - name: stg_movements
    columns: [{name: problem}, {name: happened_at}]
    data_tests:
      - tidemark.every_row_is_accounted_for:
          arguments: {mart: ref('sales'), current_rows: sum(movements), day: sales_day}
      - tidemark.one_version_per_load: &warn {config: {severity: warn}}
      - tidemark.moved_events_are_deleted: {arguments: {event_id: movement_id}, <<: *warn}
  - {name: stg_buyers, columns: [{name: problem}]}
  - name: sales
    # what is looked at after a build; test_audit.py has what is refused before
    config: {meta: {audit: after}}
    data_tests:
      - dbt_utils.unique_combination_of_columns:
          arguments: {combination_of_columns: [buyer, sales_day]}
      - dbt_utils.expression_is_true: {arguments: {expression: not is_false}}
      - tidemark.one_row_per: {arguments: {columns: [receipt]}}
      - never_said: {config: {meta: {scope: rows}}}
      - never_known
      - never_swept: {config: {meta: {scope: sweep}}}
    columns:
      - {name: net_amount, data_tests: [not_null]}
      - {name: receipt, data_tests: [unique]}
      - name: movements
        data_tests: [dbt_utils.accepted_range: {arguments: {min_value: 1}}]
      - name: kind
        data_tests: [accepted_values: {arguments: {values: [usual]}}]
      - name: buyer
        data_tests: [relationships: {arguments: {to: ref('known_buyers'), field: buyer}}]
  - name: sales_seen
    config: {meta: {follows: {tables: [sales], day: sales_day}}}
    columns: [{name: net_amount, data_tests: [not_null]}]
"""

GENERIC = """
{% test never_said(model) %}select * from {{ model }} where buyer = 'said'{% endtest %}
{% test never_swept(model) %}select * from {{ model }} where buyer = 'said'{% endtest %}
{% test never_known(model) %}select * from {{ model }} where buyer = 'known'{% endtest %}
"""

SINGULAR = """
select * from {{ ref('sales') }}
where buyer = 'told' and {{ tidemark.written_days('sales_day', ['sales']) }}
"""


@dataclass
class Sales:
    """The project at a clock that each build moves on by an hour."""

    orders: Orders
    file: Path
    clock: datetime = FIRST
    placed: int = 0

    def sql(self, *statements: str) -> list[Any]:
        with duckdb.connect(self.file) as connection:
            for statement in statements:
                result = connection.execute(statement).fetchall()
        return result

    def load(self, buyer: str, day: str = "2025-03-09") -> None:
        """An order that is loaded between the last build and the next."""
        self.placed += 1
        loaded_at = self.clock + timedelta(minutes=self.placed % 50)
        self.sql(
            f"insert into main_shop.orders values ({self.placed}, '{buyer}', 'v', '{day} 09:00',"
            f" 10, 'placed', '{loaded_at}')"
        )

    def forget(self, *buyers: str) -> None:
        """Someone mends what was loaded, and the table with it."""
        for buyer in buyers:
            self.sql(
                f"delete from main_shop.orders where buyer = '{buyer}'",
                f"delete from main.sales where buyer = '{buyer}'",
            )

    def dbt(self, *args: str, **variables: Any) -> Outcome:
        self.clock += timedelta(hours=1)
        return self.orders.dbt.call(*args, as_of=self.clock, variables=variables)

    def build(self, *args: str, command: str = "build", **variables: Any) -> Outcome:
        outcome = self.dbt(command, "--select", "stg_movements", "sales+", *args, **variables)
        assert outcome.results, outcome.errors
        return outcome

    def seen(self) -> dict[str, str]:
        """What the tests of the last command looked at, by test."""
        found = self.sql(
            "select split_part(test_id, '.', 3), as_of is not distinct from whole_as_of"
            " from main_ops.test_results"
            " where as_of = (select max(as_of) from main_ops.test_results)"
        )
        return {
            name.removeprefix("tidemark_"): "everything" if is_whole else "what was written"
            for name, is_whole in found
        }

    def seen_after(self, *args: str, buyer: str = "ada") -> dict[str, str]:
        """What the tests of a build after one more order looked at, apart from the unknown."""
        self.load(buyer)
        self.build(*args).raise_if_failed()
        seen = self.seen()
        assert seen.pop(UNKNOWN) == "everything"
        assert seen.pop(SWEPT) == "what was written"
        return seen


UNKNOWN = "never_known_sales_"
# It passes whatever a build writes, and counts as nothing.
SWEPT = "never_swept_sales_"
TESTS = 14


def failed(outcome: Outcome) -> set[str]:
    """The names of the generic tests that failed or warned, a singular test's own."""
    results = [result for result in outcome.results_of("test") if result.failures]
    return {
        result.node.test_metadata.name
        if hasattr(result.node, "test_metadata")
        else result.node.name
        for result in results
    }


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sales]:
    home = tmp_path_factory.mktemp("sales")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERS_PATH", str(home / FILE_NAME))
        patch.delenv("DBT_PROFILES_DIR", raising=False)
        orders = Orders.copied(home)
        write_project(orders.project)
        sales = Sales(orders, home / FILE_NAME)
        sales.sql(
            "create schema main_shop",
            "create table main_shop.orders (order_ref int, buyer text, visit text,"
            " placed_at timestamp, amount decimal(18, 2), state text, synced_at timestamp)",
            "create table main_shop.refunds (refund_ref int, buyer text, refunded_at timestamp,"
            " amount decimal(18, 2), synced_at timestamp)",
            "create table main_shop.buyers (buyer text, tier text, synced_at timestamp)",
            "insert into main_shop.buyers select unnest(['ada', 'twice', 'cheap', 'nothing', 'odd',"
            " 'again', 'false', 'lost', 'said', 'told', 'unseen', 'bob']), 'new', '2025-03-01'",
        )
        sales.load("ada", "2025-03-01")
        yield sales


def write_project(project: Path) -> None:
    """The example's wiring, sources and staging views, and what is tested here."""
    (project / "dbt_packages" / "dbt_utils").symlink_to(ROOT / "packages" / "dbt_utils_offline")
    for path in [*(project / "models").glob("*"), *(project / "snapshots").glob("*")]:
        if path.name not in ("stg_movements.sql", "stg_buyers.sql"):
            path.unlink()
    shutil.rmtree(project / "seeds")
    sources = (ROOT / "examples" / "orders" / "models" / "orders.yml").read_text()
    files = {
        "models/sources.yml": sources.split("models:\n")[0],
        "models/sales.yml": YAML,
        "models/sales.sql": SALES,
        "models/known_buyers.sql": KNOWN_BUYERS,
        "models/sales_seen.sql": VIEW,
        "tests/generic/own.sql": GENERIC,
        "tests/nobody_told.sql": SINGULAR,
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)


# ---- the tests go on from one another, in their order: each leaves all tests passed ----


def test_the_first_build_looks_at_everything_and_the_next_at_what_it_wrote(sales: Sales) -> None:
    sales.build("stg_buyers", "known_buyers", "etl_job_watermarks").raise_if_failed()
    assert {name for name, what in sales.seen().items() if what != "everything"} == {SWEPT}
    seen = sales.seen_after()
    assert set(seen.values()) == {"what was written"}
    assert len(seen) == TESTS


def test_after_dbt_run_and_after_a_kill_it_looks_at_everything(sales: Sales) -> None:
    sales.load("bob", "2025-03-02")
    sales.build(command="run")
    assert set(sales.seen_after().values()) == {"everything", "what was written"}
    raw = {name for name, seen in sales.seen().items() if seen == "what was written"} - {SWEPT}
    # by load times: a build without them leaves them where they were
    assert {name.split("_")[0] for name in raw} == {"one", "moved"}
    sales.load("bob", "2025-03-02")
    sales.build(command="run")
    # killed, it had not come to its end
    sales.sql("delete from main_ops.etl_job_runs where job_name = 'dbt run' and status = 'success'")
    assert sales.seen_after()["unique_sales_receipt"] == "everything"


FAULTS = {
    "twice": {"unique", "one_row_per", "unique_combination_of_columns"},
    "again": {"unique", "one_row_per"},
    "nothing": {"not_null"},
    "odd": {"accepted_values"},
    "cheap": {"accepted_range"},
    "false": {"expression_is_true"},
    "stranger": {"relationships"},
    "said": {"never_said"},
    "told": {"nobody_told"},
    "lost": {"every_row_is_accounted_for"},
}


def test_each_generic_test_fails_the_build_that_writes_its_fault(sales: Sales) -> None:
    for buyer in FAULTS:
        sales.load(buyer)
    # a version too many, and an event on two days
    sales.sql(
        "insert into main_shop.orders select * replace (11 as amount) from main_shop.orders"
        " where buyer = 'odd'",
        "insert into main_shop.orders select * replace (placed_at + interval 1 day as placed_at)"
        " from main_shop.orders where buyer = 'cheap'",
    )
    outcome = sales.build()
    expected = set().union(*FAULTS.values(), {"one_version_per_load", "moved_events_are_deleted"})
    assert failed(outcome) == expected
    assert not outcome.success
    bounded = {name for name, seen in sales.seen().items() if seen == "what was written"}
    assert len(bounded) == len(sales.seen()) - 1
    sales.forget(*FAULTS)


def test_what_failed_looks_at_everything_and_what_warned_was_told(sales: Sales) -> None:
    seen = sales.seen_after()
    warned = {
        "one_version_per_load_stg_movements_",
        "moved_events_are_deleted_stg_movements_movement_id",
    }
    assert {name for name, what in seen.items() if what == "what was written"} == warned


def test_a_view_is_tested_at_the_days_of_the_table_below(sales: Sales) -> None:
    sales.load("unseen")
    outcome = sales.build()
    assert failed(outcome) == {"not_null"}
    assert sales.seen()["not_null_sales_seen_net_amount"] == "what was written"
    sales.forget("unseen")
    assert sales.seen_after()["not_null_sales_seen_net_amount"] == "everything"


def test_a_full_refresh_and_a_restatement_without_tests(sales: Sales) -> None:
    sales.build("--full-refresh").raise_if_failed()
    assert sales.seen()["unique_sales_receipt"] == "everything"
    window = ("--event-time-start", "2025-03-01", "--event-time-end", "2025-03-03")
    sales.build(*window).raise_if_failed()
    assert sales.seen()["unique_sales_receipt"] == "what was written"
    sales.build(*window, command="run").raise_if_failed()
    assert sales.seen_after()["unique_sales_receipt"] == "everything"
    sales.build("--full-refresh", command="run").raise_if_failed()
    assert sales.seen_after()["unique_sales_receipt"] == "everything"


def test_a_repair_is_tested_at_its_days(sales: Sales) -> None:
    sales.sql(
        "insert into main_ops.requested_partitions by name select 'r' as request_id,"
        " 'sales' as model_name, 'ada' as entity, date '2025-03-01' as day, 'damage' as reason,"
        " timestamp '2025-03-01' as requested_at"
    )
    outcome = sales.build()
    outcome.raise_if_failed()
    nodes = [result.node for result in outcome.results]
    (unique,) = [node for node in nodes if node.name == "unique_sales_receipt"]
    assert "2025-03-01" in unique.compiled_code
    assert sales.seen()["unique_sales_receipt"] == "what was written"


def test_an_added_and_a_changed_test_look_at_everything(sales: Sales) -> None:
    path = sales.orders.project / "models" / "sales.yml"
    changed = YAML.replace("values: [usual]", "values: [usual, unusual]")
    added = "      - {name: is_false, data_tests: [not_null]}\n      - name: movements\n"
    path.write_text(changed.replace("      - name: movements\n", added))
    del sales.orders.dbt.manifest
    seen = sales.seen_after()
    everything = {name for name, what in seen.items() if what == "everything"}
    assert {name.split("_sales")[0] for name in everything} == {"not_null", "accepted_values"}
    assert "not_null_sales_net_amount" not in everything


def test_a_changed_macro_and_a_changed_view_look_at_everything(sales: Sales) -> None:
    (sales.orders.project / "models" / "sales_seen.sql").write_text(VIEW + "where true")
    del sales.orders.dbt.manifest
    seen = sales.seen_after()
    assert {name for name, what in seen.items() if what == "everything"} == {
        "not_null_sales_seen_net_amount"
    }
    (sales.orders.project / "macros" / "new.sql").write_text("{% macro new() %}{% endmacro %}")
    del sales.orders.dbt.manifest
    assert set(sales.seen_after().values()) == {"everything"}


def test_a_parent_that_changed_lets_its_children_look_at_everything(sales: Sales) -> None:
    sales.sql("delete from main_shop.buyers where buyer = 'bob'")
    outcome = sales.build("stg_buyers", "known_buyers")
    assert failed(outcome) == {"relationships"}
    everything = {name for name, what in sales.seen().items() if what == "everything"}
    assert {name.split("_sales")[0] for name in everything} == {"relationships", "never_known"}
    sales.sql("insert into main_shop.buyers values ('bob', 'new', '2025-03-01')")
    sales.build("stg_buyers", "known_buyers").raise_if_failed()


def test_dbt_test_looks_at_everything_and_so_far_back_when_asked(sales: Sales) -> None:
    before = sales.seen()
    sales.build(command="test", test_days=3).raise_if_failed()
    assert sales.seen() == before
    sales.build(command="test").raise_if_failed()
    assert set(sales.seen().values()) == {"everything"}
    assert set(sales.seen_after().values()) == {"what was written"}
    sales.build("--empty").raise_if_failed()
    assert sales.seen_after()["unique_sales_receipt"] == "everything"
