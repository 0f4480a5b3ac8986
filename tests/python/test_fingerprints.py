"""What a table is made by, besides raw rows: the two lists, each entry a model of its own.

One project is built, changed in all places at once, and built again. So every entry is seen in a
real `dbt build` and by the gate, for the price of two builds.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from orders_project import FILE_NAME, FIRST, PACKAGE, Orders, copy_of_example

from tidemark.engine import Dbt

LATER = datetime(2025, 3, 5, 13)

MODEL = """{{ config(materialized='incremental', incremental_strategy='partitions',
    on_schema_change='append_new_columns') }}

with rows_read as (

    select * from {{ ref('stg_NAME') }}
    where {{ tidemark.touched_partitions(ref('stg_NAME'), entity='buyer', day='sales_day') }}
    qualify {{ tidemark.latest_version(ref('stg_NAME')) }}

)

select buyer, sales_day, cast(COLUMN as decimal(18, 2)) as figure
from rows_read
where not is_void and SOME
group by buyer, sales_day
"""

STAGING = """select
    order_ref as movement_id, buyer, placed_at as happened_at, amount,
    state = 'cancelled' as is_void, synced_at, cast(placed_at as date) as sales_day,
    case when buyer is null then 'no buyer' end as problem
from {{ source(SOURCE) }}
"""

# What counts: the model's query but for its staging view, and what is changed, where.
COUNTS: dict[str, tuple[str, str, tuple[str, str, str]]] = {
    "query": ("sum(amount)", "true", ("models/query.sql", "sum(amount)", "sum(amount) + 1")),
    "staging": ("1", "true", ("models/stg_staging.sql", "'no buyer'", "'nobody'")),
    "macro": ("{{ outer_rule() }}", "true", ("macros/rules.sql", "amount > 7", "amount > 14")),
    "versions": (
        "2",
        "true",
        ("dbt_project.yml", "[amount] #v", "[is_void, amount] #v"),
    ),
    "tolerance": (
        "3",
        "amount > {{ var('tolerance') }}",
        ("dbt_project.yml", ": 0.05", ": 0.5"),
    ),
    "days": ("4", "amount > {{ var('window_days') }}", ("dbt_project.yml", "days: 7", "days: 14")),
    "identifier": ("5", "true", ("dbt_project.yml", "identifier: orders", "identifier: orders_v2")),
    "schema": ("6", "true", ("dbt_project.yml", "of_schema: main_shop", "of_schema: main_other")),
    "retention": (
        "{{ var('retention').bi_days }}",
        "true",
        ("dbt_project.yml", "bi_days: 90", "bi_days: 91"),
    ),
    "seed": (
        "7",
        "buyer not in (select buyer from {{ ref('blocked') }})",
        ("seeds/blocked.csv", "nobody", "somebody"),
    ),
    "other_table": (
        "8",
        "buyer not in (select buyer from {{ ref('listed') }})",
        ("models/listed.sql", "'x'", "'y'"),
    ),
    "contract": ("9", "true", ("models/more.yml", "decimal(18, 2)", "decimal(20, 2)")),
    "alias": ("10", "true", ("models/alias.sql", "rows_read", "rows_in")),
}
SOURCES = """sources:
  - name: shop
    schema: "{{ target.schema }}_shop"
    config: {loaded_at_field: synced_at}
    tables: [{name: orders}, {name: refunds}, {name: buyers}]
  - name: named
    schema: "{{ target.schema }}_shop"
    config: {loaded_at_field: synced_at}
    tables: [{name: named, identifier: "{{ var('of_identifier') }}"}]
  - name: moved
    schema: "{{ var('of_schema') }}"
    config: {loaded_at_field: synced_at}
    tables: [{name: moved, identifier: orders}]
models:
  - {name: stg_movements, columns: [{name: problem}, {name: happened_at}]}
  - {name: stg_buyers, columns: [{name: problem}]}
