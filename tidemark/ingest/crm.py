"""`tidemark ingest crm`: the CRM's daily files of all companies, as CSV, into the landing area.

A file lands whole or fails alone. A row that cannot be read is kept beside its reason; the rest of
the file lands.
"""

from __future__ import annotations

import csv
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.clock import parse_clock, parse_day, show_time
from tidemark.ingest import IngestError, reaching, reported, unseen, words
from tidemark.ingest.csv_text import Form, Record, Text, is_text, records, rows_within
from tidemark.ingest.landing import (
    JobReport,
    LandedFile,
    Landing,
    now,
    refuse_wrong_clock,
    shown,
)
from tidemark.shown import hidden

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

# Rows, and characters of their fields, that are held at once, however large the file is.
_BATCH_ROWS, _BATCH_SIZE = 10_000, 1 << 24

# How many files that are not read a message names.
_NAMED = 5

# Of a file's name in that of its bad rows, which has a time and an ending besides: 255 bytes.
_NAME_BYTES = 100

_ENDINGS = (".csv", ".csv.gz")

# What the file's metadata remembers of where it came from.
_SHA256, _SOURCE = b"tidemark.source_sha256", b"tidemark.source_name"


class Status(str, Enum):
    """What became of a file."""

    LANDED = "landed"
    SKIPPED = "skipped"
    FAILED = "failed"
    IGNORED = "not read"


@dataclass(frozen=True)
class Source:
    """A delivered file; `copy` fetches it to a path of this machine."""

    name: str
    copy: Callable[[Path], object]

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


@dataclass(frozen=True)
class Delivered:
    """What became of a file, and what there is to say of it."""

    file: str
    status: Status
    load_date: date | None = None
    rows: int = 0
    bad: int = 0
    trimmed: int = 0
    reason: str = ""
    warnings: tuple[str, ...] = ()


def find(source: str) -> tuple[list[Source], list[Delivered]]:
    """The CSV files of a folder or a URL, by name, or the one file; and what is there besides.

    Raises IngestError when there is no CSV file.
    """
    found, ignored = _in_store(source) if "://" in source else _in_folder(Path(source))
    if not found:
        others = ", ".join(file.file for file in ignored[:_NAMED])
        more = f" and {len(ignored) - _NAMED} more" if ignored[_NAMED:] else ""
        raise IngestError(
            f"{source} is no CSV file, and no folder that holds one."
            + (f" It holds {others}{more}." if ignored else "")
        )
    return found, ignored


def ingest(
    landing: Landing,
    source: str,
    clock: Callable[[], datetime] = now,
    counted: Callable[[int], AbstractContextManager[Callable[[], None]]] = unseen,
    form: Form | None = None,
) -> list[Delivered]:
    """Land what `find` finds, in that order, and leave a report in any case; `counted` looks on.

    Raises IngestError when there is nothing, or the landing area cannot be written.
    """
    began, delivered = now(), list[Delivered]()
    try:
        form = form or Form.of()
        landed = _Landed(landing)
        refuse_wrong_clock(landed.files, clock())
        sources, ignored = find(source)
        with counted(len(sources)) as done:
            for each in sources:
                delivered.append(_deliver(landed, each, form, clock()))
                done()
        delivered += ignored
    except (Exception, KeyboardInterrupt) as error:
        report = _report(began, delivered, words(error))
        raise reported(error, lambda: landing.report(report)) from None
    landing.report(_report(began, delivered))
    return delivered


