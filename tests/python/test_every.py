"""`tidemark run --every`: when it runs, what it keeps between runs, how it ends. Nothing sleeps.

A day of looks is simulated with a clock that jumps: three hours of it, or as many as
`TIDEMARK_HOURS` says (`make test-every`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NoReturn
from urllib.request import urlopen

import pytest
import typer
from conftest import BuiltOnce
from typer.testing import CliRunner, Result

from tidemark import cli, judgement, schedule
from tidemark.commands import session
from tidemark.commands.every import Staying
from tidemark.commands.session import Interrupted
from tidemark.engine import Dbt
from tidemark.exits import Exit
from tidemark.logs import LogFormat
from tidemark.project_files import stamp_of
from tidemark.schedule import Due, Schedule, after, awake, keep_running, lateness, pause

PROJECT = Path(__file__).parents[2]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
HOURLY = Schedule("5 * * * *", retries=2, retry_after=5 * MINUTE)
HOURS = int(os.environ.get("TIDEMARK_HOURS", 3))
# MB that a day may leave; what it prints stays in memory here, too.
MOST_KEPT = 16


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2025, 10, 15, hour, minute, second)


# ---- when the next run is due ----


@pytest.mark.parametrize(
    ("due", "began", "ended", "failed", "next_"),
    [
        pytest.param(Due(at(12, 5)), at(12, 5), at(12, 6), False, Due(at(13, 5)), id="in time"),
        pytest.param(Due(at(12)), at(12), at(12, 1), False, Due(at(12, 5)), id="the first"),
        pytest.param(Due(at(9, 5)), at(12, 20), at(12, 21), False, Due(at(13, 5)), id="slept"),
        pytest.param(Due(at(9, 5)), at(9, 5), at(12, 20), False, Due(at(10, 5)), id="a long run"),
        pytest.param(
            Due(at(12, 5)), at(12, 5), at(12, 6), True, Due(at(12, 11), 1), id="it failed"
        ),
        pytest.param(
            Due(at(12, 11), 1), at(12, 11), at(12, 12), True, Due(at(12, 17), 2), id="once more"
        ),
        pytest.param(
            Due(at(12, 17), 2), at(12, 17), at(12, 18), True, Due(at(13, 5)), id="the last retry"
        ),
        pytest.param(
            Due(at(12, 11), 1), at(12, 11), at(12, 12), False, Due(at(13, 5)), id="a retry worked"
        ),
        pytest.param(
            Due(at(12, 5)), at(12, 5), at(13, 1), True, Due(at(13, 5)), id="the tick comes first"
        ),
    ],
)
def test_what_is_due_after_a_run(
    due: Due, began: datetime, ended: datetime, failed: bool, next_: Due
) -> None:
    assert after(HOURLY, due, began, ended, failed) == next_


@pytest.mark.parametrize(
    ("now", "due"),
    [
        pytest.param(at(12, 4, 59), at(12, 5), id="not yet"),
        pytest.param(at(12, 5), at(12, 5), id="now"),
        pytest.param(at(18), at(12, 5), id="it slept, or the clock was set forward"),
        pytest.param(at(9), at(9, 5), id="the clock was set back by hours"),
    ],
)
def test_what_is_due_when_the_clock_is_looked_at(now: datetime, due: datetime) -> None:
    assert awake(HOURLY, Due(at(12, 5)), now) == Due(due)


def test_a_wait_is_never_longer_than_half_a_minute() -> None:
    assert pause(Due(at(12, 5)), at(3)) == timedelta(seconds=30)
    assert pause(Due(at(12, 5)), at(12, 4, 50)) == timedelta(seconds=10)
    assert pause(Due(at(12, 5)), at(12, 6)) == timedelta(0)


def test_a_late_run_says_for_how_much_it_stands() -> None:
    assert lateness(HOURLY, Due(at(9, 5)), at(12, 20)) == (
        "3 h 15 min late: this run stands for all that was missed since 2025-10-15 09:05 UTC."
    )
    assert lateness(HOURLY, Due(at(9, 5)), at(9, 40)) == ""


class Jumping(schedule.Clock):
    """A clock that jumps over what it is asked to wait, and interrupts when its time is over."""

    def __init__(self, start: datetime, until: datetime) -> None:
        super().__init__()
        self.time, self.until = start, until

    def now(self) -> datetime:
        return self.time

    def wait(self, longest: timedelta) -> None:
        self.time += longest
        if self.time >= self.until:
            raise KeyboardInterrupt


def runs(clock: Jumping, run: Callable[[Due, datetime], bool]) -> list[datetime]:
    """When runs began, until the clock's time is over."""
    begun: list[datetime] = []

    def noted(due: Due, now: datetime) -> bool:
        begun.append(now)
        return run(due, now)

    with pytest.raises(KeyboardInterrupt):
        keep_running(HOURLY, clock, noted, lambda _: None)
    return begun


