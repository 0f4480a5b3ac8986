"""`tidemark ingest crm`: the CRM's daily files of all companies, as CSV, into the landing area.

A file lands whole or fails alone. A row that cannot be read is kept beside its reason; the rest of
the file lands.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.clock import parse_clock, parse_day, show_time
from tidemark.ingest import IngestError, reaching, unseen
from tidemark.ingest.landing import (
    JobReport,
    LandedFile,
    Landing,
    LandingError,
    now,
    refuse_wrong_clock,
)

if TYPE_CHECKING:
    import pyarrow as pa

JOB = "crm"
TABLE = "crm_daily"

_ATTRIBUTES = ("name", "country", "industry_tag")
# A column that is not there would be null in every row, which is no change that anybody meant.
_REQUIRED = ("company_id", *_ATTRIBUTES, "last_contact_at")
_LOAD_DATE = "load_date"
# The raw table's own: a file that was exported from it has this column.
_IGNORED = ("loaded_at",)
_DATE_IN_NAME = re.compile(r"\d{4}-\d{2}-\d{2}")

# A daily file of all companies loses few of them in a day: such a share is a file cut short.
_DROP = 0.1

# Characters of a header that a message shows; what is no CSV at all may be one line.
_HEADER = 200

# What the file's metadata remembers of where it came from.
_SHA256, _SOURCE = b"tidemark.source_sha256", b"tidemark.source_name"


class Status(str, Enum):
    """What became of a file."""

    LANDED = "landed"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Source:
    """A delivered file."""

    name: str
    read: Callable[[], bytes]

    @property
    def date_in_name(self) -> date | None:
        """The load date that the name tells."""
        found = _DATE_IN_NAME.search(self.name)
        try:
            return date.fromisoformat(found[0]) if found else None
        except ValueError:
            return None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: its first line, counted from 1, why, and the row as it came."""

    line: int
    reason: str
    record: str


Row = tuple[str, str | None, str | None, str | None, datetime | None]


@dataclass
class Parsed:
    """What a file holds; `warnings` are what its sender should know."""

    load_date: date
    rows: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Delivered:
    """What became of a file, and what there is to say of it."""

    file: str
    status: Status
    load_date: date | None = None
    rows: int = 0
    bad: int = 0
    reason: str = ""
    warnings: tuple[str, ...] = ()


def find(source: str) -> list[Source]:
    """The CSV files of a folder or a URL, by name, or the one file. Raises IngestError."""
    if "://" in source:
        found = _in_store(source)
    else:
        path = Path(source)
        files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
        found = [Source(file.name, file.read_bytes) for file in files if _is_csv(file, path)]
    if not found:
        raise IngestError(f"{source} is no CSV file, and no folder that holds one.")
    return found


def ingest(
    landing: Landing,
    source: str,
    clock: Callable[[], datetime] = now,
    counted: Callable[[int], AbstractContextManager[Callable[[], None]]] = unseen,
) -> list[Delivered]:
    """Land what `find` finds, in that order, and leave a report in any case; `counted` looks on.

    Raises IngestError when there is nothing, or the landing area cannot be written.
    """
    began, delivered = now(), list[Delivered]()
    try:
        landed = _Landed(landing)
        refuse_wrong_clock(landed.files, clock())
        sources = find(source)
        with counted(len(sources)) as done:
            for each in sources:
                delivered.append(_deliver(landed, each, clock()))
                done()
    except (IngestError, KeyboardInterrupt) as error:
        # If it was the landing area that failed, it may take no report either.
        with suppress(LandingError):
            landing.report(_report(began, delivered, str(error) or "Interrupted."))
        raise
    landing.report(_report(began, delivered))
    return delivered