class Reading:
    """The rows of a file, read once from its beginning to its end; the bad ones stand among them.

    What its sender should know of it is in `warnings` at the end. Raises IngestError when it cannot
    be used as a whole: nothing of it may be kept then.
    """

    def __init__(self, text: Text, date_in_name: date | None) -> None:
        self.trimmed = 0
        self.warnings: list[str] = []
        self._text, self._date_in_name = text, date_in_name
        # never used where there is a column of load dates
        self._otherwise = date_in_name or date.min
        self._header: list[str] = []
        self._dates: set[date] = set()
        self._bad = self._undecoded = 0
        self._first_reason = ""

    @property
    def load_date(self) -> date:
        """The load date of its rows, from the first good one on."""
        return min(self._dates)

    def __iter__(self) -> Iterator[Row | BadRow]:
        with self._text.open() as opened:
            rows = records(opened, self._text.form.delimiter, self._is_row)
            self._read_header(rows)
            for record in rows:
                yield self._read(record)
        self._judge()

    def _read_header(self, rows: Iterator[Record]) -> None:
        told = self._text.form_in_words
        try:
            first = next(rows, None)
        except IngestError as error:
            raise IngestError(f"its header cannot be read: {error}; {told}") from None
        if first and first.fault:
            raise IngestError(f"its header cannot be read: {first.fault}; {told}")
        # A mark of the byte order is left where the encoding was told.
        header = [name.strip().removeprefix("\ufeff") for name in first.cells] if first else []
        header = [self._text.form.names.get(name, name) for name in header]
        self.warnings += _check(header, self._date_in_name, told)
        self._header = header
        lines = first.lines[1:] if first else []
        if any(rows_within(lines, self._text.form.delimiter, self._is_row)):
            raise IngestError(f"a quote in its header is not closed before line {1 + len(lines)}")

    def _read(self, record: Record) -> Row | BadRow:
        try:
            self._refuse(record)
            load_date, row = _read(self._header, record.cells, self._otherwise)
        except ValueError as error:
            over = f" (lines {record.first} to {record.last})" if record.last > record.first else ""
            bad = BadRow(record.first, f"{error}{over}", record.text)
            self._bad += 1
            self._first_reason = self._first_reason or bad.reason
            return bad
        self.trimmed += row[0] != record.cells[self._header.index("company_id")]
        self._dates.add(load_date)
        return row

    def _refuse(self, record: Record) -> None:
        if not self._text.is_clean and not is_text(record.text):
            self._undecoded += 1
            strange = next(each for each in record.text if not is_text(each))
            raise ValueError(f"the byte 0x{ord(strange) & 0xFF:02X} is no {self._text.called}")
        if record.fault:
            raise ValueError(record.fault)

    def _is_row(self, cells: Sequence[str]) -> bool:
        with suppress(ValueError):
            return bool(self._header and _read(self._header, cells, self._otherwise))
        return False

    def _judge(self) -> None:
        dates = self._dates
        if len(dates) > 1:
            raise IngestError(f"it holds more than one load date, {min(dates)} to {max(dates)}")
        encoding = self._text.called
        if self._text.is_recognised:
            self.warnings.append(
                f"it is not UTF-8 and was read as {encoding}, which it seems to be; if it is not,"
                " say --encoding"
            )
        if self._undecoded:
            self.warnings.append(
                f"rows with bytes that are no {encoding}: {self._undecoded}; if the file has"
                " another encoding, say which one with --encoding"
            )
        if not dates:
            # The encoding may be what is wrong with all of them.
            told = "; ".join([self._first_reason, *self.warnings])
            none = f"none of its {self._bad} rows can be used: {told}"
            raise IngestError(none if self._bad else "no rows")
        if self._date_in_name not in (None, self.load_date):
            told = f"its name says {self._date_in_name}, its rows say {self.load_date}"
            self.warnings.append(told)
        if self.trimmed:
            told = "company ids with white space around them, which was taken off"
            self.warnings.append(f"{told}: {self.trimmed}")


def _check(header: Sequence[str], date_in_name: date | None, form: str) -> list[str]:
    """Warnings about a header. Raises IngestError when columns are missing.

    `form` says how the file was read, which may be why.
    """
    if not any(header):
        raise IngestError("it is empty")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise IngestError(f"its header names {', '.join(map(shown, twice))} more than once")
    missing = [name for name in _REQUIRED if name not in header]
    if _LOAD_DATE not in header and not date_in_name:
        missing.append(f"{_LOAD_DATE} (and its name holds no date such as crm_2025-10-14.csv)")
    if missing:
        found = ",".join(header)[:_HEADER]
        raise IngestError(f"its header lacks {', '.join(missing)}; it is {found!r}; {form}")
    new = sorted(set(header) - {*_REQUIRED, _LOAD_DATE, *_IGNORED})
    named = ", ".join(shown(name) for name in new)
    return [f"columns that the raw table does not have: {named}"] if new else []


