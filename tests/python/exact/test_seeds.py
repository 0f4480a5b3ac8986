"""The seeds, built at a rising clock, against one full refresh at the last one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tidemark.engine import Dbt

from .marts import MARTS, all_differences, connect, fetch, place
from .project import FILE_NAME, ROOT

# The seed clock, the hour after it, the late answer, and after the last load.
CLOCKS = [
    datetime(2025, 10, 15, 12),
    datetime(2025, 10, 15, 13),
    datetime(2025, 10, 16, 3),
    datetime(2025, 10, 20),
]
WITHOUT_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")


def test_builds_at_a_rising_clock_equal_a_full_refresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt = Dbt(ROOT, "demo", target_path=tmp_path / "target")

    def build(database: Path, clock: datetime, *args: str) -> None:
        monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(database))
        dbt.call("build", *WITHOUT_TESTS, *args, as_of=clock).raise_if_failed()

    rising, refreshed = tmp_path / "rising" / FILE_NAME, tmp_path / "refreshed" / FILE_NAME
    for database in (rising, refreshed):
        database.parent.mkdir()
    for clock in CLOCKS:
        build(rising, clock)
    build(refreshed, CLOCKS[-1], "--full-refresh")

    with connect(rising) as one, connect(refreshed) as other:
        found = all_differences(one, other, MARTS, "the full refresh")
        empty = [mart for mart in MARTS if not fetch(one, place(mart)).rows]
    assert not found, "\n".join(found)
    # only what lies before the last 90 days of the clock may be empty
    assert empty == []
