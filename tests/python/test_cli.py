"""The command line: exit codes, JSON, and the gate's states on the demo's seeds.

The project is parsed once. A first run makes the database that most tests begin with, each with a
copy of its own; time passes by moving the clock.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from exact.marts import MARTS_OF
from rich.console import Console
from typer.testing import CliRunner, Result

from tidemark import cli, demo
from tidemark.clock import parse_clock
from tidemark.commands import options, session
from tidemark.engine import DatabaseLockedError, Dbt, DbtError
from tidemark.judgement import judge
from tidemark.report import tables

PROJECT = Path(__file__).parents[2]
SEED_CLOCK = "2025-10-15T12:00:00"
AN_HOUR_LATER = "2025-10-15T13:00:00"
ENGAGEMENT = {*MARTS_OF["engagement"]}
# What the hour after the seed clock brings something new for.
NEW_IN_AN_HOUR = {
    *(mart for domain in MARTS_OF if domain != "company" for mart in MARTS_OF[domain]),
    *("fact_events_daily", "company_usage_reconciliation"),
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
            patch.setattr(session, "dbt_of", lambda *_: self.dbt)
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
    warnings_of_parsing: list[str]
    # What people see of it.
    text: str

    def after_first_run_in(self, folder: Path, dbt: Dbt) -> Demo:
        """A database of its own, as the first run left it."""
        path = folder / "tidemark.duckdb"
        shutil.copy(self.after_first_run, path)
        return Demo(path, dbt)


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
        patch.setattr(demo, "_LANDING", home / "landing")
        patch.setattr(demo, "_REPORT", str(home / "report.html"))
        patch.setattr(demo, "Dbt", lambda *_, **__: dbt)
        end = Demo(path, dbt)
        warnings, shown = parsed(dbt), io.StringIO()
        seen = tables.console().width
        patch.setattr(tables, "console", lambda **_: Console(width=seen, file=shown))
        told = end.json("demo", "--project-dir", str(PROJECT))
    return Story(told["steps"], end, aside, warnings, shown.getvalue())


def parsed(dbt: Dbt) -> list[str]:
    """Parse the project, and tell what dbt warned of."""
    heard: list[Any] = []
    dbt.listeners.append(heard.append)
    read = dbt._invoke(None, ["parse", "--no-write-json"], dbt.variables)
    dbt.listeners.remove(heard.append)
    dbt.__dict__["manifest"] = read.result
    return [str(message.info.msg) for message in heard if message.info.level == "warn"]


@pytest.fixture(scope="session")
def two_domains(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """The project with two of its domains: a run takes a third of the time."""
    variables = {"domains": ["company", "engagement"]}
    return Dbt(PROJECT, "demo", variables, tmp_path_factory.mktemp("two_domains"))


@pytest.fixture
def tidemark(story: Story, two_domains: Dbt, tmp_path: Path) -> Demo:
    """Two domains after the first run."""
    return story.after_first_run_in(tmp_path, two_domains)


@pytest.fixture
def all_domains(story: Story, tmp_path: Path) -> Demo:
    """All domains after the first run."""
    return story.after_first_run_in(tmp_path, story.end.dbt)


def states(told: dict[str, Any]) -> dict[str, str]:
    """The state of every model, by name."""
    return {model["model"]: model["state"] for model in told["models"]}


def source_states(told: dict[str, Any]) -> dict[str, str]:
    """The state of every source, by name."""
    return {source["source"]: source["state"] for source in told["sources"]}


def figure(told: dict[str, Any], metric: str, subject: str) -> dict[str, Any]:
    """One figure of `status`."""
    (found,) = [
        each for each in told["figures"] if (each["metric"], each["subject"]) == (metric, subject)
    ]
    return dict(found)


def built(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the build did with each model."""
    return {model["model"]: model for model in told["build"]["models"]}


# ---- without a warehouse ----


