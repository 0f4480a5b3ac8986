"""The project on an emulated Snowflake, from its first build on; every mart as on DuckDB.

dbt, its Snowflake adapter and our SQL run as they are. The tests go on from one another, in their
order: time passes for both engines alike. shim.py says what no test here can show.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from exact.marts import MARTS, Table, connect, differences, fetch, place
from exact.project import FILE_NAME, ROOT
from exact.raw import TABLES, create
from typer.testing import CliRunner

from tidemark import cli
from tidemark.commands import session
from tidemark.engine import Dbt, DbtError, Outcome

from . import gates
from .costs import kind, per_node, shown
from .loader import create_raw_tables, from_seed, load_seeds
from .shim import DATABASE, ENVIRONMENT, HIDDEN, Emulator, Statement, emulated_snowflake

pytestmark = [
    pytest.mark.snowflake,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="fakesnow needs Python 3.11"),
]

NOON = datetime(2025, 10, 15, 12)
AN_HOUR_LATER = datetime(2025, 10, 15, 13)
AFTER_ALL = datetime(2025, 10, 20)
# At length they run, too: a third of the time of a first build.
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
WITHOUT_TESTS = (*WITHOUT_UNIT_TESTS, "--exclude-resource-type", "test")

SNAPSHOTS = ("crm_companies", "consumer_customers")
# Hashes of text that each engine writes in its own way.
NOT_ALIKE = ("dbt_scd_id",)


def date(day: str) -> str:
    return f"to_date('{day}', 'YYYY-MM-DD')"


@dataclass
class Both:
    """The same project with the same raw rows on both engines."""

    emulator: Emulator
    snowflake: Dbt
    duckdb: Dbt
    home: Path
    told: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    sent: dict[str, list[Statement]] = field(default_factory=dict)

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

    def tidemark(self, *args: str, on: Dbt | None = None) -> dict[str, Any]:
        """A command of ours, on Snowflake unless told, and what it says."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "dbt_of", lambda *_: on or self.snowflake)
            ran = CliRunner().invoke(cli.app, [*args, "--json"], catch_exceptions=False)
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    @contextmanager
    def counted(self, run: str) -> Iterator[None]:
        """Keep what is sent to Snowflake meanwhile."""
        mark = len(self.emulator.statements)
        yield
        self.sent[run] = self.emulator.statements[mark:]

    @contextmanager
    def ledger_lost(self, entry: str) -> Iterator[None]:
        """Let the ledger refuse what matches."""
        self.emulator.fails_on = re.compile(rf"^insert into \S+etl_job_runs.*{entry}", re.DOTALL)
        yield
        self.emulator.fails_on = None

    def compare(self, step: str, built: Outcome | None = None) -> None:
        """Every mart row for row."""
        rows = 0
        with connect(self.home / FILE_NAME) as connection:
            found = []
            for mart in MARTS:
                stored = self.mart(mart)
                rows += stored.rows.total()
                expected = fetch(connection, place(mart), keys_in_order=False)
                found += differences(mart, stored, expected, "DuckDB")
        assert not found, "\n".join([f"{step}:", *found])
        nodes = Counter(str(result.node.resource_type) for result in built.results) if built else {}
        made = "".join(f", {count} {kind}s" for kind, count in sorted(nodes.items()))
        seconds = time.monotonic() - self.began
        told = f"{rows:,} rows of {len(MARTS)} marts, 0 differences{made}"
        self.told.append(f"{seconds:4.0f} s  {step}: {told}")

    def mart(self, name: str) -> Table:
        account = self.emulator.account.duck_conn
        return fetch(account, f"{DATABASE}.{place(name)}", keys_in_order=False)

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
        for name in TABLES:
            connection.execute(f"insert into raw.{name} by name {from_seed(name)}")
    with pytest.MonkeyPatch.context() as patch, emulated_snowflake() as emulator:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(file))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        create_raw_tables(emulator, DATABASE)
        load_seeds(emulator, DATABASE)
        snowflake = Dbt(ROOT, "snowflake", target_path=home / "snowflake")
        yield Both(emulator, snowflake, Dbt(ROOT, "duckdb", target_path=home / "duckdb"), home)


def with_limits(both: Both) -> list[str]:
    """The sources that dbt checks: teams and consumers have no cadence to miss."""
    sources = both.snowflake.manifest.sources.values()
    return [source.name for source in sources if source.freshness and source.freshness.error_after]


def test_a_first_build(both: Both) -> None:
    both.duckdb.call("build", *WITHOUT_TESTS, as_of=NOON).raise_if_failed()
    at_length = int(os.environ.get("TIDEMARK_EXAMPLES", 0)) > 0
    outcome = both.on_snowflake(NOON, "build", *(() if at_length else WITHOUT_UNIT_TESTS))
    both.compare("first build, with tests", outcome)