"""
YAML = """models:
  - name: same
    description: before
    config: {tags: [before]}
    columns: [{name: buyer, data_tests: [not_null]}]
  - {name: held, config: {meta: {on_code_change: hold}}}
  - {name: kept, config: {meta: {on_code_change: keep}}}
  - name: contract
    config: {contract: {enforced: true}}
    columns:
      - {name: buyer, data_type: varchar}
      - {name: sales_day, data_type: date}
      - {name: figure, data_type: "decimal(18, 2)"}
"""
# What does not: all of it is changed in this model and around it at once.
SAME = (
    ("models/same.sql", "with rows_read as (", "-- how it is\nWITH /* so */ rows_read\nAS   ("),
    ("models/same.sql", "sum(amount)", "{% set total = 'sum' %}{{ total }}( amount )"),
    ("models/same.sql", "from rows_read", "{# said here #}FROM rows_read"),
    ("models/stg_same.sql", "select\n", "select -- all\n"),
    ("models/more.yml", "description: before", "description: after"),
    ("models/more.yml", "tags: [before]", "tags: [after]"),
    ("models/more.yml", "data_tests: [not_null]", "data_tests: []"),
    ("macros/rules.sql", "{# unused #}", "{% macro another() %}1{% endmacro %}"),
)


def given_project(folder: Path) -> Path:
    """The example with a model for each entry of the lists, and a package that can be changed."""
    project = copy_of_example(folder, None)
    shutil.copytree(PACKAGE, project / "dbt_packages" / "tidemark")
    for name in ("buyer_balances", "visits"):
        (project / "models" / f"{name}.sql").unlink()
    (project / "snapshots" / "buyer_tiers.sql").unlink()
    (project / "models" / "orders.yml").write_text(SOURCES)
    models = {name: entry[:2] for name, entry in COUNTS.items()}
    models |= dict.fromkeys(("same", "held", "kept"), ("sum(amount)", "true"))
    for name, (column, some) in models.items():
        text = MODEL.replace("NAME", name).replace("COLUMN", column).replace("SOME", some)
        (project / "models" / f"{name}.sql").write_text(text)
        source = {"identifier": "'named', 'named'", "schema": "'moved', 'moved'"}.get(name)
        staging = STAGING.replace("SOURCE", source or "'shop', 'orders'")
        (project / "models" / f"stg_{name}.sql").write_text(staging)
    (project / "models" / "listed.sql").write_text(
        "{{ config(materialized='table') }}\nselect 'x' as buyer\n"
    )
    (project / "seeds" / "blocked.csv").write_text("buyer\nnobody\n")
    (project / "macros" / "rules.sql").write_text(
        "{# unused #}\n{% macro outer_rule() %}sum({{ inner_rule() }}){% endmacro %}\n"
        "{% macro inner_rule() %}case when amount > 7 then 1 end{% endmacro %}\n"
    )
    (project / "models" / "more.yml").write_text(YAML)
    path = project / "dbt_project.yml"
    versions = "".join(
        f"    stg_{name}: {{identity: [movement_id, buyer, sales_day], ties: [amount]"
        f"{' #v' if name == 'versions' else ''}\n      }}\n"
        for name in models
    )
    settings = (
        "  tolerance: 0.05\n  window_days: 7\n  of_identifier: orders\n  of_schema: main_shop\n"
        "  retention: {bi_days: 90}\n"
    )
    text = path.read_text().replace("  versions:\n", f"{settings}  versions:\n{versions}")
    path.write_text(text)
    return project


def change(project: Path, file: str, old: str, new: str) -> None:
    """Put text in the place of other text, which must be there."""
    path = project / file
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What the gate says, and how each table was built, at first, unchanged, changed, rebuilt."""
    folder = tmp_path_factory.mktemp("code")
    project = given_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        # this suite's own, which `make` names
        patch.delenv("DBT_PROFILES_DIR", raising=False)
        orders = Orders(project, Dbt(project, target_path=folder / "target"))
        orders.succeed(FIRST, "seed")
        with duckdb.connect(str(project / FILE_NAME)) as connection:
            connection.execute("create table main_shop.orders_v2 as from main_shop.orders")
            connection.execute("create schema main_other")
            connection.execute("create table main_other.orders as from main_shop.orders")
        orders.succeed(FIRST, "build", "--threads", "1", "--exclude", "package:tidemark")
        first = modes(project / FILE_NAME)
        # a copy of production under another name, at another clock, with more threads
        (folder / "elsewhere").mkdir()
        shutil.copy(project / FILE_NAME, folder / "elsewhere" / "copy.duckdb")
        patch.setenv("ORDERS_PATH", str(folder / "elsewhere" / "copy.duckdb"))
        orders = Orders(project, Dbt(project, target_path=folder / "other_target"))
        unchanged = orders.ask(LATER, "check")
        for _, _, (file, old, new) in COUNTS.values():
            change(project, file, old, new)
        for file, old, new in SAME:
            change(project, file, old, new)
        for name in ("held", "kept"):
            change(project, f"models/{name}.sql", "sum(amount)", "sum(amount) + 1")
        orders = Orders(project, Dbt(project, target_path=folder / "other_target"))
        copy = folder / "elsewhere" / "copy.duckdb"
        before = copy.read_bytes()
        planned = orders.ask(LATER, "plan", "--compare", "--days", "36500")
        is_untouched = copy.read_bytes() == before
        rows_before = figures(copy)
        changed = orders.ask(LATER, "check")
        selected = ("--exclude", "package:tidemark", "contract", "held", "--threads", "4")
        orders.succeed(LATER, "build", *selected)
        refused = orders.dbt.call("build", "--select", "held", as_of=LATER)
        rebuilt = modes(folder / "elsewhere" / "copy.duckdb")
        after = orders.ask(LATER, "check")
        ended_so_far = ended(copy)
        orders.ask(LATER, "plan", "--apply")
        yield {
            "applied": modes(copy),
            "planned": {each["model"]: each for each in planned["changes"]},
            "exit": {"plan": planned["exit_code"], "is_untouched": is_untouched},
            "really": differing(rows_before, figures(copy)),
            "first": first,
            "unchanged": reasons(unchanged),
            "changed": reasons(changed),
            "rebuilt": rebuilt,
            "after": reasons(after),
            "refused": {str(each.node.name): str(each.message) for each in refused.results},
            "ended": ended_so_far,
        }


