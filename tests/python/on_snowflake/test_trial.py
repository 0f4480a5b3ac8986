"""`make try-snowflake` on the emulator: one domain, every step; by hand it plays all of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .shim import ENVIRONMENT, emulated_snowflake
from .trial import play, prepared

pytestmark = [
    pytest.mark.snowflake,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="fakesnow needs Python 3.11"),
    # Minutes, for what the end to end shows of the project already.
    pytest.mark.skipif("TIDEMARK_EXAMPLES" not in os.environ, reason="only by make test-snowflake"),
]


def test_a_trial_leaves_a_table_and_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with emulated_snowflake() as emulator:
        with prepared(tmp_path, ["company"]) as trial:
            play(trial)
        databases = emulator.account.duck_conn.execute(
            "select database_name from duckdb_databases()"
        ).fetchall()
    assert (trial.database,) not in databases
    assert trial.differences == []
    assert len(trial.table) == 7
    assert trial.pruned > 0
    assert all(rows > 1000 for _, _, rows, _ in trial.table), trial.shown()
