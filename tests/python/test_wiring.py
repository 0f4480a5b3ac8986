"""What a project leaves out is loud: the real commands on copies of `examples/orders`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from orders_project import EXAMPLE, FILE_NAME, PACKAGE, Orders, copy_of_example

from tidemark.engine import Dbt, DbtError
from tidemark.lineage import INTERFACE

Change = Callable[[Path], None]

RAW_TABLES = {"orders", "refunds", "buyers"}


def replaced(file: str, *pairs: tuple[str, str]) -> Change:
    """Put text in the place of other text in a file of the project."""

    def change(project: Path) -> None:
        path = project / file
        text = path.read_text()
        for old, new in pairs:
            assert old in text, f"{file} has no {old!r}"
            text = text.replace(old, new)
        path.write_text(text)

    return change


def without_lines(file: str, *words: str) -> Change:
    """Take the lines out that have one of these words."""

    def change(project: Path) -> None:
        path = project / file
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not any(word in line for word in words)]
        assert len(kept) < len(lines), f"{file} has no {words}"
        path.write_text("".join(kept))

    return change


def watched_alone(*names: str) -> Change:
    """Give these sources a load time, and the others none."""

    def change(project: Path) -> None:
        file, field = "models/orders.yml", "loaded_at_field: synced_at"
        without_lines(file, field)(project)
        for name in names:
            replaced(file, (f"{{name: {name}}}", f"{{name: {name}, config: {{{field}}}}}"))(project)

    return change


def another_package(*pairs: tuple[str, str]) -> Change:
    """A copy of the package in the place of ours, changed."""

    def change(project: Path) -> None:
        package = project / "dbt_packages" / "tidemark"
        ours = package.resolve()
        package.unlink()
        shutil.copytree(ours, package)
        replaced("macros/wiring.sql", *pairs)(package)

    return change


WIRING = "macros/tidemark.sql"
A_SECOND_SHOP = """
  - name: second_shop
    schema: "{{ target.schema }}_shop"
    config: {loaded_at_field: synced_at}
    tables: [{name: orders}]
"""

# What is left out: the change, and what each command says.
LEFT_OUT: dict[str, tuple[Change, str]] = {
    "no wrapper for should_full_refresh": (
        without_lines(WIRING, "should_full_refresh"),
        "macros/tidemark.sql does not define should_full_refresh, which dbt looks up in orders"
        " alone.",
    ),
    "no hooks": (
        without_lines("dbt_project.yml", "+pre-hook", "+post-hook"),
        "No post-hook `tidemark.record_run()` around the models buyer_balances, buyer_days, visits."
        ' dbt_project.yml: models: {orders: {+post-hook: "{{ tidemark.record_run() }}"}}.',
    ),
    "no dispatch": (
        without_lines("dbt_project.yml", "dispatch:"),
        "dispatch: [{macro_namespace: dbt, search_order: [orders, tidemark, dbt]}].",
    ),
    "no load time": (
        without_lines("models/orders.yml", "loaded_at_field"),
        "No source with a loaded_at_field above buyer_balances, buyer_days, visits: nobody could"
        " tell when there is something to do.",
    ),
    "no identity": (
        without_lines("dbt_project.yml", "stg_movements:"),
        "dbt_project.yml does not say what identifies a row of stg_movements: vars: {versions:"
        " {stg_movements: {identity: [...], ties: [...]}}}.",
    ),
    "two watched tables of one name": (
        replaced("models/orders.yml", ("\nmodels:", A_SECOND_SHOP + "\nmodels:")),
        "Several sources with a loaded_at_field are called orders, by which the ledger knows them:"
        " source.orders.second_shop.orders, source.orders.shop.orders.",
    ),
    "wiring of another version": (
        replaced(
            WIRING, ("tidemark_wiring() -%}{{ return(1)", "tidemark_wiring() -%}{{ return(0)")
        ),
        "macros/tidemark.sql is of version 0, and the package wants version 1: delete the file, and"
        " run `tidemark init`.",
    ),
}

# Half of a thing, which is as silent as nothing of it: all of it is named at once.
HALVES: list[tuple[Change, str]] = [
    (
        replaced(WIRING, ("return(tidemark.should_full_refresh())", "return(flags.FULL_REFRESH)")),
        "The macro should_full_refresh of orders does not call tidemark.should_full_refresh.",
    ),
    (
        replaced("dbt_project.yml", ("snapshots: {orders: *hooks}\n", "")),
        "No pre-hook `tidemark.begin_run()` around the snapshots buyer_tiers. dbt_project.yml:"
        " snapshots: {orders:",
    ),
    (
        replaced("dbt_project.yml", ("[orders, tidemark, dbt]", "[orders, dbt, tidemark]")),
        "dispatch: [{macro_namespace: dbt, search_order: [orders, tidemark, dbt]}].",
    ),
    (
        watched_alone("orders", "buyers"),
        "No loaded_at_field of the source shop.refunds above buyer_balances, visits: what arrives"
        " there would be overlooked.",
    ),
    (
        replaced("dbt_project.yml", ("{identity: [buyer], ties: [tier]}", "{ties: [tier]}")),
        "dbt_project.yml does not say what identifies a row of stg_buyers",
    ),
    (
        replaced("models/buyer_days.sql", (", incremental_strategy='partitions'", "")),
        "The incremental_strategy of buyer_days is None, and tidemark.touched_partitions is called"
        " there: it wants one of partitions, replay, sessions, full.",
    ),
]


def interface_macro(version: int) -> str:
    returned = "{{ return(" + str(version) + ") }}"
    return f"{{%- macro interface_version() -%}}\n    {returned}\n{{%- endmacro %}}"


INTERFACE_MACRO = interface_macro(INTERFACE)

# Packages that this command line does not understand; dbt by itself has nobody to misunderstand.
OTHER_PACKAGES: dict[str, tuple[Change, str]] = {
    "an older package": (
        another_package((INTERFACE_MACRO, interface_macro(INTERFACE - 1))),
        f"The dbt package tidemark speaks version {INTERFACE - 1} of the interface, this command"
        f" line {INTERFACE}: the package is the older one. Install both from one release.",
    ),
    "a newer package": (
        another_package((INTERFACE_MACRO, interface_macro(INTERFACE + 1))),
        "the command line is the older one. Install both from one release.",
    ),
    "a package from before versions": (
        another_package((INTERFACE_MACRO, "")),
        "The project does not have the dbt package tidemark, or one from before this command line.",
    ),
}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its raw tables alone: none of the engine's."""
    home = tmp_path_factory.mktemp("parsed")
    # the package without its own views, which take most of the time of parsing
    package = home / "tidemark"
    package.mkdir()
    shutil.copy(PACKAGE / "dbt_project.yml", package)
    shutil.copytree(PACKAGE / "macros", package / "macros")
    project = copy_of_example(home, package)
    with duckdb.connect(project / FILE_NAME) as connection:
        connection.execute("create schema main_shop")
        for name in RAW_TABLES:
            seed = EXAMPLE / "seeds" / f"{name}.csv"
            connection.execute(f"create table main_shop.{name} as from read_csv('{seed}')")
    return project


