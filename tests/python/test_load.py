"""From the landing into the raw tables: each file once, whatever fails, and never unseen."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from exact import raw
from exact.marts import connect, differences, fetch, place, rows_differing
from faults.page import INGESTION_HEAD, put_row
from rich.console import Console
from typer.testing import CliRunner

from tidemark import alerts, cli
from tidemark import load as load_module
from tidemark.commands import session
from tidemark.engine import Dbt, DbtError, Outcome
from tidemark.exits import Exit
from tidemark.ingest import configured
from tidemark.ingest.landing import JobReport, Landing
from tidemark.ingest.local_api import LocalApi, serving
from tidemark.load import BroughtIn, Load, bring_in
from tidemark.report.load import show_load

PROJECT = Path(__file__).parents[2]
DOMAINS = ("company", "learning", "web")
CLOCK = datetime(2025, 10, 15, 12)
LATER = CLOCK + timedelta(minutes=30)
# Each kind of model has one whose rows the late files change.
WRONG_WITHOUT = {
    "partitions": {"fact_events_daily", "minute_metrics", "web_hourly_stats"},
    "partitions of sessions": {"web_hourly_bounces"},
    "replay": {"company_daily_usage", "mastery_deltas"},
    "sessions": {"session_metrics", "web_sessions"},
    "whole": {"reported_days", "dim_companies"},
}
ALL_KINDS = set().union(*WRONG_WITHOUT.values())


@dataclass
class Home:
    """A database file, a landing, and the command line on both."""

    folder: Path
    dbt: Dbt

    @property
    def path(self) -> Path:
        # The manifest holds the database's name, which is the file's: every copy is called so.
        return self.folder / "tidemark.duckdb"

    @property
    def landing(self) -> Landing:
        return Landing.at(str(self.folder / "landing"))

    def __call__(self, *args: str, exit_code: int = 0) -> dict[str, Any]:
        """Run a command with --json in this process: what it told."""
        with pytest.MonkeyPatch.context() as patch:
            self._enter(patch)
            patch.setattr(session, "dbt_of", lambda *_: self.dbt)
            ran = CliRunner().invoke(cli.app, [*args, "--json"], catch_exceptions=False)
        assert ran.exit_code == exit_code, ran.output
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    def build(self, clock: datetime, marts: Iterable[str], *options: str) -> None:
        """Build these marts and what they are built on by plain dbt, without tests."""
        with pytest.MonkeyPatch.context() as patch:
            self._enter(patch)
            selected = [f"+{mart}" for mart in sorted(marts)]
            outcome = self.dbt.call("run", "--select", *selected, *options, as_of=clock)
        assert outcome.success, outcome.errors

    def sql(self, *statements: str) -> list[Any]:
        with connect(self.path) as connection:
            for statement in statements:
                answer = connection.execute(statement).fetchall()
        return answer

    def copy(self, folder: Path) -> Home:
        """The same as it is now, in another folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Home(folder, self.dbt)

    def _enter(self, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(self.path))
        patch.setenv("TIDEMARK_LANDING", self.landing.root)
        patch.setenv("DBT_LOG_PATH", str(self.folder / "logs"))


def project(home: Path, domains: Sequence[str]) -> Dbt:
    """The project, parsed for a database file of any folder."""
    dbt = Dbt(PROJECT, "duckdb", {"domains": list(domains)}, home / "target")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(home / "tidemark.duckdb"))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        dbt.manifest  # noqa: B018
    return dbt


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    return project(tmp_path_factory.mktemp("load"), DOMAINS)


@pytest.fixture
def home(dbt: Dbt, tmp_path: Path) -> Home:
    """An empty database and an empty landing."""
    return Home(tmp_path, dbt)


# ---- what is loaded ----


def usage(day: date, loaded_at: datetime, users: int = 3) -> pa.Table:
    """The rows of a day's answer."""
    return pa.table(
        {
            "company_id": ["c1", "c2"],
            "usage_date": [day, day],
            "active_users": pa.array([users, 0], pa.int32()),
            "events": pa.array([users * 7, 0], pa.int32()),
            "loaded_at": pa.array([loaded_at] * 2, pa.timestamp("us")),
        }
    )


def answer(day: date, loaded_at: datetime) -> pa.Table:
    """That a day was answered."""
    return pa.table({"usage_date": [day], "loaded_at": pa.array([loaded_at], pa.timestamp("us"))})


def land_day(landing: Landing, day: date, loaded_at: datetime) -> Path:
    """Land a day's rows and its answer; the file of the rows."""
    path = landing.land("product_usage_daily", usage(day, loaded_at), str(day), loaded_at)
    landing.land("usage_answers", answer(day, loaded_at), str(day), loaded_at)
    return Path(landing.root, path)


def ledger(home: Home, job: str) -> list[Any]:
    return home.sql(
        "select job_type, status, records_processed, error_message from ops.etl_job_runs"
        f" where job_name = '{job}' order by ledger_entry"
    )


