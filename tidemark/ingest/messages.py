"""Messages of the event stream: JSON objects, each a row of the raw table learner_events.

What can stand in the table becomes a row, right or wrong: the staging model judges it, and whoever
mends the rule gets the row back. Only what cannot is refused, and then the message is the only copy
of it: a field that is missing or of another type is what a changed format looks like.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from tidemark.clock import parse_clock

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "learner_events"
REQUIRED = ("learner_id", "event_type", "event_id", "timestamp")
_REQUIRED = frozenset(REQUIRED)
# What the warehouse's timestamps can tell apart.
_AN_INSTANT = timedelta(microseconds=1)
# JSON of any shape, kept as text.
_DOCUMENTS = ("data", "metadata")
# Whatever a message says of these, the consumer knows better.
_OURS = frozenset({"processed_at", "s3_path"})
_KNOWN = frozenset({*REQUIRED, *_DOCUMENTS, *_OURS, "session_id", "version", "partition_date"})

# The scanner behind `json.loads`: it says where a value ends, so that its text can be kept as it
# came. Read and written again, 1e400 would be infinite and a long decimal would be rounded.
_SPACE = r"[ \t\n\r]*"
_FIRST, _NEXT = (
    re.compile(rf'{start}{_SPACE}"((?:[^"\\\x00-\x1f]|\\.)*)"{_SPACE}:{_SPACE}').match
    for start in (rf"{_SPACE}\{{", rf"{_SPACE},")
)
_END = re.compile(rf"{_SPACE}\}}{_SPACE}").fullmatch
_EMPTY = re.compile(rf"{_SPACE}\{{{_SPACE}\}}{_SPACE}").fullmatch
_KINDS: Mapping[type, str] = {
    **dict.fromkeys((int, float), "a number"),
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class NotARowError(Exception):
    """What keeps a message from becoming a row."""


class Row(NamedTuple):
    """What a message says of an event; times in UTC, without zone."""

    learner_id: str | None
    event_type: str | None
    event_id: str | None
    session_id: str | None
    timestamp: datetime | None
    data: str | None
    metadata: str | None
    version: str | None
    partition_date: date | None


def read(value: bytes | None) -> tuple[Row, set[str]]:
    """The row of a message, and the names of fields that have no column.

    A required field that is null makes a row, which staging sets aside. Raises NotARowError for
    what is no JSON object, for a required field that is missing, and for a type that the column
    cannot hold.
    """
    fields = _fields(value)
    if not fields.keys() >= _REQUIRED:
        missing = [name for name in REQUIRED if name not in fields]
        raise NotARowError(f"{', '.join(missing)} is missing")
    timestamp = _timestamp(_text(fields, "timestamp"))
    row = Row(
        _text(fields, "learner_id"),
        _text(fields, "event_type"),
        _text(fields, "event_id"),
        _text(fields, "session_id"),
        timestamp,
        _document(fields, "data"),
        _document(fields, "metadata"),
        _text(fields, "version"),
        _day(_text(fields, "partition_date")) or (timestamp.date() if timestamp else None),
    )
    return row, fields.keys() - _KNOWN


def table_of(rows: Sequence[Row], loaded_at: datetime, landed_in: str) -> pa.Table:
    """The columns of the raw table, in its order.

    Of two versions of an event the one that was loaded later wins. In one batch, that is the one
    that comes later: each repetition has a load time that is a microsecond more.
    """
    import pyarrow as pa

    count, at, text = len(rows), pa.timestamp("us"), pa.string()
    loaded = pa.repeat(pa.scalar(loaded_at, at), count)
    if len({(row.event_id, row.learner_id) for row in rows}) < count:
        loaded = pa.array(_in_order(rows, loaded_at), at)
    return pa.table(
        {
            "learner_id": pa.array([row.learner_id for row in rows], text),
            "event_type": pa.array([row.event_type for row in rows], text),
            "event_id": pa.array([row.event_id for row in rows], text),
            "session_id": pa.array([row.session_id for row in rows], text),
            "timestamp": pa.array([row.timestamp for row in rows], at),
            "data": pa.array([row.data for row in rows], text),
            "metadata": pa.array([row.metadata for row in rows], text),
            "version": pa.array([row.version for row in rows], text),
            "processed_at": loaded,
            "partition_date": pa.array([row.partition_date for row in rows], pa.date32()),
            "s3_path": pa.repeat(pa.scalar(landed_in, text), count),
        }
    )


def _in_order(rows: Sequence[Row], loaded_at: datetime) -> list[datetime]:
    seen: Counter[tuple[str | None, str | None]] = Counter()
    times = []
    for row in rows:
        identity = row.event_id, row.learner_id
        times.append(loaded_at + seen[identity] * _AN_INSTANT)
        seen[identity] += 1
    return times


def _fields(value: bytes | None) -> dict[str, Any]:
    """The fields of an object; of documents the text, as it came."""
    if value is None:
        raise NotARowError("it has no value")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise NotARowError(f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        fields = dict(_members(text))
    except (ValueError, RecursionError):
        raise NotARowError(_what_else(text)) from None
    # Only an escape can make half of a surrogate pair.
    if "\\u" in text:
        for name in fields.keys() & _KNOWN:
            _refuse_surrogates(name, fields[name])
    return fields


def _members(text: str) -> list[tuple[str, Any]]:
    """Name and value of each member. Raises ValueError for what is no object."""
    members: list[tuple[str, Any]] = []
    found, scan = _FIRST(text), _DECODER.raw_decode
    end = 0
    while found:
        name, start = found[1], found.end()
        if "\\" in name:
            name = json.loads(f'"{name}"')
        value, end = scan(text, start)
        if name in _DOCUMENTS and value is not None and not isinstance(value, str):
            value = text[start:end]
        members.append((name, value))
        found = _NEXT(text, end)
    if not (_END(text, end) if members else _EMPTY(text)):
        raise ValueError
    return members


def _what_else(text: str) -> str:
    """What a text is that is no JSON object."""
    try:
        return f"it is JSON, but {_kind(_DECODER.decode(text))} and no object"
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return f"it is not JSON: {error}"


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise NotARowError(f"{name} is {_kind(value)}, not text")


def _document(fields: Mapping[str, Any], name: str) -> str | None:
    value: str | None = fields.get(name)
    return value


def _timestamp(text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_clock(text)
    except ValueError as error:
        raise NotARowError(f"timestamp: {error}") from None


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else parse_clock(text).date()
    except ValueError as error:
        raise NotARowError(f"partition_date: {error}") from None


def _refuse_surrogates(name: str, value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotARowError(f"{name} holds half of a surrogate pair, which is no text") from None


def _kind(value: Any) -> str:
    return _KINDS[type(value)]
