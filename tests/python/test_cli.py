"""The command line: exit codes, JSON, and the gate's states on the demo's seeds.

The project is parsed once. A first run makes the database that most tests begin with, each with a
copy of its own; time passes by moving the clock.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner, Result

from tidemark import cli, demo
from tidemark.engine import DatabaseLockedError, Dbt, DbtError

PROJECT = Path(__file__).parents[2]
SEED_CLOCK = "2025-10-15T12:00:00"
AN_HOUR_LATER = "2025-10-15T13:00:00"
ENGAGEMENT = {
    *("fct_engagement_metrics", "feature_engagement_daily"),
    *("server_engagement_daily", "engagement_daily"),
}
WEB = {
    *("dim_web_teams", "web_hourly_stats", "web_sessions", "web_hourly_bounces"),
    *("web_pre_aggregated_stats", "web_pre_aggregated_bounces"),
}


@dataclass
class Demo:
    """A demo database and the command line on it."""

    path: Path
    dbt: Dbt

    def __call__(self, *args: str) -> Result:
        """Run a command in this process, on the project that was parsed once."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TIDEMARK_DEMO_PATH", str(self.path))
            patch.setenv("DBT_LOG_PATH", str(self.path.parent / "logs"))
            patch.setattr(cli, "_dbt", lambda *_: self.dbt)
            return CliRunner().invoke(cli.app, args, catch_exceptions=False)

    def json(self, *args: str, exit_code: int = 0) -> dict[str, Any]:
        """Run a command with --json: its exit code, and one object on standard output."""
        ran = self(*args, "--json")
        assert ran.exit_code == exit_code, ran.output
        told: dict[str, Any] = json.loads(ran.stdout)
        assert told["exit_code"] == exit_code
        return told

    def sql(self, statement: str) -> list[Any]:
        """Look into the database, or change it behind dbt's back."""
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(statement).fetchall()


@dataclass
class Story:
    """The demo, told once: what each step did, its database now, and after the first run."""

    steps: list[dict[str, Any]]
    end: Demo
    after_first_run: Path


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Tell the story on a cold database, and set a copy aside after the first run."""
    home = tmp_path_factory.mktemp("tidemark")
    # The manifest holds the database's name, which is the file's: every copy is called so.
    path = home / "tidemark.duckdb"
    dbt = Dbt(PROJECT, target="demo", target_path=home / "target")
    aside = home / "after_first_run.duckdb"
    tell_step = demo._tell

    def tell_and_copy(*args: Any) -> dict[str, Any]:
        told = tell_step(*args)
        if not aside.exists():
            shutil.copy(path, aside)
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_tell", tell_and_copy)
        patch.setattr(demo, "_DATABASE", str(path))
        patch.setattr(demo, "Dbt", lambda *_, **__: dbt)
        end = Demo(path, dbt)
        told = end.json("demo", "--project-dir", str(PROJECT))
    return Story(told["steps"], end, aside)


@pytest.fixture
def tidemark(story: Story, tmp_path: Path) -> Demo:
    """A database of its own, as the first run left it."""
    path = tmp_path / "tidemark.duckdb"
    shutil.copy(story.after_first_run, path)
    return Demo(path, story.end.dbt)


def states(told: dict[str, Any]) -> dict[str, str]:
    """The state of every model, by name."""
    return {model["model"]: model["state"] for model in told["models"]}


def source_states(told: dict[str, Any]) -> dict[str, str]:
    """The state of every source, by name."""
    return {source["source"]: source["state"] for source in told["sources"]}


def built(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the build did with each model."""
    return {model["model"]: model for model in told["build"]["models"]}


# ---- without a warehouse ----


