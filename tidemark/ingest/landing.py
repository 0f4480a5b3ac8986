"""The landing area: what was ingested, in immutable files, before the warehouse has it.

    <root>/<raw table>/<day of the load time>/<load time>-<name>.parquet
    <root>/rejected/<job>/<time>-<name>, with the reason beside it
    <root>/jobs/<end>-<job>.json

The root is a folder or the URL of a bucket, `s3://bucket/prefix`. Names sort in the order of the
load times. A file is there whole or not at all, and never changes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol
from uuid import uuid4

from tidemark.clock import parse_clock, show_time
from tidemark.ingest import IngestError, reaching
from tidemark.paths import of_setting
from tidemark.shown import has_secrets, hidden, hidden_in

if TYPE_CHECKING:
    import pyarrow as pa

# To the microsecond, as precise as the warehouse's timestamps.
_TIME = "%Y%m%dT%H%M%S%fZ"
_LANDED = re.compile(
    r"(?P<table>\w+)/\d{4}-\d{2}-\d{2}/(?P<time>\d{8}T\d{12}Z)-(?P<name>[^/]+)\.parquet"
)
_REPORT = re.compile(r"jobs/(?P<time>\d{8}T\d{12}Z)-[^/]+\.json")
_CHUNK = 1 << 20
# Bytes of the name that something came under: file systems take 255, with the time and an ending.
_NAME = 150
# Folders that hold no raw table.
_REJECTED, _JOBS = "rejected", "jobs"


class LandingError(IngestError):
    """The landing area cannot be read or written; a file is there whole or not at all."""


@dataclass(frozen=True)
class LandedFile:
    """A file of rows of one raw table; `path` is relative to the root, `size` in bytes."""

    path: str
    table: str
    name: str
    loaded_at: datetime
    size: int


@dataclass(frozen=True)
class JobReport:
    """How a run of an ingest job went, for the ledger; times in UTC, without zone."""

    job: str
    started_at: datetime
    completed_at: datetime
    status: str
    records: int
    error: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)


def now() -> datetime:
    """The machine's time in UTC, without zone."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def refuse_wrong_clock(files: Iterable[LandedFile], clock: datetime) -> None:
    """Raise IngestError if what is landed now would stand below what it should supersede.

    Or above what comes later: a clock ahead of the machine's does that.
    """
    if clock > now():
        raise IngestError(
            f"The clock, {show_time(clock)}, lies in the future. Nothing was touched."
        )
    latest = max((file.loaded_at for file in files), default=clock)
    if clock < latest:
        raise IngestError(
            f"The clock, {show_time(clock)}, lies before what landed last, {show_time(latest)}: the"
            " later load time of a day wins, so the older answer would. Nothing was touched. Set"
            " the clock right."
        )


class _Store(Protocol):
    """Where files are kept, by paths relative to the root."""

    def put(self, path: str, content: bytes | Path) -> None:
        """Make a file, durable when this returns. Raises FileExistsError if there is one."""

    def open(self, path: str) -> BinaryIO:
        """Open a file."""

    def find(self, folder: str) -> dict[str, int]:
        """All that lies below a folder and is none, with sizes in bytes."""

    def top(self) -> tuple[list[str], list[str]]:
        """The folders of the root, and what else lies there."""


@dataclass(frozen=True)
class Listing:
    """What lies in a landing area: the landed files in the order of their load times, and the rest.

    Nobody reads what is `unread`: its path is none that a landed file or a report has.
    """

    files: list[LandedFile]
    unread: list[str]