def parse(content: bytes, date_in_name: date | None) -> Parsed:
    """Read a file. Raises IngestError when it cannot be used as a whole."""
    text, warnings = _decode(content)
    lines = _Lines(io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise IngestError(f"its header cannot be read: {error}") from None
    warnings += _check(header, date_in_name)
    # never used where there is a column of load dates
    otherwise = date_in_name or date.min
    good: list[tuple[date, Row]] = []
    bad: list[BadRow] = []
    while True:
        line, lines.taken = reader.line_num + 1, []
        try:
            cells = next(reader)
            if cells:
                good.append(_read(header, cells, otherwise))
        except StopIteration:
            break
        except csv.Error as error:
            if lines.is_over:
                raise IngestError(f"the file ends within the row of line {line}: {error}") from None
            bad.append(BadRow(line, str(error), "".join(lines.taken)))
        except ValueError as error:
            bad.append(BadRow(line, str(error), "".join(lines.taken)))
    dates = {load_date for load_date, _ in good}
    if len(dates) > 1:
        raise IngestError(f"it holds more than one load date, {min(dates)} to {max(dates)}")
    if not dates:
        found = f"none of its {len(bad)} rows can be used: {bad[0].reason}" if bad else "no rows"
        raise _NoRowsError(found, bad)
    (load_date,) = dates
    if date_in_name not in (None, load_date):
        warnings.append(f"its name says {date_in_name}, its rows say {load_date}")
    return Parsed(load_date, [row for _, row in good], bad, warnings)


class _NoRowsError(IngestError):
    """A file without a single good row."""

    def __init__(self, reason: str, bad: list[BadRow]) -> None:
        super().__init__(reason)
        self.bad = bad


class _Lines(Iterator[str]):
    """The lines of a text, those of the current row kept as they are."""

    def __init__(self, text: Iterator[str]) -> None:
        self.taken: list[str] = []
        self.is_over = False
        self._text = text

    def __next__(self) -> str:
        try:
            line = next(self._text)
        except StopIteration:
            self.is_over = True
            raise
        self.taken.append(line)
        return line


def _decode(content: bytes) -> tuple[str, list[str]]:
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        # Every byte is a character of Latin-1: whether it is the right one only people see.
        line = content.count(b"\n", 0, error.start) + 1
        warning = f"line {line} is not UTF-8, so the file was read as Latin-1"
        return content.decode("latin-1"), [warning]


def _check(header: Sequence[str], date_in_name: date | None) -> list[str]:
    """Warnings about a header. Raises IngestError when columns are missing."""
    if not any(header):
        raise IngestError("it is empty")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise IngestError(f"its header names {', '.join(twice)} more than once")
    missing = [name for name in _REQUIRED if name not in header]
    if _LOAD_DATE not in header and not date_in_name:
        missing.append(f"{_LOAD_DATE} (and its name holds no date such as crm_2025-10-14.csv)")
    if missing:
        found = ",".join(header)[:_HEADER]
        raise IngestError(f"its header lacks {', '.join(missing)}; it is {found!r}")
    new = sorted(set(header) - {*_REQUIRED, _LOAD_DATE, *_IGNORED})
    return [f"columns that the raw table does not have: {', '.join(new)}"] if new else []


def _read(header: Sequence[str], cells: Sequence[str], otherwise: date) -> tuple[date, Row]:
    """A row. Raises ValueError saying what is wrong with it."""
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} fields in place of {len(header)}")
    row: Mapping[str, str] = dict(zip(header, cells, strict=True))
    if not row["company_id"]:
        raise ValueError("company_id is empty")
    contact = row["last_contact_at"]
    name, country, industry = (row[attribute] or None for attribute in _ATTRIBUTES)
    return (
        _load_date(row[_LOAD_DATE]) if _LOAD_DATE in row else otherwise,
        (
            row["company_id"],
            name,
            country,
            industry,
            _named("last_contact_at", contact) if contact else None,
        ),
    )


def _named(column: str, text: str) -> datetime:
    try:
        return parse_clock(text)
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None


def _load_date(text: str) -> date:
    try:
        return parse_day(text)
    except ValueError as error:
        raise ValueError(f"load_date: {error}") from None


class _Landed:
    """What has landed before, and since."""

    def __init__(self, landing: Landing) -> None:
        self.landing = landing
        self.files = landing.files(TABLE)

    @cached_property
    def _known(self) -> tuple[dict[str, set[str]], dict[str, str]]:
        """Under which names the same bytes have landed, and what each source last held: digests."""
        import pyarrow.parquet as pq

        days: dict[str, set[str]] = {}
        last: dict[str, str] = {}
        for file in self.files:
            with self.landing.open(file.path) as opened:
                told = pq.read_schema(opened).metadata or {}
            digest = told.get(_SHA256, b"").decode()
            days.setdefault(digest, set()).add(file.name)
            last[told.get(_SOURCE, b"").decode()] = digest
        return days, last

    def has(self, digest: str, source: Source) -> bool:
        """Whether a file brings nothing new.

        What was corrected and is delivered under its name as it was before is new. Under a name
        that has not landed, it is a copy: of the date that the name tells, if it tells one.
        """
        days_of, last = self._known
        if source.name in last:
            return last[source.name] == digest
        days = days_of.get(digest, set())
        day = source.date_in_name
        return bool(days) if day is None else _name(day) in days

    def before(self, load_date: date) -> LandedFile | None:
        """The last file of this load date, or else of the one before."""
        earlier = [file for file in self.files if file.name <= _name(load_date)]
        return max(earlier, key=lambda file: (file.name, file.loaded_at), default=None)

    def count(self, file: LandedFile) -> int:
        """How many rows a file has."""
        import pyarrow.parquet as pq

        with self.landing.open(file.path) as opened:
            rows: int = pq.read_metadata(opened).num_rows
        return rows

    def add(
        self, rows: pa.Table, load_date: date, digest: str, source: Source, loaded_at: datetime
    ) -> None:
        """Land a file."""
        rows = rows.replace_schema_metadata({_SHA256: digest, _SOURCE: source.name})
        path = self.landing.land(TABLE, rows, _name(load_date), loaded_at)
        days_of, last = self._known
        days_of.setdefault(digest, set()).add(_name(load_date))
        last[source.name] = digest
        self.files.append(LandedFile(path, TABLE, _name(load_date), loaded_at, rows.nbytes))