WATERMARK = [["watermark"], *(["watermark", action] for action in ("show", "set", "reset"))]


SLOW_TO_IMPORT = {"dbt", "duckdb", "agate", "apprise", "prometheus_client"}
SHOWS = [["check"], ["status"], ["cadence"], ["metrics"], ["serve"]]
REPAIRS = [["gaps"], ["backfill"]]


@pytest.mark.parametrize("command", [[], ["run"], *SHOWS, *REPAIRS, *WATERMARK, ["demo"]])
def test_help_has_an_example_and_needs_no_dbt(command: list[str]) -> None:
    script = (
        "import sys\n"
        "from tidemark.cli import app\n"
        "try:\n"
        f"    app([*{command}, '--help'])\n"
        "finally:\n"
        f"    print('imported', sorted({SLOW_TO_IMPORT} & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert ran.stdout.splitlines()[-1] == "imported []"
    assert ("Example: tidemark" in ran.stdout) == bool(command)


# What help is made of: typer with the libraries that it draws with, and ours.
LIBRARIES_OF_HELP = {
    *("typer", "click", "rich", "pygments", "markdown_it", "mdurl", "shellingham"),
    *("annotated_doc", "attr", "typing_extensions", "colorama", "tidemark"),
}


def test_help_imports_what_it_needs_and_no_more() -> None:
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from tidemark import cli\n"
        "try:\n"
        "    cli.app(['--help'])\n"
        "finally:\n"
        "    new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "    print('imported', *sorted(new - sys.stdlib_module_names))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    imported = set(ran.stdout.splitlines()[-1].split()[1:])
    assert "tidemark" in imported
    assert imported <= LIBRARIES_OF_HELP


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
        (["serve", "--interval", "nan"], "--interval"),
        (["serve", "--interval", "inf"], "--interval"),
        (["ingest", "usage", "--landing", "s3://key:secret@bucket"], "a user, a password or"),
        (["tide"], "tide"),
        (["watermark", "set", "fact_events_daily", "2025-10-01"], "--reason"),
        (["watermark", "set", "fact_events_daily", "soon", "--reason", "r"], "not an ISO 8601"),
        (["watermark", "reset", "fact_events_daily", "--reason", "r", "--json"], "add --yes"),
        *(([command, "--days", "1000000"], "equal to 36525") for command in ("gaps", "backfill")),
        *(([command, "--days", "0"], "equal to 1") for command in ("gaps", "backfill", "cadence")),
        (["cadence", "--days", "366"], "equal to 365"),
        (["cadence", "--every", "99999999999d"], "not a duration"),
        (["ingest", "usage", "--reask", "1000000"], "equal to 3650"),
        (["serve", "--interval", "0"], "equal to 1"),
        (["serve", "--interval", "1e12"], "equal to 86400"),
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
    assert options.project(None) == PROJECT


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
    dbt.__dict__["manifest"] = SimpleNamespace(flat_graph={})
    dbt.call("build", as_of=parse_clock("2025-10-15T14:00:00+02:00"))
    (call,) = calls
    assert call[0] == "build"
    assert call[call.index("--target") + 1] == "duckdb"
    known = {**variables, "as_of": SEED_CLOCK, "run_id": dbt.run_id}
    assert json.loads(call[call.index("--vars") + 1]) == known


def test_a_log_level_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    ran = CliRunner().invoke(cli.app, ["check", "--project-dir", str(PROJECT)])
    assert ran.exit_code == 2
    assert "debug, info, warning, error" in " ".join(ran.stderr.replace("│", " ").split())


# ---- on the seeds ----


def test_parsing_warns_of_nothing(story: Story, tmp_path: Path) -> None:
    assert story.warnings_of_parsing == []
    # and where most of the project is switched off, which leaves descriptions without their models
    assert parsed(Dbt(PROJECT, "demo", {"domains": ["web"]}, tmp_path)) == []


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


def test_check_decides_as_run_does_and_builds_nothing(all_domains: Demo) -> None:
    told = all_domains.json("check", "--as-of", "2025-10-15T15:00:00+02:00")
    assert told["command"] == "check"
    assert told["as_of"] == AN_HOUR_LATER
    assert told["build"] is None
    new = {model for model, state in states(told).items() if state == "new"}
    assert new == NEW_IN_AN_HOUR
    assert states(all_domains.json("check", "--as-of", AN_HOUR_LATER)) == states(told)


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


def test_a_source_is_as_fresh_as_dbt_says(tidemark: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(tidemark.path))
    tidemark.sql("delete from raw.engagement_events where updated_at > '2025-10-15 11:30'")
    ((newest,),) = tidemark.sql("select max(updated_at) from raw.engagement_events")
    words, seen = {"pass": "fresh", "warn": "warn", "error": "stale"}, []
    for hours, seconds in ((2, 0), (2, 1), (6, 0), (6, 1)):
        clock = newest + timedelta(hours=hours, seconds=seconds)
        asked = tidemark.dbt.call("source", "freshness", "--no-write-json", as_of=clock)
        said = {result.node.name: words[result.status] for result in asked.results_of("source")}
        checks = judge(tidemark.dbt, clock).checks
        assert said == {check.source: check.state for check in checks if check.source in said}
        seen.append(said["engagement_events"])
    assert seen == ["fresh", "warn", "warn", "stale"]


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


def test_a_changed_partition_to_take_over_is_new(all_domains: Demo) -> None:
    all_domains.sql(
        "insert into ops.changed_keys select max(ledger_entry) + 1, 'web_sessions', '7', "
        "date '2025-10-14', 'a test', timestamp '2025-10-15 12:00' from ops.etl_job_runs"
    )
    told = all_domains.json("run")
    reasons = {each["model"]: each["reason"] for each in told["models"]}
    assert reasons["web_hourly_bounces"] == "1 changed partition to take over."
    assert states(told)["web_sessions"] == "unchanged"
    assert built(told)["web_hourly_bounces"]["partitions"] == 1
    assert states(all_domains.json("check"))["web_hourly_bounces"] == "unchanged"


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
    status = tidemark.json("status", "--as-of", AN_HOUR_LATER)
    assert figure(status, "failed_runs", "last 24 hours")["level"] == "warning"
    assert figure(status, "job_failures", "fact_events_daily")["level"] == "warning"
    assert "Got 1 result" in figure(status, "job_failures", "fact_events_daily")["detail"]
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


# ---- how it is ----

LATER = "2025-10-15T14:30:00"


def test_status_knows_what_is_pending_and_the_view_what_was_done_since(tidemark: Demo) -> None:
    looked = tidemark("status", "--as-of", LATER, "--exit-code", "--json")
    told = json.loads(looked.stdout)
    assert looked.exit_code == {"warning": 4, "critical": 5}[told["level"]]
    assert {shown["level"] for shown in told["figures"]} == {"normal", "warning"}
    lag = figure(told, "watermark_lag", "fct_engagement_metrics")
    assert (lag["amount"], lag["warning_at"], lag["level"]) == (9000, 3600, "warning")
    # once a day, twice is critical
    lag = figure(told, "watermark_lag", "dim_companies")
    assert (lag["critical_at"], lag["level"]) == (172800, "normal")
    pending = figure(told, "pending_rows", "fct_engagement_metrics")
    rows = "from raw.engagement_events where updated_at > '2025-10-15 12:00'"
    ((expected,),) = tidemark.sql(f"select count(*) {rows} and updated_at <= '2025-10-15 14:30'")
    assert (pending["amount"], pending["level"]) == (expected, "warning")
    assert figure(told, "pending_rows", "dim_companies")["amount"] == 0
    assert figure(told, "job_rows", "fct_engagement_metrics")["amount"] > 0

    tidemark.json("run", "--as-of", LATER)
    after = tidemark.sql(
        "select metric, sum(amount) from ops.pipeline_health"
        " where metric in ('pending_rows', 'watermark_lag') group by metric order by metric"
    )
    assert after == [("pending_rows", 0), ("watermark_lag", 0)]


def test_status_says_what_was_set_aside(tidemark: Demo) -> None:
    tidemark.sql(
        "update raw.engagement_events set interaction_count = -1"
        " where updated_at = (select max(updated_at) from raw.engagement_events"
        f" where updated_at <= '{AN_HOUR_LATER}')"
    )
    reason = "engagement_events: interaction_count is negative"
    told = tidemark.json("status", "--as-of", AN_HOUR_LATER)
    found = figure(told, "quarantined_rows", reason)
    assert found["amount"] > 0
    assert found["level"] == "warning"
    shown = tidemark("status", "--as-of", AN_HOUR_LATER)
    assert shown.exit_code == 0
    assert f"warning quarantined_rows: {reason}" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    "change",
    [
        "drop table raw.fact_events",
        "alter table raw.fact_events rename column loaded_at to changed_at",
    ],
)
def test_status_answers_while_a_source_is_broken(tidemark: Demo, change: str) -> None:
    tidemark.sql(change)
    told = tidemark.json("status", "--exit-code", exit_code=5)
    age = figure(told, "source_age", "fact_events")
    assert (age["amount"], age["detail"], age["level"]) == (None, "error", "critical")
    assert figure(told, "source_age", "crm_daily")["level"] == "normal"
    assert figure(told, "watermark_lag", "fact_events_daily")["level"] == "normal"