@pytest.fixture
def orders(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Orders:
    project = tmp_path / "orders"
    shutil.copytree(example, project, symlinks=True)
    monkeypatch.delenv("DBT_PROFILES_DIR", raising=False)
    monkeypatch.setenv("ORDERS_PATH", str(project / FILE_NAME))
    return Orders(project, Dbt(project))


def tables(orders: Orders) -> set[str]:
    with duckdb.connect(orders.project / FILE_NAME) as connection:
        rows = connection.execute("select table_name from information_schema.tables").fetchall()
    return {name for (name,) in rows}


def said_by_all(orders: Orders) -> list[str]:
    """What each command says that must stop before it has written anything."""
    said = []
    for command in ("run", "check", "status"):
        code, told = orders.type(command)
        assert code == 1
        said.append(" ".join(told.split()))
    for command in ("run", "build"):
        with pytest.raises(DbtError) as refused:
            orders.dbt.call(command)
        said.append(" ".join(str(refused.value).split()))
    assert tables(orders) == RAW_TABLES
    return said


@pytest.mark.parametrize("left_out", LEFT_OUT)
def test_what_is_left_out_stops_every_command(orders: Orders, left_out: str) -> None:
    change, words = LEFT_OUT[left_out]
    change(orders.project)
    for told in said_by_all(orders):
        assert "The engine is not wired up. Nothing was touched." in told
        assert words in told


def test_what_is_left_out_by_half_is_named_all_at_once(orders: Orders) -> None:
    for change, _ in HALVES:
        change(orders.project)
    for told in said_by_all(orders):
        assert [words for _, words in HALVES if words not in told] == []


@pytest.mark.parametrize("package", OTHER_PACKAGES)
def test_another_package_than_the_command_lines_stops_it(orders: Orders, package: str) -> None:
    change, words = OTHER_PACKAGES[package]
    change(orders.project)
    for command in ("run", "check", "status"):
        code, told = orders.type(command)
        assert code == 1
        assert words in " ".join(told.split()), told
    assert tables(orders) == RAW_TABLES


def test_a_source_that_never_changes_may_say_so(orders: Orders) -> None:
    watched_alone("orders", "buyers")(orders.project)
    static = ("config: {freshness: null}", "config: {freshness: null, meta: {is_watched: false}}")
    replaced("models/orders.yml", static)(orders.project)
    code, told = orders.type("check", "--as-of", "2025-03-05T12:00")
    assert code == 0, told


def test_a_view_that_is_not_there_is_no_empty_table(orders: Orders) -> None:
    with pytest.raises(DbtError, match="no view and no analysis churn_flags"):
        orders.dbt.show("churn_flags")
