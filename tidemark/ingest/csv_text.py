"""A CSV file as text: its encoding, its rows, and the lines that each of them takes.

What cannot be read for certain is not guessed: bytes that are no character of the encoding, and
rows that reach over others, are told to whoever asks for the rows.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from tidemark.ingest import IngestError

_UTF8 = "utf-8-sig"
# The longer ones first: UTF-16's begins as UTF-32's does.
_MARKS = {
    codecs.BOM_UTF8: _UTF8,
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20

# Characters of a row. A name is never as long: a quote was opened, and not closed.
LONGEST = 1 << 20
# The library's own limit, 131072, ends a row within a field, and takes what follows for rows.
csv.field_size_limit(2 * LONGEST)

# In these a file may come without anybody saying so, the likely ones first...
_RECOGNISED = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("cp874", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
# ... unless it might be in one of these as well.
_DOUBTED = (
    *("mac_roman", "mac_cyrillic", "cp437", "cp850", "cp852", "cp866", "koi8_r"),
    *("iso8859_2", "iso8859_5", "iso8859_7"),
)
# Of 890 samples of names in 33 encodings (3 to 20 names each) 194 were recognised with these rules
# and none wrongly; the library's first choice alone was wrong for every other file.
_FEWEST = 3
_CLOSE = 0.05
_SAMPLE = 1 << 16


@dataclass(frozen=True)
class Form:
    """How files are written, where they do not say it themselves."""

    encoding: str | None = None
    delimiter: str = ","
    # our columns by what they are called in the file
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        encoding: str | None = None,
        delimiter: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Form:
        """What was said, else TIDEMARK_CRM_ENCODING, TIDEMARK_CRM_DELIMITER and TIDEMARK_CRM_MAP.

        Raises IngestError for what neither can be.
        """
        encoding = encoding or os.environ.get("TIDEMARK_CRM_ENCODING") or None
        delimiter = delimiter or os.environ.get("TIDEMARK_CRM_DELIMITER") or cls.delimiter
        try:
            "a".encode(encoding or "utf-8")
        except (LookupError, ValueError):
            raise IngestError(
                f"The encoding {encoding!r} is not known. Say one such as utf-8, cp1252 or"
                " shift_jis. Nothing was touched."
            ) from None
        # What is called Latin-1 is Windows-1252, where the two differ: browsers take it so, too.
        if encoding and codecs.lookup(encoding).name == "iso8859-1":
            encoding = "cp1252"
        delimiter = {"tab": "\t", r"\t": "\t"}.get(delimiter, delimiter)
        if len(delimiter) != 1 or delimiter in '"\r\n\0':
            raise IngestError(
                f"The delimiter {delimiter!r} is no single character between fields, such as ';'"
                " or 'tab'. Nothing was touched."
            )
        return cls(encoding, delimiter, _names(columns))


def _names(columns: Sequence[str] | None) -> dict[str, str]:
    """Our columns by theirs, of `company_id=Account ID` each."""
    names = {}
    for pair in columns or os.environ.get("TIDEMARK_CRM_MAP", "").split(","):
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if ours and equals and theirs:
            names[theirs] = ours
        elif pair.strip():
            raise IngestError(
                f"The column {pair.strip()!r} is not said as COLUMN=NAME, such as"
                " company_id='Account ID'. Nothing was touched."
            )
    return names


@dataclass(frozen=True)
class Record:
    """A row's fields and the lines that it takes; `fault` is why it cannot be used.

    `lines` are as they came, of a row that is too long the first ones.
    """

    first: int
    last: int
    lines: list[str]
    cells: list[str]
    fault: str | None = None

    @property
    def text(self) -> str:
        """The row as it came."""
        return "".join(self.lines)


class Text:
    """The text of a file of this machine, which may be compressed by gzip.

    `encoding` is how it is read, `is_clean` whether all its bytes are characters of that, and
    `digest` tells its content from any other: what was read otherwise the last time is another.
    """

    def __init__(self, file: Path, form: Form) -> None:
        """Find out. Raises IngestError for what cannot be read as a whole."""
        self._file, self.form = file, form
        try:
            with self._bytes() as opened:
                mark = opened.read(4)
            self.encoding, self.is_recognised = _UTF8, False
            self.digest, self.is_clean = self._read_as_utf8()
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise IngestError(f"it is compressed by gzip, and not whole: {error}") from None
        told = next((name for each, name in _MARKS.items() if mark.startswith(each)), form.encoding)
        if told is None and not self.is_clean:
            with self._bytes() as opened:
                told = recognised(iter(lambda: opened.readline(_SAMPLE), b""), form.delimiter)
            self.is_recognised = told is not None
        if told and codecs.lookup(told).name not in ("utf-8", _UTF8):
            self.encoding = told
            self.digest, self.is_clean = self._read_otherwise()

    @property
    def called(self) -> str:
        """The encoding's name, as people say it."""
        return "UTF-8" if self.encoding == _UTF8 else self.encoding

    @property
    def form_in_words(self) -> str:
        """How it was read, and what to say where that is wrong."""
        return (
            f"it was read as {self.called} with {self.form.delimiter!r} between fields; if that is"
            " wrong, say --encoding or --delimiter"
        )

    def open(self) -> TextIO:
        """The text, its line breaks as they are; what is no character is a lone surrogate."""
        return io.TextIOWrapper(self._bytes(), self.encoding, "surrogateescape", newline="")

    def _bytes(self) -> BinaryIO:
        with self._file.open("rb") as opened:
            is_compressed = opened.read(len(_GZIP)) == _GZIP
        if is_compressed:
            return cast("BinaryIO", gzip.GzipFile(self._file))
        return self._file.open("rb")

    def _read_as_utf8(self) -> tuple[str, bool]:
        digest, is_clean = hashlib.sha256(), True
        decoder = codecs.getincrementaldecoder("utf-8")()
        with self._bytes() as opened:
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
                is_clean = is_clean and _is_decoded(decoder, chunk)
        return digest.hexdigest(), is_clean and _is_decoded(decoder, b"", is_last=True)

    def _read_otherwise(self) -> tuple[str, bool]:
        digest, is_clean = hashlib.sha256(), True
        try:
            with self.open() as text:
                while chunk := text.read(_CHUNK):
                    content = chunk.encode("utf-8", "surrogateescape")
                    digest.update(content)
                    is_clean = is_clean and is_text(chunk)
        except UnicodeError as error:
            raise IngestError(f"it is not {self.called}: {error}") from None
        return digest.hexdigest(), is_clean