def test_what_landed_is_loaded_once(home: Home) -> None:
    days = [date(2025, 10, 13), date(2025, 10, 14)]
    for number, day in enumerate(days):
        land_day(home.landing, day, CLOCK + timedelta(seconds=number))
    told = home("load", "--as-of", LATER.isoformat())
    assert {file["table"] for file in told["loaded"]} == {"product_usage_daily", "usage_answers"}
    assert sum(file["records"] for file in told["loaded"]) == 6
    # The tables were not there: they are made as the contract has them.
    types = home.sql("select column_name, column_type from (describe raw.product_usage_daily)")
    assert types == [
        ("company_id", "VARCHAR"),
        ("usage_date", "DATE"),
        ("active_users", "INTEGER"),
        ("events", "INTEGER"),
        ("loaded_at", "TIMESTAMP"),
    ]
    held = home.sql("select * from raw.product_usage_daily order by all")
    assert [row[:4] for row in held[:2]] == [("c1", days[0], 3, 21), ("c1", days[1], 3, 21)]

    land_day(home.landing, date(2025, 10, 15), LATER)
    assert len(home("load")["loaded"]) == 2
    assert home("load")["loaded"] == []
    counts = "select count(*), count(distinct usage_date) from raw.usage_answers"
    assert home.sql(counts) == [(3, 3)]
    files = home.sql("select status, count(*), sum(records) from ops.landed_files group by all")
    assert files == [("loaded", 6, 9)]
    assert [row[:3] for row in ledger(home, "load")] == [
        ("ingest", "success", 6),
        ("ingest", "success", 3),
        ("ingest", "success", 0),
    ]


def test_a_broken_file_fails_alone_and_takes_its_answer_with_it(home: Home) -> None:
    days = [date(2025, 10, day) for day in (12, 13, 14)]
    files = [land_day(home.landing, day, CLOCK + timedelta(seconds=day.day)) for day in days]
    sound = files[1].read_bytes()
    files[1].write_bytes(sound[: len(sound) // 2])
    told = home("load", exit_code=1)
    # An answer without its rows would make a day of silence of it.
    assert home.sql("select usage_date from raw.usage_answers order by all") == [
        (days[0],),
        (days[2],),
    ]
    assert [Path(file["path"]).parts[0] for file in told["failed"]] == [
        "product_usage_daily",
        "usage_answers",
    ]
    assert "parquet" in told["failed"][0]["reason"].lower()
    ((job_type, status, records, error),) = ledger(home, "load")
    assert (job_type, status, records) == ("ingest", "failed", 6)
    assert error.startswith(f"Not loaded: {told['failed'][0]['path']} and 1 more.")
    assert home.sql(
        "select count(*) from ops.landed_files where status = 'failed' and error_message <> ''"
    ) == [(2,)]

    files[1].write_bytes(sound)
    assert len(home("load")["loaded"]) == 2
    assert home.sql("select count(*) from raw.product_usage_daily") == [(6,)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows.drop_columns(["events"]), "-2025-10-14.parquet lacks events."),
        (
            lambda rows: rows.rename_columns(
                ["company_id", "usage_date", "active_users", "event_count", "loaded_at"]
            ),
            ".parquet lacks events and has event_count, which product_usage_daily does not know.",
        ),
        (
            lambda rows: rows.set_column(3, "events", pa.array(["many", "7"])),
            "events holds many, as VARCHAR, which integer does not hold exactly. Nothing of the",
        ),
    ],
    ids=["a lost column", "a renamed column", "a retyped column"],
)
def test_a_file_of_other_columns_is_refused(home: Home, change: Any, reason: str) -> None:
    rows = change(usage(date(2025, 10, 14), CLOCK))
    home.landing.land("product_usage_daily", rows, "2025-10-14", CLOCK)
    land_day(home.landing, date(2025, 10, 13), CLOCK)
    told = home("load", exit_code=1)
    assert [reason in file["reason"] for file in told["failed"]] == [True], told["failed"]
    assert home.sql("select distinct usage_date from raw.product_usage_daily") == [
        (date(2025, 10, 13),)
    ]


# Each holds something by which a list, a pattern or a statement might be taken apart.
NAMES = [
    "line\nbreak",
    "\x85next\u2028line\u2029",
    "it's",
    'a "b"',
    "\U0001f600",
    "a*",
    "ab",
    "a?",
    "[ab]",
]


def put_on_page(fault: str, seen: str, landed: str, again: str) -> None:
    if "TIDEMARK_KILLS" in os.environ:
        put_row(
            PROJECT / "docs" / "ingestion_faults.md", INGESTION_HEAD, fault, seen, landed, again
        )


