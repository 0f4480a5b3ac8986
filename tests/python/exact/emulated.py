"""The same histories, their steps taken on an emulated Snowflake; definitions stay DuckDB's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
from on_snowflake.loader import create_raw_tables
from on_snowflake.shim import DATABASE, ENVIRONMENT, Emulator, emulated_snowflake

from .project import ROOT, Project


class EmulatedProject(Project):
    """Steps go to an account of their own per history, full refreshes to a file of DuckDB."""

    keys_in_order = False

    def __init__(self, domains: Sequence[str], target_path: Path, root: Path = ROOT):
        os.environ.update(ENVIRONMENT)
        super().__init__(domains, target_path, root, "snowflake")
        self._refreshing = Project(domains, target_path / "duckdb", root)
        self._emulator: Emulator | None = None

    @contextmanager
    def stepping(self) -> Iterator[None]:
        with emulated_snowflake() as self._emulator:
            yield

    def connect(self, _database: Path, /) -> duckdb.DuckDBPyConnection:
        """A hand in the emulated account, which is DuckDB underneath; the file is not used."""
        assert self._emulator is not None, "outside of a history there is no account"
        return self._emulator.underneath()

    def create_raw_tables(self, _database: Path, /) -> None:
        assert self._emulator is not None
        create_raw_tables(self._emulator, DATABASE)

    @contextmanager
    def running(self, code: Sequence[str]) -> Iterator[None]:
        with super().running(code), self._refreshing.running(code):
            yield

    def refresh(self, database: Path, clock: datetime) -> None:
        self._refreshing.refresh(database, clock)
