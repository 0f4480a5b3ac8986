"""What readers get: a whole copy or the one before, and never a lock."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import PROJECT, BuiltOnce
from typer.testing import CliRunner

from tidemark import cli
from tidemark.clock import parse_clock
from tidemark.commands import session
from tidemark.engine import Dbt
from tidemark.publish import FILE, FOLDER, Destination, destination
from tidemark.report.publish import show_age
from tidemark.report.tables import console

SEED_CLOCK = "2025-10-15T12:00:00"
AN_HOUR_LATER = "2025-10-15T13:00:00"
# The same as other modules begin with.
VARIABLES = {
    "domains": ["engagement"],
    "health_of_target": {"demo": {"run_time": {"warning": None, "critical": None}}},
}
# A reader holds its connection open, and answers each line with what it sees now. It is a process
# of its own: within one, a path is one database for as long as somebody has it open.
READER = """
import duckdb, json, sys
held = duckdb.connect(sys.argv[1], read_only=True)
for _ in sys.stdin:
    print(json.dumps(held.execute(sys.argv[2]).fetchall()), flush=True)
"""
METRICS = "select count(*), cast(max(record_loaded_at) as varchar) from {}"
MART = "marts.fct_engagement_metrics"


class Deployment:
    """A warehouse, the command line on it, and a folder that readers look into."""

    def __init__(self, warehouse: Path, dbt: Dbt, public: Path) -> None:
        self.warehouse, self.dbt = warehouse, dbt
        self.file, self.folder = public / "published.duckdb", public / "marts"

    def type(self, *args: str, exit_code: int = 0) -> str:
        ran = CliRunner().invoke(cli.app, list(args), catch_exceptions=False)
        assert ran.exit_code == exit_code, ran.output
        return ran.output

    def json(self, *args: str, exit_code: int = 0) -> dict[str, Any]:
        told = self.type(*args, "--json", exit_code=exit_code)
        answer: dict[str, Any] = json.loads(told[told.index("{") :])
        return answer

    def left_over(self) -> list[str]:
        """Hidden files beside what was published; of the folder the newest copy is one."""
        newest = self.folder.resolve()
        return sorted(path.name for path in self.file.parent.glob(".*") if path != newest)


@pytest.fixture(scope="module")
def first_run(built_once: BuiltOnce, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dbt]:
    home = tmp_path_factory.mktemp("publish")
    path = built_once(home, ["tidemark run"], parse_clock(SEED_CLOCK), VARIABLES)
    return path, Dbt(PROJECT, "demo", VARIABLES, target_path=home / "target")


@pytest.fixture
def here(
    first_run: tuple[Path, Dbt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    """A copy of it, whose copies go into a folder of their own."""
    (public := tmp_path / "public").mkdir()
    path = Path(shutil.copy(first_run[0], tmp_path / first_run[0].name))
    deployment = Deployment(path, first_run[1], public)
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(path))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    monkeypatch.setenv(FILE, str(deployment.file))
    monkeypatch.setenv(FOLDER, str(deployment.folder))
    monkeypatch.delenv("TIDEMARK_ALERT_URLS", raising=False)
    monkeypatch.setattr(session, "dbt_of", lambda *_: deployment.dbt)
    return deployment


@contextmanager
def reading(path: Path, sql: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", READER, str(path), sql]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        yield reader
        reader.kill()


def ask(reader: subprocess.Popen[str]) -> list[Any]:
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write("\n")
    reader.stdin.flush()
    answer: list[Any] = json.loads(reader.stdout.readline())
    return answer


def asked_once(path: Path, sql: str) -> list[Any]:
    with reading(path, sql) as reader:
        return ask(reader)


def test_a_reader_reads_through_runs_and_sees_whole_states(here: Deployment) -> None:
    sql = METRICS.format(MART)
    told = here.json("run", "--as-of", SEED_CLOCK)
    # nothing was new, but nothing had been published either
    assert told["build"]["models"] == []
    assert told["published"]["paths"] == [str(here.file), str(here.folder)]
    with reading(here.file, sql) as reader:
        before = ask(reader)
        newest_folder = here.folder.resolve()
        told = here.json("run", "--as-of", AN_HOUR_LATER)
        assert told["published"]["relations"] > 15
        # the run was not stopped; who has the old copy open keeps it
        assert ask(reader) == before
        after = asked_once(here.file, sql)
    with duckdb.connect(str(here.warehouse)) as warehouse:
        assert [list(row) for row in warehouse.execute(sql).fetchall()] == after != before
    in_parquet = METRICS.format(f"'{here.folder}/fct_engagement_metrics.parquet'")
    assert asked_once(here.file, in_parquet) == after
    assert here.folder.resolve() != newest_folder
    assert here.left_over() == []
    # nothing new, so nothing to copy
    assert here.json("run", "--as-of", AN_HOUR_LATER)["published"] is None


def test_what_is_copied_is_what_people_read_and_nothing_raw(here: Deployment) -> None:
    here.type("publish", "--as-of", SEED_CLOCK)
    with duckdb.connect(str(here.file), read_only=True) as copy:
        kinds = copy.execute(
            "select schema_name, table_name from duckdb_tables() order by all"
        ).fetchall()
        assert copy.execute(
            "select count(*) from duckdb_views() where not internal"
        ).fetchone() == (0,)
        assert {schema for schema, _ in kinds} == {"marts", "ops"}
        assert ("marts", "engagement_daily") in kinds
        assert ("ops", "pipeline_health") in kinds
        assert ("ops", "etl_job_runs") in kinds
        # it holds raw rows, and is a look at all of them
        assert ("ops", "quarantined_rows") not in kinds
        copy.execute(f"attach '{here.warehouse}' as warehouse (read_only)")
        for schema, table in kinds:
            (differing,) = copy.execute(
                f"select count(*) from (from {schema}.{table} except all"
                f" from warehouse.{schema}.{table})"
            ).fetchone() or (None,)
            assert differing == 0, table
        marts = sorted(table for schema, table in kinds if schema == "marts")
        # other versions read it: DuckDB's own default of 2.0 is for 2.0 alone
        (version,) = copy.execute(
            "select tags['storage_version'] from duckdb_databases()"
            " where database_name = 'published'"
        ).fetchone() or ("",)
        assert version.startswith("v1.4")
    assert sorted(path.stem for path in here.folder.glob("*.parquet")) == marts
    assert here.file.stat().st_mode & 0o222 == 0


def test_a_copy_that_is_killed_leaves_the_one_before(here: Deployment) -> None:
    here.type("publish", "--as-of", SEED_CLOCK)
    before, folder = here.file.read_bytes(), here.folder.resolve()
    # the copies are whole, and none of them is renamed yet
    dies = "import os, signal; from pathlib import Path; from tidemark import cli;"
    dies += "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL); cli.main()"
    command = ["-c", dies, "publish", "--target", "demo", "--as-of", AN_HOUR_LATER]
    variables = ["--vars", json.dumps(VARIABLES), "--project-dir", str(PROJECT)]
    target_path = {**os.environ, "DBT_TARGET_PATH": str(here.dbt.target_path)}
    killed = subprocess.run([sys.executable, *command, *variables], env=target_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(here.left_over()) == 2
    assert here.file.read_bytes() == before
    assert here.folder.resolve() == folder
    # somebody else's, whose name begins alike
    other = here.file.with_name(".published.duckdb.of-another")
    other.touch()
    here.type("publish", "--as-of", SEED_CLOCK)
    assert here.left_over() == [other.name]


def test_a_copy_that_fails_leaves_the_one_before_and_says_so(here: Deployment) -> None:
    here.type("publish", "--as-of", SEED_CLOCK)
    before = here.file.read_bytes()
    with duckdb.connect(str(here.warehouse)) as connection:
        connection.execute("create table gone (a integer)")
        connection.execute("create or replace view ops.source_checks as select * from main.gone")
        connection.execute("drop table gone")
    told = here.json("publish", "--as-of", SEED_CLOCK, exit_code=1)
    assert "gone does not exist" in told["error"]
    assert told["untouched"].endswith("Readers keep the copy that they had.")
    assert here.file.read_bytes() == before
    assert here.left_over() == []


def test_status_says_how_old_it_is_and_whether_it_is_behind(here: Deployment) -> None:
    assert "Not published yet" in here.type("status", "--as-of", SEED_CLOCK)
    here.type("publish", "--as-of", SEED_CLOCK)
    text = " ".join(here.type("status", "--as-of", SEED_CLOCK).split())
    assert f"Published less than a minute ago: {here.file} and {here.folder}" in text
    assert "built since" not in text
    an_age_ago = here.file.stat().st_mtime - 30 * 86_400
    os.utime(here.file, (an_age_ago, an_age_ago))
    told = here.json("status", "--as-of", SEED_CLOCK)["published"]
    assert told["is_behind"] is True
    out = console()
    with out.capture() as shown:
        show_age(out, Destination(here.file, None), datetime.max)
    assert "Published 30 d ago" in shown.get()
    assert "Something was built since. `tidemark publish` copies it." in shown.get()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        (FILE, "nowhere/marts.duckdb", "there is no folder"),
        (FOLDER, "nowhere/marts", "there is no folder"),
        (FILE, "a_folder", "is a folder"),
        (FOLDER, "a_folder", "nothing that was published"),
        (FILE, "own.duckdb", "nothing that was published"),
        (FILE, "tidemark.duckdb", "the warehouse itself"),
        (FILE, "link.duckdb", "the warehouse itself"),
        (FILE, "marts.duckdb", None),
        (FOLDER, "marts", None),
    ],
)
def test_what_it_would_overwrite_is_told_before_any_work(
    setting: str, value: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "own.duckdb").touch()
    (tmp_path / "tidemark.duckdb").touch()
    (tmp_path / "link.duckdb").symlink_to("tidemark.duckdb")
    monkeypatch.setenv("TIDEMARK_DUCKDB_PATH", "tidemark.duckdb")
    monkeypatch.setenv(setting, value)
    if said is None:
        # a relative path is meant from the project
        to = destination(tmp_path)
        assert to is not None
        assert to.all == [tmp_path / value]
        return
    with pytest.raises(ValueError, match=said) as refused:
        destination(tmp_path)
    assert str(refused.value).startswith(f"{setting}: ")


def test_a_file_that_is_called_as_a_schema_is_refused(
    here: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE, str(here.file.with_name("marts.duckdb")))
    told = here.type("run", "--as-of", AN_HOUR_LATER, exit_code=2)
    assert "a file called marts makes" in told


def test_the_warehouse_of_any_profile_is_never_replaced(
    here: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a profile with a path of its own, only the warehouse knows which file it is."""
    monkeypatch.setattr("tidemark.publish._WAREHOUSES", ())
    here.warehouse.chmod(0o444)
    monkeypatch.setenv(FILE, str(here.warehouse))
    monkeypatch.delenv(FOLDER)
    before = here.warehouse.stat().st_ino
    told = here.json("publish", "--as-of", SEED_CLOCK, exit_code=1)
    assert "the warehouse itself" in told["error"]
    assert here.warehouse.stat().st_ino == before