def test_a_machine_that_slept_runs_once() -> None:
    clock = Jumping(at(9), at(15))

    def run(due: Due, _: datetime) -> bool:
        if due.at == at(10, 5):
            # closed for two and a half hours: it wakes up in the middle of the next wait
            clock.time = at(12, 40)
        return False

    assert runs(clock, run) == [at(9), at(9, 5), at(10, 5), at(12, 40), at(13, 5), at(14, 5)]


def test_a_clock_that_is_set_back_makes_no_run_wait_until_it_has_caught_up() -> None:
    clock = Jumping(at(12), at(13))
    is_set_back = False

    def run(*_: Any) -> bool:
        nonlocal is_set_back
        if clock.time == at(12, 5) and not is_set_back:
            clock.time, is_set_back = at(9, 30), True
        return False

    assert runs(clock, run)[:4] == [at(12), at(12, 5), at(10, 5), at(11, 5)]


# ---- what one run leaves to the next ----


@dataclass
class Runs:
    """Runs that end as they are told to."""

    staying: Staying
    codes: list[Any]
    ids: list[str] = field(default_factory=list)

    def once(self, dbt: Dbt) -> NoReturn:
        self.ids.append(dbt.run_id)
        ended = self.codes.pop(0)
        raise ended if isinstance(ended, BaseException) else typer.Exit(ended)

    def run(self, due: Due, now: datetime) -> bool:
        return self.staying.run(HOURLY, due, now)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As little of a project as has files."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    (tmp_path / "dbt_project.yml").write_text("name: small\n")
    (tmp_path / "models" / "deep").mkdir(parents=True)
    (tmp_path / "models" / "deep" / "one.sql").write_text("select 1")
    return tmp_path


@pytest.fixture
def staying(project: Path) -> Runs:
    def read() -> Dbt:
        return Dbt(project)

    kept = Staying(read, lambda _: None, LogFormat.TEXT, False, read(), stamp_of(project))  # type: ignore[arg-type, return-value]
    runs = Runs(kept, [])
    kept.once = runs.once
    return runs


def test_a_run_that_failed_is_tried_again_as_told(staying: Runs) -> None:
    # 3, blocked, is no failure: only the source can mend it
    staying.codes = [1, 1, 1, 3, 0, 0]
    begun = runs(Jumping(at(12, 5), at(15)), staying.run)
    assert begun == [at(12, 5), at(12, 10), at(12, 15), at(13, 5), at(14, 5)]
    assert len(set(staying.ids)) == 5


def test_the_project_is_read_again_only_when_its_files_changed(
    staying: Runs, project: Path
) -> None:
    staying.codes = [0] * 5
    first = staying.staying.dbt
    staying.run(Due(at(12, 5)), at(12, 5))
    assert staying.staying.dbt is first
    for change in (
        lambda: (project / "models" / "deep" / "one.sql").write_text("select 1 as one"),
        lambda: (project / "macros").mkdir() or (project / "macros" / "new.sql").touch(),
        lambda: (project / "models" / "deep" / "one.sql").unlink(),
    ):
        before = staying.staying.dbt
        change()
        staying.run(Due(at(12, 5)), at(12, 5))
        assert staying.staying.dbt is not before
    before = staying.staying.dbt
    (project / "target").mkdir()
    (project / "target" / "manifest.json").touch()
    staying.run(Due(at(12, 5)), at(12, 5))
    assert staying.staying.dbt is before


