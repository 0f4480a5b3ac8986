"""The project on an emulated Snowflake, from its first build on; every mart as on DuckDB.

dbt, its Snowflake adapter and our SQL run as they are. The tests go on from one another, in their
order: time passes for both engines alike. shim.py says what no test here can show.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from exact.marts import MARTS, Table, connect, differences, fetch
from exact.project import FILE_NAME, ROOT
from exact.raw import TABLES, create
from typer.testing import CliRunner

from tidemark import cli
from tidemark.commands import session
from tidemark.engine import Dbt, DbtError, Outcome

from . import gates
from .loader import SEEDS, create_raw_tables, load_seeds
from .shim import DATABASE, ENVIRONMENT, HIDDEN, Emulator, emulated_snowflake

pytestmark = [
    pytest.mark.snowflake,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="fakesnow needs Python 3.11"),
]

NOON = datetime(2025, 10, 15, 12)
AN_HOUR_LATER = datetime(2025, 10, 15, 13)
NEXT_MORNING = datetime(2025, 10, 16, 3)
AFTER_ALL = datetime(2025, 10, 20)
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
WITHOUT_TESTS = (*WITHOUT_UNIT_TESTS, "--exclude-resource-type", "test")

SNAPSHOTS = ("crm_companies", "consumer_customers")
# Hashes of text that each engine writes in its own way.
NOT_ALIKE = ("dbt_scd_id",)


@dataclass
class Both:
    """The same project with the same raw rows on both engines."""

    emulator: Emulator
    snowflake: Dbt
    duckdb: Dbt
    file: Path
    told: list[str] = field(default_factory=list)

    def on_both(self, clock: datetime, *args: str) -> Outcome:
        """One dbt command on both, which must succeed; the outcome on Snowflake."""
        for dbt in (self.duckdb, self.snowflake):
            outcome = dbt.call(*args, as_of=clock)
            outcome.raise_if_failed()
        return outcome

    def on_snowflake(self, clock: datetime, *args: str) -> Outcome:
        outcome = self.snowflake.call(*args, as_of=clock)
        outcome.raise_if_failed()
        return outcome

    def tidemark(self, *args: str, exit_code: int = 0) -> dict[str, Any]:
        """A command of ours on Snowflake, and what it says."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "dbt_of", lambda *_: self.snowflake)
            ran = CliRunner().invoke(cli.app, [*args, "--json"], catch_exceptions=False)
        assert ran.exit_code == exit_code, ran.output
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    def compare(self, step: str, built: Outcome | None = None) -> None:
        """Every mart row for row."""
        rows = 0
        with connect(self.file) as connection:
            found = []
            for mart in MARTS:
                stored = self.mart(mart)
                rows += stored.rows.total()
                expected = fetch(connection, f"marts.{mart}", keys_in_order=False)
                found += differences(mart, stored, expected, "DuckDB")
        assert not found, "\n".join([f"{step}:", *found])
        nodes = Counter(str(result.node.resource_type) for result in built.results) if built else {}
        made = "".join(f", {count} {kind}s" for kind, count in sorted(nodes.items()))
        self.told.append(f"{step}: {rows:,} rows of {len(MARTS)} marts, 0 differences{made}")

    def mart(self, name: str) -> Table:
        account = self.emulator.account.duck_conn
        return fetch(account, f"{DATABASE}.MARTS.{name}", keys_in_order=False)

    def sql(self, *statements: str) -> list[Any]:
        """What a hand does in the emulated account, in Snowflake's SQL."""
        session = self.emulator.connect(database=DATABASE, schema="MARTS")
        try:
            for statement in statements:
                answer = session.cursor().execute(statement).fetchall()
        finally:
            session.close()
        return answer


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home = tmp_path_factory.mktemp("snowflake")
    file = home / FILE_NAME
    with connect(file) as connection:
        create(connection)
        for name, table in TABLES.items():
            types = ", ".join(f"'{column}': '{kind}'" for column, kind in table.columns.items())
            connection.execute(
                f"insert into raw.{name} by name "
                f"from read_csv('{SEEDS / name}.csv', nullstr = '', types = {{{types}}})"
            )
    with pytest.MonkeyPatch.context() as patch, emulated_snowflake() as emulator:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(file))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        create_raw_tables(emulator, DATABASE)
        load_seeds(emulator, DATABASE)
        snowflake = Dbt(ROOT, "snowflake", target_path=home / "snowflake")
        yield Both(emulator, snowflake, Dbt(ROOT, "duckdb", target_path=home / "duckdb"), file)