def _read(header: Sequence[str], cells: Sequence[str], otherwise: date) -> tuple[date, Row]:
    """A row. Raises ValueError saying what is wrong with it."""
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} fields in place of {len(header)}")
    row: Mapping[str, str] = dict(zip(header, cells, strict=True))
    company = row["company_id"].strip()
    if not company:
        raise ValueError("company_id is empty")
    contact = row["last_contact_at"]
    name, country, industry = (row[attribute] or None for attribute in _ATTRIBUTES)
    return (
        _load_date(row[_LOAD_DATE]) if _LOAD_DATE in row else otherwise,
        (
            company,
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

    def add(self, rows: Path, load_date: date, digest: str, source: Source, at: datetime) -> None:
        """Land a file."""
        path = self.landing.land_file(TABLE, rows, _name(load_date), at)
        days_of, last = self._known
        days_of.setdefault(digest, set()).add(_name(load_date))
        last[source.name] = digest
        size = rows.stat().st_size
        self.files.append(LandedFile(path, TABLE, _name(load_date), at, size))


def _deliver(landed: _Landed, source: Source, form: Form, loaded_at: datetime) -> Delivered:
    told = Delivered(source.name, Status.FAILED, source.date_in_name)
    with tempfile.TemporaryDirectory() as folder, _BadRows(Path(folder, "bad")) as bad:
        fetched, rows = Path(folder, "source"), Path(folder, "rows")
        try:
            with reaching(source.name, "read"):
                source.copy(fetched)
            text = Text(fetched, form)
            if landed.has(text.digest, source):
                reason = "the same bytes have landed before"
                return replace(told, status=Status.SKIPPED, reason=reason)
            reading = Reading(text, source.date_in_name)
            origin = {_SHA256: text.digest, _SOURCE: source.name}
            with reaching(folder, "written"):
                count = _write(rows, reading, bad, origin, loaded_at)
        except IngestError as error:
            kept = bad.keep(landed.landing, source)
            reason = f"{error}; kept in {kept}" if kept else str(error)
            return replace(told, bad=bad.count, reason=reason)
        told = replace(told, load_date=reading.load_date, rows=count, trimmed=reading.trimmed)
        warnings, last = list(reading.warnings), landed.before(reading.load_date)
        if last:
            warnings += _losses(count, landed.count(last), last)
            if last.name == _name(reading.load_date):
                told = replace(told, reason=f"supersedes what landed {show_time(last.loaded_at)}")
        if kept := bad.keep(landed.landing, source):
            warnings.append(f"bad rows are kept in {kept}")
        landed.add(rows, reading.load_date, text.digest, source, loaded_at)
    return replace(told, status=Status.LANDED, bad=bad.count, warnings=tuple(warnings))


def _losses(rows: int, before: int, last: LandedFile) -> list[str]:
    """A warning where a file has many rows less than the one before."""
    if rows >= before * (1 - _DROP):
        return []
    return [f"{rows} rows, after {before} in {last.name.removeprefix('crm-')}"]


class _BadRows:
    """The bad rows of a file with their lines and reasons, as CSV, until they are kept."""

    def __init__(self, file: Path) -> None:
        self.count = 0
        self._path = file
        # What is no character is written as the byte that it was.
        self._file = file.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(("line", "reason", "record"))

    def __enter__(self) -> _BadRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: BadRow) -> None:
        """One more."""
        self.count += 1
        self._writer.writerow((row.line, row.reason, row.record))

    def keep(self, landing: Landing, source: Source) -> str:
        """Keep them for good: where."""
        self._file.close()
        if not self.count:
            return ""
        stem = Path(source.name).stem.encode()[:_NAME_BYTES].decode(errors="ignore")
        reason = f"{self.count} rows of {source.name} that cannot be used"
        return landing.reject(JOB, f"{stem}.csv", self._path, reason)


def _write(
    file: Path, reading: Reading, bad: _BadRows, origin: dict[bytes, str], loaded_at: datetime
) -> int:
    """Write the good rows of a file as Parquet, a batch at a time, and its bad ones: how many."""
    import pyarrow.parquet as pq

    count, writer = 0, None
    try:
        for batch in _batches(reading, bad):
            table = _table(batch, reading.load_date, loaded_at)
            if writer is None:
                schema = table.schema.with_metadata(origin)
                writer = pq.ParquetWriter(file, schema, compression="zstd")
            writer.write_table(table)
            count += len(batch)
    finally:
        if writer:
            writer.close()
    return count


def _batches(reading: Reading, bad: _BadRows) -> Iterator[list[Row]]:
    batch, size = list[Row](), 0
    for row in reading:
        if isinstance(row, BadRow):
            bad.add(row)
            continue
        batch.append(row)
        size += sum(len(field) for field in row[:4] if field)
        if len(batch) == _BATCH_ROWS or size > _BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _table(rows: Sequence[Row], load_date: date, loaded_at: datetime) -> pa.Table:
    """The columns of the raw table `crm_daily`."""
    import pyarrow as pa

    companies, names, countries, industries, contacts = zip(*rows, strict=True)
    return pa.table(
        {
            "company_id": pa.array(companies, pa.string()),
            "name": pa.array(names, pa.string()),
            "country": pa.array(countries, pa.string()),
            "industry_tag": pa.array(industries, pa.string()),
            "last_contact_at": pa.array(contacts, pa.timestamp("us")),
            "load_date": pa.array([load_date] * len(companies), pa.date32()),
            "loaded_at": pa.array([loaded_at] * len(companies), pa.timestamp("us")),
        }
    )


def _report(began: datetime, delivered: Sequence[Delivered], error: str | None = None) -> JobReport:
    failed = [file for file in delivered if file.status is Status.FAILED]
    ignored = sum(file.status is Status.IGNORED for file in delivered)
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
            "files": len(delivered) - ignored,
            "ignored_files": ignored,
            "trimmed_ids": sum(file.trimmed for file in delivered),
            "bad_rows": sum(file.bad for file in delivered),
            "warnings": [f"{file.file}: {text}" for file in delivered for text in file.warnings],
        },
    )


