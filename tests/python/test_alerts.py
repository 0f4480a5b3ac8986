"""Alerts, received by a real mail server and a real webhook on this machine; and what is decided.

`make alerts` prints the mails that the story brings.
"""

from __future__ import annotations

import email
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from conftest import BuiltOnce
from typer.testing import CliRunner, Result

from tidemark import alerts, cli
from tidemark.alerts import Finding, State, calling_nobody, changes, compose, of_levels
from tidemark.clock import parse_clock
from tidemark.commands import session
from tidemark.engine import Dbt
from tidemark.health import Figure, Level

PROJECT = Path(__file__).parents[2]
SEED_CLOCK = "2025-10-15T12:00:00"
AN_HOUR_LATER = "2025-10-15T13:00:00"
STALE = "2025-10-17T06:30:00"
SECRETS = ("swordfish", "opensesame", "hook-token")
BROKEN = "alter table marts.fct_engagement_metrics rename column active_users to people"
MENDED = "alter table marts.fct_engagement_metrics rename column people to active_users"


# ---- what is decided ----


def good(subject: str) -> Finding:
    kind, _, name = subject.partition(" ")
    return Finding(kind, name, State.GOOD)


def failed(subject: str, text: str = "") -> Finding:
    kind, _, name = subject.partition(" ")
    return Finding(kind, name, State.FAILED, text)


@pytest.mark.parametrize(
    ("told", "seen", "news"),
    [
        pytest.param({}, [good("model a")], [], id="never bad"),
        pytest.param({}, [failed("model a")], ["model a"], id="fails"),
        pytest.param({"model a": "failed"}, [failed("model a")], [], id="fails again"),
        pytest.param({"model a": "failed"}, [good("model a")], ["model a"], id="recovers"),
        pytest.param({"model a": "good"}, [failed("model a")], ["model a"], id="fails anew"),
        pytest.param({"model a": "failed"}, [good("model b")], [], id="not looked at"),
        pytest.param({"model a": "failed"}, [failed("model b")], ["model b"], id="another fails"),
        pytest.param({"source a": "critical"}, [failed("source a")], ["source a"], id="otherwise"),
    ],
)
def test_a_change_of_state_is_told_once(
    told: dict[str, str], seen: list[Finding], news: list[str]
) -> None:
    assert [finding.subject for finding in changes(told, seen)] == news


def figure(metric: str, subject: str, level: Level, amount: float | None = 1) -> Figure:
    return Figure(
        metric, subject, amount, "count", level, 1, 100, None, None, datetime(2025, 10, 1)
    )


def test_levels_that_repeat_a_failure_are_not_told() -> None:
    figures = [
        figure("failed_runs", "last 24 hours", Level.CRITICAL),
        figure("job_failures", "a", Level.CRITICAL),
        figure("source_age", "events", Level.CRITICAL),
        figure("pending_rows", "a", Level.CRITICAL, 1200),
        figure("pending_rows", "b", Level.WARNING),
    ]
    states = {finding.subject: finding.state for finding in of_levels(figures)}
    assert states == {"pending_rows a": State.CRITICAL, "pending_rows b": State.GOOD}
    with_sources = {finding.subject: finding.state for finding in of_levels(figures, True)}
    assert with_sources == {**states, "source events": State.BLOCKED}


def test_a_source_recovers_when_a_reason_for_bad_rows_is_gone() -> None:
    both = [
        figure("quarantined_rows", "events: no day", Level.CRITICAL),
        figure("quarantined_rows", "events: no key", Level.NORMAL),
    ]
    (bad,) = of_levels(both)
    assert (bad.subject, bad.state) == ("quarantined_rows events", State.CRITICAL)
    (mended,) = of_levels([figure("quarantined_rows", "events", Level.NORMAL)])
    assert changes({bad.subject: bad.state.value}, [mended]) == [mended]