def test_a_first_build(both: Both) -> None:
    both.duckdb.call("build", *WITHOUT_TESTS, as_of=NOON).raise_if_failed()
    outcome = both.on_snowflake(NOON, "build", *WITHOUT_UNIT_TESTS)
    both.compare("first build, with tests", outcome)


def test_an_hour_later(both: Both) -> None:
    both.on_both(AN_HOUR_LATER, "run")
    both.compare("an hour later")


def test_the_command_line_the_next_morning(both: Both) -> None:
    both.duckdb.call("run", as_of=NEXT_MORNING).raise_if_failed()
    clock = ("--as-of", NEXT_MORNING.isoformat())
    checked = both.tidemark("check", *clock)
    new = {model["model"] for model in checked["models"] if model["state"] == "new"}
    ran = both.tidemark("run", *clock)
    assert new
    assert new <= {model["model"] for model in ran["built"]}
    status = both.tidemark("status", *clock)
    assert status["health"]
    both.compare("tidemark run, the next morning")
    again = both.tidemark("run", *clock)
    assert again["built"] == []


def test_a_restatement_and_a_request_put_right_what_was_spoiled(both: Both) -> None:
    both.sql(
        "update TIDEMARK.marts.fact_events_daily set events = events + 1"
        " where activity_date between '2025-09-20' and '2025-09-25'",
        "delete from TIDEMARK.marts.web_sessions where to_date(session_start) = '2025-09-21'",
        "update TIDEMARK.marts.server_engagement_daily set active_users = 0"
        " where activity_date = '2025-10-01' and server_id ="
        " (select min(server_id) from TIDEMARK.marts.server_engagement_daily)",
    )
    window = ("--event-time-start", "2025-09-20", "--event-time-end", "2025-09-26")
    both.on_snowflake(
        NEXT_MORNING, "run", "--select", "fact_events_daily", "web_sessions+", *window
    )
    ((server,),) = both.sql("select min(server_id) from TIDEMARK.marts.server_engagement_daily")
    asked = {"model": "server_engagement_daily", "entity": server, "day": "2025-10-01"}
    both.snowflake.operate("request_partition", {**asked, "reason": "a doubt"}, NEXT_MORNING)
    both.on_snowflake(NEXT_MORNING, "run", "--select", "server_engagement_daily")
    ((done,),) = both.sql("select count(done_at) from TIDEMARK.ops.requested_partitions")
    assert done == 1
    both.compare("restated and requested")


def test_coverage_finds_what_was_lost_and_the_repair_brings_it_back(both: Both) -> None:
    clock = ("--as-of", NEXT_MORNING.isoformat())
    both.sql(
        "delete from TIDEMARK.marts.fct_engagement_metrics"
        " where to_date(metric_hour) between '2025-10-04' and '2025-10-06'"
    )
    gaps = both.tidemark("gaps", *clock, exit_code=1)
    assert {gap["model"] for gap in gaps["gaps"]} == {"fct_engagement_metrics"}
    both.tidemark("backfill", "--apply", *clock)
    both.compare("lost and repaired")


def test_a_run_that_dies_between_data_and_ledger_is_exact_when_repeated(both: Both) -> None:
    """The ledger's entry commits on its own: the data may be there without it."""
    both.duckdb.call("run", as_of=AFTER_ALL).raise_if_failed()
    both.emulator.fails_on = re.compile(r"^insert into \S+etl_job_runs.*'model',\s+'success'", re.S)
    failed = both.snowflake.call("run", as_of=AFTER_ALL)
    both.emulator.fails_on = None
    assert not failed.success
    known = "select job_name from TIDEMARK.ops.etl_job_runs where status = 'success' and as_of = "
    assert both.sql(f"{known} '{AFTER_ALL}'") == []
    both.on_snowflake(AFTER_ALL, "run")
    both.compare("repeated after its hooks had failed")


