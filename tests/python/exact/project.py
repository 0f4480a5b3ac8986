"""dbt calls on the project under test: parsed once, then called in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from tidemark.engine import Dbt, Outcome

from .marts import MARTS_OF, connect
from .raw import create
from .variants import running

ROOT = Path(__file__).parents[3]

# Files of the same name in other folders: relation names carry the name of their file.
FILE_NAME = "warehouse.duckdb"

_NO_FILES = ("--no-write-json", "--log-level-file", "none")

_BROKEN = {
    "model": "{{ exceptions.raise_compiler_error('broken on purpose') }}",
    "test": "select 'broken on purpose' as reason",
}


class Project:
    """The project, or a copy of it, on whatever database file a call names."""

    # whether the keys of JSON come in the order that the definitions give them
    keys_in_order = True

    def __init__(
        self,
        domains: Sequence[str],
        target_path: Path,
        root: Path = ROOT,
        target: str = "duckdb",
        audits: bool = True,
    ):
        self.audits = audits
        variables = {"domains": list(domains), **({} if audits else {"audit": "none"})}
        self.dbt = Dbt(root, target, variables, target_path)
        # those of the code that runs, where it is not the code as it is written
        self.rules: dict[str, Any] = {}
        os.environ["TIDEMARK_DUCKDB_PATH"] = str(target_path / FILE_NAME)
        nodes = self.dbt.manifest.nodes.values()
        stored = [n for n in nodes if n.schema in ("marts", "intermediate")]
        marts = {n.name: n for n in stored if n.resource_type == "model"}
        self.marts = [mart for domain in domains for mart in MARTS_OF[domain]]
        assert marts.keys() == set(self.marts), f"marts.py: {marts.keys() ^ set(self.marts)}"
        kinds = {name: node.config.materialized for name, node in marts.items()}
        self.tables = sorted(name for name, kind in kinds.items() if kind != "view")
        # those that a run changes in part
        self.incremental = sorted(
            name
            for name, node in marts.items()
            if kinds[name] == "incremental" and node.config.incremental_strategy != "full"
        )
        # what holds up the nodes below it when it fails
        self.breakable = sorted(
            [node.unique_id for node in marts.values()]
            + [n.unique_id for n in nodes if n.resource_type == "test" and _holds_up_others(n)]
        )

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Around the steps of one history."""
        yield

    def connect(self, database: Path, /) -> duckdb.DuckDBPyConnection:
        """The warehouse in which steps are taken."""
        return connect(database)

    def create_raw_tables(self, database: Path, /) -> None:
        """Where steps are taken, empty."""
        with self.connect(database) as connection:
            create(connection)

    def refresh(self, database: Path, clock: datetime) -> None:
        """Build everything anew in another file."""
        self.succeed(database, clock, "run", "--full-refresh")

    def call(self, database: Path, clock: datetime, *args: str) -> Outcome:
        """One dbt command on one file at one clock."""
        os.environ["TIDEMARK_DUCKDB_PATH"] = str(database)
        return self.dbt.call(*args, *_NO_FILES, as_of=clock, variables=self.rules)

    def succeed(self, database: Path, clock: datetime, *args: str) -> None:
        """A dbt command that must succeed."""
        outcome = self.call(database, clock, *args)
        assert outcome.success, "\n".join([f"dbt {' '.join(args)} failed:", *outcome.errors])

    def request(self, database: Path, clock: datetime, model: str, entity: str, day: str) -> None:
        """Ask for one partition to be recomputed by the next build."""
        args = {"model": model, "entity": entity, "day": day, "reason": "differential test"}
        command = ("run-operation", "request_partition", "--args", json.dumps(args))
        self.succeed(database, clock, *command)

    def fed_by(self, raw_table: str) -> list[str]:
        """The incremental models below a raw table."""
        children = self.dbt.manifest.child_map
        (source,) = (
            source.unique_id
            for source in self.dbt.manifest.sources.values()
            if source.source_name == "raw" and source.name == raw_table
        )
        found, ahead = set(), [source]
        while ahead:
            for child in children[ahead.pop()]:
                if child not in found:
                    found.add(child)
                    ahead.append(child)
        return [name for name in self.incremental if f"model.tidemark_marts.{name}" in found]

    @contextmanager
    def running(self, code: Sequence[str]) -> Iterator[None]:
        """Let the project have other code, by the names of variants."""
        with running(self.dbt.manifest, code) as self.rules:
            try:
                yield
            finally:
                self.rules = {}

    @contextmanager
    def broken(self, unique_id: str) -> Iterator[None]:
        """Let one model or one test fail."""
        node: Any = self.dbt.manifest.nodes[unique_id]
        healthy = node.raw_code
        node.raw_code = _BROKEN[str(node.resource_type)]
        try:
            yield
        finally:
            node.raw_code = healthy

    @contextmanager
    def wrong(self, model: str) -> Iterator[None]:
        """Let one model make every row twice."""
        node: Any = self.dbt.manifest.nodes[f"model.tidemark_marts.{model}"]
        right = node.raw_code
        twice = "cross join (select 1 as n union all select 2) as twice"
        node.raw_code = f"select right_rows.* from (\n{right}\n) as right_rows {twice}"
        try:
            yield
        finally:
            node.raw_code = right


def _holds_up_others(test: Any) -> bool:
    """Tests of domains that are switched off stay in the manifest."""
    return bool(test.config.enabled) and str(test.config.severity).lower() == "error"
