"""The consumer killed with -9 at every step from the file to the commit: no event is lost.

`TIDEMARK_KILLS` sets how many kills, spread over all steps. `make test-faults` looks into the
marts, too: there a load and a build come before the rerun and after it, and count each event once.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import kafka_cluster
import pytest
from kafka_cluster import Cluster
from test_ingest_events import TOPIC, command, dead_letters, drain, event, landed
from test_load import Home, project

from tidemark.engine import Dbt
from tidemark.ingest.landing import now

pytestmark = pytest.mark.faults

AT_LENGTH = "TIDEMARK_KILLS" in os.environ
KILLS = int(os.environ.get("TIDEMARK_KILLS", 2))
PROJECT = Path(__file__).parents[2]
KILLED = PROJECT / "tests" / "python" / "faults" / "killed.py"
# Three batches of a run, one of them with a message that cannot be a row.
BATCH, NEW, AGAIN = 10, 24, 5


@dataclass
class Ground:
    """A topic, what it was told, and where it lands and is built."""

    cluster: Cluster
    home: Home
    told: set[int] = field(default_factory=set)
    broken: int = 0

    def produce(self) -> None:
        """Events, some of which were delivered before, and one message that is no event."""
        first = len(self.told)
        numbers = [*range(max(first - AGAIN, 0), first), *range(first, first + NEW)]
        self.told.update(numbers)
        self.broken += 1
        self.cluster.produce({0: [*map(event, numbers), f"broken {self.broken}".encode()]})

    def consume(self, kill_at: int) -> subprocess.CompletedProcess[str]:
        """`tidemark ingest events` as a process, which may be killed on its way."""
        environment = command(self.cluster, self.home.landing, BATCH_SIZE=str(BATCH))
        return subprocess.run(
            [sys.executable, str(KILLED), str(kill_at), "ingest", "events", "--until-drained"],
            env=os.environ | environment | {"PYTHONPATH": str(PROJECT)},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self) -> Any:
        """Load what has landed, build the mart: how many events of each learner and minute."""
        self.home("load")
        self.home.build(now(), ["minute_metrics"])
        return Counter(
            {
                (learner, minute): events
                for learner, minute, events in self.home.sql(
                    "select learner_id, minute_timestamp, total_events from marts.minute_metrics"
                )
            }
        )


@pytest.fixture
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    target, home = (tmp_path_factory.mktemp(name) for name in ("target", "kills"))
    # Parsed only where marts are built.
    dbt = project(target, ["learning"]) if AT_LENGTH else Dbt(PROJECT, "duckdb")
    with kafka_cluster.running(TOPIC) as cluster:
        yield Ground(cluster, Home(home, dbt))


def test_no_kill_loses_an_event(ground: Ground) -> None:
    ground.produce()
    whole = ground.consume(kill_at=0)
    assert whole.returncode == 0, whole.stderr
    steps = int(re.search(r"(\d+) steps", whole.stderr)[1])
    killed: Counter[str] = Counter()
    for number in range(KILLS):
        ground.produce()
        # from the first step to the last
        step = 1 + number * (steps - 1) // max(KILLS - 1, 1)
        ran = ground.consume(kill_at=step)
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        killed[re.search("Killed (.*)", ran.stderr)[1]] += 1
        if AT_LENGTH:
            # a load and a build may come before the rerun
            ground.build()
        assert drain(ground.cluster, ground.home.landing).report.status == "success"
        found = landed(ground.home.landing)
        assert set(found) == {f"e-{each}" for each in ground.told}, f"killed at step {step}"
        assert len({letter["value"] for letter in dead_letters(ground.home.landing)}) == (
            ground.broken
        ), f"killed at step {step}"
        if AT_LENGTH:
            assert ground.build() == expected(ground.told), f"killed at step {step}"
    twice = sum(times > 1 for times in found.values())
    print(f"{KILLS} kills at {steps} steps: {dict(killed)}; {twice} of {len(found)} landed twice")


def expected(told: set[int]) -> Counter[tuple[str, datetime]]:
    """What the mart is to count: each event once."""
    first = datetime(2025, 9, 3, 1, 10)
    return Counter((f"learner-{n % 3}", first + timedelta(minutes=n % 120 // 60)) for n in told)