def test_the_command_line_an_hour_later(both: Both) -> None:
    clock = ("--as-of", AN_HOUR_LATER.isoformat())
    checked = both.tidemark("check", *clock)
    with both.counted("an hourly run"):
        ran = both.tidemark("run", *clock)
    alike = both.tidemark("run", *clock, on=both.duckdb)
    assert ran["exit_code"] == alike["exit_code"] == 0
    assert checked["models"] == ran["models"] == alike["models"]
    rows = [
        {model["model"]: (model["mode"], model["rows"]) for model in told["build"]["models"]}
        for told in (ran, alike)
    ]
    assert rows[0] == rows[1]
    status = both.tidemark("status", *clock)
    assert {figure["metric"] for figure in status["figures"]} >= {"source_age", "watermark_lag"}
    both.compare("tidemark run, an hour later")
    with both.counted("a skipped run"):
        assert both.tidemark("run", *clock)["build"]["models"] == []


def test_a_restatement_and_a_request_put_right_what_was_spoiled(both: Both) -> None:
    both.sql(
        "update TIDEMARK.marts.fact_events_daily set events = events + 1"
        f" where activity_date between {date('2025-09-20')} and {date('2025-09-25')}",
        "delete from TIDEMARK.marts.web_sessions"
        f" where to_date(session_start) = {date('2025-09-21')}",
        "update TIDEMARK.intermediate.server_engagement_daily set active_users = 0"
        f" where activity_date = {date('2025-10-01')} and server_id ="
        " (select min(server_id) from TIDEMARK.intermediate.server_engagement_daily)",
    )
    window = ("--event-time-start", "2025-09-20", "--event-time-end", "2025-09-26")
    both.on_snowflake(
        AN_HOUR_LATER, "run", "--select", "fact_events_daily", "web_sessions+", *window
    )
    ((server,),) = both.sql(
        "select min(server_id) from TIDEMARK.intermediate.server_engagement_daily"
    )
    asked = {"model": "server_engagement_daily", "entity": server, "day": "2025-10-01"}
    both.snowflake.operate("request_partition", {**asked, "reason": "a doubt"}, AN_HOUR_LATER)
    both.on_snowflake(AN_HOUR_LATER, "run", "--select", "server_engagement_daily")
    ((done,),) = both.sql("select count(done_at) from TIDEMARK.ops.requested_partitions")
    assert done == 1
    both.compare("restated and requested")


def test_coverage_finds_what_was_lost_and_the_repair_brings_it_back(both: Both) -> None:
    ((lost,),) = both.sql(
        "delete from TIDEMARK.marts.fct_engagement_metrics"
        f" where to_date(metric_hour) = {date('2025-10-04')}"
    )
    assert lost > 0
    with both.counted("a backfill of one day"):
        repaired = both.tidemark("backfill", "--apply", "--as-of", AN_HOUR_LATER.isoformat())
    assert {found["model"] for found in repaired["plan"]} == {"fct_engagement_metrics"}
    assert repaired["repairs"]
    assert repaired["failures"] == repaired["left"] == []
    both.compare("lost, found and repaired")


def test_a_run_that_dies_between_data_and_ledger_is_exact_when_repeated(both: Both) -> None:
    """The ledger's entry commits on its own: the data may be there without it."""
    both.duckdb.call("run", as_of=AFTER_ALL).raise_if_failed()
    with both.ledger_lost(r"'\w+',\s+'model',\s+'success'"):
        failed = both.snowflake.call("run", as_of=AFTER_ALL)
    assert not failed.success
    known = "select job_name from TIDEMARK.ops.etl_job_runs where status = 'success' and as_of = "
    assert both.sql(f"{known} to_timestamp_ntz('{AFTER_ALL}', 'YYYY-MM-DD HH24:MI:SS')") == []
    both.on_snowflake(AFTER_ALL, "run")
    both.compare("repeated after its hooks had failed")


def test_a_rebuild_that_dies_before_the_ledger_knows_is_taken_up(both: Both) -> None:
    """What is built on sessions hears of a rebuild from the ledger alone."""
    both.sql("update TIDEMARK.marts.web_sessions set host = 'spoiled' where total_events > 2")
    both.on_snowflake(AFTER_ALL, "run", "--full-refresh", "--select", "web_hourly_bounces")
    rebuild = ("run", "--full-refresh", "--select", "web_sessions")
    with both.ledger_lost(r"'web_sessions',\s+'model',\s+'success'"):
        failed = both.snowflake.call(*rebuild, as_of=AFTER_ALL)
    assert not failed.success
    both.on_snowflake(AFTER_ALL, "run", "--select", "web_sessions+")
    both.compare("rebuilt after its hook had failed")


