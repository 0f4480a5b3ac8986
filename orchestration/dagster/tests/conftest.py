"""A Dagster of the tests' own, and the demo's database as it was, for each test.

`make test-dagster` builds that once; the tests move the clock, since the demo's own stands still.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
PROJECT = HERE.parents[1]
BUILT = PROJECT / "target/scheduled"
# Apart from those of Airflow's tests, which may run at the same time.
OWN = BUILT / "of_dagster"

# The definitions read them when they are imported.
os.environ |= {
    "TIDEMARK_PROJECT_DIR": str(PROJECT),
    "TIDEMARK_MANIFEST": str(BUILT / "dagster/manifest.json"),
    "DBT_TARGET_PATH": str(OWN),
    "DBT_PROFILES_DIR": str(PROJECT),
}
sys.path.insert(0, str(HERE))

from dagster import DagsterInstance  # noqa: E402


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo after its first run, for one test; at one path, or dbt would read all files anew."""
    OWN.mkdir(exist_ok=True)
    path = Path(shutil.copy(BUILT / "built.duckdb", OWN / "tidemark.duckdb"))
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(path.relative_to(PROJECT)))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    return path


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """What remembers runs and events, for one test."""
    with DagsterInstance.ephemeral() as ours:
        yield ours