@pytest.mark.faults
def test_a_file_may_have_any_name(home: Home, tmp_path: Path) -> None:
    landing = Landing(str(tmp_path / "a*[b]?'\U0001f600"))
    for number, name in enumerate(NAMES):
        day = date(2025, 10, 1 + number)
        landing.land("usage_answers", answer(day, CLOCK), name, CLOCK)
        landing.report(JobReport(name, CLOCK, CLOCK, "success", 1))
    told = home("load", "--landing", landing.root)
    assert sorted(file["path"].partition("Z-")[2] for file in told["loaded"]) == sorted(
        f"{name}.parquet" for name in NAMES
    )
    assert len(told["jobs"]) == len(NAMES)
    counts = "select count(*), count(distinct usage_date) from raw.usage_answers"
    assert home.sql(counts) == [(len(NAMES), len(NAMES))]
    again = home("load", "--landing", landing.root)
    assert (again["loaded"], again["jobs"]) == ([], [])
    put_on_page(
        *("load: names with line breaks, quotes and patterns", "a file like any other"),
        *("all of them, each once", "loads none again"),
    )


def test_a_file_that_fails_may_have_any_name(home: Home) -> None:
    for name in NAMES:
        path = home.landing.land("usage_answers", answer(date(2025, 10, 1), CLOCK), name, CLOCK)
        Path(home.landing.root, path).write_bytes(b"PAR1")
    told = home("load", exit_code=1)
    assert len(told["failed"]) == len(NAMES)
    assert home.sql("select count(*) from ops.landed_files where status = 'failed'") == [
        (len(NAMES),)
    ]


