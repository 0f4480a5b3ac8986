"""Usage ingestion killed with -9 at every step of landing: no day is lost or counts twice.

`TIDEMARK_KILLS` sets how many kills, spread over all steps. `make test-faults` looks into the
marts, too: there a load and a build come before the rerun and after it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from exact.marts import place
from test_load import Home, project
from usage_api import Api, running

from tidemark.engine import Dbt

pytestmark = pytest.mark.faults

AT_LENGTH = "TIDEMARK_KILLS" in os.environ
KILLS = int(os.environ.get("TIDEMARK_KILLS", 2))
PROJECT = Path(__file__).parents[2]
KILLED = PROJECT / "tests" / "python" / "faults" / "killed.py"
MART = "company_daily_activity"

FIRST = datetime(2025, 10, 12, 12)
CLOCK = datetime(2025, 10, 15, 12)
RERUN = CLOCK + timedelta(hours=1)
DAYS = [f"2025-10-{day}" for day in (10, 11, 12, 13, 14)]
# A day without rows, too: its answer is all there is.
USAGE = {day: [["acme", number, 9], ["cobalt", 5, 7]] for number, day in enumerate(DAYS)}
USAGE[DAYS[3]] = []


@dataclass
class Ground:
    """An API, and homes whose usage stops three days before the clock."""

    api: Api
    # Parsed only where marts are built.
    dbt: Dbt
    base: Path

    def make(self) -> None:
        """Two days have landed; three are open."""
        home = Home(self.base, self.dbt)
        crm = {
            "company_id": ["acme", "cobalt"],
            "name": ["Acme", "Cobalt"],
            "load_date": [date(2025, 10, 10)] * 2,
            "loaded_at": pa.array([datetime(2025, 10, 10, 2)] * 2, pa.timestamp("us")),
        }
        home.landing.land("crm_daily", pa.table(crm), "crm-2025-10-10", datetime(2025, 10, 10, 2))
        assert self.ingest(home, FIRST, "--start", DAYS[0]).returncode == 0

    def ingest(
        self, home: Home, clock: datetime, *args: str, kill_at: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """`tidemark ingest usage` as a process, which may be killed on its way."""
        command = [sys.executable, str(KILLED), str(kill_at), "ingest", "usage", *args]
        command += ["--as-of", clock.isoformat(), "--landing", home.landing.root]
        return subprocess.run(
            [*command, "--project-dir", str(PROJECT)],
            env=os.environ | self.api.environment | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self, home: Home, clock: datetime) -> None:
        """Load what has landed, and build the mart."""
        home("load", "--as-of", clock.isoformat())
        with pytest.MonkeyPatch.context() as patch:
            home._enter(patch)
            outcome = self.dbt.call("run", "--select", f"+{MART}", as_of=clock)
        assert outcome.success, outcome.errors


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with running() as api:
        api.knows(USAGE)
        target, base = (tmp_path_factory.mktemp(name) for name in ("target", "kills"))
        dbt = project(target, ["company"]) if AT_LENGTH else Dbt(PROJECT, "duckdb")
        ground = Ground(api, dbt, base)
        ground.make()
        yield ground


def test_no_kill_loses_or_doubles_a_day(ground: Ground, tmp_path: Path) -> None:
    base = Home(ground.base, ground.dbt)
    whole = ground.ingest(base.copy(tmp_path / "whole"), CLOCK)
    steps = int(re.search(r"(\d+) steps", whole.stderr)[1])
    killed: Counter[str] = Counter()
    for number in range(KILLS):
        home = base.copy(tmp_path / f"home-{number}")
        # from the first step to the last
        step = 1 + number * (steps - 1) // max(KILLS - 1, 1)
        ran = ground.ingest(home, CLOCK, kill_at=step)
        assert ran.returncode == -signal.SIGKILL
        killed[re.search("Killed (.*)", ran.stderr)[1]] += 1
        assert not without_their_rows(home), f"killed at step {step}"
        if AT_LENGTH and number % 3 == 0:
            # a load and a build may come before the rerun
            ground.build(home, CLOCK)
        # what was answered is not asked for again: it must be there
        assert ground.ingest(home, RERUN, "--reask", "0").returncode == 0
        answers = {file.name for file in home.landing.files("usage_answers")}
        assert answers == set(DAYS), f"killed at step {step}"
        assert not without_their_rows(home), f"killed at step {step}"
        if AT_LENGTH:
            ground.build(home, RERUN)
            assert held(home) == EXPECTED, f"killed at step {step}"
    print(f"{KILLS} kills at {steps} steps: {dict(killed)}")


def without_their_rows(home: Home) -> set[str]:
    """Days whose answer stands without its rows, and so reads as a silent day."""
    landed = {file.name for file in home.landing.files("product_usage_daily")}
    answers = {file.name for file in home.landing.files("usage_answers")}
    return {day for day in answers - landed if USAGE[day]}


def held(home: Home) -> list[Any]:
    """Company, day, active users, events, and how many of seven days are reported."""
    return home.sql(
        "select company_id, activity_date::varchar, active_users, events, days_reported_7d"
        f" from {place(MART)} order by all"
    )


# The first day, which the CRM's file tells, is the first answered one.
EXPECTED = [
    (company, day, *({known[0]: tuple(known[1:]) for known in USAGE[day]}.get(company, (0, 0))), n)
    for company in ("acme", "cobalt")
    for n, day in enumerate(DAYS, 1)
]