def test_a_message_says_what_failed_when_it_last_worked_and_where_to_look() -> None:
    many = [Finding("pending_rows", job, State.CRITICAL, f"{job} (200)") for job in "abcde"]
    news = [good("model mended"), *many, failed("model broken", "no column x\nin line 3")]
    worked = {"broken": datetime(2025, 10, 14, 12)}
    message = compose(news, worked, "Run id 1.", " --target duckdb")
    assert message.is_bad
    assert message.title == "Tidemark: 1 failed, 5 critical, 1 recovered"
    assert message.body == (
        "Failed: model broken\n  no column x\n  in line 3\n  It last worked 2025-10-14 12:00 UTC."
        "\n\nCritical: pending_rows a (200), b (200), c (200) and 2 more"
        "\n\nRecovered: model mended"
        "\n\nLook closer:\n"
        "  tidemark status --target duckdb   (dbt's whole message is in logs/dbt.log)"
        "\n\nRun id 1."
    )


def test_many_failures_make_no_endless_message() -> None:
    news = [failed(f"model m{number}", "no column x") for number in range(40)]
    message = compose(news, {}, "Run id 1.")
    assert message.title == "Tidemark: 40 failed"
    assert "Failed as well: m3, m4, m5 and 34 more." in message.body
    assert "No success of it is known." in message.body
    assert len(message.body.splitlines()) < 30


@pytest.mark.parametrize(
    "text",
    [
        *("@everyone", "@here", "@channel", "@all", "@room", "@**all**", "<@U024BE7LH>", "<@&17>"),
        *("<!channel>", "<!here|here>", "<!subteam^S1>", "<users/all>", "<at user_id=all>"),
        *("<https://example.com|your bank>", "[your bank](https://example.com)", "ab@c.example"),
    ],
)
def test_a_chat_is_called_by_nothing(text: str) -> None:
    quiet = calling_nobody(f"no company {text}, line 2")
    assert text not in quiet
    assert quiet.replace("\u200b", "") == f"no company {text}, line 2"
    assert calling_nobody("1 < 2, a <= b, 3 @ 4, x[0] (y)") == "1 < 2, a <= b, 3 @ 4, x[0] (y)"


def test_what_is_sent_calls_nobody_commands_nothing_and_keeps_secrets(
    hook: Hook, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Mattermost of this machine gets it, as chats do, a webhook, and a mail server."""
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", SECRETS[0])
    monkeypatch.setenv(
        "TIDEMARK_ALERT_URLS", f"{hook.url} mmost://127.0.0.1:{hook.port}/{'k3' * 13} {mailbox.url}"
    )
    text = f"no company @everyone <!channel> \x1b[2J of https://a:{SECRETS[1]}@b, {SECRETS[0]}"
    message = compose([failed("ingest usage", text)], {}, "Run id 1.")
    sent = {name: alerts._send(service, message) for name, service in alerts._channels()}
    assert list(sent.values()) == [True, True, True]
    (_, mail) = mailbox.taken()[0]
    for post in hook.taken():
        told = post.get("message") or post["text"]
        assert "@\u200beveryone <\u200b!channel> [2J of https://b, ***" in told
    assert "@everyone <!channel> [2J of https://b, ***" in mail


def test_a_channel_that_answers_by_the_byte_is_not_waited_for() -> None:
    told = threading.Event()
    assert not alerts._within(0.05, lambda: told.wait(60))
    told.set()
    assert alerts._within(60, lambda: True)
    assert not alerts._within(60, lambda: bool(1 / 0))


# ---- sent, and received ----


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Mailbox:
    """A mail server that wants a password, and what it got."""

    port: int = field(default_factory=free_port)
    mails: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        sender = f"from=tidemark@example.com&to=ops@example.com&user=tidemark&pass={SECRETS[0]}"
        return f"mailto://127.0.0.1:{self.port}/?smtp=127.0.0.1&mode=insecure&{sender}"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        mail = email.message_from_bytes(envelope.content, policy=policy.default)
        body = mail.get_body(("plain",))
        assert body is not None
        self.mails.append((str(mail["subject"]), body.get_content().replace("\r\n", "\n")))
        return "250 OK"

    def taken(self) -> list[tuple[str, str]]:
        """What came since the last look."""
        came, self.mails[:] = list(self.mails), []
        return came


@dataclass
class Hook:
    """A webhook, and what was posted to it."""

    port: int = field(default_factory=free_port)
    posts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"json://tidemark:{SECRETS[1]}@127.0.0.1:{self.port}/{SECRETS[2]}"

    def serve(self) -> ThreadingHTTPServer:
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                posts.append(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        return server

    def taken(self) -> list[dict[str, Any]]:
        """What came since the last look."""
        came, self.posts[:] = list(self.posts), []
        return came


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    server = Controller(
        box,
        hostname="127.0.0.1",
        port=box.port,
        authenticator=lambda *_: AuthResult(success=True),
        auth_required=True,
        auth_require_tls=False,
    )
    server.start()
    yield box
    server.stop()


@pytest.fixture
def hook() -> Iterator[Hook]:
    opened = Hook()
    server = opened.serve()
    yield opened
    server.shutdown()
    server.server_close()


@dataclass
class Pipeline:
    """A demo database with one domain, and the command line on it."""

    path: Path
    dbt: Dbt

    def __call__(self, *args: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "dbt_of", lambda *_: self.dbt)
            return CliRunner().invoke(cli.app, args, catch_exceptions=False)

    def sql(self, statement: str) -> list[Any]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(statement).fetchall()


VARIABLES = {
    "domains": ["engagement"],
    # how long a run takes is the machine's affair here
    "health_of_target": {"demo": {"run_time": {"warning": None, "critical": None}}},
}


@pytest.fixture(scope="module")
def first_run(built_once: BuiltOnce, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """One domain, run once at the seed clock, without anybody to tell."""
    home = tmp_path_factory.mktemp("alerts")
    path = built_once(home, ["tidemark run"], parse_clock(SEED_CLOCK), VARIABLES)
    return Pipeline(path, Dbt(PROJECT, "demo", VARIABLES, target_path=home / "target"))


@pytest.fixture
def pipeline(first_run: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A copy of it."""
    path = tmp_path / first_run.path.name
    shutil.copy(first_run.path, path)
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(path))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    # no secret may stand there
    monkeypatch.setenv("DBT_LOG_LEVEL_FILE", "debug")
    monkeypatch.delenv("TIDEMARK_ALERT_URLS", raising=False)
    # what cannot be opened is tried once, not for as long as a run would wait for it
    monkeypatch.setenv("TIDEMARK_CONNECT_ATTEMPTS", "1")
    return Pipeline(path, first_run.dbt)


