"""dbt_utils where the package hub cannot be reached: packages/dbt_utils_offline.

It must hold every macro that the project uses, and return the rows that the original returns. The
second half runs on the installed package too: where that is the original, the expectations are
checked against it.
"""

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from dbt.cli.main import dbtRunner

PROJECT = Path(__file__).parents[2]
OFFLINE = PROJECT / "packages" / "dbt_utils_offline"
INSTALLED = PROJECT / "dbt_packages" / "dbt_utils"

FOLDERS = ["models", "tests", "snapshots", "analyses", "macros", "seeds", "packages/tidemark"]
SUFFIXES = {".sql", ".yml", ".yaml", ".md"}


def used_macros(project: Path) -> set[str]:
    """Every X of a dbt_utils.X in the files that dbt reads."""
    files = [path for folder in FOLDERS for path in (project / folder).rglob("*")]
    files += project.glob("*.yml")
    return {
        name
        for path in files
        if path.suffix in SUFFIXES
        # an id that is compared, `macro.dbt_utils.test_unique`, calls nothing
        for name in re.findall(r"(?<!macro\.)\bdbt_utils\.(\w+)", path.read_text(encoding="utf-8"))
    }


def defined_macros(package: Path) -> set[str]:
    """Every test and macro that a package defines."""
    return {
        name
        for path in (package / "macros").rglob("*.sql")
        for name in re.findall(r"{%-?\s*(?:test|macro)\s+(\w+)", path.read_text(encoding="utf-8"))
    }


def test_the_offline_package_holds_what_the_project_uses() -> None:
    missing = used_macros(PROJECT) - defined_macros(OFFLINE)
    assert not missing, f"write these into {OFFLINE.relative_to(PROJECT)}: {sorted(missing)}"


def test_a_use_is_found_wherever_dbt_reads(tmp_path: Path) -> None:
    uses = {
        "dbt_project.yml": "on-run-end: '{{ dbt_utils.a() }}'",
        "models/marts/_marts.yml": "data_tests: [dbt_utils.b]",
        "models/marts/mart.sql": "select {{dbt_utils.c(['x'])}}, {{ dbt_utils.d() }}",
        "tests/generic/generic.sql": "{{ dbt_utils.e() }}",
        "macros/macro.sql": "{{ adapter.dispatch('x', 'not_dbt_utils.f') }}",
    }
    for path, text in uses.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert used_macros(tmp_path) == set("abcde")


MODEL = """
select * from (
    values (1, 'a', 1), (1, 'a', 2), (1, 'b', 3), (null, 'c', 4), (null, 'c', null)
) as rows_of_it (id, "order", amount)
"""


class Case(NamedTuple):
    """A generic test of that model and the rows that it must fail with."""

    test: str
    arguments: dict[str, object]
    failing: set[tuple[object, ...]]
    store_failures: bool = False


CASES = {
    "unique": Case(
        "unique_combination_of_columns",
        {"combination_of_columns": ["id", "amount"]},
        failing=set(),
    ),
    "repeated_nulls_included": Case(
        "unique_combination_of_columns",
        {"combination_of_columns": ["id", '"order"']},
        failing={(1, "a"), (None, "c")},
    ),
    "repeated_quoted": Case(
        "unique_combination_of_columns",
        {"combination_of_columns": ["order", "id"], "quote_columns": True},
        failing={("a", 1), ("c", None)},
    ),
    "in_range_or_null": Case(
        "accepted_range",
        {"column_name": "amount", "min_value": 1, "max_value": 4},
        failing=set(),
    ),
    "below_an_exclusive_minimum": Case(
        "accepted_range",
        {"column_name": "amount", "min_value": 1, "inclusive": False},
        failing={(1, "a", 1)},
    ),
    "outside_with_a_column_as_bound": Case(
        "accepted_range",
        {"column_name": "amount", "min_value": "id + 1", "max_value": 2},
        failing={(1, "a", 1), (1, "b", 3), (None, "c", 4)},
    ),
    "true_or_null": Case(
        "expression_is_true",
        {"expression": "amount < 5"},
        failing=set(),
    ),
    "false_on_a_column": Case(
        "expression_is_true",
        {"column_name": "amount", "expression": "< 4"},
        failing={(1,)},
    ),
    "false_with_the_rows_stored": Case(
        "expression_is_true",
        {"expression": "amount < 3 or id is null"},
        failing={(1, "b", 3)},
        store_failures=True,
    ),
}


def write_project(project: Path, package: Path) -> None:
    """A project of one model with all the cases as its tests; JSON is YAML enough."""
    data_tests = [
        {
            f"dbt_utils.{case.test}": {
                "name": name,
                "arguments": case.arguments,
                "config": {"store_failures": case.store_failures},
            }
        }
        for name, case in CASES.items()
    ]
    files: dict[str, object] = {
        "dbt_project.yml": {
            "name": "packages",
            "profile": "packages",
            "flags": {"send_anonymous_usage_stats": False},
        },
        "profiles.yml": {
            "packages": {
                "target": "test",
                "outputs": {
                    "test": {
                        "type": "duckdb",
                        "path": str(project / "packages.duckdb"),
                        "keep_open": False,
                    }
                },
            }
        },
        "models/_models.yml": {"models": [{"name": "model", "data_tests": data_tests}]},
    }
    (project / "models").mkdir()
    for path, content in files.items():
        (project / path).write_text(json.dumps(content), encoding="utf-8")
    (project / "models" / "model.sql").write_text(MODEL, encoding="utf-8")
    shutil.copytree(package, project / "dbt_packages" / "dbt_utils")


@pytest.mark.parametrize("package", [OFFLINE, INSTALLED], ids=["offline", "installed"])
def test_the_failing_rows(package: Path, tmp_path: Path) -> None:
    if not package.exists():
        pytest.skip("no dbt_utils is installed")
    write_project(tmp_path, package)
    paths = ["--project-dir", str(tmp_path), "--profiles-dir", str(tmp_path)]
    built = dbtRunner().invoke(["--quiet", "build", *paths])
    assert built.exception is None

    results = {result.node.name: result for result in built.result if result.node.name in CASES}
    with duckdb.connect(str(tmp_path / "packages.duckdb")) as connection:
        failing = {
            name: set(connection.sql(result.node.compiled_code).fetchall())
            for name, result in results.items()
        }
    assert failing == {name: case.failing for name, case in CASES.items()}
    counted = {name: result.failures for name, result in results.items()}
    assert counted == {name: len(case.failing) for name, case in CASES.items()}