def modes(file: Path) -> dict[str, str]:
    """How each model was built the last time."""
    with duckdb.connect(str(file)) as connection:
        rows = connection.execute(
            "select job_name, arg_max(mode, ledger_entry) from main_ops.etl_job_runs"
            " where job_type = 'model' and status = 'success' and mode is not null group by all"
        )
        return dict(rows.fetchall())


def figures(file: Path) -> dict[str, dict[Any, Any]]:
    """The figure of every row of every model, by its key."""
    with duckdb.connect(str(file), read_only=True) as connection:
        return {
            name: {row[:2]: row[2] for row in connection.execute(f"from {name}").fetchall()}
            for name in COUNTS
        }


def differing(before: dict[str, dict[Any, Any]], after: dict[str, dict[Any, Any]]) -> Any:
    """By model the keys that have another figure, or are there only once."""
    return {
        name: {
            key
            for key in before[name].keys() | after[name].keys()
            if before[name].get(key) != after[name].get(key)
        }
        for name in before
    }


def ended(file: Path) -> dict[str, str]:
    """How each job ended the last time."""
    with duckdb.connect(str(file)) as connection:
        rows = connection.execute(
            "select job_name, arg_max(status, ledger_entry) from main_ops.etl_job_runs"
            " where job_type = 'model' group by all"
        )
        return dict(rows.fetchall())