def test_settings_that_went_wrong_meanwhile_fail_the_run_not_the_process(
    staying: Runs, project: Path, capsys: pytest.CaptureFixture
) -> None:
    staying.codes = [0]
    (project / "dbt_project.yml").write_text("name: [small\n")
    assert staying.run(Due(at(12, 5)), at(12, 5))
    assert "Nothing was built." in capsys.readouterr().err
    assert staying.ids == []
    (project / "dbt_project.yml").write_text("name: small # again\n")
    assert not staying.run(Due(at(12, 10), 1), at(12, 10))


def test_a_signal_within_a_run_ends_the_process(staying: Runs) -> None:
    staying.codes = [Interrupted(Exit.FAILED)]
    with pytest.raises(Interrupted):
        staying.run(Due(at(12, 5)), at(12, 5))


# ---- the command ----


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--every", "5 * * *"], "is no cron expression such as '5 * * * *'"),
        (["--every", "5 * * * *", "--as-of", "2025-10-15"], "each run goes by the time"),
        (["--every", "5 * * * *", "--explain"], "ends by a signal alone"),
        (["--every", "5 * * * *", "--skip-exit-code", "99"], "ends by a signal alone"),
        (["--every", "5 * * * *", "--retry-after", "soon"], "is not a duration such as 15m"),
        (["--port", "8321"], "it goes with --every"),
    ],
)
def test_what_does_not_go_together_is_refused(options: list[str], why: str) -> None:
    refused = CliRunner().invoke(cli.app, ["run", *options])
    assert refused.exit_code == 2
    # a message is wrapped in a frame
    assert why in " ".join(refused.stderr.replace("│", " ").split())


@dataclass
class Simulated:
    """The command on a demo database, by a clock that jumps."""

    dbt: Dbt
    path: Path
    clock: Jumping
    seconds: list[tuple[float, float]] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def __call__(self, *options: str) -> Result:
        with self._by_its_clock() as patch:
            patch.setenv("TIDEMARK_DEMO_PATH", str(self.path))
            patch.setenv("DBT_LOG_PATH", str(self.path.parent / "logs"))
            patch.setattr(session, "dbt_of", lambda *_: self.dbt)
            return CliRunner().invoke(cli.app, ["run", *options], catch_exceptions=False)

    @contextmanager
    def _by_its_clock(self) -> Iterator[pytest.MonkeyPatch]:
        judge, run = judgement.judge, Staying.run

        def timed(staying: Staying, *args: Any) -> bool:
            began = perf_counter(), process_time()
            try:
                return run(staying, *args)
            finally:
                self.seconds.append((perf_counter() - began[0], process_time() - began[1]))
                self.memory.append(_megabytes())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(schedule, "Clock", lambda: self.clock)
            patch.setattr(judgement, "judge", lambda dbt, _: judge(dbt, self.clock.now()))
            patch.setattr(Staying, "run", timed)
            yield patch


def _megabytes() -> int:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that were printed one after the other."""
    found, position, decoder = [], 0, json.JSONDecoder()
    while position < len(text.rstrip()):
        each, position = decoder.raw_decode(text, position)
        found.append(each)
        position += len(text[position:]) - len(text[position:].lstrip())
    return found


@pytest.fixture(scope="module")
def first_run(built_once: BuiltOnce, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dbt]:
    """The demo's engagement after its first run, at noon; its source brings something each hour."""
    home = tmp_path_factory.mktemp("every")
    variables = {"domains": ["engagement"]}
    path = built_once(home, ["tidemark run"], at(12), variables)
    return path, Dbt(PROJECT, "demo", variables, home / "target")


@pytest.fixture
def simulated(first_run: tuple[Path, Dbt], tmp_path: Path) -> Simulated:
    path = Path(shutil.copy(first_run[0], tmp_path / first_run[0].name))
    return Simulated(first_run[1], path, Jumping(at(12), at(12) + HOURS * HOUR + MINUTE))