def test_a_rebuild_that_dies_before_the_ledger_knows_is_taken_up(both: Both) -> None:
    """What reads sessions is told of a rebuild by the ledger alone."""
    spoiled = "update TIDEMARK.marts.web_sessions set host = 'spoiled' where total_events > 2"
    both.sql(spoiled)
    both.on_snowflake(AFTER_ALL, "run", "--full-refresh", "--select", "web_hourly_bounces")
    both.emulator.fails_on = re.compile(
        r"^insert into \S+etl_job_runs.*'web_sessions',\s+'model',\s+'success'", re.S
    )
    failed = both.snowflake.call(
        "run", "--full-refresh", "--select", "web_sessions", as_of=AFTER_ALL
    )
    both.emulator.fails_on = None
    assert not failed.success
    both.on_snowflake(AFTER_ALL, "run", "--select", "web_sessions+")
    both.compare("rebuilt after its hook had failed")


def test_snapshots_freshness_and_documentation(both: Both, tmp_path: Path) -> None:
    both.on_both(AFTER_ALL, "snapshot")
    for name in SNAPSHOTS:
        with connect(both.file) as connection:
            expected = fetch(connection, f"marts.{name}")
        said = tuple(column for column in expected.columns if column not in NOT_ALIKE)
        stored = both.mart(name)
        assert not [*differences(name, stored.select(said), expected.select(said), "DuckDB")]

    found = {}
    for dbt in (both.duckdb, both.snowflake):
        outcome = dbt.call("source", "freshness", "--no-write-json", as_of=AFTER_ALL)
        results = outcome.results_of("source")
        found[dbt.target] = {(r.node.name, str(r.status), r.age, r.max_loaded_at) for r in results}
    assert found["snowflake"] == found["duckdb"]
    assert len(found["snowflake"]) == len(TABLES)

    both.on_snowflake(AFTER_ALL, "docs", "generate", "--target-path", str(tmp_path))
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    documented = {key.split(".")[-1] for key in catalog["nodes"]}
    assert documented >= set(MARTS)


def test_one_run_at_a_time(both: Both) -> None:
    lock = "update TIDEMARK.ops.run_lock set holder = {}, expires_at = dateadd(hour, 1, sysdate())"
    both.sql(lock.format("'another'"))
    with pytest.raises(DbtError, match=r"Another run, another, .* Nothing was touched"):
        both.snowflake.call("run", "--select", "stg_web_teams", as_of=AFTER_ALL)
    both.sql(lock.format("null"))
    both.on_snowflake(AFTER_ALL, "run", "--select", "stg_web_teams")


# What no test above has called, and what changes the tables for good.
OPERATIONS: dict[str, dict[str, Any]] = {
    "tell_clock": {},
    "gate_facts": {"count_quarantined": True},
    "cadence_facts": {"days": 60},
    "alert_facts": {"jobs": ["fact_events_daily"]},
    "record_alerts": {"alerts": [{"channel": "JSON 1", "subject": "run", "state": "failed"}]},
    "close_interrupted_run": {"reason": "it's over"},
    "prune": {"dry_run": False, "kept_from": "2025-09-05", "reason": "the end"},
    "set_watermark": {"job": "web_sessions", "to": "2025-10-19 00:00:00", "reason": "a doubt"},
}


def test_all_that_was_sent_is_snowflakes(both: Both) -> None:
    """Hooks, strategies and operations of all the tests above included."""
    for operation, arguments in OPERATIONS.items():
        both.snowflake.operate(operation, arguments, AFTER_ALL)
    explain = {"variables": {"explain": {}}, "as_of": AFTER_ALL}
    both.snowflake.call("compile", "--select", "marts", **explain).raise_if_failed()
    looked = both.on_snowflake(AFTER_ALL, "compile", "--select", "path:analyses")
    sent = [statement.sql for statement in both.emulator.statements]
    sent += [result.node.compiled_code for result in looked.results]
    assert gates.violations(sent) == {}
    both.told.append(f"{len(sent):,} statements sent, {len(set(sent)):,} distinct, 0 violations")


def test_what_it_told(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\n" + "\n".join([*both.told, "Untested, since the emulator hides it:"]))
        print("\n".join(f"  {what}: {how}" for what, how in HIDDEN.items()))
