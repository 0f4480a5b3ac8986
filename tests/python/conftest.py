"""What all tests begin with."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from tidemark import cli
from tidemark.commands import session
from tidemark.engine import Dbt

PROJECT = Path(__file__).parents[2]

BuiltOnce = Callable[..., Path]

# Minutes each. Begun last, one of them would leave every other processor idle until it ends.
LONGEST = (
    *("test_arguments.py", "test_wiring.py", "on_snowflake/test_end_to_end.py", "test_example.py"),
    *("test_cli.py", "test_load.py", "test_coverage.py", "test_audit.py", "test_every.py"),
    *("on_snowflake/test_dialect.py", "test_gaps.py", "test_alerts.py", "test_retention.py"),
    *("test_ledger.py", "test_run_lock.py", "exact/test_seeds.py", "faults/test_every.py"),
    *("test_publish.py", "test_code_histories.py", "test_contract.py", "test_following.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; those that follow even out what is left."""
    ranks = {PROJECT / "tests" / "python" / name: rank for rank, name in enumerate(LONGEST)}
    assert all(path.exists() for path in ranks), "LONGEST names a file that is not there"
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


# readline, which pytest imports, puts it into the environment of parallel workers: 80 columns,
# though nobody looks at a terminal.
os.environ.pop("COLUMNS", None)
# Nor are the settings of who works here those of the tests.
os.environ["TIDEMARK_SETTINGS"] = ""


@pytest.fixture(scope="session")
def _common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all parallel workers of this session."""
    here = tmp_path_factory.getbasetemp()
    common = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "common"
    common.mkdir(exist_ok=True)
    return common


@pytest.fixture(scope="session", autouse=True)
def _read_once(_common: Path) -> Iterator[None]:
    """Keep what dbt has read of the project, for all tests that have the same vars and target.

    Reading it takes 5 s of a processor, and what dbt keeps for its own next reading 0.2 s. dbt
    would not take that: each test has a database of its own, whose path is a part of the profile.
    """
    read = Dbt.manifest.func

    def manifest(self: Dbt) -> Any:
        if self.project_dir != PROJECT or self.target_path is None:
            return read(self)
        # The database's name, which relations carry, is that of its file.
        files = [
            Path(os.environ.get(f"TIDEMARK_{each}_PATH", "")).stem for each in ("DEMO", "DUCKDB")
        ]
        key = json.dumps([self.target, dict(self.variables), files], sort_keys=True)
        file = _common / sha256(key.encode()).hexdigest()
        if not file.exists():
            found = read(self)
            written = file.with_suffix(f".{uuid4().hex}")
            shutil.copy(self.target_path / "partial_parse.msgpack", written)
            written.rename(file)
            return found
        from dbt.contracts.graph.manifest import Manifest

        found = Manifest.from_msgpack(file.read_bytes())
        found.build_flat_graph()
        found.build_parent_and_child_maps()
        return found

    shared = cached_property(manifest)
    shared.__set_name__(Dbt, "manifest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dbt, "manifest", shared)
        yield


@pytest.fixture(scope="session")
def built_once(_common: Path) -> BuiltOnce:
    """Databases that more than one module begins with, each built by the first that wants it."""

    def built(
        folder: Path, commands: Sequence[str], as_of: datetime, variables: Mapping[str, Any] = {}
    ) -> Path:
        """A copy in a folder of what commands make of an empty file at a clock."""
        key = json.dumps([list(commands), as_of.isoformat(), dict(variables)], sort_keys=True)
        home = _common / sha256(key.encode()).hexdigest()
        home.mkdir(exist_ok=True)
        path, done = home / "tidemark.duckdb", home / "done"
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("TIDEMARK_DEMO_PATH", str(path))
                    patch.setenv("DBT_LOG_PATH", str(home / "logs"))
                    patch.delenv("TIDEMARK_ALERT_URLS", raising=False)
                    dbt = Dbt(PROJECT, "demo", variables, home / "target")
                    patch.setattr(session, "dbt_of", lambda *_: dbt)
                    for command in commands:
                        if command == "tidemark run":
                            asked = ["run", "--as-of", as_of.isoformat()]
                            ran = CliRunner().invoke(cli.app, asked)
                            assert ran.exit_code == 0, ran.output
                        else:
                            dbt.call(command, as_of=as_of).raise_if_failed()
                done.touch()
        return Path(shutil.copy(path, folder / path.name))

    return built


@pytest.fixture(scope="session")
def _object_store() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(_object_store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of an S3 of the tests' own, which the environment leads to."""
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", _object_store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"b-{uuid4().hex}"
    fsspec.filesystem("s3", use_listings_cache=False).mkdir(name)
    return f"s3://{name}"
