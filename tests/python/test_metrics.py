"""Metrics: the gauges, the file, and the server, scraped while a real run goes on."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import duckdb
import pytest
from conftest import BuiltOnce
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from tidemark import cli
from tidemark.clock import parse_clock
from tidemark.commands import session
from tidemark.engine import DatabaseLockedError, Dbt, DbtError
from tidemark.health import Figure, Health, Level
from tidemark.health import known as read
from tidemark.metrics import Known, Monitor, health_of, text, write

PROJECT = Path(__file__).parents[2]
SEED_CLOCK = "2025-10-15T12:00:00"
AN_HOUR_LATER = "2025-10-15T13:00:00"
STALE = "2025-10-17T06:30:00"
VARIABLES = {
    "domains": ["engagement"],
    # how long a run takes is the machine's affair here
    "health_of_target": {"demo": {"run_time": {"warning": None, "critical": None}}},
}


# ---- the gauges ----

CLOCK = datetime(2025, 10, 15, 12)
NEWEST = datetime(2025, 10, 15, 11)


def figure(metric: str, subject: str, amount: float | None, **other: Any) -> Figure:
    plain = Figure(metric, subject, amount, "count", Level.NORMAL, 1, 100, None, None, CLOCK)
    return replace(plain, **other)


HEALTH = Health(
    CLOCK,
    [
        figure("run_time", "dbt build", 4.5),
        figure("pending_rows", "fct", 120, level=Level.CRITICAL),
        figure("pending_rows", "daily", 0),
        figure("watermark_lag", "never_built", None, level=Level.CRITICAL),
        figure("source_age", "events", 3600, detail="fresh", reference_time=NEWEST),
        figure("source_age", "teams", None, detail="empty"),
        figure("quarantined_rows", "events: no day", 3, level=Level.WARNING),
        figure("quarantined_rows", "teams", 0),
        figure("decisions", "blocked", 2, reference_time=CLOCK),
    ],
)


def samples(exposed: str) -> dict[str, float]:
    """Every sample by its name and labels, as a Prometheus server would read them."""
    return {
        sample.name
        + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
    }


def test_the_gauges() -> None:
    read = samples(text(HEALTH))
    states = {
        f"tidemark_sources state={state}": 0 for state in ("warn", "stale", "future", "error")
    }
    assert read == {
        "tidemark_last_run_seconds": 4.5,
        "tidemark_pending_rows job=fct": 120,
        "tidemark_pending_rows job=daily": 0,
        "tidemark_source_age_seconds source=events": 3600,
        "tidemark_source_last_load_timestamp_seconds source=events": 1760526000,
        "tidemark_quarantined_rows reason=no day source=events": 3,
        "tidemark_quarantined_rows reason= source=teams": 0,
        **states,
        "tidemark_sources state=fresh": 1,
        "tidemark_sources state=empty": 1,
        "tidemark_models state=new": 0,
        "tidemark_models state=unchanged": 0,
        "tidemark_models state=blocked": 2,
        "tidemark_gate_last_check_timestamp_seconds": 1760529600,
        "tidemark_clock_timestamp_seconds": 1760529600,
        "tidemark_metric_level metric=decisions": 0,
        "tidemark_metric_level metric=pending_rows": 2,
        "tidemark_metric_level metric=quarantined_rows": 1,
        "tidemark_metric_level metric=run_time": 0,
        "tidemark_metric_level metric=source_age": 0,
        "tidemark_metric_level metric=watermark_lag": 2,
        "tidemark_level": 2,
    }


def test_every_gauge_says_what_it_is_and_counts_in_a_unit() -> None:
    for family in text_string_to_metric_families(text(HEALTH)):
        assert family.documentation.endswith("."), family.name
        assert family.type == "gauge"
        for word, unit in {"age": "_seconds", "lag": "_seconds", "time": "_seconds"}.items():
            if word in family.name.split("_"):
                assert family.name.endswith(unit)


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "tidemark.prom"
    path.write_text("what a scraper holds open")
    with path.open() as held:
        write(HEALTH, path)
        assert held.read() == "what a scraper holds open"
    assert samples(path.read_text())["tidemark_level"] == 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("known", "code", "level"),
    [
        pytest.param(Known(HEALTH), 503, "critical", id="critical"),
        pytest.param(Known(Health(CLOCK, HEALTH.figures[-3:])), 200, "warning", id="warning"),
        pytest.param(Known(), 503, "unknown", id="nothing known"),
    ],
)
def test_health_is_503_when_critical(known: Known, code: int, level: str) -> None:
    answered, told = health_of(known)
    assert (answered, told["level"]) == (code, level)


def test_what_is_known_stays_while_the_database_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = Monitor(Dbt(PROJECT), 30)
    answers: list[Health | DbtError] = [
        HEALTH,
        DatabaseLockedError("The database is in use by python (PID 4711)."),
        DbtError("No such column\nin line 3"),
        HEALTH,
    ]

    def answer(_: Dbt) -> Health:
        given = answers.pop(0)
        if isinstance(given, DbtError):
            raise given
        return given

    monkeypatch.setattr("tidemark.metrics.known", answer)
    monitor.refresh()
    since = datetime.now(timezone.utc) - timedelta(seconds=100)
    monitor.known = replace(monitor.known, refreshed_at=since)
    monitor.refresh()
    code, told = health_of(monitor.known)
    assert (code, told["level"], told["database_busy"]) == (503, "critical", True)
    assert told["age_seconds"] >= 100
    assert "PID 4711" in told["problem"]
    monitor.refresh()
    told = health_of(monitor.known)[1]
    assert (told["level"], told["database_busy"]) == ("critical", False)
    assert told["problem"] == "No such column in line 3"
    monitor.refresh()
    told = health_of(monitor.known)[1]
    assert told["problem"] is None
    assert told["age_seconds"] < 100


# ---- a real server, a real client, a real run ----


def tidemark(*args: str) -> list[str]:
    command = [sys.executable, "-m", "tidemark", *args]
    return [*command, "--target", "demo", "--vars", json.dumps(VARIABLES)]


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def wait_for(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def opened(path: Path) -> duckdb.DuckDBPyConnection:
    """The database, as soon as no reading of the server holds it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return duckdb.connect(str(path))
        except duckdb.IOException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="module")
