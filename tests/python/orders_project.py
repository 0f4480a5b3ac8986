"""`examples/orders` as somebody's own project: copies of it, and its commands in this process."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from tidemark import cli
from tidemark.commands import session
from tidemark.engine import Dbt, Outcome

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "orders"
PACKAGE = ROOT / "packages" / "tidemark"

# Of one name in every folder: relation names carry the name of their file.
FILE_NAME = "orders.duckdb"

# What lies where by then: the first orders; a correction, a cancellation, an order from two weeks
# ago and one without a buyer; a refund of what was bought three weeks ago.
FIRST = datetime(2025, 3, 5, 12)
CORRECTED = datetime(2025, 3, 6, 14)
REFUNDED = datetime(2025, 3, 28, 12)

# Those that a full refresh makes anew, with what tells their rows apart. `record_loaded_at` says
# when a row was written, and so differs.
GRAINS = {
    "buyer_days": ("buyer", "sales_day"),
    "buyer_balances": ("buyer", "sales_day"),
    "visits": ("buyer", "visit"),
}


def copy_of_example(folder: Path, package: Path | None = PACKAGE) -> Path:
    """The project in a folder of its own, with the package that `dbt deps` would link."""
    project = folder / "orders"
    left = shutil.ignore_patterns("dbt_packages", "target", "logs", "*.duckdb", "README.md")
    shutil.copytree(EXAMPLE, project, ignore=left)
    (project / "dbt_packages").mkdir()
    if package:
        (project / "dbt_packages" / "tidemark").symlink_to(package)
    return project


@dataclass
class Orders:
    """A copy of the project: parsed once, its commands as anybody types them."""

    project: Path
    dbt: Dbt

    @classmethod
    def copied(cls, folder: Path, target: str | None = None) -> Orders:
        project = copy_of_example(folder)
        return cls(project, Dbt(project, target, target_path=folder / f"target-{target}"))

    def type(self, *args: str) -> tuple[int, str]:
        """A command of ours: its exit code, and what it says to the terminal."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "dbt_of", lambda *_: self.dbt)
            ran = CliRunner().invoke(cli.app, list(args), catch_exceptions=False)
        return ran.exit_code, ran.output

    def ask(self, clock: datetime, *args: str) -> dict[str, Any]:
        """A command of ours at a clock, as JSON."""
        _, told = self.type(*args, "--as-of", clock.isoformat(), "--json")
        answer: dict[str, Any] = json.loads(told[told.index("{") :])
        return answer

    def succeed(self, clock: datetime | None, *args: str) -> Outcome:
        """A command of dbt's that must succeed."""
        outcome = self.dbt.call(*args, as_of=clock)
        outcome.raise_if_failed()
        return outcome


def built(told: dict[str, Any]) -> dict[str, tuple[str, int | None]]:
    """How each table was built, and of how many partitions, as `tidemark run --json` tells it."""
    return {
        model["model"]: (model["mode"], model["partitions"])
        for model in told["build"]["models"]
        if model["mode"] != "view"
    }


def decisions(told: dict[str, Any]) -> dict[str, str]:
    """What the gate said of each model."""
    return {model["model"]: model["state"] for model in told["models"]}


def rows_of(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, Counter[Any]]:
    """The rows of all models that a full refresh makes anew."""
    found = {}
    for model in GRAINS:
        rows = connection.execute(f"select * exclude (record_loaded_at) from {schema}.{model}")
        found[model] = Counter(rows.fetchall())
    return found