def test_status_answers_while_a_staging_view_is_broken(tidemark: Demo) -> None:
    tidemark.sql("alter table raw.fact_events rename column events to event_count")
    told = tidemark.json("status", "--as-of", AN_HOUR_LATER)
    # a column that is missing is told of the source before anything fails on it
    assert figure(told, "source_age", "fact_events")["level"] == "critical"
    counted = {f["subject"] for f in told["figures"] if f["metric"] == "quarantined_rows"}
    assert "product_usage_daily" in counted
    assert "fact_events" not in counted


def test_status_on_a_cold_database(story: Story, tmp_path: Path) -> None:
    path = tmp_path / "tidemark.duckdb"
    # Who only looks creates no file.
    duckdb.connect(str(path)).close()
    cold = Demo(path, story.end.dbt)
    told = cold.json("status", "--exit-code", exit_code=5)
    ages = {each["subject"]: each for each in told["figures"] if each["metric"] == "source_age"}
    # without a limit there is nothing to miss, but no rows either
    assert {name for name, age in ages.items() if age["level"] != "critical"} == {
        *("consumers", "web_teams")
    }
    assert ages["web_teams"]["level"] == "warning"
    assert figure(told, "watermark_lag", "dim_companies")["amount"] is None
    assert cold.sql("select count(*) from duckdb_tables() where schema_name = 'raw'") == [(0,)]
    assert "never built" in cold("status").stdout


