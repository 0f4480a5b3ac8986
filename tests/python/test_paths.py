"""One setting, one file: whichever command is called, and from which folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from tidemark import cli
from tidemark.engine import Dbt
from tidemark.ingest import crm
from tidemark.ingest.landing import Landing
from tidemark.lineage import INTERFACE
from tidemark.load import bring_in

PROJECT = Path(__file__).parents[2]


def test_paths_in_the_profile() -> None:
    # As dbt reads it, up to the credentials; in a process of its own, whose flags these are.
    script = (
        "import os, sys\n"
        "from dbt.cli.flags import Flags\n"
        "from dbt.cli.main import cli\n"
        "from dbt.config.runtime import load_profile\n"
        "from dbt.flags import set_flags\n"
        "from dbt_common.context import set_invocation_context\n"
        "project, *given = sys.argv[1:]\n"
        "asked = cli.make_context('dbt', ['debug'])\n"
        "set_flags(Flags(cli.commands['debug'].make_context('debug', [], parent=asked)))\n"
        "for path in given:\n"
        "    for target, key, variable in (\n"
        "        ('demo', 'path', 'TIDEMARK_DEMO_PATH'),\n"
        "        ('duckdb', 'path', 'TIDEMARK_DUCKDB_PATH'),\n"
        "        ('snowflake', 'private_key_path', 'SNOWFLAKE_PRIVATE_KEY_PATH'),\n"
        "    ):\n"
        "        set_invocation_context({variable: path, 'SNOWFLAKE_USER': 'loader'})\n"
        "        profile = load_profile(project, {}, target_override=target)\n"
        "        print(getattr(profile.credentials, key))\n"
    )
    given = ["warehouse.duckdb", "../a/w.duckdb", "/data/w.duckdb"]
    ran = subprocess.run(
        [sys.executable, "-c", script, str(PROJECT), *given],
        capture_output=True,
        text=True,
        cwd=PROJECT / "models",
        env={**os.environ, "DBT_PROFILES_DIR": str(PROJECT)},
    )
    assert ran.stdout.splitlines() == [str(PROJECT / path) for path in given for _ in range(3)], (
        ran.stderr
    )


def test_dbt_reads_the_profile_that_the_caller_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    class Runner:
        def __init__(self, **_: object) -> None:
            pass

        def invoke(self, args: list[str]) -> SimpleNamespace:
            called.append(args)
            spoken = SimpleNamespace(macro_sql=f"return({INTERFACE})")
            project = SimpleNamespace(macros={"macro.tidemark.interface_version": spoken})
            return SimpleNamespace(success=True, result=project, exception=None)

    monkeypatch.setattr("dbt.cli.main.dbtRunner", Runner)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DBT_PROFILES_DIR", "mine")
    Dbt(PROJECT).manifest  # noqa: B018
    ((*_, given),) = [args[: args.index("--profiles-dir") + 2] for args in called]
    assert given == str(tmp_path / "mine")


def test_the_landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIDEMARK_LANDING", raising=False)
    assert Landing.at(None, PROJECT).root == str(PROJECT / "landing")
    monkeypatch.setenv("TIDEMARK_LANDING", "area")
    assert Landing.at(None, PROJECT).root == str(PROJECT / "area")
    # said on the command line, it is meant as any argument in a shell
    assert Landing.at("area", PROJECT).root == str(tmp_path / "area")
    assert Landing.at("s3://bucket/area/", PROJECT).root == "s3://bucket/area"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("exports", str(PROJECT / "exports")), ("s3://exports/crm", "s3://exports/crm")],
)
def test_the_crm_s_files(
    given: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def take(_: Landing, source: str, *__: Any) -> list[Any]:
        asked.append(source)
        return []

    monkeypatch.setattr(crm, "ingest", take)
    monkeypatch.setattr("tidemark.load.load", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMARK_CRM_PATH", given)
    monkeypatch.setenv("TIDEMARK_LANDING", str(tmp_path))
    monkeypatch.delenv("TIDEMARK_USAGE_URL", raising=False)
    here = ["--project-dir", str(PROJECT), "--json"]
    assert CliRunner().invoke(cli.app, ["ingest", "crm", *here]).exit_code == 0
    assert CliRunner().invoke(cli.app, ["ingest", "crm", "said", *here]).exit_code == 0
    bring_in(Dbt(PROJECT))
    assert asked == [expected, "said", expected]
    assert os.environ["TIDEMARK_CRM_PATH"] == expected