def first_run(built_once: BuiltOnce, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dbt]:
    """The demo with one domain, run once at the seed clock."""
    home = tmp_path_factory.mktemp("metrics")
    path = built_once(home, ["tidemark run"], parse_clock(SEED_CLOCK), VARIABLES)
    return path, Dbt(PROJECT, "demo", VARIABLES, target_path=home / "target")


@pytest.fixture
def demo(first_run: tuple[Path, Dbt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    path = tmp_path / first_run[0].name
    shutil.copy(first_run[0], path)
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(path))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    monkeypatch.delenv("TIDEMARK_ALERT_URLS", raising=False)
    return path


@pytest.fixture
def server(demo: Path) -> Iterator[str]:
    """The address of `tidemark serve` on it; at the end it is stopped as a service is."""
    assert demo.exists()
    command = tidemark("serve", "--port", "0", "--interval", "1", "--json")
    serving = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert serving.stdout
    yield json.loads(serving.stdout.readline())["url"]
    serving.send_signal(signal.SIGTERM)
    _, stderr = serving.communicate(timeout=60)
    assert serving.returncode == 0, stderr
    assert stderr == ""


def test_it_is_scraped_while_a_run_goes_on(demo: Path, server: str) -> None:
    def health() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(get(f"{server}/health")[1])
        return told

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server)
    wait_for(lambda: health()["level"] != "unknown", "the first figures")
    assert health()["as_of"] == SEED_CLOCK

    run = subprocess.Popen(
        tidemark("run", "--as-of", AN_HOUR_LATER, "--json"),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    scrapes: list[tuple[float, int, dict[str, float]]] = []
    while run.poll() is None:
        began = time.monotonic()
        code, exposed = get(f"{server}/metrics")
        scrapes.append((time.monotonic() - began, code, samples(exposed)))
        assert get(f"{server}/health")[0] == 200
        time.sleep(0.05)
    stdout, stderr = run.communicate()
    assert run.returncode == 0, stderr + stdout
    assert json.loads(stdout)["build"]["failures"] == []
    assert len(scrapes) > 10
    assert {code for _, code, _ in scrapes} == {200}
    assert all(read["tidemark_last_run_seconds"] > 0 for _, _, read in scrapes)
    wait_for(lambda: health()["as_of"] == AN_HOUR_LATER, "the figures of the run")
    if os.environ.get("TIDEMARK_SHOW_SCRAPES"):
        slowest = max(seconds for seconds, _, _ in scrapes)
        busy = sum(read["tidemark_database_busy"] for _, _, read in scrapes)
        oldest = max(read["tidemark_figures_age_seconds"] for _, _, read in scrapes)
        print(f"{len(scrapes)} scrapes, slowest {slowest:.2f} s, {busy:.0f} while busy,")
        print(f"oldest figures {oldest:.1f} s; the run ended with exit code {run.returncode}")

    # what the run left behind, a reading that failed or one that holds the file, is over first
    wait_for(lambda: not health()["database_busy"], "a reading after the run")
    with opened(demo):
        wait_for(lambda: health()["database_busy"], "a busy database")
        code, exposed = get(f"{server}/metrics")
        before = samples(exposed)
        assert (code, before["tidemark_database_busy"]) == (200, 1)
        assert before["tidemark_last_run_seconds"] > 0
        after = samples(get(f"{server}/metrics")[1])
        age = "tidemark_figures_age_seconds"
        assert after[age] > before[age]
        assert f"PID {os.getpid()}" in health()["problem"]
    wait_for(lambda: not health()["database_busy"], "a free database")

    subprocess.run(tidemark("run", "--as-of", STALE), cwd=PROJECT, capture_output=True)
    wait_for(lambda: get(f"{server}/health")[0] == 503, "a critical level")
    assert "source_age: engagement_events (7 h 25 min)" in health()["critical"]

    def scraped() -> dict[str, float]:
        return samples(get(f"{server}/metrics")[1])

    # the sources are known before the gate has decided
    wait_for(lambda: scraped()["tidemark_models state=blocked"] == 4, "the gate's decisions")
    assert scraped()["tidemark_sources state=stale"] == 1
    assert get(f"{server}/elsewhere")[0] == 404


def test_metrics_as_a_file_and_as_text(
    demo: Path, first_run: tuple[Path, Dbt], tmp_path: Path
) -> None:
    path = tmp_path / "tidemark.prom"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "dbt_of", lambda *_: first_run[1])
        written = CliRunner().invoke(cli.app, ["metrics", "--textfile", str(path)])
        printed = CliRunner().invoke(cli.app, ["metrics"])
        nowhere = CliRunner().invoke(cli.app, ["metrics", "--textfile", "/no/such/place"])
    assert (written.exit_code, written.stdout) == (0, "")
    assert printed.exit_code == 0
    in_file, on_screen = samples(path.read_text()), samples(printed.stdout)
    assert in_file.keys() == on_screen.keys()
    assert in_file["tidemark_job_rows job=fct_engagement_metrics"] > 0
    assert nowhere.exit_code == 2
    assert "cannot be written" in " ".join(nowhere.stderr.split())
    with duckdb.connect(str(demo)) as connection:
        ((rows,),) = connection.execute(
            "select amount from ops.pipeline_health"
            " where metric = 'job_rows' and subject = 'fct_engagement_metrics'"
        ).fetchall()
    assert in_file["tidemark_job_rows job=fct_engagement_metrics"] == float(rows)


def test_a_reading_that_fails_leaves_no_threads(demo: Path, first_run: tuple[Path, Dbt]) -> None:
    with opened(demo) as connection:
        connection.execute("alter table ops.gate_log rename to somewhere_else")
    gc.collect()
    gc.disable()
    try:
        before = threading.active_count()
        with pytest.raises(DbtError, match="gate_log"):
            read(first_run[1])
        wait_for(lambda: threading.active_count() <= before, "the end of dbt's threads")
    finally:
        gc.enable()


def test_a_taken_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_CONNECT_ATTEMPTS", "1")
    from http.server import BaseHTTPRequestHandler, HTTPServer

    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        ran = CliRunner().invoke(
            cli.app, ["serve", "--port", str(other.server_port), "--project-dir", str(PROJECT)]
        )
    assert ran.exit_code == 1
    assert "cannot be listened on" in ran.stderr
    assert "Nothing was started." in ran.stderr
