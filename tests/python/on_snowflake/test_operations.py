"""Operations on an emulated Snowflake: all of what one writes or nothing, and one at a time."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from exact.project import ROOT

from tidemark.engine import Dbt, DbtError
from tidemark.ingest.landing import Landing
from tidemark.load import load

from . import gates
from .shim import DATABASE, ENVIRONMENT, Emulator, emulated_snowflake
from .stage import pipe_as_insert

pytestmark = [
    pytest.mark.snowflake,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="fakesnow needs Python 3.11"),
]

CLOCK = datetime(2025, 10, 15, 12)
AGAIN = datetime(2025, 10, 15, 13)
LANDED_AT = datetime(2025, 10, 15, 11)
EVENT = {
    "event_id": "e1",
    "company_id": "c1",
    "event_timestamp": datetime(2025, 10, 14, 9),
    "events": 3,
    "loaded_at": LANDED_AT,
}
MART = "fact_events_daily"
PLAN = ("data_gaps", "gap_attempts", "backfill_candidates", "backfill_plan")


class Account:
    """The domain `company` in an account of its own, its stage in a folder."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.folder = folder
        self.landing = Landing(str(folder / "landing"))
        variables = {"domains": ["company"], "landing": self.made_of(folder)}
        self.dbt = Dbt(ROOT, "snowflake", variables, folder / "target")

    @staticmethod
    def made_of(folder: Path) -> dict[str, Any]:
        """The var `landing`; its address ends like one that somebody types in."""
        roles = {"loader": "LOADER", "transformer": "TRANSFORMER", "reporter": "REPORTER"}
        return {"url": f"file://{folder}/landing", "storage_integration": None, "roles": roles}

    def land(self, name: str, **changes: Any) -> str:
        rows = pa.Table.from_pylist([{**EVENT, **changes}])
        return self.landing.land("fact_events", rows, name, LANDED_AT)

    def sql(self, query: str) -> list[Any]:
        connection = self.emulator.underneath()
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    @property
    def duckdb(self) -> Any:
        return self.emulator.account.duck_conn

    def run(self, statement: str) -> None:
        """What a hand does, in Snowflake's SQL."""
        session = self.emulator.connect(database=DATABASE, schema="MARTS")
        session.cursor().execute(statement)
        session.close()

    def count(self, relation: str, condition: str = "true") -> int:
        ((count,),) = self.sql(f"select count(*) from {DATABASE}.{relation} where {condition}")
        return int(count)

    @contextmanager
    def dying_at(self, statement: str) -> Iterator[None]:
        """Every statement that begins so fails, as if the network had."""
        self.emulator.fails_on = re.compile(f"^{statement}")
        try:
            yield
        finally:
            self.emulator.fails_on = None


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("operations")
    with pytest.MonkeyPatch.context() as patch, emulated_snowflake() as emulator:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("DBT_LOG_PATH", str(folder / "logs"))
        made = Account(emulator, folder)
        made.dbt.operate("create_landing")
        yield made


def test_what_has_landed_is_loaded_once(account: Account) -> None:
    account.land("first")
    assert [file.records for file in load(account.dbt, account.landing, CLOCK).loaded] == [1]
    assert load(account.dbt, account.landing, CLOCK).loaded == []
    assert account.sql(f"select event_id, events from {DATABASE}.raw.fact_events") == [("e1", 3)]


def test_a_load_that_dies_after_the_copy_is_repeated_whole(account: Account) -> None:
    """Snowflake's own load history may remember the copy that was rolled back."""
    path = account.land("second", event_id="e2")
    with account.dying_at(r"insert into \S+landed_files"), pytest.raises(DbtError, match="to fail"):
        load(account.dbt, account.landing, CLOCK)
    assert account.count("raw.fact_events", "event_id = 'e2'") == 0
    done = load(account.dbt, account.landing, CLOCK)
    assert [(file.path, file.records) for file in done.loaded] == [(path, 1)]
    assert account.count("raw.fact_events", "event_id = 'e2'") == 1