def _name(load_date: date) -> str:
    return f"crm-{load_date}"


def _in_folder(path: Path) -> tuple[list[Source], list[Delivered]]:
    def source(file: Path) -> Source:
        return Source(shown(file.name), lambda target: shutil.copyfile(file, target))

    if not path.is_dir():
        return [source(path)] if path.is_file() else [], []
    sources, ignored = [], []
    with reaching(str(path), "read"):
        for file in sorted(each for each in path.iterdir() if not each.name.startswith(".")):
            if why := _unread(file.name, file.is_dir(), file.is_file()):
                ignored.append(Delivered(shown(file.name), Status.IGNORED, reason=why))
            else:
                sources.append(source(file))
    return sources, ignored


def _in_store(url: str) -> tuple[list[Source], list[Delivered]]:
    import fsspec

    def source(path: str) -> Source:
        # The query of a signed address is as good as a password, and no part of the name.
        name = shown(hidden(path).rpartition("/")[2])
        return Source(name, lambda target: files.get_file(path, str(target)))

    sources, ignored = [], []
    with reaching(url, "read"):
        # A file may have come since the last listing.
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        if files.isfile(root):
            return [source(root)], []
        listed = files.ls(root, detail=True) if files.isdir(root) else []
        for each in sorted(listed, key=lambda each: str(each["name"])):
            path = each["name"].rstrip("/")
            name = path.rpartition("/")[2]
            # An empty object may stand for the folder itself.
            if path == root.rstrip("/") or name.startswith("."):
                continue
            if why := _unread(name, each["type"] == "directory", is_file=True):
                ignored.append(Delivered(shown(name), Status.IGNORED, reason=why))
            else:
                sources.append(source(path))
    return sources, ignored


def _unread(name: str, is_folder: bool, is_file: bool) -> str:
    """Why something in the folder is not read, if it is not."""
    if is_folder:
        return "a folder; what lies within is not looked for"
    if not is_file:
        return "no file that can be read"
    if not name.lower().endswith(_ENDINGS):
        return f"its name does not end in {' or '.join(_ENDINGS)}"
    return ""