@pytest.mark.parametrize("command", [[], ["run"], ["check"], ["demo"]])
def test_help_has_an_example_and_needs_no_dbt(command: list[str]) -> None:
    script = (
        "import sys\n"
        "from tidemark.cli import app\n"
        "try:\n"
        f"    app([*{command}, '--help'])\n"
        "finally:\n"
        "    print('imported', sorted({'dbt', 'duckdb', 'agate'} & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert ran.stdout.splitlines()[-1] == "imported []"
    assert ("Example: tidemark" in ran.stdout) == bool(command)


def test_help_is_instant() -> None:
    def best_of_three(*command: str) -> float:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True, cwd=PROJECT)
            times.append(time.perf_counter() - began)
        return min(times)

    bare = best_of_three("-c", "import typer, typer.rich_utils")
    assert best_of_three("-m", "tidemark", "--help") - bare < 0.3


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["run", "--as-of", "yesterday"], "not an ISO 8601 time"),
        (["check", "--as-of", "2025-02-30"], "not a time"),
        (["run", "--skip-exit-code", "256"], "equal to 255"),
        (["run", "--vars", "[company]"], "not a mapping"),
        (["run", "--vars", "{as_of: 2025-10-15}"], "--as-of"),
        (["run", "--unknown"], "--unknown"),
        (["run", "--project-dir", "/"], "no dbt_project.yml"),
        (["demo", "--target", "duckdb"], "target demo"),
        (["status"], "status"),
    ],
)
def test_usage_errors(args: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dbt, "_invoke", None)
    ran = CliRunner().invoke(cli.app, args)
    assert ran.exit_code == 2
    assert says in " ".join(ran.stderr.replace("│", " ").split())
    assert ran.stdout == ""


def test_the_project_is_found_from_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT / "tests" / "python")
    assert cli._project(None) == PROJECT


def fake_runner(monkeypatch: pytest.MonkeyPatch, **answer: Any) -> list[list[str]]:
    """Stand in for dbt: every call gives the same answer. Returns the calls as they are made."""
    calls: list[list[str]] = []

    class Runner:
        def __init__(self, callbacks: list[Callable[[Any], None]], **_: object) -> None:
            self.hear = callbacks[0]

        def invoke(self, args: list[str]) -> SimpleNamespace:
            calls.append(args)
            for text in answer.get("errors", []):
                self.hear(SimpleNamespace(info=SimpleNamespace(msg=text, level="error")))
            return SimpleNamespace(success=False, result=None, exception=answer.get("exception"))

    monkeypatch.setattr("dbt.cli.main.dbtRunner", Runner)
    return calls


LOCK = (
    'IO Error: Could not set lock on file "tidemark.duckdb": Conflicting lock is held in'
    " /usr/bin/python3.11 (PID 4711). See also https://duckdb.org/docs/concurrency"
)