def test_the_story_of_an_outage(
    pipeline: Pipeline,
    mailbox: Mailbox,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", f"{mailbox.url} {hook.url}")

    def received(*command: str, exit_code: int) -> str:
        """The body of the one message that came both ways, or nothing."""
        ran = pipeline(*command)
        assert ran.exit_code == exit_code, ran.output
        assert "WARNING" not in ran.stderr
        mails, posts = mailbox.taken(), hook.taken()
        assert len(mails) == len(posts) <= 1
        with capsys.disabled():
            if os.environ.get("TIDEMARK_SHOW_MAILS"):
                print(f"\n$ tidemark {' '.join(command)}")
                for title, body in mails or [("(no mail)", "")]:
                    print(f"Subject: {title}\n\n{body}" if body else title)
        for (title, body), post in zip(mails, posts, strict=True):
            assert post["title"] == title
            assert post["message"].split() == body.split()
            return f"{title}\n{body}"
        return ""

    assert received("run", "--as-of", SEED_CLOCK, exit_code=0) == ""

    pipeline.sql(BROKEN)
    told = received("run", "--as-of", AN_HOUR_LATER, exit_code=1)
    assert told.startswith("Tidemark: 1 failed")
    assert "Failed: model fct_engagement_metrics" in told
    assert "The source and target schemas on this incremental model are out of sync!" in told
    ((worked,),) = pipeline.sql(
        "select strftime(max(completed_at), '%Y-%m-%d %H:%M') from ops.etl_job_runs"
        " where job_name = 'fct_engagement_metrics' and status = 'success'"
    )
    assert f"It last worked {worked}" in told
    assert "tidemark status --target demo" in told
    assert received("run", "--as-of", AN_HOUR_LATER, exit_code=1) == ""

    pipeline.sql(MENDED)
    told = received("run", "--as-of", AN_HOUR_LATER, exit_code=0)
    assert told.startswith("Tidemark: 1 recovered")
    assert "Recovered: model fct_engagement_metrics" in told

    told = received("run", "--as-of", STALE, exit_code=3)
    assert "1 blocked" in told.splitlines()[0]
    assert (
        "Blocked: engagement_events is stale: last loaded 7 h 25 min ago, the limit is 6 h" in told
    )
    assert "Critical: watermark_lag " in told
    assert "tidemark check --target demo" in told
    assert received("run", "--as-of", STALE, exit_code=3) == ""
    # whoever looks sees the same, and need not tell it again
    assert received("status", "--as-of", STALE, exit_code=0) == ""

    pipeline.sql(
        "insert into raw.engagement_events by name select * replace ('late' as event_id,"
        " timestamp '2025-10-17 06:20' as updated_at) from raw.engagement_events limit 1"
    )
    told = received("run", "--as-of", STALE, exit_code=0)
    assert "Recovered: source engagement_events" in told
    assert "Recovered: watermark_lag " in told
    assert "Critical" not in told

    told = received("run", "--as-of", STALE, "--alert-on-success", exit_code=0)
    assert told.startswith("Tidemark: success\nNothing was new; 4 models were left as they are.")


def test_status_tells_what_nobody_has_run_into(
    pipeline: Pipeline, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", hook.url)
    assert pipeline("status", "--as-of", STALE).exit_code == 0
    (told,) = hook.taken()
    assert "Blocked: engagement_events (7 h 25 min): stale." in told["message"]
    assert "Critical: watermark_lag " in told["message"]
    assert pipeline("run", "--as-of", STALE).exit_code == 3
    assert hook.taken() == []


def test_a_channel_that_is_down_fails_nothing_and_is_told_later(
    pipeline: Pipeline, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = Hook()
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", f"{hook.url}, {mailbox.url}")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    pipeline.sql(BROKEN)
    command = [sys.executable, "-m", "tidemark", "run", "--as-of", AN_HOUR_LATER]
    command += ["--target", "demo", "--vars", json.dumps(VARIABLES)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stderr
    assert "Channel JSON 1 took no alert (Tidemark: 1 failed" in ran.stderr
    assert len(mailbox.taken()) == 1

    server = hook.serve()
    assert pipeline("run", "--as-of", AN_HOUR_LATER).exit_code == 1
    server.shutdown()
    server.server_close()
    assert len(hook.taken()) == 1
    assert mailbox.taken() == []

    kept = str(pipeline.sql("from ops.alerts"))
    log = (pipeline.path.parent / "logs" / "dbt.log").read_text(encoding="utf-8")
    for secret in SECRETS:
        assert secret not in ran.stdout + ran.stderr + log + kept


def test_an_address_that_is_none(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", f"nonsense://{SECRETS[0]}@example.com")
    ran = pipeline("run", "--as-of", STALE)
    assert ran.exit_code == 3
    assert "An address in TIDEMARK_ALERT_URLS is none that apprise understands." in ran.stderr
    assert SECRETS[0] not in ran.output
    assert SECRETS[0] not in pipeline("run", "--help").output


@pytest.fixture
def locked(pipeline: Pipeline) -> Iterator[Callable[[], None]]:
    """Another process holds the database file until it is let go."""
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(pipeline.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    holder.stdout.readline()

    def let_go() -> None:
        holder.communicate("\n")

    yield let_go
    holder.kill()


def test_a_locked_database_is_told_and_so_is_its_return(
    pipeline: Pipeline,
    hook: Hook,
    locked: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", hook.url)
    began = time.monotonic()
    ran = pipeline("run", "--as-of", SEED_CLOCK)
    waited = time.monotonic() - began
    assert ran.exit_code == 1
    (told,) = hook.taken()
    assert "Failed: run\n  The database is in use by python" in told["message"]
    assert "What was told could not be recorded: the next run may repeat it." in ran.stderr
    assert waited < 60
    locked()
    assert pipeline("run", "--as-of", SEED_CLOCK).exit_code == 0


def test_a_run_that_fails_as_a_whole_is_told_once(
    pipeline: Pipeline, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", hook.url)
    too_early = ("run", "--as-of", "2025-10-14T12:00:00")
    assert pipeline(*too_early).exit_code == 1
    (told,) = hook.taken()
    assert "Failed: run\n" in told["message"]
    assert "The clock of this run, 2025-10-14 12:00:00, lies before" in told["message"]
    assert "It last worked 20" in told["message"]
    assert pipeline(*too_early).exit_code == 1
    assert hook.taken() == []
    assert pipeline("run", "--as-of", SEED_CLOCK).exit_code == 0
    (told,) = hook.taken()
    assert told["message"].startswith("Recovered: run")