def recognised(lines: Iterable[bytes], delimiter: str = ",") -> str | None:
    """The encoding of lines that are no UTF-8, where there is hardly a doubt of it.

    A few bytes are never enough: many encodings make letters of them. Nor is anything where some
    lines are UTF-8 beyond ASCII: then the others are damaged.
    """
    from charset_normalizer import from_bytes

    is_utf8, is_not, sample, size = 0, 0, dict[bytes, None](), 0
    seen: frozenset[int] = frozenset()
    for line in lines:
        if line.isascii():
            continue
        if _is_utf8(line):
            is_utf8 += 1
            continue
        is_not += 1
        new = frozenset(line) - seen
        if size < _SAMPLE or new:
            # Names alone: what is the same in all encodings hides the rest.
            fields = line.split(delimiter.encode())
            sample.update((field.strip(), None) for field in fields if not field.isascii())
            seen, size = seen | new, size + len(line)
    if is_not < 10 * is_utf8 or len(sample) < _FEWEST:
        return None
    found = list(from_bytes(b"\n".join(sample), cp_isolation=[*_RECOGNISED, *_DOUBTED]))
    least = min((each.chaos for each in found), default=0.0)
    close = [each for each in found if each.chaos <= least + _CLOSE]
    if len({str(each) for each in close}) != 1:
        return None
    names = {name for each in close for name in (each.encoding, *each.could_be_from_charset)}
    return next((name for name in _RECOGNISED if name in names), None)


def records(text: TextIO, delimiter: str, is_row: Callable[[list[str]], bool]) -> Iterator[Record]:
    """The rows of a text, blank lines left out. Raises IngestError where it ends within one.

    Whatever is wrong with a row, it is read to its end: what lies within its quotes is no row.
    `is_row` tells whether fields make one, since a field that holds some has swallowed them.
    """
    lines = _Lines(text, delimiter)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        cells, fault = list[str](), None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = str(error)
            lines.finish()
        except _TooLongError:
            fault = f"it has more than {LONGEST:,} characters"
            lines.finish()
        if not fault and len(lines.taken) > 1:
            within = rows_within(lines.taken, delimiter, is_row)
            # The first line alone may be a row whose last field goes on, and the last alone one
            # whose first field has begun before.
            if (within[0] and within[-1]) or any(within[1:-1]):
                fault = "a quote that is not closed has swallowed the rows after it"
        if cells or fault:
            yield Record(lines.first, lines.number, list(lines.taken), cells, fault)


def is_text(text: str) -> bool:
    """Whether all of it came from bytes that are characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _TooLongError(Exception):
    """A row that goes on for too long."""


class _Lines(Iterator[str]):
    """The lines of a text, those of the current row kept as they are."""

    def __init__(self, text: TextIO, delimiter: str) -> None:
        self.first = self.number = 0
        self.taken: list[str] = []
        self._text, self._delimiter = text, delimiter
        self._size = 0
        # The line with which a row became too long.
        self._held: str | None = None
        self._is_over = False

    def begin(self) -> None:
        """Begin a row."""
        self.first, self.taken, self._size = self.number + 1, [], 0

    def __next__(self) -> str:
        line = self._read()
        if not line:
            raise StopIteration
        self._size += len(line)
        if self._size > LONGEST:
            self._held = line
            raise _TooLongError
        self.taken.append(line)
        return line

    def finish(self) -> None:
        """Go to the end of a row that cannot be read, as whoever takes quotes less strictly."""
        begun = list(self.taken)
        while True:
            if self._held is not None:
                begun = [self._end_of_field(self._held)]
                self._held = None
            with suppress(_TooLongError):
                next(csv.reader(chain(begun, self), delimiter=self._delimiter), None)
                break
        if self._is_over:
            raise IngestError(f"the file ends within the row of line {self.first}")

    def _end_of_field(self, line: str) -> str:
        """What follows the text in quotes that this line lies in, after quotes with nothing in."""
        while line:
            _, quote, rest = line.replace('""', "").partition('"')
            if quote:
                return f'""{rest}'
            line = self._read()
        return ""

    def _read(self) -> str:
        line = self._text.readline(LONGEST + 1)
        self._is_over = not line
        self.number += bool(line)
        if len(line) > LONGEST:
            raise IngestError(f"line {self.number} has more than {LONGEST:,} characters")
        return line


def rows_within(
    lines: Sequence[str], delimiter: str, is_row: Callable[[list[str]], bool]
) -> list[bool]:
    """Which lines of a row could be rows of their own, were there no quotes around them."""

    def is_one(line: str) -> bool:
        literally = [cell.strip('"') for cell in line.rstrip("\r\n").split(delimiter)]
        return is_row(literally) or is_row(next(csv.reader([line], delimiter=delimiter), []))

    return [is_one(line) for line in lines]


def _is_decoded(decoder: codecs.IncrementalDecoder, chunk: bytes, is_last: bool = False) -> bool:
    try:
        decoder.decode(chunk, is_last)
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