def test_a_watermark_is_set_only_when_that_is_confirmed(
    tidemark: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets = "select last_processed_timestamp, error_message from ops.etl_job_runs"
    resets += " where job_type = 'reset'"
    command = ("watermark", "set", "fact_events_daily", "2025-10-14", "--reason", "it's a doubt")
    monkeypatch.setattr("typer.confirm", lambda _: False)
    declined = tidemark(*command)
    assert declined.exit_code == 1
    assert "from 2025-10-15 12:00 UTC to 2025-10-14 00:00 UTC" in declined.stdout
    assert "of fact_events" in declined.stdout
    assert "Nothing was changed." in declined.stdout
    assert tidemark.sql(resets) == []

    told = tidemark.json(*command, "--yes")
    assert told["rows"]["fact_events"] > 0
    assert [(str(time), reason) for time, reason in tidemark.sql(resets)] == [
        ("2025-10-14 00:00:00", "it's a doubt")
    ]
    shown = {row["job_name"]: row for row in tidemark.json("watermark", "show")["watermarks"]}
    assert shown["fact_events_daily"]["last_processed_timestamp"] == "2025-10-14 00:00:00"
    assert shown["fact_events_daily"]["known_until"] == "2025-10-15 12:00:00"
    assert "dbt build" not in shown

    refused = tidemark("watermark", "set", "fact_events", "2025-10-14", "--reason", "r", "--yes")
    assert refused.exit_code == 1
    assert "There is no job fact_events." in refused.stderr
    assert "Nothing was changed." in refused.stderr


def test_a_run_builds_what_was_selected_and_what_is_above_it(tidemark: Demo) -> None:
    told = tidemark.json("run", "--as-of", AN_HOUR_LATER, "--select", "engagement_daily")
    above = {"engagement_daily", "server_engagement_daily"}
    assert states(told) == dict.fromkeys(above, "new")
    assert source_states(told).keys() == {"engagement_events"}
    assert built(told).keys() & NEW_IN_AN_HOUR == above
    checked = {check["model"]: check["status"] for check in told["build"]["checks"]}
    assert checked["engagement_daily"] == "pass"

    # the rest waits, and is not forgotten
    again = ("run", "--as-of", AN_HOUR_LATER, "--skip-exit-code", "99")
    tidemark.json(*again, "--select", "engagement_daily", exit_code=99)
    rest = tidemark.json(*again, "--select", "engagement")
    assert set(states(rest)) == ENGAGEMENT
    assert states(rest)["fct_engagement_metrics"] == "new"
    assert states(rest)["engagement_daily"] == "unchanged"
    assert states(tidemark.json(*again))["fact_events_daily"] == "new"
    tidemark.json(*again, exit_code=99)

    refused = tidemark("run", "--select", "tide")
    assert refused.exit_code == 2
    assert "there is no domain or model tide" in " ".join(refused.stderr.split())


def test_one_run_id_in_the_log_and_in_the_ledger(tidemark: Demo) -> None:
    ran = tidemark("run", "--as-of", AN_HOUR_LATER, "--log-format", "json")
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    (run_id,) = {line["run_id"] for line in lines}
    assert {line["command"] for line in lines} == {"run"}
    said = {line["message"].split(" took")[0] for line in lines}
    assert {"run begins", "dbt build --select", "run ends with exit code 0"} <= said
    assert {"fact_events_daily is new", "dim_companies is unchanged"} <= said
    recorded = tidemark.sql(
        f"select distinct job_type from ops.etl_job_runs where run_id = '{run_id}' order by all"
    )
    assert recorded == [("gate",), ("model",)]
    ((checks,),) = tidemark.sql(f"select count(*) from ops.source_checks where run_id = '{run_id}'")
    assert checks > 0
    # people see the tables; lines only when they ask for them
    assert tidemark("check", "--as-of", AN_HOUR_LATER).stderr == ""


def test_the_demo_tells_its_story(story: Story) -> None:
    _, skipped, known, hour, changed_numbers, before, answer, after, *rest = story.steps
    advice, doubt, asked, again, loaded, stale, answered, status, _, missing, repaired = rest
    assert set(states(skipped).values()) == {"unchanged"}

    rebuilt = {model for model, state in states(hour).items() if state == "new"}
    assert rebuilt == NEW_IN_AN_HOUR
    assert built(hour).keys() & states(hour).keys() == rebuilt
    assert built(hour)["fact_events_daily"]["mode"] == "incremental"
    assert built(hour)["fact_events_daily"]["partitions"] == 2
    assert built(hour)["web_sessions"]["partitions"] == 5
    assert built(hour)["web_hourly_bounces"]["partitions"] == 4

    numbers = [[row["figure"] for row in told["rows"]] for told in (known, changed_numbers)]
    assert numbers == [
        ["4", "0.500000", "2025-10-14 20:05:00", "0"],
        ["5", "0.200000", "2025-10-14 19:50:00", "209"],
    ]

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

    (hourly_source,) = [
        source for source in advice["sources"] if source["source"] == "engagement_events"
    ]
    assert hourly_source["checks"]["useful"] * 4 == hourly_source["checks"]["number"]
    assert advice["saved"]["skips"] > 0

    assert [day["rows"] for day in asked["days"] + again["days"]] == [8, 5, 8]
    assert sum(file["records"] for file in loaded["loaded"]) == 24
    assert built(stale)["company_daily_usage"]["status"] == "success"
    assert [(row["answers"], row["events"]) for row in answered["rows"]][1:] == [(2, 457), (2, 430)]

    assert doubt["rows"]["fact_events"] > 0
    reasons = {model["model"]: model["reason"] for model in stale["models"]}
    assert reasons["fact_events_daily"] == "Its watermark was reset to 2025-10-01 00:00 UTC."
    assert built(stale)["fact_events_daily"]["partitions"] > 100

    assert stale["exit_code"] == stale["expected_exit_code"] == 3
    assert source_states(stale)["engagement_events"] == "stale"
    assert source_states(stale)["fact_events"] == "warn"
    hourly = ENGAGEMENT | {*MARTS_OF["web"]} - {"dim_web_teams"}
    assert {model for model, state in states(stale).items() if state == "blocked"} == hourly
    assert built(stale)["fact_events_daily"]["status"] == "success"
    assert not hourly & built(stale).keys()
    blocked = story.end.sql(
        "select job_name from ops.etl_job_runs where status = 'pending' and job_type = 'gate'"
    )
    assert {name for (name,) in blocked} == hourly

    assert status["exit_code"] == status["expected_exit_code"] == 5
    assert figure(status, "source_age", "engagement_events")["detail"] == "stale"
    assert figure(status, "waiting_rows", "fact_events")["amount"] == 1
    assert figure(status, "watermark_lag", "fact_events_daily")["level"] == "normal"
    assert figure(status, "watermark_lag", "fct_engagement_metrics")["level"] == "critical"

    (gap,) = missing["gaps"]
    assert (gap["model"], gap["days"], gap["decision"]) == ("web_hourly_stats", 3, "planned")
    assert [(each["repaired"], each["failed"]) for each in repaired["repairs"]] == [(1, 0)] * 3
    assert repaired["left"] == repaired["failures"] == []


def test_the_readme_shows_what_the_demo_shows(story: Story) -> None:
    """Columns and lines may be left out; what is there is in the demo's words."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- tidemark demo -->\n```\n(.*?)```", readme, flags=re.DOTALL)
    told = [line.split() for line in story.text.replace("─", "").splitlines()]
    for line in filter(None, (line.split() for line in shown.splitlines())):
        assert line == ["..."] or any(each[: len(line)] == line for each in told), line


def test_seeding_again_keeps_what_was_loaded_besides(story: Story, tmp_path: Path) -> None:
    path = tmp_path / "tidemark.duckdb"
    shutil.copy(story.end.path, path)
    end = Demo(path, story.end.dbt)
    held = "select * from raw.product_usage_daily order by all"
    before = end.sql(held)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(path))
        for options in ((), ("--full-refresh",)):
            seed = ("seed", "--select", "product_usage_daily", *options)
            seeded = end.dbt.call(*seed, as_of=parse_clock(story.steps[-1]["as_of"]))
            assert seeded.success, seeded.errors
            assert end.sql(held) == before


def test_the_console_script_prints_json_alone(tidemark: Demo) -> None:
    logs = tidemark.path.parent / "no_logs"
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
            "DBT_LOG_PATH": str(logs),
            "DBT_LOG_LEVEL_FILE": "none",
        },
    )
    assert json.loads(ran.stdout)["command"] == "check"
    assert not (logs / "dbt.log").exists()
