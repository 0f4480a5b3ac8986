"""The run lock: what runs where no file lock protects them do, tried on DuckDB.

DuckDB's own bodies do nothing. Here it has those that Snowflake has.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tidemark.engine import Dbt, DbtError, Outcome
from tidemark.ingest.landing import Landing
from tidemark.load import load

PROJECT = Path(__file__).parents[2]
CLOCK = datetime(2025, 10, 15, 12)
ACTIONS = ("take", "renew", "release")


class Locked:
    """A database where runs take the lock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tidemark.duckdb"
        self.dbt = Dbt(PROJECT, "demo", {"domains": ["company"]}, folder / "target")

    def act(self, action: str, run_id: str, **arguments: Any) -> None:
        """What a run does to the lock."""
        self.dbt.run_id = run_id
        self.dbt.operate(f"{action}_run_lock", arguments)

    def build(self, run_id: str, *args: str) -> Outcome:
        """A small run, which takes the lock and releases it."""
        self.dbt.run_id = run_id
        return self.dbt.call("run", "--select", "stg_fact_events", *args, as_of=CLOCK)

    def sql(self, statement: str) -> list[Any]:
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("set TimeZone = 'UTC'")
            return connection.execute(statement).fetchall()

    @property
    def holder(self) -> str | None:
        ((holder,),) = self.sql("select holder from ops.run_lock")
        return holder

    def expire(self) -> None:
        self.sql("update ops.run_lock set expires_at = now() at time zone 'UTC'")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    folder = tmp_path_factory.mktemp("locked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(folder / "tidemark.duckdb"))
        patch.setenv("DBT_LOG_PATH", str(folder / "logs"))
        locked = Locked(folder)
        macros = locked.dbt.manifest.macros
        for action in ACTIONS:
            body = macros[f"macro.tidemark.default__{action}_run_lock"].macro_sql
            duckdbs = macros[f"macro.tidemark.duckdb__{action}_run_lock"]
            duckdbs.macro_sql = body.replace("default__", "duckdb__")
        assert locked.dbt.call("seed", "--select", "fact_events").success
        yield locked


@pytest.fixture
def locked(project: Locked) -> Locked:
    """With the lock free."""
    project.sql("update ops.run_lock set holder = null, taken_at = null, expires_at = null")
    return project


def test_one_run_holds_it(locked: Locked) -> None:
    locked.act("take", "first")
    with pytest.raises(DbtError, match="Another run, first, holds the run lock until"):
        locked.act("take", "second")
    assert locked.holder == "first"
    locked.act("take", "first")
    locked.act("release", "second")
    assert locked.holder == "first"
    locked.act("release", "first")
    locked.act("take", "second")
    assert locked.holder == "second"


def test_a_lease_that_has_ended_is_taken_over(locked: Locked) -> None:
    locked.act("take", "killed")
    ((minutes,),) = locked.sql(
        "select date_diff('minute', taken_at, expires_at) from ops.run_lock"
        " where taken_at between now() at time zone 'UTC' - interval 1 minute"
        " and now() at time zone 'UTC'"
    )
    assert minutes == 60
    locked.expire()
    locked.act("take", "second")
    assert locked.holder == "second"
    with pytest.raises(DbtError, match="has lost the run lock: its lease of 60 minutes"):
        locked.act("renew", "killed")
    assert locked.holder == "second"


def test_a_lease_is_renewed_as_long_as_nobody_took_the_lock(locked: Locked) -> None:
    locked.act("take", "slow")
    ((before,),) = locked.sql("select taken_at from ops.run_lock")
    locked.expire()
    locked.act("renew", "slow")
    with pytest.raises(DbtError, match="Another run, slow"):
        locked.act("take", "second")
    assert locked.sql("select taken_at from ops.run_lock") == [(before,)]


def test_a_dead_run_is_told_off_the_lock_by_hand(locked: Locked) -> None:
    locked.act("take", "dead")
    locked.act("release", "somebody", holder="dead")
    assert locked.holder is None


def test_a_run_takes_and_releases_it(locked: Locked) -> None:
    locked.act("take", "other")
    entries = locked.sql("select count(*) from ops.etl_job_runs")
    with pytest.raises(DbtError, match=r"Another run, other, .* Nothing was touched"):
        locked.build("mine")
    assert locked.sql("select count(*) from ops.etl_job_runs") == entries
    assert locked.holder == "other"
    locked.act("release", "other")
    assert locked.build("mine").success
    assert locked.holder is None


@pytest.mark.parametrize(
    ("macro", "arguments", "refusal"),
    [
        ("set_watermark", {"job": "nobody", "reason": "a doubt"}, "There is no job nobody"),
        ("prune", {"dry_run": False}, "it was not built"),
    ],
)
def test_what_changes_tables_by_hand_takes_it_and_releases_it(
    locked: Locked, macro: str, arguments: dict[str, Any], refusal: str
) -> None:
    locked.act("take", "other")
    locked.dbt.run_id = "mine"
    with pytest.raises(DbtError, match="Another run, other, holds the run lock"):
        locked.dbt.operate(macro, arguments, CLOCK)
    locked.act("release", "other")
    locked.dbt.run_id = "mine"
    with pytest.raises(DbtError, match=refusal):
        locked.dbt.operate(macro, arguments, CLOCK)
    assert locked.holder is None


def test_a_load_holds_it_until_its_end(locked: Locked, tmp_path: Path) -> None:
    landing = Landing(str(tmp_path / "landing"))
    answer = {"usage_date": [CLOCK.date()], "loaded_at": pa.array([CLOCK], pa.timestamp("us"))}
    path = landing.land("usage_answers", pa.table(answer), "2025-10-14", CLOCK)
    broken = Path(landing.root, path).with_name("20251015T120001000000Z-broken.parquet")
    broken.write_bytes(b"PAR1")
    locked.act("take", "other")
    locked.dbt.run_id = "mine"
    with pytest.raises(DbtError, match="Another run, other, holds the run lock"):
        load(locked.dbt, landing, CLOCK)
    assert locked.holder == "other"
    locked.act("release", "other")
    locked.dbt.run_id = "mine"
    done = load(locked.dbt, landing, CLOCK)
    assert (len(done.loaded), len(done.failed)) == (1, 1)
    assert locked.holder is None


def test_whatever_ends_a_run_releases_it(locked: Locked) -> None:
    # a clock that is refused
    locked.sql(
        "insert into ops.etl_job_runs by name select 1000 as ledger_entry, 'ahead' as run_id,"
        " 'fact_events_daily' as job_name, 'model' as job_type, 'success' as status,"
        " timestamp '2025-10-16' as as_of, as_of as last_processed_timestamp"
    )
    with pytest.raises(DbtError, match="lies before the clock of the ledger"):
        locked.build("refused")
    assert locked.holder is None
    locked.sql("delete from ops.etl_job_runs where run_id = 'ahead'")

    # an interruption: dbt calls no hook then
    locked.act("take", "stopped")
    locked.sql(
        "insert into ops.etl_job_runs by name select 1001 as ledger_entry, 'stopped' as run_id,"
        " 'dbt build' as job_name, 'running' as status"
    )
    locked.dbt.operate("close_interrupted_run", {"reason": "Interrupted by SIGTERM."})
    assert locked.holder is None
    assert locked.sql(
        "select job_name, error_message from ops.etl_job_runs"
        " where run_id = 'stopped' and status = 'failed'"
    ) == [("dbt build", "Interrupted by SIGTERM.")]


def test_on_duckdb_the_file_is_the_lock(locked: Locked, tmp_path: Path) -> None:
    """The bodies that were replaced above do nothing."""
    locked.act("take", "other")
    as_it_is = Dbt(PROJECT, "demo", {"domains": ["company"]}, tmp_path)
    for action in ACTIONS:
        as_it_is.operate(f"{action}_run_lock", {"holder": "other"} if action == "release" else {})
    assert locked.holder == "other"