def test_snapshots_and_freshness(both: Both) -> None:
    both.on_both(AFTER_ALL, "snapshot")
    for name in SNAPSHOTS:
        with connect(both.home / FILE_NAME) as connection:
            expected = fetch(connection, place(name))
        said = tuple(column for column in expected.columns if column not in NOT_ALIKE)
        stored = both.mart(name)
        assert not [*differences(name, stored.select(said), expected.select(said), "DuckDB")]

    found = {}
    for dbt in (both.duckdb, both.snowflake):
        outcome = dbt.call("source", "freshness", "--no-write-json", as_of=AFTER_ALL)
        results = outcome.results_of("source")
        found[dbt.target] = {(r.node.name, str(r.status), r.age, r.max_loaded_at) for r in results}
    assert found["snowflake"] == found["duckdb"]
    assert len(found["snowflake"]) == len(with_limits(both))


@pytest.mark.parametrize("variable", ["SNOWFLAKE_PRIVATE_KEY_PATH", "SNOWFLAKE_PRIVATE_KEY"])
def test_a_key_pair_takes_the_place_of_a_password(
    both: Both, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    passphrase = BestAvailableEncryption(b"open")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, passphrase).decode()
    (tmp_path / "key.p8").write_text(pem)
    given = {"SNOWFLAKE_PRIVATE_KEY_PATH": str(tmp_path / "key.p8"), "SNOWFLAKE_PRIVATE_KEY": pem}
    monkeypatch.setenv(variable, given[variable])
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "open")
    monkeypatch.delenv("SNOWFLAKE_PASSWORD")
    both.snowflake.operate("tell_clock", as_of=AFTER_ALL)
    opened = both.emulator.parameters
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert opened["private_key"] == plain
    assert "password" not in opened


def test_one_run_at_a_time(both: Both) -> None:
    lock = "update TIDEMARK.ops.run_lock set holder = {}, expires_at = dateadd(hour, 1, sysdate())"
    both.sql(lock.format("'another'"))
    with pytest.raises(DbtError, match=r"Another run, another, .* Nothing was touched"):
        both.snowflake.call("run", "--select", "stg_web_teams", as_of=AFTER_ALL)
    both.sql(lock.format("null"))
    both.on_snowflake(AFTER_ALL, "run", "--select", "stg_web_teams")


def test_an_increment_sends_no_more_than_it_has_to(both: Both) -> None:
    hourly = per_node(both.sent["an hourly run"])
    built = 0
    most = {"partitions": 7, "replay": 7, "full": 5, "sessions": 11}
    for name in MARTS:
        config = both.snowflake.manifest.nodes[f"model.tidemark_marts.{name}"].config
        if config.materialized == "incremental" and name in hourly:
            built += 1
            # a warehouse finds the touched keys and their days, makes the rows, audits, deletes,
            # inserts, and writes the ledger; a table of sessions looks further, and logs its keys
            assert hourly[name]["work"] <= most[config.incremental_strategy], name
            assert hourly[name]["transaction"] == 2, name
    assert built > 5


def test_a_skipped_run_only_looks_and_writes_that_it_did(both: Both) -> None:
    skipped = both.sent["a skipped run"]
    assert "freshness of sources" not in per_node(skipped)
    own = [sent.sql for sent in skipped if not sent.node and kind(sent.sql) == "work"]
    written = [re.split(r"\s+", sql)[2] for sql in own if sql.startswith("insert")]
    assert written == ["TIDEMARK.ops.etl_job_runs", "TIDEMARK.ops.gate_log"]
    read = [sql for sql in own if sql.startswith("select")]
    # what the ledger knows, what was asked for or failed, and all that waits, counted at once
    assert len(read) == 3
    assert len([sql for sql in read if "TIDEMARK.raw." in sql]) == 1
    # of the ledger five weeks, and load times no older than the limit
    assert all("started_at >= " in sql for sql in read if "etl_job_runs" in sql)
    (waiting,) = [sql for sql in read if "TIDEMARK.raw." in sql]
    newest = r"else max\(\w+\)\s+end\s+from\s+\S+\s+where\s+\w+ >= to_timestamp_ntz\('2025-"
    bounded = re.findall(newest, waiting)
    assert len(bounded) == len(with_limits(both))
    assert len(own) == len(read) + len(written)
    # 115 kB when every row of a look said what all share, and looked for the ledger's last number
    assert sum(len(sent.sql) for sent in skipped) < 60_000


def test_days_are_written_as_literals_in_what_reads_and_deletes(both: Both) -> None:
    hourly = [sent.sql for sent in both.sent["an hourly run"] if "fact_events_daily" in sent.sql]
    (deletion,) = [sql for sql in hourly if sql.startswith("delete")]
    (query,) = [sql for sql in hourly if "fact_events_daily__dbt_tmp" in sql and "qualify" in sql]
    # each of its column's type: a date, and a time with zone
    day = r"'2025-\d\d-\d\d"
    assert re.search(rf"stored.activity_date >= to_date\({day}', 'YYYY-MM-DD'\)", deletion)
    assert re.search(rf"occurred_at >= to_timestamp_tz\({day} 00:00:00 \+00:00', ", query)