def test_a_load_that_gets_no_further_ends(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the macro says it failed at: without progress there is no next turn."""
    outcome = Outcome(errors=["away"], events={"loading": [{"paths": ["other"], "deliveries": 1}]})
    monkeypatch.setattr(Dbt, "call", lambda *_, **__: outcome)
    loader = load_module._Loader(home.dbt, "root", None, Load("root", CLOCK, CLOCK))
    with pytest.raises(DbtError, match="away"):
        loader.load(["crm_daily/a.parquet"])


@pytest.mark.faults
def test_what_landed_and_is_not_read_is_told(home: Home) -> None:
    folder = Path(home.landing.root, "crm_daily", "dt=2025-10-15")
    folder.mkdir(parents=True)
    for number in range(7):
        (folder / f"part-{number}.snappy.parquet").write_bytes(b"")
    told = home("load")
    assert (len(told["unread"]), told["loaded"]) == (7, [])
    assert told["unread"][0] == "crm_daily/dt=2025-10-15/part-0.snappy.parquet"
    out = Console(width=100, record=True, file=io.StringIO())
    show_load(out, Load("landing", CLOCK, CLOCK, unread=told["unread"]))
    said = " ".join(out.export_text().split())
    assert "Not read: 7 files, crm_daily/dt=2025-10-15/part-0.snappy.parquet" in said
    assert "part-4.snappy.parquet and 2 more." in said
    put_on_page("load: files that are named otherwise", said, "nothing", "tells of them again")


def test_what_becomes_another_value_is_not_loaded(home: Home) -> None:
    day = date(2025, 10, 14)
    exact = usage(day, CLOCK).set_column(3, "events", pa.array([7.0, None]))
    zoned = pa.array(["2025-10-15 10:00:00+02", "2025-10-15 12:00:00"])
    exact = exact.set_column(4, "loaded_at", zoned).set_column(0, "company_id", pa.array([1, 2]))
    # A file of other types beside it would convert it, were they read together.
    bad = {
        "events holds 2.7, as DOUBLE, which integer": pa.array([7.0, 2.7]),
        "events holds true, as BOOLEAN, which integer": pa.array([True, True]),
    }
    for number, column in enumerate([None, *bad.values()]):
        rows = usage(day, CLOCK).set_column(3, "events", column) if column else exact
        home.landing.land("product_usage_daily", rows, f"{day}-{number}", CLOCK)
    cut = answer(day, CLOCK).set_column(0, "usage_date", pa.array([CLOCK]))
    home.landing.land("usage_answers", cut, f"{day}-cut", CLOCK)
    told = home("load", exit_code=1)
    reasons = [file["reason"] for file in told["failed"]]
    for says in [*bad, "usage_date holds 2025-10-15 12:00:00, as TIMESTAMP, which date"]:
        assert len([reason for reason in reasons if says in reason]) == 1, reasons
    assert home.sql("select * from raw.product_usage_daily order by all") == [
        ("1", day, 3, 7, datetime(2025, 10, 15, 8)),
        ("2", day, 0, None, CLOCK),
    ]
    assert home.sql("select count(*) from raw.usage_answers") == [(0,)]


def test_what_may_be_null_may_be_missing(home: Home) -> None:
    rows = pa.table(
        {
            "company_id": ["c1"],
            "load_date": [date(2025, 10, 15)],
            "name": ["Company"],
            "loaded_at": pa.array([CLOCK], pa.timestamp("us")),
        }
    )
    home.landing.land("crm_daily", rows, "crm-2025-10-15", CLOCK)
    home("load")
    assert home.sql("select * from raw.crm_daily") == [
        ("c1", "Company", None, None, None, date(2025, 10, 15), CLOCK)
    ]


def test_other_folders_are_told_and_left(home: Home) -> None:
    day = date(2025, 10, 14)
    home.landing.land("product_usage", usage(day, CLOCK), str(day), CLOCK)
    home.landing.reject("usage", "2025-10-14.json", b"{}", "no contract")
    told = home("load")
    assert told["unknown"] == {"product_usage": 1}
    assert told["loaded"] == []


# ---- what the ledger is told of ingest jobs ----


def report(landing: Landing, ended: datetime, error: str | None = None, **figures: Any) -> None:
    status = "failed" if error else "success"
    began = ended - timedelta(seconds=90)
    landing.report(JobReport("usage", began, ended, status, 5, error, figures))


def test_ingest_jobs_are_in_ledger_status_and_metrics(home: Home) -> None:
    report(home.landing, CLOCK, lag=12)
    for minutes in (1, 2):
        report(home.landing, CLOCK + timedelta(minutes=minutes), "The API answers 503.")
    assert [job["status"] for job in home("load")["jobs"]] == ["success", "failed", "failed"]
    assert home("load")["jobs"] == []
    assert [row[:3] for row in ledger(home, "ingest usage")] == [
        ("ingest", "success", 5),
        ("ingest", "failed", 5),
        ("ingest", "failed", 5),
    ]
    figures = {
        (figure["metric"], figure["subject"]): figure for figure in home("status")["figures"]
    }
    failures = figures["job_failures", "ingest usage"]
    assert (failures["amount"], failures["level"]) == (2, "critical")
    assert failures["detail"] == "The API answers 503."
    assert figures["job_time", "ingest usage"]["amount"] == 90
    assert figures["job_failures", "load"]["amount"] == 0

    report(home.landing, CLOCK + timedelta(minutes=3), lag=4)
    home("load")
    textfile = home.folder / "tidemark.prom"
    home("metrics", "--textfile", str(textfile))
    lines = textfile.read_text().splitlines()
    assert 'tidemark_job_failures{job="ingest usage"} 0.0' in lines
    assert 'tidemark_unread_messages{job="ingest usage"} 4.0' in lines


def test_a_long_list_of_a_report_is_left_out_of_the_ledger(home: Home) -> None:
    days = [f"2025-{month:02}-{day:02}" for month in range(1, 7) for day in range(1, 29)]
    report(home.landing, CLOCK, days=len(days), open_days=days)
    home("load")
    ((told,),) = home.sql(
        "select metadata_json from ops.etl_job_runs where job_name = 'ingest usage'"
    )
    assert json.loads(told) == {"days": len(days)}


def test_a_load_before_the_clock_of_the_ledger_is_refused(home: Home) -> None:
    land_day(home.landing, date(2025, 10, 14), CLOCK)
    home("load", "--as-of", LATER.isoformat())
    home.sql(
        "insert into ops.etl_job_runs by name select 100 as ledger_entry, 'dim_companies' as"
        f" job_name, 'model' as job_type, 'success' as status, timestamp '{LATER}' as as_of"
    )
    land_day(home.landing, date(2025, 10, 15), CLOCK)
    told = home("load", "--as-of", CLOCK.isoformat(), exit_code=1)
    assert "lies before the clock of the ledger" in told["error"]
    assert home.sql("select count(*) from raw.usage_answers") == [(1,)]


def test_a_report_that_cannot_be_read_fails_the_load(home: Home) -> None:
    report(home.landing, CLOCK)
    Path(home.landing.root, "jobs", "20251015T120100000000Z-crm.json").write_text("{")
    told = home("load", exit_code=1)
    assert [job["job"] for job in told["jobs"]] == ["usage"]
    assert "is no report of a job" in told["failed"][0]["reason"]


def test_a_failed_job_is_told_once_and_so_is_its_recovery(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[alerts.Message] = []
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", "of the test")
    monkeypatch.setattr(alerts, "_channels", lambda: iter([("test 1", None)]))
    monkeypatch.setattr(alerts, "_send", lambda _, message: sent.append(message) or True)
    report(home.landing, CLOCK)
    home("load")
    assert sent == []
    for minutes in (1, 2):
        report(home.landing, CLOCK + timedelta(minutes=minutes), "The API answers 503.")
        home("load")
    report(home.landing, CLOCK + timedelta(minutes=3))
    broken = land_day(home.landing, date(2025, 10, 14), CLOCK)
    broken.write_bytes(b"PAR1")
    home("load", exit_code=1)
    failed, changed = sent
    assert failed.title == "Tidemark: 1 failed"
    assert "Failed: ingest usage\n  The API answers 503." in failed.body
    assert "It last worked 2025-10-15 12:00" in failed.body
    assert changed.title == "Tidemark: 1 failed, 1 recovered"
    assert "Failed: load\n  Not loaded: product_usage_daily/" in changed.body
    assert "Recovered: ingest usage" in changed.body


def test_what_a_job_has_lost_is_told_though_its_next_run_went_well() -> None:
    def ran(status: str, **figures: int) -> JobReport:
        return JobReport("events", CLOCK, CLOCK, status, 0, status, figures)

    lost, failed, well = ran("failed", lost=3), ran("failed", lost=0), ran("success", lost=0)
    for reports, expected in (([lost, well], lost), ([failed, well], well), ([well, lost], lost)):
        done = Load(
            "landing", CLOCK, CLOCK, jobs={str(number): each for number, each in enumerate(reports)}
        )
        assert done.last_jobs == {"events": expected}


def test_jobs_of_a_run_fail_alone_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TOKEN", "REASK_DAYS"):
        monkeypatch.delenv(f"TIDEMARK_USAGE_{name}", raising=False)
    monkeypatch.setenv("TIDEMARK_USAGE_URL", "http://127.0.0.1:9/usage")
    monkeypatch.setenv("TIDEMARK_CRM_PATH", str(tmp_path / "crm"))
    landing = Landing(str(tmp_path / "landing"))

    def reports() -> list[tuple[str, str, str | None]]:
        return [(each.job, each.status, each.error) for each in landing.reports().values()]

    configured.ingest(landing, CLOCK)
    (usage_job, status, error), crm_job = reports()
    assert (usage_job, status) == ("usage", "failed")
    assert "TIDEMARK_USAGE_TOKEN must be set" in error
    # It has begun, and so reported itself: once.
    assert crm_job[:2] == ("crm", "failed")

    (tmp_path / "crm").mkdir()
    header = "company_id,name,country,industry_tag,last_contact_at,load_date"
    (tmp_path / "crm" / "crm.csv").write_text(f"{header}\nc1,Company,,,,2025-10-15\n")
    monkeypatch.setenv("TIDEMARK_USAGE_TOKEN", "secret")
    configured.ingest(landing, CLOCK)
    *_, (_, status, error), crm_job = reports()
    assert (status, "--start must say" in error) == ("failed", True)
    assert crm_job == ("crm", "success", None)
    assert [file.table for file in landing.files()] == ["crm_daily"]


def test_what_the_libraries_of_one_job_raise_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_USAGE_URL", "http://127.0.0.1:9/usage?key=opensesame")
    monkeypatch.setenv("TIDEMARK_USAGE_TOKEN", "swordfish")
    monkeypatch.setenv("TIDEMARK_USAGE_REASK_DAYS", "opensesame")
    monkeypatch.setenv("TIDEMARK_CRM_PATH", str(tmp_path / "crm"))
    (tmp_path / "crm").mkdir()
    header = "company_id,name,country,industry_tag,last_contact_at,load_date"
    (tmp_path / "crm" / "crm.csv").write_text(f"{header}\nc1,Company,,,,2025-10-15\n")

    def outcomes(name: str) -> list[tuple[str, str, str | None]]:
        landing = Landing(str(tmp_path / name))
        configured.ingest(landing, CLOCK)
        return [(each.job, each.status, each.error) for each in landing.reports().values()]

    told = "TIDEMARK_USAGE_REASK_DAYS must be a whole number from 0 to 3,660."
    assert outcomes("a") == [("usage", "failed", told), ("crm", "success", None)]

    def failing(*_: Any) -> None:
        raise RuntimeError("https://me:opensesame@host\nis not there")

    monkeypatch.setitem(configured._JOBS, "usage", failing)
    told = "usage (TIDEMARK_USAGE_URL): RuntimeError: https://host is not there"
    assert outcomes("b") == [("usage", "failed", told), ("crm", "success", None)]

    monkeypatch.setenv("TIDEMARK_CRM_PATH", "gs://bucket/crm")
    assert outcomes("c")[1][1:] == ("failed", f"gs://bucket/crm cannot be read: {_GCS}")


_GCS = "Please install gcsfs to access Google Storage"


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("gs://bucket/landing", f"gs://bucket/landing cannot be read: {_GCS}"),
        ("s3://key:opensesame@bucket/landing", "holds a user, a password or a query"),
    ],
)
def test_a_run_goes_on_where_nothing_can_be_brought_in(
    monkeypatch: pytest.MonkeyPatch, root: str, says: str
) -> None:
    monkeypatch.setenv("TIDEMARK_LANDING", root)
    monkeypatch.setenv("TIDEMARK_CRM_PATH", "/no/such/folder")
    monkeypatch.delenv("TIDEMARK_USAGE_URL", raising=False)
    brought = bring_in(Dbt(PROJECT))
    assert brought.error is not None
    assert says in brought.error
    assert "opensesame" not in brought.error


def test_a_run_that_brought_nothing_in_tells_so() -> None:
    brought = BroughtIn(error="s3://bucket cannot be read: away")
    assert not brought.is_done
    assert [(each.subject, each.state.value) for each in alerts.of_brought_in(brought)] == [
        ("load", "failed")
    ]
    load = Load("landing", CLOCK, CLOCK)
    assert BroughtIn(load).is_done
    for job, status in (("usage", "success"), ("crm", "failed"), ("crm", "success")):
        load.jobs[f"{len(load.jobs)}"] = JobReport(job, CLOCK, CLOCK, status, 1)
        # The last word of each job counts.
        assert BroughtIn(load).is_done == (status == "success")


# ---- from a bucket ----


def test_a_name_in_a_bucket_is_no_pattern(home: Home, bucket: str) -> None:
    landing = Landing(f"{bucket}/area")
    names = ["a*", "ab", "a[b]", "a'b"]
    for number, name in enumerate(names):
        landing.land("usage_answers", answer(date(2025, 10, 1 + number), CLOCK), name, CLOCK)
    assert len(home("load", "--landing", landing.root)["loaded"]) == len(names)
    assert home.sql("select count(*) from raw.usage_answers") == [(len(names),)]


def test_files_come_from_a_bucket(home: Home, bucket: str) -> None:
    landing = Landing(f"{bucket}/area")
    land_day(landing, date(2025, 10, 14), CLOCK)
    report(landing, CLOCK)
    told = home("load", "--landing", landing.root)
    assert sum(file["records"] for file in told["loaded"]) == 3
    assert len(told["jobs"]) == 1
    # Another process lands something: no listing is remembered.
    land_day(landing, date(2025, 10, 15), LATER)
    assert len(home("load", "--landing", landing.root)["loaded"]) == 2
    assert home.sql("select count(*) from raw.product_usage_daily") == [(4,)]


def test_who_has_no_bucket_needs_no_s3fs(home: Home) -> None:
    """s3fs is imported for what the profile names; another test of this process may have had it."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    named = []
    for root in (home.landing.root, "s3://bucket/area"):
        with pytest.MonkeyPatch.context() as patch:
            home._enter(patch)
            patch.setenv("TIDEMARK_LANDING", root)
            home.dbt.operate("create_ops_tables")
            named.append(DuckDBConnectionManager.env().creds.filesystems)
    assert named == [None, [{"fs": "s3", "use_listings_cache": False}]]


# ---- files that come after a run has gone past them ----


@pytest.fixture(scope="module")
def overtaken(dbt: Dbt, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Built at noon, with what was loaded until the noon before; the rest is loaded after that.

    It landed at eleven, beyond the overlap of half an hour. An older day's usage is corrected.
    """
    home = Home(tmp_path_factory.mktemp("overtaken"), dbt)
    landed_at = CLOCK - timedelta(hours=1)
    with connect(home.path) as connection:
        raw.create(connection)
        for name, table in raw.TABLES.items():
            _split(connection, home.landing, name, table, landed_at)
        corrected = connection.sql(
            f"select * replace (events + 100 as events, timestamp '{landed_at}' as loaded_at)"
            " from raw.product_usage_daily where usage_date = '2025-10-05'"
        ).to_arrow_table()
    home.landing.land("product_usage_daily", corrected, "corrected", landed_at)
    home.build(CLOCK, ALL_KINDS)
    told = home("load", "--as-of", LATER.isoformat())
    assert {file["table"] for file in told["loaded"]} >= {"fact_events", "web_events"}
    assert told["set_back"]
    return home


def _split(
    connection: duckdb.DuckDBPyConnection,
    landing: Landing,
    name: str,
    table: raw.Table,
    landed_at: datetime,
) -> None:
    """Put a seed's older rows into its raw table, and land those of the day before the clock."""
    columns = ", ".join(f"cast({each} as {kind}) as {each}" for each, kind in table.columns.items())
    seed = f"read_csv('{PROJECT / 'seeds' / name}.csv', header = true, all_varchar = true)"
    loaded_at, a_day_before = table.load_time, CLOCK - timedelta(days=1)
    rows = f"select {columns} from {seed}"
    connection.execute(
        f"insert into raw.{name} select * from ({rows}) where {loaded_at} <= '{a_day_before}'"
    )
    late = connection.sql(
        f"select * replace (timestamp '{landed_at}' as {loaded_at}) from ({rows})"
        f" where {loaded_at} > '{a_day_before}' and {loaded_at} <= '{landed_at}'"
    ).to_arrow_table()
    if late.num_rows:
        landing.land(name, late, "late", landed_at)


def marts(home: Home) -> Mapping[str, Any]:
    with connect(home.path) as connection:
        return {name: fetch(connection, place(name)) for name in ALL_KINDS}


@pytest.fixture(scope="module")
def refreshed(overtaken: Home, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The marts, rebuilt whole."""
    home = overtaken.copy(tmp_path_factory.mktemp("refreshed"))
    home.build(LATER, ALL_KINDS, "--full-refresh")
    return marts(home)


def test_the_next_run_sees_what_was_loaded_behind_it(
    overtaken: Home, refreshed: Mapping[str, Any], tmp_path: Path
) -> None:
    home = overtaken.copy(tmp_path)
    home.build(LATER, ALL_KINDS)
    modes = home.sql(
        "select distinct mode from ops.etl_job_runs where status = 'success'"
        f" and job_name in ('fact_events_daily', 'web_sessions') and as_of = timestamp '{LATER}'"
    )
    assert modes == [("incremental",)]
    for name, table in marts(home).items():
        found = list(differences(name, table, refreshed[name], "the full refresh"))
        assert not found, found


def test_without_the_set_back_it_would_not(
    overtaken: Home, refreshed: Mapping[str, Any], tmp_path: Path
) -> None:
    home = overtaken.copy(tmp_path)
    home.sql("delete from ops.etl_job_runs where job_type = 'reset'")
    home.build(LATER, ALL_KINDS)
    wrong = {name for name, table in marts(home).items() if rows_differing(table, refreshed[name])}
    # What is rebuilt whole is right whenever it is built, but the gate would not have it built.
    kinds = {kind: names for kind, names in WRONG_WITHOUT.items() if kind != "whole"}
    assert {kind: names & wrong for kind, names in kinds.items()} == kinds


def test_the_reason_of_a_set_back_is_in_the_ledger(overtaken: Home) -> None:
    rows = overtaken.sql(
        "select job_name, last_processed_timestamp, error_message from ops.etl_job_runs"
        " where job_type = 'reset' order by job_name"
    )
    assert {name for name, _, _ in rows} >= ALL_KINDS
    assert {to for _, to, _ in rows} == {CLOCK - timedelta(hours=1)}
    assert all("had gone past its load time" in reason for _, _, reason in rows)
    # Once per model, though several files come late.
    assert len(rows) == len({name for name, _, _ in rows})


# ---- killed ----

KILLS = int(os.environ.get("TIDEMARK_KILLS", 2))
KILLED = PROJECT / "tests" / "python" / "faults" / "killed.py"
# Of a delivery's rows, with what is said of them, and of their commit.
STEPS = [f"{when} the {what}" for what in ("rows", "commit") for when in ("during", "after")]
# More than one transaction takes, of each of two kinds.
DELIVERIES = 30
# A file's rows: enough of them to be in the middle of.
ROWS = {"product_usage_daily": 2, "usage_answers": 1, "learner_events": 3000}


def learning(rows: int, loaded_at: datetime) -> pa.Table:
    """Events of one learner."""
    return pa.table(
        {
            "learner_id": ["l1"] * rows,
            "event_type": ["page_view"] * rows,
            "event_id": [f"{loaded_at:%H%M%S}-{number}" for number in range(rows)],
            "timestamp": pa.array([loaded_at] * rows, pa.timestamp("us")),
            "processed_at": pa.array([loaded_at] * rows, pa.timestamp("us")),
        }
    )


def kill_load(home: Home, step: str) -> str:
    """Load in a process of its own that is killed at a step; at which it was."""
    with pytest.MonkeyPatch.context() as patch:
        home._enter(patch)
        patch.setenv("PYTHONPATH", str(PROJECT))
        patch.setenv("DBT_TARGET_PATH", str(home.dbt.target_path))
        variables = json.dumps({"domains": list(DOMAINS)})
        ran = subprocess.run(
            [sys.executable, str(KILLED), step, "load", "--target", "duckdb", "--vars", variables],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == -signal.SIGKILL, ran.stdout + ran.stderr
    return re.search("Killed (.*)", ran.stderr)[1]


@pytest.mark.faults
def test_killed_while_loading_each_file_is_loaded_once(dbt: Dbt) -> None:
    # The parsed project stays valid as long as the path of the database does.
    home = Home(dbt.target_path.parent, dbt)
    killed: Counter[str] = Counter()
    for number in range(KILLS):
        home.path.unlink(missing_ok=True)
        shutil.rmtree(home.landing.root, ignore_errors=True)
        for second in range(DELIVERIES):
            at = CLOCK + timedelta(seconds=second)
            land_day(home.landing, date(2025, 9, 1 + second), at)
            home.landing.land("learner_events", learning(ROWS["learner_events"], at), "new", at)
        with connect(home.path) as connection:
            raw.create(connection)
        # Each step of each of the two transactions.
        step = STEPS[number % len(STEPS)]
        killed[kill_load(home, f"{1 + number // len(STEPS) % 2} {step}")] += 1
        files = dict(home.sql("select table_name, count(*) from ops.landed_files group by all"))
        for table, rows in ROWS.items():
            ((there,),) = home.sql(f"select count(*) from raw.{table}")
            # Rows are there with what is said of them, or neither is.
            assert there == files.get(table, 0) * rows, (table, step)
        assert files.get("product_usage_daily") == files.get("usage_answers")
        home("load")
        for table, rows in ROWS.items():
            ((there, distinct),) = home.sql(
                f"select count(*), count(distinct rows) from raw.{table} as rows"
            )
            assert there == distinct == rows * DELIVERIES, (table, step)
    print(f"{KILLS} kills: {dict(killed)}")


# ---- an outage, from the API to the flags ----

FIRST_DAY = date(2025, 10, 1)
# Days that the API does not answer for, while it is down and for a while after.
OUTAGE = (FIRST_DAY + timedelta(days=9), FIRST_DAY + timedelta(days=10))
LAST_DAY = OUTAGE[1] + timedelta(days=1)


class Usage:
    """What the API knows of two companies, and the days that it fails for."""

    def __init__(self) -> None:
        self.down: set[date] = set()

    def __call__(self, day: date) -> list[tuple[str, int, int]]:
        if day in self.down:
            raise LookupError(day)
        silent_since = FIRST_DAY + timedelta(days=3)
        quiet = [] if day >= silent_since else [("quiet", 2, 9)]
        # Active on one day of the outage alone.
        rare = [("rare", 1, 1)] if day in (FIRST_DAY, OUTAGE[0]) else []
        return [("busy", 5, 40), *quiet, *rare]


def morning_after(day: date, hour: int = 3) -> datetime:
    return datetime(day.year, day.month, day.day, hour) + timedelta(days=1)


def land_the_rest(landing: Landing, clock: datetime) -> None:
    """The other raw tables of the domain: a CRM file, and one event."""
    companies = ("busy", "quiet", "rare")
    loaded_at = pa.array([clock] * 3, pa.timestamp("us"))
    crm = {"company_id": companies, "load_date": [clock.date()] * 3, "loaded_at": loaded_at}
    landing.land("crm_daily", pa.table(crm), f"crm-{clock:%Y-%m-%d}", clock)
    event = {
        "event_id": [f"e{clock:%d%H}"],
        "company_id": ["busy"],
        "event_timestamp": pa.array([clock], pa.timestamp("us", "UTC")),
        "events": pa.array([1], pa.int32()),
        "loaded_at": loaded_at[:1],
    }
    landing.land("fact_events", pa.table(event), "events", clock)


def company_days(home: Home) -> dict[tuple[str, date], tuple[Any, ...]]:
    rows = home.sql("select * exclude (record_loaded_at) from marts.company_daily_activity")
    names = [name for name, *_ in home.sql("describe marts.company_daily_activity")]
    key = [names.index("company_id"), names.index("activity_date")]
    return {tuple(row[position] for position in key): row for row in rows}


def flags(home: Home, company: str) -> dict[date, Any]:
    rows = home.sql(
        "select activity_date, is_churn_risk from marts.company_daily_activity"
        f" where company_id = '{company}'"
    )
    return dict(rows)


def test_an_outage_makes_flags_null_and_leaves_no_trace(
    dbt: Dbt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Usage()
    interrupted = Home(tmp_path / "interrupted", dbt)
    steady = Home(tmp_path / "steady", dbt)
    for home in (interrupted, steady):
        home.folder.mkdir()
        with connect(home.path) as connection:
            raw.create(connection)
    monkeypatch.setenv("TIDEMARK_USAGE_TOKEN", "secret")
    monkeypatch.setenv("TIDEMARK_USAGE_RETRIES", "0")
    monkeypatch.setenv("TIDEMARK_USAGE_REQUESTS_PER_SECOND", "1000")

    def whole(home: Home, clock: datetime, last_day: date) -> None:
        """All days at once, built by plain dbt."""
        land_the_rest(home.landing, clock)
        days = ("--start", f"{FIRST_DAY}", "--end", f"{last_day}")
        at = ("--as-of", clock.isoformat())
        home("ingest", "usage", *days, "--landing", home.landing.root, *at)
        home("load", *at)
        home.build(clock, ["company_daily_activity"])

    def run(clock: datetime, exit_code: Exit) -> None:
        """The other domains have no rows, and stay blocked."""
        land_the_rest(interrupted.landing, clock)
        at = ("--as-of", clock.isoformat())
        interrupted("run", "--ingest", *at, exit_code=exit_code)

    with serving(LocalApi(usage, "secret")) as url:
        monkeypatch.setenv("TIDEMARK_USAGE_URL", url)
        before = OUTAGE[0] - timedelta(days=1)
        whole(interrupted, morning_after(before), before)

        # Down: nothing is known of these days, and nothing is said of them.
        usage.down = {FIRST_DAY + timedelta(days=number) for number in range(12)}
        run(morning_after(OUTAGE[1]), Exit.FAILED)
        assert max(flags(interrupted, "quiet")) == before
        jobs = [row[1] for row in ledger(interrupted, "ingest usage")]
        assert jobs == ["success", "failed"]

        # Back, but not for the days of the outage.
        usage.down = set(OUTAGE)
        run(morning_after(LAST_DAY), Exit.FAILED)
        for company in ("quiet", "rare"):
            known = flags(interrupted, company)
            assert [known[day] for day in (*OUTAGE, LAST_DAY)] == [None] * 3, company
        assert flags(interrupted, "busy")[LAST_DAY] is False

        # Back for all: what was missed is asked for by itself.
        usage.down = set()
        end = morning_after(LAST_DAY, 5)
        run(end, Exit.BLOCKED)
        whole(steady, end, LAST_DAY)
    assert flags(interrupted, "quiet")[OUTAGE[1]] is True
    assert flags(interrupted, "rare")[LAST_DAY] is False
    assert company_days(interrupted) == company_days(steady)
