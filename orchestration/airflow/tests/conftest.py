"""An Airflow of the tests' own, and the demo's database as it was, for each test.

`make test-airflow` builds that once; the tests move the clock, since the demo's own stands still.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
PROJECT = HERE.parents[1]
BUILT = PROJECT / "target/scheduled"

# Airflow reads its settings when it is imported.
_home = Path(tempfile.mkdtemp(prefix="airflow-"))
os.environ |= {
    "AIRFLOW_HOME": str(_home),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home}/airflow.db",
    "TIDEMARK_PROJECT_DIR": str(PROJECT),
    "TIDEMARK_MANIFEST": str(BUILT / "manifest.json"),
    "DBT_TARGET_PATH": str(BUILT),
    "DBT_PROFILES_DIR": str(PROJECT),
    "PYTHONPATH": str(HERE),
}
sys.path.insert(0, str(HERE))

import pytest  # noqa: E402


def pytest_sessionfinish() -> None:
    """Nothing of that Airflow is left."""
    shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _airflow() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def dags(_airflow: None) -> dict[str, Any]:
    """The project's DAGs, as Airflow reads them; none may fail to load."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(HERE / "dags"))
    assert bag.import_errors == {}
    for dag in bag.dags.values():
        for task in dag.tasks:
            # the tests have no five minutes
            task.retry_delay = task.retry_delay * 0
    return dict(bag.dags)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo after its first run, for one test; at one path, or dbt would read all files anew."""
    path = Path(shutil.copy(BUILT / "built.duckdb", BUILT / "tidemark.duckdb"))
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(path.relative_to(PROJECT)))
    monkeypatch.setenv("TIDEMARK_LANDING", str(tmp_path / "landing"))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    return path