def test_sessions_are_tagged_with_project_model_and_run(both: Both) -> None:
    sent = both.sent["an hourly run"]
    tags = [json.loads(s.sql.split("'")[1]) for s in sent if s.sql.startswith("alter session")]
    assert {tag["model"] for tag in tags} == set(per_node(sent)) & {*MARTS, *SNAPSHOTS}
    ((project, run_id),) = {(tag["project"], tag["run_id"]) for tag in tags}
    assert project == "tidemark_marts"
    recorded = both.sql("select distinct run_id from TIDEMARK.ops.etl_job_runs")
    assert (run_id,) in recorded


def test_what_can_be_rebuilt_is_transient_and_what_grows_is_clustered(both: Both) -> None:
    made = " ".join(sent.sql for sent in both.emulator.statements)
    transient = set(
        re.findall(
            r"create or replace transient table TIDEMARK\.(?:marts|intermediate)\.(\w+)", made
        )
    )
    lasting = set(
        re.findall(r"create or replace table TIDEMARK\.(?:marts|intermediate)\.(\w+)", made)
    )
    assert not transient & lasting
    # raw rows of these may be pruned, and snapshots have none
    assert lasting >= {"web_hourly_stats", "web_sessions", "fact_events_daily", *SNAPSHOTS}
    assert transient >= {"dim_companies", "minute_metrics", "customer_states"}
    clustered = set(
        re.findall(r"alter table TIDEMARK\.(?:marts|intermediate)\.(\w+) cluster by", made)
    )
    # a rebuilt table is clustered as the copy that is audited, and its clone keeps the order
    wanted = {
        node.name
        for node in both.snowflake.manifest.nodes.values()
        if node.config.get("cluster_by")
    }
    assert {name.removesuffix("__dbt_audit") for name in clustered} == wanted != set()


def test_a_folder_may_have_a_warehouse_of_its_own(both: Both) -> None:
    warehouses = {"warehouses": {"web": "TRANSFORMING_L"}}
    with both.counted("two folders"):
        both.snowflake.call(
            "run",
            "--select",
            "dim_web_teams",
            "fact_events_daily",
            as_of=AFTER_ALL,
            variables=warehouses,
        ).raise_if_failed()
    used = {s.node.split(".")[-1]: s.sql for s in both.sent["two folders"] if "warehouse" in s.sql}
    assert used == {
        "dim_web_teams": "use warehouse TRANSFORMING_L",
        "fact_events_daily": "use warehouse TRANSFORMING",
    }


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
    # one of each strategy that finds touched keys
    explained = ("fact_events_daily", "company_daily_usage", "web_sessions", "web_hourly_bounces")
    explain = {"variables": {"explain": {}}, "as_of": AFTER_ALL}
    both.snowflake.call("compile", "--select", *explained, **explain).raise_if_failed()
    looked = both.on_snowflake(AFTER_ALL, "compile", "--select", "path:analyses")
    # but for unit tests: dbt writes their rows, and in its own words
    sent = [s.sql for s in both.emulator.statements if not s.node.startswith("unit_test")]
    sent += [result.node.compiled_code for result in looked.results]
    found = gates.violations(sent)
    found |= {words: sql for sql in both.emulator.scripts for words in gates.scripts(sql)}
    assert not found, "\n".join(f"{words}, in {sql[:300]}" for words, sql in found.items())
    both.told.append(f"{len(sent):,} statements sent, {len(set(sent)):,} distinct, 0 violations")


def test_documentation(both: Both) -> None:
    """After the gates: what dbt asks for its catalog is its own."""
    both.on_snowflake(AFTER_ALL, "docs", "generate", "--write-json")
    catalog = json.loads((both.home / "snowflake" / "catalog.json").read_text())
    documented = {key.split(".")[-1] for key in catalog["nodes"]}
    models = both.snowflake.manifest.nodes
    stored = {m for m in MARTS if models[f"model.tidemark_marts.{m}"].config.materialized != "view"}
    assert documented >= stored


def test_what_it_told(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    if kept := os.environ.get("TIDEMARK_KEEP_SENT"):
        sent = {run: [vars(found) for found in all_] for run, all_ in both.sent.items()}
        Path(kept).write_text(json.dumps(sent))
    with capsys.disabled():
        for run in ("a skipped run", "an hourly run", "a backfill of one day"):
            print("\n" + "\n".join(shown(run, per_node(both.sent[run]))))
        print("\n" + "\n".join([*both.told, "Untested, since the emulator hides it:"]))
        print("\n".join(f"  {what}: {how}" for what, how in HIDDEN.items()))