def reasons(told: dict[str, Any]) -> dict[str, str]:
    """What the gate says of each model."""
    return {model["model"]: model["reason"] for model in told["models"]}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_what_decides_the_rows_counts(told: dict[str, dict[str, Any]], name: str) -> None:
    assert "code" not in told["unchanged"][name]
    assert "Its code changed" in told["changed"][name]
    if name != "contract":
        assert (told["first"][name], told["rebuilt"][name]) == ("full", "full")
        assert "code" not in told["after"][name]


def test_nothing_else_does(told: dict[str, dict[str, Any]]) -> None:
    for model in ("same", "buyer_days"):
        assert "code" not in told["changed"][model]
        assert told["rebuilt"][model] == "incremental"


def test_a_held_table_waits_in_plain_dbt_too(told: dict[str, dict[str, Any]]) -> None:
    assert "held is held: other code made it (models/held.sql:12)." in told["refused"]["held"]
    assert told["ended"]["held"] == "skipped"
    for seen in ("changed", "after"):
        assert told[seen]["held"].startswith("Held: its code changed (models/held.sql:12)")


def test_a_kept_table_goes_on_and_its_difference_stays(told: dict[str, dict[str, Any]]) -> None:
    assert told["rebuilt"]["kept"] == "incremental"
    for seen in ("changed", "after"):
        assert "Its code changed (models/kept.sql:12)" in told[seen]["kept"]


def test_a_plan_that_is_applied_rebuilds_what_it_names_alone(told: dict[str, Any]) -> None:
    assert {told["applied"][name] for name in ("held", "kept")} == {"full"}
    assert {told["applied"][name] for name in ("same", "buyer_days")} == {"incremental"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("query", "models/query.sql:12"),
        ("staging", "models/stg_staging.sql:4"),
        ("macro", "macro inner_rule"),
        ("versions", "setting versions: stg_versions"),
        ("tolerance", "setting tolerance"),
        ("identifier", "source named"),
        ("retention", "setting retention"),
        ("seed", "seed blocked"),
        ("other_table", "models/listed.sql:2"),
        ("contract", "contract contract"),
    ],
)
def test_what_differs_is_named(told: dict[str, dict[str, Any]], name: str, why: str) -> None:
    assert f"({why})" in told["changed"][name]


def test_a_plan_tells_and_writes_nothing(told: dict[str, dict[str, Any]]) -> None:
    assert told["exit"] == {"plan": 6, "is_untouched": True}
    assert told["planned"].keys() == {*COUNTS, "held", "kept"}
    does = {name: change["does"] for name, change in told["planned"].items()}
    assert (does["query"], does["held"], does["kept"]) == ("rebuilt", "held", "kept")
    assert told["planned"]["query"]["differences"] == [
        {
            "kind": "model",
            "part": "query",
            "path": "models/query.sql",
            "line": 12,
            "before": "select buyer, sales_day, cast(sum(amount) as decimal(18, 2)) as figure",
            "after": "select buyer, sales_day, cast(sum(amount) + 1 as decimal(18, 2)) as figure",
        }
    ]
    (macro,) = told["planned"]["macro"]["differences"]
    assert (macro["path"], macro["line"]) == ("macros/rules.sql", 3)


@pytest.mark.parametrize("name", sorted(COUNTS.keys() - {"contract", "schema", "identifier"}))
def test_a_plan_says_what_a_rebuild_changes(told: dict[str, dict[str, Any]], name: str) -> None:
    compared = told["planned"][name]["comparison"]
    changed = told["really"][name]
    assert compared["rows"] == compared["partitions"] == len(changed)
    sample = {tuple(row["key"].split(", ")) for row in compared["sample"]}
    assert len(sample) == min(len(changed), 10)
    assert sample <= {(buyer, str(day)) for buyer, day in changed}
    assert (name == "query") <= (compared["columns"] == {"figure": len(changed)})


def test_plans_of_a_changed_rule_are_not_empty(told: dict[str, dict[str, Any]]) -> None:
    assert all(told["really"][name] for name in ("query", "macro", "retention"))