def test_a_load_of_other_rows_than_were_seen_is_taken_back(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = account.land("third", event_id="e3")
    known = account.emulator.load_history.without_the_known
    nothing = "select 'Copy executed with 0 files processed.' as status"

    def copy_nothing(sql: str) -> str:
        return nothing if sql.startswith("copy into") else known(sql)

    with monkeypatch.context() as patch:
        patch.setattr(account.emulator.load_history, "without_the_known", copy_nothing)
        (failed,) = load(account.dbt, account.landing, CLOCK).failed
    assert failed.path == path
    assert "1 rows were to be loaded, and the warehouse says that it loaded 0" in failed.reason
    assert account.count("ops.landed_files", f"path = '{path}' and status = 'loaded'") == 0
    assert [file.path for file in load(account.dbt, account.landing, CLOCK).loaded] == [path]


def test_a_look_that_dies_between_its_inserts_leaves_neither(account: Account) -> None:
    looks = account.count("ops.etl_job_runs", "job_name = 'gate'")
    with account.dying_at(r"insert into \S+gate_log"), pytest.raises(DbtError, match="to fail"):
        account.dbt.operate("gate_facts", as_of=CLOCK)
    assert account.count("ops.etl_job_runs", "job_name = 'gate'") == looks
    account.dbt.operate("gate_facts", as_of=CLOCK)
    assert account.count("ops.etl_job_runs", "job_name = 'gate'") == looks + 1
    assert account.count("ops.gate_log") > 0


def test_a_request_is_closed_with_the_entry_of_its_run(account: Account) -> None:
    """Or the ledger would say that it was done, and the next run do it again, for ever."""
    build = ("run", "--select", f"stg_fact_events {MART}")
    account.dbt.call(*build, as_of=CLOCK).raise_if_failed()
    asked = {"model": MART, "entity": "c1", "day": "2025-10-14", "reason": "a doubt"}
    account.dbt.operate("request_partition", asked, CLOCK)
    successes = f"job_name = '{MART}' and status = 'success'"
    before = account.count("ops.etl_job_runs", successes)
    with account.dying_at(r"update \S+requested_partitions"):
        assert not account.dbt.call(*build, as_of=AGAIN).success
    assert account.count("ops.etl_job_runs", successes) == before
    account.dbt.call(*build, as_of=AGAIN).raise_if_failed()
    assert account.count("ops.requested_partitions", "done_at is null") == 0


def test_a_repair_begins_and_ends_whole_or_not(account: Account) -> None:
    account.dbt.call("run", "--select", *PLAN, as_of=AGAIN).raise_if_failed()
    account.sql(
        f"insert into {DATABASE}.ops.partition_coverage by name select '{MART}' as model_name,"
        " 'company' as domain, 'partitions' as strategy, 'c1' as entity, date '2025-10-14' as day,"
        " 'missing' as state, true as is_rebuildable, false as is_current,"
        " timestamp '2025-10-15 13:00:00' as as_of, timestamp '2025-10-15 13:00:00' as found_at,"
        " timestamp '2099-01-01 00:00:00' as checked_at, '' as built_on, 1 as expected_rows,"
        " 'a look' as run_id, date '2025-10-01' as compared_from"
    )
    open_requests = ("ops.requested_partitions", "done_at is null")
    with (
        account.dying_at(r"insert into \S+backfill_attempts\s+select\s+'"),
        pytest.raises(DbtError),
    ):
        account.dbt.operate("start_backfill", {"below_minimum": True}, AGAIN)
    assert account.count(*open_requests) == 0
    account.dbt.operate("release_run_lock")
    account.dbt.operate("start_backfill", {"below_minimum": True}, AGAIN)
    assert account.count(*open_requests) == 1
    with account.dying_at(r"update \S+requested_partitions"), pytest.raises(DbtError):
        account.dbt.operate("finish_backfill", as_of=AGAIN)
    assert account.count("ops.backfill_attempts", "outcome <> 'started'") == 0
    account.dbt.operate("finish_backfill", as_of=AGAIN)
    assert account.count("ops.backfill_attempts", "outcome = 'failed'") == 1
    assert account.count(*open_requests) == 0


def test_a_pipe_keeps_what_does_not_cast_for_the_quarantine(account: Account) -> None:
    """A value that failed would make it skip the file, and whoever loaded that hear nothing."""
    piped = {**account.dbt.variables, "landing": {**account.made_of(account.folder), "pipes": True}}
    mark = len(account.emulator.statements)
    account.dbt.call("run-operation", "create_landing", variables=piped).raise_if_failed()
    sent = [statement.sql for statement in account.emulator.since(mark)]
    (pipe,) = [sql for sql in sent if sql.startswith("create pipe") and "fact_events_pipe" in sql]
    whole = {**EVENT, "is_deleted": False}
    rows = [{**whole, "event_id": f"p{n}", "events": n} for n in ("7", "many")]
    # in a folder of its own: what the others have landed has been loaded
    account.landing.land("piped", pa.Table.from_pylist(rows), "piped", AGAIN)
    account.run(pipe_as_insert(pipe.replace("/fact_events/", "/piped/"), account.duckdb))
    found = account.sql(
        "select event_id, events, failed_values, event_timestamp is not null"
        f" from {DATABASE}.raw.fact_events where event_id like 'p%' order by 1"
    )
    assert found == [("p7", 7, None, True), ("pmany", None, '{"events":"many"}', True)]
    built = account.dbt.call("run", "--select", "stg_fact_events", as_of=AGAIN, variables=piped)
    built.raise_if_failed()
    reasons = account.sql(
        "select event_id, quarantine_reason, failed_values"
        f" from {DATABASE}.staging.stg_fact_events where event_id like 'p%' order by 1"
    )
    assert reasons == [
        ("p7", None, None),
        ("pmany", "a value could not be read", '{"events":"many"}'),
    ]


def test_files_that_a_pipe_skipped_are_told(account: Account) -> None:
    table = f"{DATABASE}.raw.fact_events"
    account.emulator.load_history.told = [
        (
            table,
            "fact_events/a.parquet",
            "LOAD_FAILED",
            "no file of Parquet",
            "2025-10-14 01:00:00",
        ),
        (table, "fact_events/b.parquet", "Load failed", "cut off", "2025-10-14 01:00:00"),
        (table, "fact_events/b.parquet", "Loaded", "", "2025-10-14 02:00:00"),
    ]
    piped = {**account.dbt.variables, "landing": {**account.made_of(account.folder), "pipes": True}}
    looked = account.dbt.call("run-operation", "gate_facts", as_of=AGAIN, variables=piped)
    looked.raise_if_failed()
    figures = looked.event("gate_facts")["figures"]
    told = {
        figure["subject"]: (figure["amount"], figure["detail"])
        for figure in figures
        if figure["metric"] == "skipped_files"
    }
    assert told["fact_events"] == (1, "fact_events/a.parquet: no file of Parquet")
    assert {amount for source, (amount, _) in told.items() if source != "fact_events"} == {0}
    account.dbt.operate("gate_facts", as_of=AGAIN)


def test_the_lock_is_looked_at_in_its_turn_and_read_back(account: Account) -> None:
    """An update that has waited need not see what it waited for: the next statement does."""
    mark = len(account.emulator.statements)
    account.dbt.operate("take_run_lock")
    sent = [" ".join(found.sql.split()) for found in account.emulator.since(mark)]
    turn = next(at for at, sql in enumerate(sent) if "run_lock_turn" in sql and "update" in sql)
    begun, _, taken, committed, looked = sent[turn - 1 : turn + 4]
    assert (begun.lower(), committed.lower()) == ("begin", "commit")
    assert taken.startswith(f"update {DATABASE}.ops.run_lock set holder")
    assert looked.startswith("select holder")
    account.dbt.operate("release_run_lock")


def test_a_lock_that_another_run_holds_after_all_is_not_ours(account: Account) -> None:
    theirs = "update OPS.RUN_LOCK set holder = 'other', expires_at = '2099-01-01'"
    account.emulator.afterwards = (re.compile(r"^commit", re.IGNORECASE), theirs)
    with pytest.raises(DbtError, match=r"Another run, other, .* Nothing was touched"):
        account.dbt.operate("take_run_lock")
    account.dbt.operate("release_run_lock", {"holder": "other"})


def test_the_plan_knows_how_large_tables_are(account: Account) -> None:
    account.dbt.call("run", "--select", f"stg_fact_events {MART}", as_of=AGAIN).raise_if_failed()
    ledger = f"{DATABASE}.ops.etl_job_runs"
    account.run(f"update {ledger} set fingerprint = 'of other code' where job_name = '{MART}'")
    mark = len(account.emulator.statements)
    account.dbt.operate("plan_facts", {}, AGAIN)
    sent = [each.sql for each in account.emulator.statements[mark:]]
    assert [sql for sql in sent if MART.upper() in sql and "select bytes from" in sql]


def test_every_script_is_a_transaction_and_all_of_it_is_snowflakes(account: Account) -> None:
    """After all the others: what they sent."""
    found = {sql: gates.scripts(sql) for sql in account.emulator.scripts}
    assert not {sql: words for sql, words in found.items() if words}
    sent = [statement.sql for statement in account.emulator.statements]
    # a stage in a folder is the emulator's alone, and so is what stands for a pipe at work
    emulated = re.compile("create stage|.* from read_parquet", re.DOTALL)
    assert gates.violations(sql for sql in sent if not emulated.match(sql)) == {}