@pytest.mark.every
def test_a_day_of_looks_at_an_hourly_source(
    simulated: Simulated, capsys: pytest.CaptureFixture
) -> None:
    """Every fourth look builds, the others are skipped; what is read of the project stays."""
    simulated.clock.time += MINUTE
    read = simulated.dbt.manifest
    ran = simulated("--every", "*/15 * * * *", "--json")
    assert ran.exit_code == 0, ran.output
    # the first one was begun at once
    looks = list(zip(objects(ran.stdout), simulated.seconds, simulated.memory, strict=True))[1:]
    assert [told["exit_code"] for told, *_ in looks] == [0] * 4 * HOURS
    assert [told["as_of"] for told, *_ in looks] == [
        (at(12) + n * 15 * MINUTE).isoformat() for n in range(1, 4 * HOURS + 1)
    ]
    built = [each for each in looks if each[0]["build"]["models"]]
    skipped = [each for each in looks if not each[0]["build"]["models"]]
    # what came in an hour was built once, by the first look after it
    hours = [datetime.fromisoformat(told["as_of"]).replace(minute=0) for told, *_ in built]
    assert hours == [at(12) + n * HOUR for n in range(HOURS)]
    assert simulated.dbt.manifest is read
    # what macros keep during a call would grow with every look
    assert [name for name in read.flat_graph if name.startswith("tidemark_")] == []
    assert simulated.memory[-1] - simulated.memory[len(looks) // 10] < MOST_KEPT
    with capsys.disabled():
        print(f"\n{len(looks)} looks, {len(built)} built, {len(skipped)} skipped")
        _show_seconds("built", [seconds for _, seconds, _ in built])
        _show_seconds("skipped", [seconds for _, seconds, _ in skipped])
        print(f"  MB after each: {' '.join(str(memory) for *_, memory in looks)}")


def _show_seconds(called: str, looks: list[tuple[float, float]]) -> None:
    for what, of_each in zip(("seconds", "of a processor"), zip(*looks, strict=True), strict=True):
        taken = sorted(of_each)
        median, total = taken[len(taken) // 2], sum(taken)
        figures = f"{taken[0]:.2f} to {taken[-1]:.2f}, median {median:.2f}, all {total:.1f}"
        print(f"  {called}, {what}: {figures}")


def test_the_figures_are_served_by_the_same_process(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those of the last run; who asks for the report wakes the process up."""
    seen: list[Any] = []
    wait = simulated.clock.wait

    def waiting(longest: timedelta) -> None:
        if not seen:
            (url,) = (each for each in printed if each.startswith("Serving"))
            server = url.split()[1]
            for page in ("health", "metrics"):
                seen.append(urlopen(f"{server}{page}", timeout=30).read().decode())
        wait(longest)

    printed: list[str] = []
    monkeypatch.setattr(simulated.clock, "wait", waiting)
    monkeypatch.setattr(simulated.clock, "until", at(12, 10))
    echo = typer.echo
    monkeypatch.setattr(
        typer, "echo", lambda text, **options: printed.append(text) or echo(text, **options)
    )
    ran = simulated("--every", "5 * * * *", "--port", "0")
    assert ran.exit_code == 0, ran.output
    health, metrics = seen
    assert json.loads(health)["as_of"] == at(12).isoformat()
    assert json.loads(health)["problem"] is None
    assert 'tidemark_models{state="unchanged"} 4.0' in metrics
    assert "The next run is due at 2025-10-15 12:05 UTC." in printed


def test_a_taken_port_is_said_at_once(simulated: Simulated) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        ran = simulated("--every", "5 * * * *", "--port", str(other.server_port))
    assert ran.exit_code == 1
    assert "Nothing was started." in ran.stderr
    assert simulated.seconds == []


def test_a_signal_during_a_run_is_its_end(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> NoReturn:
        raise KeyboardInterrupt("Interrupted by SIGTERM.")

    monkeypatch.setattr("tidemark.build.build", interrupted)
    ran = simulated("--every", "5 * * * *")
    assert ran.exit_code == 1
    assert "Interrupted by SIGTERM." in ran.stderr
    assert len(simulated.seconds) == 1