def _deliver(landed: _Landed, source: Source, loaded_at: datetime) -> Delivered:
    try:
        with reaching(source.name, "read"):
            content = source.read()
        digest = hashlib.sha256(content).hexdigest()
        if landed.has(digest, source):
            reason = "the same bytes have landed before"
            return Delivered(source.name, Status.SKIPPED, source.date_in_name, reason=reason)
        parsed = parse(content, source.date_in_name)
    except IngestError as error:
        bad = error.bad if isinstance(error, _NoRowsError) else []
        kept = _reject(landed.landing, source, bad)
        reason = f"{error}; kept in {kept}" if kept else str(error)
        return Delivered(
            source.name, Status.FAILED, source.date_in_name, bad=len(bad), reason=reason
        )
    warnings, reason = list(parsed.warnings), ""
    last = landed.before(parsed.load_date)
    if last:
        rows = landed.count(last)
        if len(parsed.rows) < rows * (1 - _DROP):
            warnings.append(
                f"{len(parsed.rows)} rows, after {rows} in {last.name.removeprefix('crm-')}"
            )
        if last.name == _name(parsed.load_date):
            reason = f"supersedes what landed {show_time(last.loaded_at)}"
    if kept := _reject(landed.landing, source, parsed.bad):
        warnings.append(f"bad rows are kept in {kept}")
    landed.add(_table(parsed, loaded_at), parsed.load_date, digest, source, loaded_at)
    return Delivered(
        source.name,
        Status.LANDED,
        parsed.load_date,
        len(parsed.rows),
        len(parsed.bad),
        reason,
        tuple(warnings),
    )


def _reject(landing: Landing, source: Source, bad: Sequence[BadRow]) -> str:
    """Keep bad rows with their lines and reasons, as CSV: where."""
    if not bad:
        return ""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(("line", "reason", "record"))
    writer.writerows((row.line, row.reason, row.record) for row in bad)
    name = f"{Path(source.name).stem}.csv"
    reason = f"{len(bad)} rows of {source.name} that cannot be used"
    return landing.reject(JOB, name, content.getvalue().encode(), reason)


def _table(parsed: Parsed, loaded_at: datetime) -> pa.Table:
    """The columns of the raw table `crm_daily`."""
    import pyarrow as pa

    companies, names, countries, industries, contacts = zip(*parsed.rows, strict=True)
    return pa.table(
        {
            "company_id": pa.array(companies, pa.string()),
            "name": pa.array(names, pa.string()),
            "country": pa.array(countries, pa.string()),
            "industry_tag": pa.array(industries, pa.string()),
            "last_contact_at": pa.array(contacts, pa.timestamp("us")),
            "load_date": pa.array([parsed.load_date] * len(companies), pa.date32()),
            "loaded_at": pa.array([loaded_at] * len(companies), pa.timestamp("us")),
        }
    )


def _report(began: datetime, delivered: Sequence[Delivered], error: str | None = None) -> JobReport:
    failed = [file for file in delivered if file.status is Status.FAILED]
    if failed and not error:
        error = f"{failed[0].file}: {failed[0].reason}"
        error += f" (and {len(failed) - 1} further files)" if failed[1:] else ""
    return JobReport(
        JOB,
        began,
        now(),
        "failed" if error else "success",
        sum(file.rows for file in delivered),
        error,
        {
            "files": len(delivered),
            "bad_rows": sum(file.bad for file in delivered),
            "warnings": [f"{file.file}: {text}" for file in delivered for text in file.warnings],
        },
    )


def _name(load_date: date) -> str:
    return f"crm-{load_date}"


def _is_csv(file: Path, asked: Path) -> bool:
    return file == asked or (file.suffix.lower() == ".csv" and not file.name.startswith("."))


def _in_store(url: str) -> list[Source]:
    import fsspec

    with reaching(url, "read"):
        # A file may have come since the last listing.
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        if files.isfile(root):
            paths = [root]
        elif files.isdir(root):
            paths = sorted(path for path in files.ls(root, detail=False) if _is_csv_path(path))
        else:
            paths = []

    def reading(path: str) -> Callable[[], bytes]:
        return lambda: bytes(files.cat_file(path))

    return [Source(path.rpartition("/")[2], reading(path)) for path in paths]


def _is_csv_path(path: str) -> bool:
    return _is_csv(Path(path), Path())
