"""`tidemark run --every` as a process on a clock that jumps: killed, restarted, told to stop.

Some looks and a kill are always tried; `make test-every` has two hundred looks and thirty kills.
"""

from __future__ import annotations

import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from .ground import AT_LENGTH, PATIENCE, SEED_CLOCK, Command, Ground
from .page import Page
from .test_faults import KILLS, SEED, at_length, message, unfinished

pytestmark = [pytest.mark.faults, pytest.mark.every]

DOMAINS = ("engagement",)
LOOKS = 200 if AT_LENGTH else 8
# So the source, which is hourly, has something new for the second look of each hour.
STEP = timedelta(minutes=10)
UNTIL = SEED_CLOCK + (LOOKS - 1) * STEP
# Kills come in the first half, so that one process lives through the second.
KILLED_UNTIL = SEED_CLOCK + LOOKS // 2 * STEP
# A look takes as long as that, a build too: in seconds, on an idle machine.
LENGTH = 1.5
# MB that dbt may keep of a hundred looks; each leaves something of 20 KB.
MOST_KEPT = 16
_CHECKED = "dbt run-operation record_checks took"
_BUILT = "dbt build --select took"


@dataclass
class Life:
    """A process that stays, and what it has noted; a service is restarted like that."""

    command: Command
    progress: Path

    @classmethod
    def begun(cls, ground: Ground, clock: datetime, folder: Path) -> Life:
        """Start it at a time of its clock."""
        progress = folder / f"{clock:%d-%H-%M}-{len(list(folder.iterdir()))}.txt"
        driver = str(Path(__file__).with_name("staying.py"))
        times = (clock.isoformat(), UNTIL.isoformat())
        every = ("run", "--every", f"*/{STEP.seconds // 60} * * * *")
        command = (sys.executable, driver, *times, str(progress), *every)
        return cls(ground.start_process(command, DOMAINS), progress)

    def noted(self, word: str) -> list[str]:
        """What it noted as this."""
        text = self.progress.read_text() if self.progress.exists() else ""
        lines = [line.split() for line in text.splitlines()]
        return [line[-1] for line in lines if line[0] == word]

    def wait_until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something that it notes or logs."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert self.command.process.poll() is None, self.command.shown + self.command.log
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.command.log}"
            time.sleep(0.01)

    def pass_on(self) -> None:
        """Let it look until its clock stands; each look has its time."""
        while not self.noted("waits"):
            ended = len(self.noted("ends"))
            self.wait_until(
                lambda seen=ended: len(self.noted("ends")) > seen or bool(self.noted("waits")),  # type: ignore[misc]
                "the next look",
            )

    def kill(self, in_a_build: bool, looks: int, moment: float) -> str:
        """Kill it so many seconds into a build, or into the look after so many: where it was."""

        def reached() -> bool:
            if in_a_build:
                return self.is_building
            return len(self.noted("begins")) > looks

        self.wait_until(reached, "a look to be killed in")
        time.sleep(moment)
        self.command.tell(signal.SIGKILL)
        assert self.command.end() == -signal.SIGKILL
        if len(self.noted("begins")) == len(self.noted("ends")):
            return "between runs"
        return "in a build" if self.is_building else "in a look"

    @property
    def is_building(self) -> bool:
        """Whether the last look found something new, and is not through with it."""
        last = self.command.log.rpartition("run begins")[2]
        return _CHECKED in last and " is new" in last and _BUILT not in last


Begin = Callable[[datetime], Life]


@pytest.fixture
def begin(place: Ground, tmp_path: Path) -> Iterator[Begin]:
    """What starts a life at a time of its clock; no process outlives its test."""
    place.restore(DOMAINS)
    lives: list[Life] = []

    def begun(clock: datetime) -> Life:
        lives.append(Life.begun(place, clock, tmp_path))
        return lives[-1]

    yield begun
    for life in lives:
        life.command.process.kill()


def test_killed_while_it_stays(
    place: Ground, page: Page, begin: Begin, capsys: pytest.CaptureFixture
) -> None:
    """Nothing is lost, wherever it was killed; one process lives through the second half."""
    drawn = random.Random(SEED)
    killed, looks, at = Counter[str](), 0, SEED_CLOCK
    for number in range(KILLS):
        life = begin(at)
        where = life.kill(number % 2 == 0, drawn.randrange(3), drawn.uniform(0, LENGTH))
        killed[where] += 1
        looks += len(life.noted("begins"))
        at = datetime.fromisoformat(life.noted("begins")[-1])
        with capsys.disabled():
            print(f"\nkilled {where} at {at:%d %H:%M}, which was look {looks}", end="")
    assert at < KILLED_UNTIL
    life = begin(at)
    life.pass_on()
    life.command.tell(signal.SIGTERM)
    assert life.command.end() == 0, life.command.shown
    assert "Traceback" not in life.command.log
    looks += len(life.noted("begins"))
    memory = [int(megabytes) for megabytes in life.noted("ends")]
    with capsys.disabled():
        print(f"\n{looks} looks, {killed.total()} kills; MB of the last life: {memory}")
    assert unfinished(place) == []
    # every hour that brought something was built, and by one run
    built = place.sql(
        "select date_trunc('hour', as_of), count(*) from ops.etl_job_runs"
        " where job_name = 'server_engagement_daily' and status = 'success'"
        f" and as_of > '{SEED_CLOCK}' group by all order by all"
    )
    hours = int((UNTIL - SEED_CLOCK) / timedelta(hours=1)) + 1
    assert built == [(SEED_CLOCK + timedelta(hours=n), 1) for n in range(hours)]
    told = ", ".join(f"{times} {where}" for where, times in sorted(killed.items()))
    seen = f"`Killed`, {killed.total()} times in {looks} looks: {told}. The next look takes over"
    page.add("SIGKILL of `run --every`, which is started again", seen, place.rerun(UNTIL, DOMAINS))
    if AT_LENGTH:
        assert len(memory) >= LOOKS // 2
        assert memory[-1] - memory[len(memory) // 10] < MOST_KEPT


@at_length
@pytest.mark.parametrize(
    ("number", "called"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")]
)
def test_told_to_stop_while_it_builds(
    place: Ground, page: Page, begin: Begin, number: signal.Signals, called: str
) -> None:
    life = begin(SEED_CLOCK + STEP)
    life.wait_until(lambda: life.is_building, "a build")
    life.command.tell(number)
    assert life.command.end() == 1, life.command.shown
    seen = message(life.command, f"Interrupted by {called}.*")
    assert len(re.findall("Interrupted by", seen)) == 1
    assert "Traceback" not in life.command.log
    assert unfinished(place) == []
    differing = place.rerun(SEED_CLOCK + STEP, DOMAINS)
    page.add(f"{called} during a build of `run --every`", seen, differing)