@dataclass(frozen=True)
class Landing:
    """A landing area. Raises LandingError wherever it cannot be read or written."""

    root: str

    @classmethod
    def at(cls, root: str | None = None, project_dir: Path | None = None) -> Landing:
        """The given root, else TIDEMARK_LANDING, else the bucket S3_BUCKET_RAW_EVENTS.

        Without any of them it is the folder `landing` of the project. A relative TIDEMARK_LANDING
        is meant from the project's folder, as paths in its profile are. Raises LandingError for a
        URL with a password or a query: the root goes into reports, the ledger and the logs.
        """
        project = (project_dir or Path()).resolve()
        bucket = os.environ.get("S3_BUCKET_RAW_EVENTS")
        known = root or os.environ.get("TIDEMARK_LANDING") or (f"s3://{bucket}" if bucket else "")
        known = known or "landing"
        if "://" in known and has_secrets(known):
            raise LandingError(
                "The landing area (--landing, TIDEMARK_LANDING) holds a user, a password or a"
                " query. Leave them out: keys are read where the clients of the store look for"
                " them, AWS_ACCESS_KEY_ID and the like."
            )
        return cls(of_setting(known, Path.cwd() if root else project))

    def url(self, path: str) -> str:
        """Where a file is, for those who do not know the root."""
        return f"{self.root}/{path}"

    def path_of(self, table: str, name: str, loaded_at: datetime) -> str:
        """Where `land` puts a file."""
        return f"{table}/{loaded_at:%Y-%m-%d}/{loaded_at.strftime(_TIME)}-{name}.parquet"

    def land(
        self,
        table: str,
        rows: pa.Table,
        name: str,
        loaded_at: datetime,
        compression: str = "zstd",
    ) -> str:
        """Land rows of a raw table, all its columns, the load time among them: the file's path.

        To land the same again under the same name and load time is harmless.
        """
        import pyarrow.parquet as pq

        content = io.BytesIO()
        pq.write_table(rows, content, compression=compression)
        return self._put(self.path_of(table, name, loaded_at), content.getvalue())

    def land_file(self, table: str, rows: Path, name: str, loaded_at: datetime) -> str:
        """Land a Parquet file of this machine, as `land` does: rows that are too many to hold."""
        return self._put(self.path_of(table, name, loaded_at), rows)

    def reject(self, job: str, name: str, content: bytes | Path, reason: str) -> str:
        """Keep what could not be used, as it came: its path. The reason is beside it."""
        path = f"{_REJECTED}/{job}/{now().strftime(_TIME)}-{_file_name(name)}"
        path = self._put(path, content)
        self._put(f"{path}.reason.txt", f"{hidden(reason)}\n".encode(errors="backslashreplace"))
        return path

    def report(self, report: JobReport) -> str:
        """Leave the report of a job's run, for the ledger: its path."""
        told = {name: hidden_in(_value(value)) for name, value in vars(report).items()}
        path = f"{_JOBS}/{report.completed_at.strftime(_TIME)}-{report.job}.json"
        return self._put(path, json.dumps(told, indent=2).encode())

    def files(self, table: str | None = None) -> list[LandedFile]:
        """The landed files of one raw table, or of all, in the order of their load times."""
        return self.listing(table).files

    def listing(self, table: str | None = None) -> Listing:
        """What lies in the folder of one raw table, or in all of them.

        Where the answer of a day is listed, its rows are: they land first, and are listed last.
        """
        with reaching(self.root, "read", LandingError):
            tables, others = ([table], []) if table else self._store.top()
            found: dict[str, int] = {}
            for each in sorted(tables, reverse=True):
                if each != _REJECTED:
                    found |= self._store.find(each)
        landed = [file for path, size in found.items() if (file := _landed(path, size))]
        known = {file.path for file in landed}
        unread = [path for path in found if path not in known and not _is_report(path)]
        return Listing(
            sorted(landed, key=lambda file: (file.path.rpartition("/")[2], file.table)),
            sorted(shown(path) for path in [*unread, *others]),
        )

    def report_paths(self) -> list[str]:
        """Where the reports of all runs are, in the order of their ends."""
        with reaching(self.root, "read", LandingError):
            return sorted(path for path in self._store.find(_JOBS) if _is_report(path))

    def reports(self) -> dict[str, JobReport]:
        """The reports of all runs by path, in the order of their ends."""
        return {path: self.read_report(path) for path in self.report_paths()}

    def read_report(self, path: str) -> JobReport:
        """The report of one run."""
        with self.open(path) as file:
            content = file.read()
        try:
            told = json.loads(content)
            times = {name: parse_clock(told[name]) for name in ("started_at", "completed_at")}
            return JobReport(**{**told, **times})
        except (ValueError, TypeError, KeyError) as error:
            raise LandingError(f"{self.url(path)} is no report of a job: {error}") from None

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Read a file."""
        with reaching(self.url(path), "read", LandingError), self._store.open(path) as file:
            yield file

    @cached_property
    def _store(self) -> _Store:
        return _Bucket(self.root) if "://" in self.root else _Folder(Path(self.root))

    def _put(self, path: str, content: bytes | Path) -> str:
        with reaching(self.url(path), "written", LandingError):
            try:
                self._store.put(path, content)
            except FileExistsError:
                # A put whose answer was lost is repeated by the client, and meets its own file.
                with self._store.open(path) as file, _opened(content) as ours:
                    is_same = _is_same(file, ours)
                if not is_same:
                    raise LandingError(
                        f"{self.url(path)} is there already, with other content. Landed files never"
                        " change: land it with a later load time."
                    ) from None
        return path


@dataclass(frozen=True)
class _Folder:
    """A folder of this machine."""

    root: Path

    def put(self, path: str, content: bytes | Path) -> None:
        final = self.root / path
        _make_durable_folder(final.parent)
        if final.exists():
            raise FileExistsError(final)
        # Names with a dot are never listed: a killed job leaves one behind, which may be deleted.
        temporary = final.with_name(f".{uuid4().hex}.tmp")
        with temporary.open("xb") as file, _opened(content) as ours:
            shutil.copyfileobj(ours, file, _CHUNK)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        _sync_folder(final.parent)

    def open(self, path: str) -> BinaryIO:
        return (self.root / path).open("rb")

    def find(self, folder: str) -> dict[str, int]:
        found = {}
        for above, folders, files in os.walk(self.root / folder, onerror=_raise_unless_none):
            # What is linked is not looked into: a link may lead back.
            links = [name for name in folders if Path(above, name).is_symlink()]
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in [*files, *links]:
                if not name.startswith("."):
                    file = Path(above, name)
                    found[file.relative_to(self.root).as_posix()] = file.lstat().st_size
        return found

    def top(self) -> tuple[list[str], list[str]]:
        if not self.root.is_dir():
            return [], []
        seen = [each for each in self.root.iterdir() if not each.name.startswith(".")]
        folders = [each.name for each in seen if each.is_dir()]
        return folders, [each.name for each in seen if not each.is_dir()]


class _Bucket:
    """A place in an object store; a put is whole or not at all there, and makes no second one."""

    def __init__(self, root: str) -> None:
        import fsspec

        # Another process may have landed something since the last listing.
        self.files, self.root = fsspec.core.url_to_fs(root, use_listings_cache=False)

    def put(self, path: str, content: bytes | Path) -> None:
        if isinstance(content, Path):
            self.files.put_file(str(content), f"{self.root}/{path}", mode="create")
        else:
            self.files.pipe_file(f"{self.root}/{path}", content, mode="create")

    def open(self, path: str) -> BinaryIO:
        opened: BinaryIO = self.files.open(f"{self.root}/{path}", "rb")
        return opened

    def find(self, folder: str) -> dict[str, int]:
        found = self.files.find(f"{self.root}/{folder}", detail=True)
        sizes = {self._relative(path): known["size"] for path, known in found.items()}
        return {path: size for path, size in sizes.items() if _is_seen(path)}

    def top(self) -> tuple[list[str], list[str]]:
        try:
            listed = self.files.ls(self.root, detail=True)
        except FileNotFoundError:
            return [], []
        seen = {self._relative(each["name"]): each["type"] == "directory" for each in listed}
        folders = [name for name, is_folder in seen.items() if is_folder]
        # An empty object may stand for the root itself.
        rest = [name for name in seen if name not in folders and _is_seen(name)]
        return folders, rest

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self.root}/").rstrip("/")


def _opened(content: bytes | Path) -> BinaryIO:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _is_same(one: BinaryIO, other: BinaryIO) -> bool:
    while chunk := one.read(_CHUNK):
        if chunk != other.read(len(chunk)):
            return False
    return not other.read(1)


def _make_durable_folder(folder: Path) -> None:
    """Make a folder and those above it, each known to the disk."""
    if not folder.is_dir():
        _make_durable_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Have the disk keep what a folder holds: a rename is lost without, when the power fails."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def shown(name: str) -> str:
    """A file's name on one line, where it may hold line breaks, or bytes that are no text."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _is_text(path: str) -> bool:
    """Whether a path can be told to others: names in a folder may be any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _landed(path: str, size: int) -> LandedFile | None:
    """The landed file of a path, if that is how landed files are called."""
    told = _LANDED.fullmatch(path)
    if told and _is_text(path) and (loaded_at := _time_of(told["time"])):
        return LandedFile(path, told["table"], told["name"], loaded_at, size)
    return None


def _is_report(path: str) -> bool:
    told = _REPORT.fullmatch(path)
    return told is not None and _is_text(path) and _time_of(told["time"]) is not None


def _is_seen(path: str) -> bool:
    """Whether no part of a path begins with a dot; an empty one is no file."""
    return bool(path) and not any(part.startswith(".") for part in path.split("/"))


def _raise_unless_none(error: OSError) -> None:
    """A folder that cannot be listed must not look empty; what is none has nothing in it."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _time_of(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.strptime(text, _TIME)
    return None


def _file_name(name: str) -> str:
    """A name as file systems take it: what is no UTF-8 is spelt, what is too long cut."""
    spelt = name.encode(errors="backslashreplace").decode()
    if len(spelt.encode()) <= _NAME:
        return spelt
    stem, dot, ending = spelt.rpartition(".")
    digest = hashlib.sha256(spelt.encode()).hexdigest()[:12]
    short = (stem or spelt).encode()[: _NAME - 30].decode(errors="ignore")
    return f"{short}-{digest}{dot}{ending[:10] if dot else ''}"


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
