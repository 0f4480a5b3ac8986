"""Usage ingestion against a real HTTP server that fails as a script tells it.

`make test-faults` writes what each fault did into docs/ingestion_faults.md.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from faults.page import INGESTION_HEAD, put_row
from typer.testing import CliRunner, Result
from usage_api import Api, running

from tidemark import cli
from tidemark.ingest import IngestError, usage_api
from tidemark.ingest.landing import LandedFile, Landing
from tidemark.ingest.usage import plan
from tidemark.ingest.usage_contract import ContractError, read_page
from tidemark.report.tables import count

PROJECT = Path(__file__).parents[2]
CLOCK = datetime(2025, 10, 15, 12)
AN_HOUR = timedelta(hours=1)
DAYS = ("2025-10-12", "2025-10-13", "2025-10-14")
USAGE = {day: [["acme", 20, 102], ["cobalt", 16, 81]] for day in DAYS}
# The day that the faults are done to.
DAY = DAYS[1]


@dataclass
class Tidemark:
    """`tidemark ingest usage` on a landing area of its own."""

    landing: Landing
    environment: dict[str, str]
    clock: datetime = CLOCK
    settings: dict[str, str] = field(default_factory=dict)

    def __call__(self, *args: str) -> Result:
        environment = self.environment | self.settings
        command = self._command(*args)
        return CliRunner().invoke(cli.app, command, catch_exceptions=False, env=environment)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """The command as a process of its own."""
        environment = os.environ | self.environment | self.settings | {"PYTHONPATH": str(PROJECT)}
        return subprocess.Popen(
            [sys.executable, "-m", "tidemark", *self._command(*args)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _command(self, *args: str) -> list[str]:
        command = ["ingest", "usage", "--as-of", self.clock.isoformat(), *args]
        return [*command, "--landing", self.landing.root, "--project-dir", str(PROJECT)]

    def json(self, *args: str, exit_code: int = 0) -> dict[str, Any]:
        ran = self(*args, "--json")
        assert ran.exit_code == exit_code, ran.output
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    @property
    def answered(self) -> list[str]:
        """The answered days, as often as they were."""
        return [file.name for file in self.landing.files("usage_answers")]

    @property
    def current(self) -> dict[str, list[list[Any]]]:
        """What the marts will see: of each answered day the latest rows, company by company."""
        rows: dict[str, dict[str, list[Any]]] = {day: {} for day in self.answered}
        for file in self.landing.files("product_usage_daily"):
            with self.landing.open(file.path) as opened:
                for row in pq.read_table(opened).to_pylist():
                    assert row["loaded_at"] == file.loaded_at
                    day = rows.setdefault(f"{row['usage_date']}", {})
                    company = row["company_id"]
                    day[company] = [company, row["active_users"], row["events"]]
        return {day: [of[company] for company in sorted(of)] for day, of in rows.items()}

    @property
    def rejected(self) -> list[str]:
        folder = Path(self.landing.root) / "rejected" / "usage"
        return sorted(path.name for path in folder.glob("*.json"))


@pytest.fixture(scope="module")
def _api() -> Iterator[Api]:
    with running() as api:
        yield api


@pytest.fixture
def api(_api: Api) -> Api:
    _api.knows(USAGE)
    return _api


@pytest.fixture
def tidemark(api: Api, tmp_path: Path) -> Tidemark:
    return Tidemark(Landing(str(tmp_path / "landing")), api.environment)


# ---- which days ----


def answer(day: str, landed: str) -> LandedFile:
    return LandedFile("", "usage_answers", day, datetime.fromisoformat(landed), 0)


def ended(*days: int) -> list[LandedFile]:
    """Answers that came on the day after."""
    return [answer(f"2025-10-{day:02}", f"2025-10-{day + 1:02} 02:00") for day in days]


def of_october(days: tuple[date, ...]) -> list[int]:
    assert {day.month for day in days} <= {10}
    return [day.day for day in days]


@pytest.mark.parametrize(
    ("answers", "reask", "asked"),
    [
        pytest.param(ended(*range(1, 14)), 1, [13, 14], id="from the last answered day"),
        pytest.param(ended(*range(1, 14)), 3, [11, 12, 13, 14], id="and those before it again"),
        pytest.param(ended(*range(1, 14)), 0, [14], id="or none again"),
        pytest.param(ended(*range(1, 15)), 0, [], id="nothing is left"),
        pytest.param(ended(3, 4, 8, 13), 1, [5, 6, 7, 9, 10, 11, 12, 13, 14], id="missed days"),
        pytest.param(ended(13), 7, [13, 14], id="nothing before the first answer"),
        pytest.param(
            [*ended(12, 13), answer("2025-10-14", "2025-10-14 23:59")],
            0,
            [14],
            id="a part of a day",
        ),
        pytest.param(
            [*ended(12, 13), answer("2025-10-14", "2025-10-15 00:00")], 0, [], id="just over"
        ),
        pytest.param([*ended(13), answer("notes", "2025-10-15")], 0, [14], id="a stranger's file"),
    ],
)
def test_days_are_taken_up_where_they_stopped(
    answers: list[LandedFile], reask: int, asked: list[int]
) -> None:
    assert of_october(plan(answers, CLOCK, reask=reask).days) == asked


def test_days_missed_long_ago_are_named_and_no_longer_asked_for() -> None:
    answers = [answer("2025-07-01", "2025-07-02"), *ended(12, 13)]
    planned = plan(answers, CLOCK, reask=0)
    assert (planned.days[0], planned.days[-1]) == (date(2025, 9, 14), date(2025, 10, 14))
    assert (planned.given_up[0], planned.given_up[-1]) == (date(2025, 7, 2), date(2025, 9, 13))


def test_days_before_the_first_answer_are_asked_for_when_the_last_run_left_them_open() -> None:
    left_open = [date(2025, 10, 11), date(2025, 10, 10)]
    planned = plan(ended(12, 13), CLOCK, reask=0, left_open=[*left_open, date(2025, 10, 13)])
    assert of_october(planned.days) == [10, 11, 14]
    long_ago = date(2025, 9, 1)
    assert plan(ended(12, 13), CLOCK, left_open=[long_ago]).given_up == (long_ago,)


def test_what_is_named_is_asked_for() -> None:
    answers = ended(*range(1, 15))
    assert of_october(plan(answers, CLOCK, start=date(2025, 10, 12)).days) == [12, 13, 14]
    day = date(2025, 10, 15)
    assert of_october(plan(answers, CLOCK, start=day, end=day).days) == [15]
    chosen = [date(2025, 10, 9), date(2025, 10, 2), date(2025, 10, 9)]
    assert of_october(plan(answers, CLOCK, days=chosen).days) == [2, 9]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"end": date(2025, 10, 16)}, "2025-10-16 has not begun"),
        ({"days": [date(2025, 10, 16)]}, "2025-10-16 has not begun"),
        ({"start": date(2025, 10, 15)}, "comes after the last one, 2025-10-14"),
        ({}, "--start must say"),
    ],
)
def test_impossible_days_are_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan([], CLOCK, **asked)


# ---- the contract ----


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"active_users": "20"}, "active_users: input should be a valid integer"),
        ({"active_users": 2.5}, "active_users: input should be a valid integer"),
        ({"active_users": True}, "active_users: input should be a valid integer"),
        ({"events": None}, "events: input should be a valid integer"),
        ({"events": 2**31}, "events: input should be less than 2147483648"),
        ({"company_id": 7}, "company_id: input should be a valid string"),
        ({"date": "14.10.2025"}, "date: input should be a valid date"),
        ({"date": 20375}, "date: input should be a valid date"),
        ({"date": "2025-10-13"}, "the answer holds rows of 2025-10-13"),
    ],
)
def test_a_retyped_field_breaks_the_contract(change: dict[str, Any], says: str) -> None:
    row = {"company_id": "acme", "date": "2025-10-14", "active_users": 20, "events": 102}
    content = json.dumps({"usage": [row, row | change], "next": None}).encode()
    with pytest.raises(ContractError, match=says):
        read_page(content, date(2025, 10, 14))


@pytest.mark.parametrize("day", ["20251014", "2025-287", "2025-W42-2"])
def test_a_day_in_another_way_of_the_standard(day: str) -> None:
    row = {"company_id": "acme", "date": day, "active_users": 20, "events": 102}
    content = json.dumps({"usage": [row], "next": None}).encode()
    (told,) = read_page(content, date(2025, 10, 14)).usage
    assert told.date == date(2025, 10, 14)


def test_a_field_that_is_missing_everywhere_is_told_once() -> None:
    row = {"company_id": "acme", "date": "2025-10-14", "users": 20, "events": 102}
    content = json.dumps({"usage": [row] * 500, "next": None}).encode()
    with pytest.raises(ContractError) as raised:
        read_page(content, date(2025, 10, 14))
    assert str(raised.value) == "active_users: field required (in 500 rows)"


# ---- the settings ----


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"URL": "", "TOKEN": ""}, "TIDEMARK_USAGE_URL and TIDEMARK_USAGE_TOKEN must be set"),
        ({"TOKEN": ""}, "^TIDEMARK_USAGE_TOKEN must be set"),
        ({"TOKEN": "sword fish"}, "TIDEMARK_USAGE_TOKEN holds characters"),
        ({"URL": "usage.example.com"}, "TIDEMARK_USAGE_URL is no http address"),
        ({"URL": "htps://u:swordfish@example.com/v1?api_key=sword"}, "is no http address"),
        ({"URL": "http://u:sword/fish@example.com/v1"}, "is no http address"),
        ({"URL": "http://a..b/swordfish"}, "is no http address"),
        ({"URL": f"http://{'sword' * 20}.com/"}, "is no http address"),
        ({"URL": "http://a:99999/swordfish"}, "is no http address"),
        ({"URL": "http:///swordfish"}, "is no http address"),
        ({"PARALLEL": "0"}, "TIDEMARK_USAGE_PARALLEL must be a whole number from 1 to 64, not 0"),
        ({"PARALLEL": "1e9"}, "TIDEMARK_USAGE_PARALLEL must be a whole number from 1 to 64"),
        ({"TIMEOUT": "nan"}, r"TIDEMARK_USAGE_TIMEOUT must be a number from 0.1 to 3,600\.$"),
        ({"TIMEOUT": "inf"}, "TIDEMARK_USAGE_TIMEOUT must be a number from 0.1 to 3,600, not inf"),
        ({"TIMEOUT": "-1"}, "TIDEMARK_USAGE_TIMEOUT must be .*, not -1"),
        ({"BACKOFF": "1e400"}, "TIDEMARK_USAGE_BACKOFF must be .*, not inf"),
        ({"REQUESTS_PER_SECOND": "inf"}, "TIDEMARK_USAGE_REQUESTS_PER_SECOND must be"),
        (
            {"RETRIES": "2.5"},
            "TIDEMARK_USAGE_RETRIES must be a whole number from 0 to 100, not 2.5",
        ),
        ({"RETRIES": "9" * 400}, "TIDEMARK_USAGE_RETRIES must be"),
        ({"MAX_REQUESTS": "swordfish"}, r"TIDEMARK_USAGE_MAX_REQUESTS must be .* 1,000,000\.$"),
        ({"MAX_PAGES": "0"}, "TIDEMARK_USAGE_MAX_PAGES must be"),
        ({"REASK_DAYS": "-7"}, "TIDEMARK_USAGE_REASK_DAYS must be"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], says: str) -> None:
    sound = {"URL": "https://usage.example.com/v1", "TOKEN": "swordfish\n"}
    names = {f"TIDEMARK_USAGE_{name}": text for name, text in (sound | environment).items()}
    with pytest.raises(IngestError, match=says) as raised:
        usage_api.Settings.of(names)
    assert "sword" not in str(raised.value)


def test_a_user_in_the_address_goes_nowhere(api: Api, tidemark: Tidemark) -> None:
    address = api.environment["TIDEMARK_USAGE_URL"].replace("://", "://me:opensesame@")
    tidemark.settings = {"TIDEMARK_USAGE_URL": f"{address}?api_key=K-17"}
    ran = tidemark("--day", DAY)
    # the API answers nobody but who has the token
    assert ran.exit_code == 0, ran.output
    assert "TIDEMARK_USAGE_URL holds a user or a password: they are left out" in ran.stderr
    (asked,) = api.asked
    assert "api_key=K-17" in asked
    assert "opensesame" not in ran.output
    (settings,) = [usage_api.Settings.of(tidemark.environment | tidemark.settings)]
    assert "opensesame" not in settings.url
    assert "K-17" not in repr(settings)


_REFUSED = {
    "certificates that are not there": (
        {"SSL_CERT_FILE": "/no/such/file"},
        "The certificates of SSL_CERT_FILE cannot be read: No such file",
    ),
    "certificates that are none": (
        {"SSL_CERT_FILE": "/etc/passwd"},
        "The certificates of SSL_CERT_FILE cannot be read: .*X509",
    ),
    "a socks proxy without its library": (
        {"http_proxy": "socks5://u:opensesame@h:1"},
        "http_proxy names a socks proxy, which needs `pip install",
    ),
    "a proxy of a kind that nobody knows": (
        {"http_proxy": "socks9://u:opensesame@h:1"},
        "http_proxy is no proxy's address",
    ),
    "a proxy without a port": ({"http_proxy": "opensesame:x"}, "http_proxy is no proxy's address"),
    "a proxy without a host": ({"http_proxy": "http://"}, "http_proxy is no proxy's address"),
    "a proxy that has no name": ({"http_proxy": "http://a..b"}, "http_proxy is no proxy's address"),
    "a password in a URL that is none": (
        {"TIDEMARK_USAGE_URL": "htps://u:opensesame@host/v1?api_key=opensesame"},
        "TIDEMARK_USAGE_URL is no http address",
    ),
    "a host that is no name": (
        {"TIDEMARK_USAGE_URL": "http://a..b"},
        "TIDEMARK_USAGE_URL is no http address",
    ),
    "an infinite timeout": ({"TIDEMARK_USAGE_TIMEOUT": "inf"}, "TIDEMARK_USAGE_TIMEOUT must be"),
    "a secret in the wrong line": (
        {"TIDEMARK_USAGE_REASK_DAYS": "opensesame"},
        "TIDEMARK_USAGE_REASK_DAYS must be",
    ),
    "a token of two words": (
        {"TIDEMARK_USAGE_TOKEN": "open sesame"},
        "TIDEMARK_USAGE_TOKEN holds characters",
    ),
}


@pytest.mark.faults
@pytest.mark.parametrize("fault", _REFUSED)
def test_what_cannot_begin_is_one_line_with_the_settings_name_and_a_report(
    tidemark: Tidemark, fault: str
) -> None:
    settings, says = _REFUSED[fault]
    tidemark.settings = {"no_proxy": "", **settings}
    ran = tidemark("--start", DAYS[0])
    assert ran.exit_code == 1
    first, *rest = ran.stderr.strip().splitlines()
    assert re.match(says, first)
    assert rest == ["What has landed is complete."]
    (report,) = tidemark.landing.reports().values()
    assert (report.job, report.status, report.error) == ("usage", "failed", first)
    assert "opensesame" not in ran.output
    tidemark.settings = {}
    assert [day["day"] for day in tidemark.json("--start", DAYS[0])["days"]] == list(DAYS)
    if "TIDEMARK_KILLS" in os.environ:
        again = f"the same command asks for {', '.join(DAYS)}"
        put_row(
            PROJECT / "docs" / "ingestion_faults.md", INGESTION_HEAD, fault, first, "nothing", again
        )


def test_an_error_that_nobody_knows_fails_its_day_alone(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = usage_api.read_page

    def fail_once(content: bytes, day: date) -> Any:
        if f"{day}" == DAY:
            raise RecursionError("https://me:opensesame@example.com is too deep")
        return read(content, day)

    monkeypatch.setattr(usage_api, "read_page", fail_once)
    ran = tidemark("--start", DAYS[0])
    assert ran.exit_code == 1
    assert "RecursionError: https://example.com is too deep" in " ".join(ran.stdout.split())
    assert tidemark.answered == [DAYS[0], DAYS[2]]


def test_a_budget_that_ends_within_a_day_names_the_day(api: Api, tidemark: Tidemark) -> None:
    api.knows(USAGE, faults={DAY: ["endless new", "for good"]})
    limits = {"TIDEMARK_USAGE_PARALLEL": "1", "TIDEMARK_USAGE_MAX_REQUESTS": "4"}
    tidemark.settings = limits
    ran = tidemark("--start", DAYS[0])
    assert re.search(rf"{DAY} +- +not asked +stopped after page 3", ran.stdout)
    (report,) = tidemark.landing.reports().values()
    assert report.error is not None
    assert report.error.endswith(f"a further run. {DAY}: stopped after page 3.")


@pytest.mark.parametrize("rows", ["new", "same", "no"])
def test_an_endless_day_leaves_the_budget_to_the_others(
    api: Api, tidemark: Tidemark, rows: str
) -> None:
    """With the limits as they come, and all days asked for at once."""
    api.knows(USAGE, faults={DAY: [f"endless {rows}", "for good"]})
    ran = tidemark("--start", DAYS[0])
    assert ran.exit_code == 1
    assert tidemark.answered == [DAYS[0], DAYS[2]]
    assert len([query for query in api.asked if DAY in query]) == (2 if rows == "same" else 100)
    (report,) = tidemark.landing.reports().values()
    assert report.error is not None
    assert report.error.startswith(f"{DAY}: ")
    # Of a hundred pages of an endless day one is kept.
    assert len(tidemark.rejected) == 1


# ---- days that go well ----


def test_days_land_with_their_answers(api: Api, tidemark: Tidemark) -> None:
    told = tidemark.json("--start", DAYS[0])
    assert [(day["day"], day["status"], day["rows"]) for day in told["days"]] == [
        (day, "landed", 2) for day in DAYS
    ]
    assert (told["rows"], told["requests"], told["retry"]) == (6, 3, None)
    assert sorted(api.asked) == [f"date={day}" for day in DAYS]
    assert tidemark.current == USAGE
    (report,) = tidemark.landing.reports().values()
    assert (report.job, report.status, report.records, report.error) == (
        "usage",
        "success",
        6,
        None,
    )
    # the raw tables' columns, and no others
    (first, *_) = tidemark.landing.files("product_usage_daily")
    with tidemark.landing.open(first.path) as opened:
        schema = pq.read_schema(opened)
    assert {field.name: str(field.type) for field in schema} == {
        "company_id": "string",
        "usage_date": "date32[day]",
        "active_users": "int32",
        "events": "int32",
        "loaded_at": "timestamp[us]",
    }


def test_a_day_that_is_asked_again_supersedes(api: Api, tidemark: Tidemark) -> None:
    tidemark.json("--start", DAYS[0])
    tidemark.clock += 2 * AN_HOUR
    corrected = USAGE | {DAYS[2]: [["acme", 21, 110]]}
    api.knows(corrected)
    told = tidemark.json("--reask", "1")
    assert [day["day"] for day in told["days"]] == [DAYS[2]]
    assert tidemark.answered == [*DAYS, DAYS[2]]
    # what an answer leaves out is not retracted
    assert tidemark.current == USAGE | {DAYS[2]: [["acme", 21, 110], ["cobalt", 16, 81]]}


def test_a_first_day_that_failed_is_asked_for_by_the_next_run(api: Api, tidemark: Tidemark) -> None:
    api.knows(USAGE, faults={DAYS[0]: ["status 404"]})
    assert tidemark("--start", DAYS[0]).exit_code == 1
    assert tidemark.answered == [*DAYS[1:]]
    tidemark.clock += AN_HOUR
    assert [day["day"] for day in tidemark.json("--reask", "0")["days"]] == [DAYS[0]]
    assert tidemark.json("--reask", "0")["days"] == []


def test_the_current_day_is_asked_for_only_when_told_and_does_not_count(
    api: Api, tidemark: Tidemark
) -> None:
    today = "2025-10-15"
    api.knows(USAGE | {today: [["acme", 3, 9]]})
    ran = tidemark("--start", DAYS[0], "--end", today)
    assert ran.exit_code == 0
    assert re.search(rf"{today} +1 +landed +the day is not over", ran.stdout)
    tidemark.clock += timedelta(days=1)
    assert [day["day"] for day in tidemark.json("--reask", "0")["days"]] == [today]


def test_pages_are_put_together(api: Api, tidemark: Tidemark) -> None:
    many = [[f"company-{number:03}", number, 2 * number] for number in range(25)]
    api.knows({DAY: many}, page_size=10)
    told = tidemark.json("--day", DAY)
    assert (told["rows"], told["requests"]) == (25, 3)
    assert tidemark.current == {DAY: many}


def test_a_clock_that_cannot_be_right_is_refused(tidemark: Tidemark) -> None:
    tidemark.json("--start", DAYS[0])
    tidemark.clock -= AN_HOUR
    ran = tidemark("--start", DAYS[0])
    assert ran.exit_code == 1
    assert "lies before what landed last, 2025-10-15 12:00 UTC" in ran.stderr
    tidemark.clock = datetime(2999, 1, 1)
    ran = tidemark("--start", "2998-12-31")
    assert (ran.exit_code, "lies in the future" in ran.stderr) == (1, True)
    assert tidemark.answered == list(DAYS)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "no answer has landed yet, so --start must say"),
        (["--day", DAY, "--end", DAY], "give --day, or --start and --end"),
        (["--start", "12.10.2025"], "is not a date such as"),
    ],
)
def test_wrong_options_are_usage_errors(tidemark: Tidemark, args: list[str], says: str) -> None:
    ran = tidemark(*args)
    assert ran.exit_code == 2
    assert says in " ".join(ran.stderr.replace("│", " ").split())
    assert tidemark.landing.reports() == {}


def test_requests_keep_to_the_rate(tidemark: Tidemark) -> None:
    tidemark.settings = {"TIDEMARK_USAGE_REQUESTS_PER_SECOND": "10"}
    began = datetime.now()
    tidemark.json("--start", "2025-10-10")
    assert datetime.now() - began >= timedelta(seconds=0.4)


def test_several_days_are_asked_for_at_once_and_land_in_order(api: Api, tidemark: Tidemark) -> None:
    api.knows(USAGE, faults={DAYS[0]: ["status 503"]})
    tidemark.settings = {"TIDEMARK_USAGE_BACKOFF": "0.4"}
    told = tidemark.json("--start", DAYS[0])
    # the others do not wait for the first one to be well again
    assert api.asked[-1] == f"date={DAYS[0]}"
    assert [day["day"] for day in told["days"]] == list(DAYS)
    answers = Path(tidemark.landing.root, "usage_answers", "2025-10-15").iterdir()
    landed = sorted(answers, key=lambda path: path.stat().st_ctime_ns)
    assert [path.stem.partition("-")[2] for path in landed] == list(DAYS)


def test_a_library_that_is_not_installed_is_named(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tidemark.ingest.usage_api")
    monkeypatch.setitem(sys.modules, "httpx", None)
    ran = tidemark("--start", DAYS[0])
    assert ran.exit_code == 1
    assert "httpx is not installed: ingestion needs `pip install 'tidemark[ingest]'`" in ran.stderr


def test_answers_land_in_a_bucket(api: Api, bucket: str) -> None:
    tidemark = Tidemark(Landing(f"{bucket}/area"), api.environment)
    tidemark.json("--start", DAYS[0])
    assert tidemark.current == USAGE
    assert [report.status for report in tidemark.landing.reports().values()] == ["success"]


def test_a_run_that_is_told_to_stop_says_so(api: Api, tidemark: Tidemark) -> None:
    api.knows(USAGE, faults={DAY: ["status 429 60"]})
    tidemark.settings = {"TIDEMARK_USAGE_PARALLEL": "1"}
    process = tidemark.start("--start", DAYS[0])
    assert process.stderr
    try:
        # it waits, as the API asks
        line = process.stderr.readline()
        assert "Try 2 of 6 in 60.0 s, as it asks" in line
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Interrupted by SIGTERM." in told
    assert "Repeat `tidemark ingest usage`: it takes up what is still open." in told
    assert tidemark.answered == [DAYS[0]]
    (report,) = tidemark.landing.reports().values()
    assert (report.status, report.error, report.records) == ("failed", "Interrupted.", 2)


def test_a_landing_area_that_cannot_be_written_stops_the_run(api: Api, tidemark: Tidemark) -> None:
    root = Path(tidemark.landing.root)
    root.mkdir()
    (root / "product_usage_daily").write_text("a file in the way")
    tidemark.settings = {"TIDEMARK_USAGE_PARALLEL": "1"}
    ran = tidemark("--start", DAYS[0])
    assert ran.exit_code == 1
    assert re.search("product_usage_daily/.* cannot be written: Not a directory", ran.stderr)
    assert "What has landed is complete." in ran.stderr
    assert len(api.asked) == 1
    (report,) = tidemark.landing.reports().values()
    assert report.status == "failed"


def test_a_proxy_of_the_environment_is_used(api: Api, tidemark: Tidemark) -> None:
    url = "http://usage.example.com/usage"
    proxy = api.url.removeprefix("http://")
    tidemark.settings = {"http_proxy": proxy, "no_proxy": "", "TIDEMARK_USAGE_URL": url}
    tidemark.json("--day", DAY)
    assert tidemark.current == {DAY: USAGE[DAY]}
    tidemark.settings |= {"no_proxy": "usage.example.com", "TIDEMARK_USAGE_RETRIES": "0"}
    assert tidemark.json("--day", DAY, exit_code=1)["days"][0]["status"] == "failed"


# ---- faults ----


def page(*rows: dict[str, Any], following: Any = None) -> str:
    sound = {"company_id": "acme", "date": DAY, "active_users": 20, "events": 102}
    usage = [{name: value for name, value in (sound | row).items() if value} for row in rows]
    return "raw " + json.dumps({"usage": usage, "next": following})


@dataclass(frozen=True)
class Fault:
    """What happens, and what must come of it."""

    name: str
    faults: list[str]
    says: str
    landed: tuple[str, ...] = DAYS
    # days that are asked for once more by the command that is shown
    open: tuple[str, ...] = ()
    kept: int = 0
    # in a value, HOST is where the API is
    settings: dict[str, str] = field(default_factory=dict)


_ONE_LEFT = {"landed": (DAYS[0], DAYS[2]), "open": (DAY,)}
_TWO_LEFT = {"landed": DAYS[:1], "open": DAYS[1:]}

FAULTS = [
    Fault(
        "401",
        ["status 401", "for good"],
        r"The usage API refused the token \(HTTP 401\)\. Nothing is asked until"
        r" TIDEMARK_USAGE_TOKEN holds one that is valid\.",
        **_TWO_LEFT,
    ),
    Fault("403", ["status 403", "for good"], r"refused the token \(HTTP 403\)", **_TWO_LEFT),
    Fault("404", ["status 404"], "failed HTTP 404 Not Found", **_ONE_LEFT),
    Fault("429 with Retry-After", ["status 429 1"], r"HTTP 429\. Try 2 of 6 in 1\.0 s, as it asks"),
    Fault(
        "429 with a Retry-After of an hour",
        ["status 429 3600"],
        r"asks to be left alone for 1 h\. Run again then",
        **_TWO_LEFT,
    ),
    Fault("500, twice", ["status 500", "status 500"], r"HTTP 500\. Try 3 of 6 in 0\.0 s"),
    Fault(
        "503 for good",
        ["status 503", "for good"],
        "failed HTTP 503 Service Unavailable, 6 times",
        **_ONE_LEFT,
    ),
    Fault("a stall", ["stall 2"], r"no answer in time\. Try 2 of 6"),
    Fault("a cut connection", ["cut"], r"an answer cut short \(Server disconnected.*Try 2 of 6"),
    Fault("a truncated body", ["truncated"], r"an answer cut short \(peer closed.*Try 2 of 6"),
    Fault(
        "a page that repeats",
        [page({}, following=f"?date={DAY}"), page({}, following=f"?date={DAY}")],
        "failed `next` leads to a page that was already read; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "a page on another server",
        [page({}, following="https://example.com/usage?page=2")],
        "failed `next` leads to another server, example.com; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "a renamed field",
        [page({"active_users": None, "users": 20})],
        "failed active_users: field required; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "a retyped field",
        [page({"active_users": "20"})],
        "failed active_users: input should be a valid integer; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "a row that contradicts another",
        [page({}, {"events": 7})],
        "failed two rows of company 'acme' disagree; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "an answer that is not JSON",
        ["raw <html>Good morning</html>"],
        "failed the answer: invalid JSON.*; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "a member that comes twice",
        [f'{page({})[:-1]}, "usage": []}}'],
        "failed 'usage' is there more than once; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "an id with white space",
        [page({}, {"company_id": " acme\u00a0"})],
        r"Company ids with white space around them, which was taken off: 1\.",
    ),
    Fault(
        "ids that white space alone tells apart",
        [page({}, {"company_id": "acme ", "events": 7})],
        "failed two rows of company 'acme' disagree; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "an unknown field",
        [page({"plan": "gold"})],
        r"The field `plan` is new \(2025-10-13\)\. .* kept, as they came, in rejected/usage",
        kept=1,
    ),
    Fault("an empty day", [page()], "2025-10-13 0 no rows"),
    Fault(
        "the budget of requests is spent",
        [],
        r"The budget of 1 requests is spent \(TIDEMARK_USAGE_MAX_REQUESTS\)",
        settings={"TIDEMARK_USAGE_MAX_REQUESTS": "1"},
        **_TWO_LEFT,
    ),
    Fault(
        "a Retry-After of 400 digits",
        [f"status 429 {'9' * 400}"],
        r"asks to be left alone for more than 366 d\. Run again then",
        **_TWO_LEFT,
    ),
    Fault(
        "a password in the URL",
        [],
        "TIDEMARK_USAGE_URL holds a user or a password: they are left out, the API gets the token",
        settings={"TIDEMARK_USAGE_URL": "http://me:opensesame@HOST/usage"},
    ),
    Fault(
        "a password in `next`",
        [
            page(
                {"active_users": 20}, following="http://me:opensesame@HOST/usage?page=2&date=" + DAY
            )
        ],
        "2025-10-13 1 landed",
    ),
    Fault("`next` is empty text", [page({}, following="")], "2025-10-13 1 landed"),
    Fault(
        "a day whose pages never end",
        ["endless new", "for good"],
        r"failed more than 5 pages \(TIDEMARK_USAGE_MAX_PAGES\), and `next` leads on; kept in",
        kept=1,
        settings={"TIDEMARK_USAGE_MAX_PAGES": "5"},
        **_ONE_LEFT,
    ),
    Fault(
        "a day whose pages are always the same",
        ["endless same", "for good"],
        "failed page 2 has no row that was not there already, and `next` leads on; kept in",
        kept=1,
        **_ONE_LEFT,
    ),
    Fault(
        "a gzip bomb",
        ["bomb 100"],
        "failed an answer of more than 64 MiB",
        settings={"TIDEMARK_USAGE_TIMEOUT": "30"},
        **_ONE_LEFT,
    ),
    Fault(
        "an answer that comes by the byte",
        ["drip body"],
        "failed no whole answer within 2 s",
        settings={"TIDEMARK_USAGE_TIMEOUT": "0.2"},
        **_ONE_LEFT,
    ),
    Fault(
        "headers that come by the byte",
        ["drip headers"],
        "failed no whole answer within 2 s",
        settings={"TIDEMARK_USAGE_TIMEOUT": "0.2"},
        **_ONE_LEFT,
    ),
    Fault(
        "an unknown field that would command a terminal",
        [page({"pl\x1b[2J\u202ean": "gold"})],
        r"The field `pl\[2Jan` is new",
        kept=1,
    ),
    Fault(
        "nobody listens",
        [],
        r"2025-10-13 - failed no connection \(.*Connection refused.*\), 6 times",
        landed=(),
        open=DAYS,
        settings={"TIDEMARK_USAGE_URL": "http://127.0.0.1:9/usage"},
    ),
]


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_a_fault(api: Api, tidemark: Tidemark, fault: Fault) -> None:
    host = api.url.removeprefix("http://")
    api.knows(USAGE, faults={DAY: [each.replace("HOST", host) for each in fault.faults]})
    # one day at a time, so that what is left does not depend on the threads
    settings = {name: text.replace("HOST", host) for name, text in fault.settings.items()}
    tidemark.settings = {"TIDEMARK_USAGE_PARALLEL": "1", "COLUMNS": "400", **settings}
    ran = tidemark("--start", DAYS[0])
    print(ran.stderr, ran.stdout)
    seen = " ".join(f"{ran.stderr} {ran.stdout}".split())
    assert re.search(fault.says, seen), seen
    assert "Traceback" not in seen
    assert "\x1b" not in seen
    assert "opensesame" not in seen
    assert ran.exit_code == bool(fault.open)
    assert tidemark.answered == list(fault.landed)
    assert len(tidemark.rejected) == fault.kept
    landed = {day: len(rows) for day, rows in tidemark.current.items()}
    (report,) = tidemark.landing.reports().values()
    assert (report.status, report.figures["open_days"]) == (
        "failed" if fault.open else "success",
        list(fault.open),
    )

    api.knows(USAGE)
    tidemark.clock += AN_HOUR
    tidemark.settings = {}
    shown = re.search(r"^  tidemark ingest usage (.*?) --landing", ran.stdout, re.MULTILINE)
    assert bool(shown) == bool(fault.open)
    again = tidemark.json(*(shlex.split(shown[1]) if shown else []))
    # only what was open was asked for, and now it is as if nothing had happened
    expected = list(fault.open or DAYS)
    assert [day["day"] for day in again["days"]] == expected
    assert tidemark.current == USAGE
    if "TIDEMARK_KILLS" in os.environ:
        _put_on_page(fault, ran, landed, expected)


def _put_on_page(fault: Fault, ran: Result, landed: dict[str, int], again: list[str]) -> None:
    put_row(
        PROJECT / "docs" / "ingestion_faults.md",
        INGESTION_HEAD,
        fault.name,
        _seen(ran) or "nothing: the day lands",
        ", ".join(f"{day}: {count(rows, 'row')}" for day, rows in landed.items()) or "nothing",
        ("asks for " if fault.open else "nothing is open; asks again for ") + ", ".join(again),
    )


def _seen(ran: Result) -> str:
    """What tells of the fault: the last warning, the day's line, and what is said below it."""
    lines = [re.sub(r"^\d\d:\d\d:\d\d UTC ", "", line) for line in ran.stderr.splitlines()[-1:]]
    table, _, below = ran.stdout.partition("Asked for")
    lines += re.findall(rf"^ *{DAY} +(?!.*(?:landed|not asked) *$).*", table, re.MULTILINE)
    lines += [line for line in below.partition("Ask again")[0].splitlines()[1:] if line]
    lines += re.findall(r"^(?:The field|Company ids).*", table, re.MULTILINE)
    told = "; ".join(" ".join(line.split()) for line in lines)
    return re.sub(r"\d{8}T\d{12}Z", "TIME", told)
