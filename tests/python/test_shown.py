"""What is taken out of text before people see it."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import typer

from tidemark import logs
from tidemark.commands import session
from tidemark.engine import DbtError
from tidemark.exits import Exit
from tidemark.ingest import IngestError
from tidemark.ingest.landing import JobReport, Landing, LandingError, now
from tidemark.logs import LogFormat
from tidemark.report.tables import console, table
from tidemark.shown import hidden, hidden_in, plain

# What a header may hold: clear the screen, set the title, the same with one byte, turn the line.
COMMANDS = "na\x1b[2J\x1b]0;me\x07\x9b31m\u202eme\x7f\r"
SPELT = "na[2J]0;me31mme"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("htps://u:PASSWORD@host/v1?api_key=KEY", "htps://host/v1"),
        ("at https://me@host:80/v1#part, twice", "at https://host:80/v1, twice"),
        ("https://u:pass/word@host/v1", "https://***"),
        ("https://u:p?w@host/v1", "https://***"),
        ("(s3://bucket/some/where)", "(s3://bucket/some/where)"),
        ("https://[::1]:8080/v1.", "https://[::1]:8080/v1."),
        ("https://host?sig=A%2Fb and ftp://u:p@h", "https://host and ftp://h"),
        ("'postgresql+psycopg://u:p@h/db'", "'postgresql+psycopg://h/db'"),
        ("no address: 10:30 a@b.c", "no address: 10:30 a@b.c"),
    ],
)
def test_addresses_are_shown_without_user_and_query(text: str, shown: str) -> None:
    assert hidden(text, {}) == shown
    # what was shown once is not changed by showing it again
    assert hidden(shown, {}) == shown


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("TIDEMARK_USAGE_TOKEN", "opensesame\n", "opensesame"),
        ("TIDEMARK_USAGE_URL", "htps://u:open sesame@host/?key=K-4711", "open sesame, K-4711"),
        ("TIDEMARK_USAGE_URL", "http://u:open%2Fsesame@host", "open/sesame"),
        ("KAFKA_CLIENT_SASL_PASSWORD", "opensesame", "opensesame"),
        ("KAFKA_BOOTSTRAP_SERVERS", "u:opensesame@a:1,u:swordfish@b:2", "opensesame swordfish"),
        ("TIDEMARK_ALERT_URLS", "slack://T123456789/B123456789/c", "B123456789"),
        ("TIDEMARK_ALERT_URLS", "mailto://h/?user=me&pass=opensesame", "opensesame"),
        ("TIDEMARK_CRM_PATH", "https://h/x.csv?x=1&X-Amz-Signature=opensesame", "opensesame"),
        ("TIDEMARK_CRM_PATH", "https://u:open/sesame@h/x.csv", "open/sesame"),
        ("https_proxy", "http://opensesame-opensesame@h", "opensesame-opensesame"),
        ("SNOWFLAKE_PASSWORD", "opensesame", "opensesame"),
        ("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "opensesame", "opensesame"),
        ("SNOWFLAKE_ACCOUNT", "xy12345.eu", "xy12345.eu"),
        ("AWS_SECRET_ACCESS_KEY", "opensesame", "opensesame"),
        ("https_proxy", "u:opensesame@proxy:3128", "opensesame"),
        ("HTTPS_PROXY", "http://u:opensesame@proxy", "opensesame"),
        ("TIDEMARK_DUCKDB_PATH", "md://x?motherduck_token=opensesame", "opensesame"),
    ],
)
def test_what_is_configured_in_secret_stands_in_no_text(name: str, value: str, text: str) -> None:
    told = hidden(f"Nobody takes {text}.", {name: value})
    assert not {"opensesame", "swordfish", "sesame", "4711", "B1234", "xy123"} & {
        part
        for part in ("opensesame", "swordfish", "sesame", "4711", "B1234", "xy123")
        if part in told
    }
    assert told.startswith("Nobody takes ***")


def test_what_is_no_secret_stays() -> None:
    environment = {
        "SNOWFLAKE_PRIVATE_KEY_PATH": "/etc/keys",
        "KAFKA_CLIENT_SECURITY_PROTOCOL": "SASL_SSL",
        "USE_TOKEN": "true",
        "TIDEMARK_ALERT_URLS": "mailto://localhost:80/?from=tidemark@example.com&user=tidemark",
        "TIDEMARK_USAGE_URL": "https://acme@example.com/v1?tenant=acme",
    }
    text = "SASL_SSL is true of /etc/keys: tidemark tells acme at localhost:80, example.com"
    assert hidden(text, environment) == text


def test_errors_reports_and_reasons_hold_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "opensesame")
    text = "https://me:swordfish@host refuses opensesame"
    for error in (IngestError(text), LandingError(text), DbtError(text)):
        assert str(error) == "https://host refuses ***"
    landing = Landing(str(tmp_path))
    landing.report(JobReport("crm", now(), now(), "failed", 0, text, {"warnings": [text, 7]}))
    landing.reject("crm", "name.csv", b"", text)
    told = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "refuses ***" in told
    assert "opensesame" not in told
    assert "swordfish" not in told
    assert hidden_in({"a": (text, 1, None)}) == {"a": ["https://host refuses ***", 1, None]}


@pytest.mark.parametrize(
    "root", ["s3://key:opensesame@bucket/area", "s3://bucket/area?secret=opensesame"]
)
def test_a_landing_area_with_a_secret_is_refused(root: str) -> None:
    with pytest.raises(LandingError, match="holds a user, a password or a query") as raised:
        Landing.at(root)
    assert "opensesame" not in str(raised.value)


def test_nothing_commands_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plain(COMMANDS) == SPELT
    assert plain("two\n\tlines, ünd more - 日本") == "two\n\tlines, ünd more - 日本"
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    out = console()
    out.print(COMMANDS, markup=False)
    grid = table("column")
    grid.add_row(COMMANDS)
    out.print(grid)
    logs.set_up(LogFormat.TEXT, "load", "1")
    logs.tell(logging.WARNING, COMMANDS)
    with pytest.raises(typer.Exit), session.explained("load", False, "Nothing."):
        raise IngestError(COMMANDS)
    printed = capsys.readouterr()
    assert printed.out.count(SPELT) == 2
    assert printed.err.count(SPELT) == 2
    for stream in (printed.out, printed.err):
        assert plain(stream) == stream


@pytest.mark.parametrize("log_format", LogFormat)
def test_the_log_of_a_library_holds_no_secret(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_CLIENT_SASL_PASSWORD", "opensesame")
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    logs.set_up(log_format, "ingest events", "1")
    # A name of its own: libraries that set up logging switch off what they find.
    logging.getLogger(f"tidemark.library.{log_format.value}").warning(
        "u:%s is refused\x1b[2J", "opensesame"
    )
    logs.tell(logging.WARNING, "once more", why="opensesame, https://u:p@host")
    written = capsys.readouterr().err
    assert "u:*** is refused" in written
    assert "opensesame" not in written
    assert "\x1b" not in written
    assert log_format is LogFormat.TEXT or '"why": "***, https://host"' in written


def test_colours_are_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = console()
    out.file = io.StringIO()
    out.print("[red]failed[/]")
    assert "\x1b[31mfailed" in out.file.getvalue()


def test_json_holds_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "opensesame")
    told: dict[str, Any] = {"error": 'no "opensesame"', "files": ["https://u:p@h"]}
    with pytest.raises(typer.Exit):
        session.leave("load", True, Exit.FAILED, told)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["error"], shown["files"]) == ('no "***"', ["https://h"])
