"""How dbt opens its file: only a lock is waited for, and a wrong path is said at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from tidemark import cli, duckdb_file
from tidemark.commands import session
from tidemark.duckdb_file import Plugin, problem_of, waits
from tidemark.engine import Dbt, DbtError

PROJECT = Path(__file__).parents[2]
SETTING = "TIDEMARK_TESTED_PATH"
HOLD = "import duckdb, sys; _ = duckdb.connect(sys.argv[1]); print(flush=True); input()"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said, and what is waited."""
    lines: list[str] = []
    monkeypatch.setattr(duckdb_file, "_LOGGER", SimpleNamespace(warning=lines.append))
    monkeypatch.setattr(duckdb_file.time, "sleep", lambda seconds: lines.append(f"{seconds} s"))
    monkeypatch.setattr(Plugin, "_in_vain", False)
    return lines


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout is not None
        assert holder.stdout.readline() == "\n", "another has it"
        yield holder
        holder.kill()


def open_as_dbt_does(path: Path, attempts: int) -> None:
    plugin = Plugin("tested", {"setting": SETTING, "connect_attempts": attempts})
    plugin.update_connection_config(SimpleNamespace(path=str(path)), {})
    with duckdb.connect(str(path)) as connection:
        plugin.configure_connection(connection)
        connection.execute("select 1")


def test_a_lock_is_waited_for_and_that_is_told_first(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "tidemark.duckdb"
    with held(path) as holder:

        def ends(seconds: int) -> None:
            told.append(f"{seconds} s")
            if seconds == 2:
                holder.kill()
                holder.wait()

        duckdb_file.time.sleep = ends  # type: ignore[attr-defined]
        open_as_dbt_does(path, attempts=6)
    (waiting, *waited) = told
    assert waiting.startswith(f"Waiting for {path}, which python")
    assert waiting.endswith(f"(PID {holder.pid}) has open: up to 31 s.")
    assert waited == ["1 s", "2 s"]
    # nothing of it stays open
    with held(path):
        pass


def test_a_call_opens_the_file_once_and_leaves_it_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tidemark.duckdb"
    connects: list[str] = []
    connect = Plugin._connect

    def counted(*args: Any) -> Any:
        connects.append("file")
        return connect(*args)

    monkeypatch.setattr(Plugin, "_connect", counted)
    with duckdb_file.opened(only_to_look=False):
        for _ in range(3):
            open_as_dbt_does(path, attempts=1)
        assert len(connects) == 1
        # A failed commit leaves a database that answers nothing more.
        (kept,) = duckdb_file._kept or []
        kept.close()
        open_as_dbt_does(path, attempts=1)
        assert len(connects) == 2
    with held(path):
        pass
    # dbt alone opens it each time: nobody says when its call is over
    for _ in range(2):
        open_as_dbt_does(path, attempts=1)
    assert len(connects) == 4
    with held(path):
        pass


def test_who_has_waited_in_vain_does_not_wait_again(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "tidemark.duckdb"
    with held(path):
        for _ in range(2):
            with pytest.raises(duckdb.IOException, match="lock"):
                open_as_dbt_does(path, attempts=2)
    assert told[1:] == ["1 s"]


def test_nothing_but_a_lock_is_waited_for(tmp_path: Path, told: list[str]) -> None:
    no_database = tmp_path / "tidemark.duckdb"
    no_database.write_text("no database at all, whatever its name says: " * 9)
    with pytest.raises(duckdb.IOException, match="not a valid DuckDB database"):
        open_as_dbt_does(no_database, attempts=6)
    assert told == []
    assert list(waits(1)) == []


@pytest.mark.parametrize(
    ("path", "only_looks", "said"),
    [
        ("nowhere/a.duckdb", False, "There is no folder "),
        ("folder", False, "is a folder"),
        ("absent.duckdb", True, "There is no database "),
        ("absent.duckdb", False, None),
        ("there.duckdb", True, None),
    ],
)
def test_what_is_wrong_with_a_path(
    path: str, only_looks: bool, said: str | None, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.duckdb").touch()
    problem = problem_of(tmp_path / path, SETTING, only_looks, None)
    assert (problem is None) == (said is None)
    if problem and said:
        assert said in problem
        assert SETTING in problem


@pytest.mark.parametrize("name", ["tidemark.duckdb", "./tidemark.duckdb", "link.duckdb", "{here}"])
def test_the_demos_default_is_nobody_elses_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tidemark.duckdb").touch()
    Path("link.duckdb").symlink_to("tidemark.duckdb")
    other = name.format(here=tmp_path / "tidemark.duckdb")
    creds = SimpleNamespace(path="tidemark.duckdb")
    plugin = Plugin("tested", {"setting": SETTING, "other": other})
    with pytest.raises(Exception, match="is the file of target duckdb"):
        plugin.update_connection_config(creds, {})
    # who names it may mean it
    monkeypatch.setenv(SETTING, "tidemark.duckdb")
    assert Plugin("tested", {"setting": SETTING, "other": other})._other is None


def test_who_only_looks_creates_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mistyped.duckdb"
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(path))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    dbt = Dbt(PROJECT, "demo", target_path=tmp_path / "target")
    monkeypatch.setattr(session, "dbt_of", lambda *_: dbt)
    looks = ["status", "check", "gaps", "backfill", "cadence", "metrics", "watermark show"]
    for command in [*looks, "run --explain"]:
        told = CliRunner().invoke(cli.app, command.split())
        assert told.exit_code == 1, command
        assert f"There is no database {path} to look at" in told.stderr, command
        assert not path.exists(), command
    # who writes makes it
    dbt.only_looks = False
    dbt.operate("create_ops_tables")
    assert path.exists()
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(tmp_path / "no" / "where.duckdb"))
    with pytest.raises(DbtError, match="There is no folder"):
        dbt.operate("create_ops_tables")