@pytest.mark.parametrize("answer", [{"errors": [LOCK]}, {"exception": RuntimeError(LOCK)}])
def test_a_locked_database(answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fake_runner(monkeypatch, **answer)
    with pytest.raises(DatabaseLockedError, match=r"in use by python3.11 \(PID 4711\)"):
        Dbt(PROJECT).manifest  # noqa: B018
    ran = CliRunner().invoke(cli.app, ["run", "--project-dir", str(PROJECT)])
    assert ran.exit_code == 1
    assert "(PID 4711)" in ran.stderr
    assert "Nothing was built. Try again" in ran.stderr


def test_a_dbt_error_is_shown_without_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "Encountered an error while running operation: Bad clock\n\n  > in macro gate_facts"
    fake_runner(monkeypatch, errors=[message])
    with pytest.raises(DbtError, match=r"^Bad clock$"):
        Dbt(PROJECT).manifest  # noqa: B018
    ran = CliRunner().invoke(cli.app, ["check", "--json", "--project-dir", str(PROJECT)])
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["error"] == "Bad clock"


def test_what_dbt_is_called_with(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_runner(monkeypatch)
    variables = {"domains": ["company"]}
    dbt = Dbt(PROJECT, "duckdb", variables)
    dbt.__dict__["manifest"] = object()
    dbt.call("build", as_of=cli.parse_clock("2025-10-15T14:00:00+02:00"))
    (call,) = calls
    assert call[0] == "build"
    assert call[call.index("--target") + 1] == "duckdb"
    assert json.loads(call[call.index("--vars") + 1]) == {**variables, "as_of": SEED_CLOCK}


# ---- on the seeds ----


def test_new_on_a_cold_database(story: Story, tidemark: Demo) -> None:
    told = story.steps[0]
    assert told["seeded"]
    assert told["as_of"] == SEED_CLOCK
    assert set(source_states(told).values()) == {"fresh"}
    assert set(states(told).values()) == {"new"}
    assert {model["reason"] for model in told["models"]} == {"Never built."}
    models = built(told)
    assert models.keys() >= states(told).keys()
    assert {model["status"] for model in models.values()} == {"success"}
    assert models["fct_engagement_metrics"]["mode"] == "full"
    assert models["fct_engagement_metrics"]["rows"] > 0
    assert models["fct_engagement_metrics"]["tests"]["pass"] > 0
    assert told["build"]["failures"] == told["build"]["untouched"] == []
    recorded = dict(tidemark.sql("select subject, state from ops.source_checks"))
    assert recorded == source_states(told) | states(told)


def test_unchanged_is_skipped_with_its_reason(tidemark: Demo) -> None:
    told = tidemark.json("run", "--skip-exit-code", "99", exit_code=99)
    assert set(states(told).values()) == {"unchanged"}
    assert told["build"]["models"] == []
    reasons = {model["model"]: model["reason"] for model in told["models"]}
    assert reasons["fact_events_daily"] == "No new rows in fact_events since 2025-10-15 12:00 UTC."
    ran = tidemark("run")
    assert ran.exit_code == 0
    assert "No new rows in fact_events since" in ran.stdout


def test_check_decides_as_run_does_and_builds_nothing(tidemark: Demo) -> None:
    told = tidemark.json("check", "--as-of", "2025-10-15T15:00:00+02:00")
    assert told["command"] == "check"
    assert told["as_of"] == AN_HOUR_LATER
    assert told["build"] is None
    new = {model for model, state in states(told).items() if state == "new"}
    assert new == ENGAGEMENT | WEB | {"fact_events_daily", "company_usage_reconciliation"}
    assert states(tidemark.json("check", "--as-of", AN_HOUR_LATER)) == states(told)


@pytest.mark.parametrize(
    ("state", "change", "reason"),
    [
        ("empty", "delete from raw.engagement_events", "it holds no rows"),
        (
            "future",
            "update raw.engagement_events set updated_at = '2099-01-01'",
            "none loaded by the clock",
        ),
    ],
)
def test_a_source_without_visible_rows_blocks(
    tidemark: Demo, state: str, change: str, reason: str
) -> None:
    tidemark.sql(change)
    told = tidemark.json("run", exit_code=3)
    assert source_states(told)["engagement_events"] == state
    assert {model for model, state in states(told).items() if state == "blocked"} == ENGAGEMENT
    assert all(reason in each["reason"] for each in told["models"] if each["model"] in ENGAGEMENT)


def test_a_source_that_cannot_be_read_leaves_the_others_running(tidemark: Demo) -> None:
    tidemark.sql("alter table raw.engagement_events rename column updated_at to changed_at")
    told = tidemark.json("run", "--as-of", AN_HOUR_LATER, exit_code=3)
    assert source_states(told)["engagement_events"] == "error"
    assert {model for model, state in states(told).items() if state == "blocked"} == ENGAGEMENT
    assert built(told)["fact_events_daily"]["status"] == "success"
    assert told["build"]["failures"] == []


def test_check_shows_ages_limits_and_reasons(tidemark: Demo) -> None:
    ran = tidemark("check", "--as-of", "2025-10-17T06:30:00")
    assert ran.exit_code == 3
    told = " ".join(ran.stdout.split())
    assert "engagement_events stale 2025-10-16 23:05 UTC 7 h 25 min 2 h 6 h" in told
    assert "engagement_events is stale: last loaded 7 h 25 min ago, the limit is 6 h" in told


def test_a_requested_partition_is_new(tidemark: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(tidemark.path))
    request = {
        "model": "fact_events_daily",
        "entity": "acme",
        "day": "2025-10-01",
        "reason": "a test",
    }
    tidemark.dbt.operate("request_partition", request)
    told = tidemark.json("run")
    assert states(told)["fact_events_daily"] == "new"
    assert states(told)["fct_engagement_metrics"] == "unchanged"
    assert built(told)["fact_events_daily"]["partitions"] == 1


def test_a_changed_partition_to_take_over_is_new(tidemark: Demo) -> None:
    tidemark.sql(
        "insert into ops.changed_keys select max(ledger_entry) + 1, 'web_sessions', '7', "
        "date '2025-10-14', 'a test', timestamp '2025-10-15 12:00' from ops.etl_job_runs"
    )
    told = tidemark.json("run")
    reasons = {each["model"]: each["reason"] for each in told["models"]}
    assert reasons["web_hourly_bounces"] == "1 changed partition to take over."
    assert states(told)["web_sessions"] == "unchanged"
    assert built(told)["web_hourly_bounces"]["partitions"] == 1
    assert states(tidemark.json("check"))["web_hourly_bounces"] == "unchanged"


def test_a_failed_test_fails_the_run(tidemark: Demo) -> None:
    tidemark.sql(
        "insert into marts.fact_events_daily select * from marts.fact_events_daily"
        " where activity_date = '2025-09-10' limit 1"
    )
    told = tidemark.json("run", "--as-of", AN_HOUR_LATER, exit_code=1)
    (failure,) = [each for each in told["build"]["failures"] if "unique" in each["node"]]
    assert failure["kind"] == "test"
    assert failure["message"].startswith("Got 1 result")
    assert "company_usage_reconciliation" in told["build"]["untouched"]
    assert built(told)["fct_engagement_metrics"]["status"] == "success"
    again = tidemark.json("run", "--as-of", AN_HOUR_LATER, exit_code=1)
    assert {model for model, state in states(again).items() if state == "new"} == {
        *("fact_events_daily", "company_usage_reconciliation"),
    }


def test_a_failed_model_says_what_failed_and_what_was_not_touched(tidemark: Demo) -> None:
    tidemark.sql("alter table marts.fact_events_daily rename column events to event_count")
    ran = tidemark("run", "--as-of", AN_HOUR_LATER)
    assert ran.exit_code == 1
    told = " ".join(ran.stdout.split())
    assert "The model fact_events_daily failed:" in told
    assert "Not touched because of that: company_usage_reconciliation." in told
    assert "repeat `tidemark run`" in told


def test_a_clock_before_the_ledger_is_refused(tidemark: Demo) -> None:
    ran = tidemark("run", "--as-of", "2025-10-14T12:00:00")
    assert ran.exit_code == 1
    assert "lies before the clock of the ledger" in ran.stderr
    assert ran.stdout == ""


def test_the_demo_tells_its_story(story: Story) -> None:
    _, skipped, hour, before, answer, after, stale = story.steps
    assert set(states(skipped).values()) == {"unchanged"}

    rebuilt = {model for model, state in states(hour).items() if state == "new"}
    assert rebuilt == ENGAGEMENT | WEB | {"fact_events_daily", "company_usage_reconciliation"}
    assert built(hour).keys() & states(hour).keys() == rebuilt
    assert built(hour)["fact_events_daily"]["mode"] == "incremental"
    assert built(hour)["fact_events_daily"]["partitions"] == 2
    assert built(hour)["web_sessions"]["partitions"] == 5
    assert built(hour)["web_hourly_bounces"]["partitions"] == 4

    assert built(answer)["company_daily_usage"]["mode"] == "incremental"
    flags = {row["company_id"]: row["is_churn_risk"] for row in before["rows"]}
    changed = {
        row["company_id"]: (flags[row["company_id"]], row["is_churn_risk"]) for row in after["rows"]
    }
    assert changed == {
        "acme": (False, False),
        "churner": (None, True),
        "quiet-in-outage": (None, True),
        "saved-by-answer": (None, False),
        "silent-only-in-outage": (False, False),
    }

    assert stale["exit_code"] == stale["expected_exit_code"] == 3
    assert source_states(stale)["engagement_events"] == "stale"
    assert source_states(stale)["fact_events"] == "warn"
    hourly = ENGAGEMENT | WEB - {"dim_web_teams"}
    assert {model for model, state in states(stale).items() if state == "blocked"} == hourly
    assert built(stale)["fact_events_daily"]["status"] == "success"
    assert not hourly & built(stale).keys()
    pending = story.end.sql("select job_name from ops.etl_job_runs where status = 'pending'")
    assert {name for (name,) in pending} == hourly


def test_the_console_script_prints_json_alone(tidemark: Demo) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tidemark", "check", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT / "models",
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "TIDEMARK_DEMO_PATH": str(tidemark.path),
            "DBT_TARGET_PATH": str(tidemark.path.parent / "target"),
        },
    )
    assert json.loads(ran.stdout)["command"] == "check"
