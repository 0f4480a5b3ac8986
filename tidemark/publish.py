"""A copy of marts and ops for readers, who never meet a lock and never stop a run.

It is written under another name beside its own, and renamed when it is whole: who has the one
before open keeps it, and a copy that is killed leaves it as it was.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter

from tidemark import paths
from tidemark.engine import Dbt, DbtError

FILE, FOLDER = "TIDEMARK_PUBLISH", "TIDEMARK_PUBLISH_PARQUET"
# The files of the profile's targets: what is published must be none of them.
_WAREHOUSES = ("TIDEMARK_DUCKDB_PATH", "TIDEMARK_DEMO_PATH")
# Readers that open it for writing would lock each other out.
_WRITABLE = 0o222


@dataclass(frozen=True)
class Destination:
    """What the settings name: a DuckDB file, a folder of Parquet files, or both."""

    file: Path | None
    folder: Path | None

    @property
    def all(self) -> list[Path]:
        """Those that are named."""
        return [path for path in (self.file, self.folder) if path]

    @property
    def published_at(self) -> datetime | None:
        """Since when all of it has been there, by the wall clock in UTC."""
        times = [path.lstat().st_mtime for path in self.all if path.exists()]
        if not times or len(times) < len(self.all):
            return None
        return datetime.fromtimestamp(min(times), timezone.utc).replace(tzinfo=None)

    def is_behind(self, last_build: datetime | None) -> bool:
        """Whether something was built since."""
        since = self.published_at
        return last_build is not None and (since is None or since < last_build)


@dataclass(frozen=True)
class Published:
    """What was copied, and how long that took."""

    paths: list[str]
    relations: int
    seconds: float


def destination(project_dir: Path) -> Destination | None:
    """What the environment names, if anything. Raises ValueError where it cannot be written."""
    file, folder = (_setting(name, project_dir) for name in (FILE, FOLDER))
    if file is None and folder is None:
        return None
    for name, path in ((FILE, file), (FOLDER, folder)):
        if path and not path.parent.is_dir():
            raise ValueError(f"{name}: there is no folder {path.parent}. Make it, or correct it.")
    if file and file.is_dir():
        raise ValueError(f"{FILE}: {file} is a folder, not a file. Name a file in it.")
    if file:
        for name in _WAREHOUSES:
            if (warehouse := _setting(name, project_dir)) and _is_same(file, warehouse):
                raise ValueError(
                    f"{FILE}: {file} is the warehouse itself ({name}). Name another file."
                )
    if file and file.exists() and file.stat().st_mode & _WRITABLE:
        raise ValueError(
            f"{FILE}: {file} is there, and nothing that was published: that is read-only. Name"
            " another file, or delete it."
        )
    if folder and folder.exists() and not folder.is_symlink():
        raise ValueError(
            f"{FOLDER}: {folder} is there, and nothing that was published: that is a link to the"
            " newest of its copies. Name another folder, or delete it."
        )
    return Destination(file, folder)


def refuse_ambiguous(to: Destination, schemas: Collection[str]) -> None:
    """Raise ValueError for a file that is called as a schema: a reader's `marts.x` would be two."""
    if to.file and to.file.stem in schemas:
        name = to.file.stem
        raise ValueError(f"{FILE}: a file called {name} makes `{name}.x` ambiguous. Rename it.")


def _setting(name: str, project_dir: Path) -> Path | None:
    value = os.environ.get(name)
    return Path(paths.of_setting(value, project_dir)) if value else None


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def publish(dbt: Dbt, to: Destination, as_of: datetime | None = None) -> Published:
    """Copy what people read, and put the copies in the place of the ones before."""
    # reading the project is no part of it
    _ = dbt.manifest
    began = perf_counter()
    with _alone(to.all):
        for path in to.all:
            _clear(path, spared=path.resolve())
        file, folder = (_unfinished(path, dbt.run_id) for path in (to.file, to.folder))
        try:
            if folder:
                folder.mkdir()
            arguments = {"path": str(file) if file else None, "folder": folder and str(folder)}
            copied = dbt.operate("publish", arguments, as_of).event("published")
            if to.file and _is_same(to.file, dbt.project_dir / copied["warehouse"]):
                raise DbtError(f"{FILE} is the warehouse itself. Name another file.")
            if file and to.file:
                file.chmod(file.stat().st_mode & ~_WRITABLE)
                file.replace(to.file)
            if folder and to.folder:
                _point(to.folder, folder, dbt.run_id)
        finally:
            for path in to.all:
                _clear(path, spared=path.resolve())
    return Published(
        [str(path) for path in to.all], copied["relations"], round(perf_counter() - began, 3)
    )


def _unfinished(path: Path | None, run_id: str) -> Path | None:
    """Where a copy is written: in the same folder, since only there renaming is one step."""
    return path and path.with_name(f".{path.name}.{run_id}")


def _point(link: Path, folder: Path, run_id: str) -> None:
    """Let a link lead to another folder, in one step."""
    new = link.with_name(f".{link.name}.{run_id}.link")
    new.symlink_to(folder.name)
    new.replace(link)


@contextmanager
def _alone(places: list[Path]) -> Iterator[None]:
    """One publication at a time, or an older copy might replace a newer one.

    The system unlocks the folders when a process is killed.
    """
    import fcntl

    held = [os.open(folder, os.O_RDONLY) for folder in sorted({path.parent for path in places})]
    try:
        for each in held:
            fcntl.flock(each, fcntl.LOCK_EX)
        yield
    finally:
        for each in held:
            os.close(each)


def _clear(path: Path, spared: Path) -> None:
    """Remove copies that are no longer, or not yet, under their name."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f-]{{36}}(\.\w+)?")
    for left in path.parent.iterdir():
        if left == spared or not ours.fullmatch(left.name):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()
