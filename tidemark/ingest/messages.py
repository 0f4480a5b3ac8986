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
from tidemark.ingest import TwiceError, once_each

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "learner_events"
REQUIRED = ("learner_id", "event_type", "event_id", "timestamp")
_REQUIRED = frozenset(REQUIRED)
# What the warehouse's timestamps can tell apart.
_AN_INSTANT = timedelta(microseconds=1)
# JSON of any shape, kept as text.
_DOCUMENTS = ("data", "metadata")
_TEXTS = (*REQUIRED, "session_id", "version", "partition_date")
# White space around them makes three of one.
_IDS = ("learner_id", "event_id", "session_id")
# Whatever a message says of these, the consumer knows better.
_OURS = ("processed_at", "s3_path")
_KNOWN = frozenset({*_TEXTS, *_DOCUMENTS, *_OURS})

# The scanner behind `json.loads`: it says where a value ends, so that its text can be kept as it
# came. Read and written again, 1e400 would be infinite and a long decimal would be rounded.
_SPACE = r"[ \t\n\r]*"
# Without a choice at every character it takes two thirds of the time.
_NAME = r'"([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"'
_FIRST, _NEXT = (
    re.compile(f"{_SPACE}{start}{_SPACE}{_NAME}{_SPACE}:{_SPACE}").match for start in (r"\{", ",")
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


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=once_each)


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


def read(value: bytes | None) -> tuple[Row, set[str], int]:
    """The row of a message, the names of fields that have no column, and how many ids it trimmed.

    A required field that is null makes a row, which staging sets aside. Raises NotARowError for
    what is no JSON object, for a required field that is missing, and for a type that the column
    cannot hold.
    """
    fields = _fields(value)
    if not fields.keys() >= _REQUIRED:
        missing = [name for name in REQUIRED if name not in fields]
        raise NotARowError(f"{', '.join(missing)} is missing")
    for name in _TEXTS:
        text = fields.get(name)
        if text is not None and not isinstance(text, str):
            raise NotARowError(f"{name} is {_kind(text)}, not text")
    trimmed = 0
    for name in _IDS:
        text = fields.get(name)
        if text and (text[0].isspace() or text[-1].isspace()):
            fields[name] = text.strip()
            trimmed += 1
    timestamp = _moment("timestamp", fields["timestamp"])
    partition = _moment("partition_date", fields.get("partition_date")) or timestamp
    row = Row(
        fields["learner_id"],
        fields["event_type"],
        fields["event_id"],
        fields.get("session_id"),
        timestamp,
        fields.get("data"),
        fields.get("metadata"),
        fields.get("version"),
        partition.date() if partition else None,
    )
    return row, fields.keys() - _KNOWN, trimmed


def table_of(rows: Sequence[Row], loaded_at: datetime, landed_in: str) -> pa.Table:
    """The columns of the raw table, in its order.

    Of two versions of an event the one that was loaded later wins. In one batch, that is the one
    that comes later: each repetition has a load time that is a microsecond more.
    """
    import pyarrow as pa

    count, at, text = len(rows), pa.timestamp("us"), pa.string()
    told = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    loaded = pa.repeat(pa.scalar(loaded_at, at), count)
    if len({*zip(told["event_id"], told["learner_id"], strict=True)}) < count:
        loaded = pa.array(_in_order(rows, loaded_at), at)
    return pa.table(
        {
            "learner_id": pa.array(told["learner_id"], text),
            "event_type": pa.array(told["event_type"], text),
            "event_id": pa.array(told["event_id"], text),
            "session_id": pa.array(told["session_id"], text),
            "timestamp": pa.array(told["timestamp"], at),
            "data": pa.array(told["data"], text),
            "metadata": pa.array(told["metadata"], text),
            "version": pa.array(told["version"], text),
            "processed_at": loaded,
            "partition_date": pa.array(told["partition_date"], pa.date32()),
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
        fields = _members(text)
    except TwiceError as error:
        raise NotARowError(str(error)) from None
    except (ValueError, RecursionError):
        raise NotARowError(_what_else(text)) from None
    # Only an escape can make half of a surrogate pair.
    if "\\u" in text:
        for name in fields.keys() & _KNOWN:
            _refuse_surrogates(name, fields[name])
    return fields


def _members(text: str) -> dict[str, Any]:
    """The members of an object. Raises ValueError for what is none, or names one twice."""
    members: dict[str, Any] = {}
    found, scan, end = _FIRST(text), _DECODER.raw_decode, 0
    while found:
        name, start = found[1], found.end()
        if "\\" in name:
            name = json.loads(f'"{name}"')
        value, end = scan(text, start)
        if name in _DOCUMENTS and value is not None and not isinstance(value, str):
            value = text[start:end]
        if name in members:
            raise TwiceError(f"{name!r} is there more than once")
        members[name] = value
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


def _moment(name: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_clock(text)
    except ValueError as error:
        raise NotARowError(f"{name}: {error}") from None


def _refuse_surrogates(name: str, value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotARowError(f"{name} holds half of a surrogate pair, which is no text") from None


def _kind(value: Any) -> str:
    return _KINDS[type(value)]
