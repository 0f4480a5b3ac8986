"""What was read of a topic and has not landed: rows and dead letters, by partition."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from tidemark.ingest.landing import Landing, now
from tidemark.ingest.messages import TABLE, NotARowError, Row, read, table_of

if TYPE_CHECKING:
    from confluent_kafka import Message

JOB = "events"


@dataclass
class Counts:
    """What came of messages."""

    rows: int = 0
    files: int = 0
    dead_letters: int = 0
    # Messages that the topic had deleted before they were read.
    lost: int = 0
    trimmed_ids: int = 0
    unknown_fields: set[str] = field(default_factory=set)

    def add(self, other: Counts) -> None:
        """Count what another has counted as well."""
        self.rows += other.rows
        self.files += other.files
        self.dead_letters += other.dead_letters
        self.lost += other.lost
        self.trimmed_ids += other.trimmed_ids
        self.unknown_fields |= other.unknown_fields


@dataclass
class _Batch:
    """Messages of one partition, one after the other."""

    first: int
    following: int
    rows: list[Row] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    trimmed_ids: int = 0
    # The bytes of all values.
    size: int = 0


class Batches:
    """Messages of a topic on their way into files of the landing area."""

    def __init__(self, landing: Landing, topic: str, compression: str) -> None:
        self.landing, self.topic, self.compression = landing, topic, compression
        self.unknown_fields: set[str] = set()
        self._open: dict[int, _Batch] = {}

    @property
    def messages(self) -> int:
        """How many there are."""
        return sum(len(batch.rows) + len(batch.dead_letters) for batch in self._open.values())

    @property
    def size(self) -> int:
        """The bytes of all their values."""
        return sum(batch.size for batch in self._open.values())

    def add(self, message: Message) -> None:
        """Take in a message; what it cannot become is decided here, once."""
        # The client leaves out what there is no message without, only where it tells of an error.
        partition: int = message.partition()  # type: ignore[assignment]
        offset: int = message.offset()  # type: ignore[assignment]
        batch = self._open.get(partition)
        if batch is None:
            batch = self._open[partition] = _Batch(offset, offset)
        value = message.value()
        try:
            row, unknown, trimmed = read(value)
        except NotARowError as error:
            batch.dead_letters.append(_dead_letter(message, str(error)))
        else:
            batch.rows.append(row)
            batch.trimmed_ids += trimmed
            if unknown:
                self.unknown_fields |= unknown
        batch.following = offset + 1
        batch.size += len(value) if value else 0

    def following(self, partition: int) -> int | None:
        """The offset after the last message of a partition, if there is one."""
        batch = self._open.get(partition)
        return batch.following if batch else None

    def land(self, partitions: Iterable[int] | None = None) -> tuple[dict[int, int], Counts]:
        """Land the messages of these partitions, or of all.

        Returns the offset after the last message of each, and what they came to. What this returns
        is durable. Raises LandingError; what had landed by then will land again.
        """
        loaded_at = now()
        chosen = self._open if partitions is None else self._open.keys() & set(partitions)
        landed, counts = {}, Counts(unknown_fields=self.unknown_fields)
        for partition in sorted(chosen):
            batch = self._open[partition]
            name = f"{self.topic}-{partition}-{batch.first}"
            if batch.dead_letters:
                self._reject(name, batch.dead_letters)
            if batch.rows:
                self._land(name, batch.rows, loaded_at)
                counts.files += 1
            counts.rows += len(batch.rows)
            counts.dead_letters += len(batch.dead_letters)
            counts.trimmed_ids += batch.trimmed_ids
            landed[partition] = batch.following
        self.forget(landed)
        self.unknown_fields = set()
        return landed, counts

    def forget(self, partitions: Iterable[int]) -> None:
        """Drop what was read of these partitions."""
        for partition in partitions:
            self._open.pop(partition, None)

    def _land(self, name: str, rows: list[Row], loaded_at: datetime) -> None:
        path = self.landing.path_of(TABLE, name, loaded_at)
        table = table_of(rows, loaded_at, self.landing.url(path))
        self.landing.land(TABLE, table, name, loaded_at, self.compression)

    def _reject(self, name: str, dead_letters: list[dict[str, Any]]) -> None:
        lines = "".join(f"{json.dumps(letter)}\n" for letter in dead_letters)
        count = len(dead_letters)
        messages = "1 message" if count == 1 else f"{count} messages"
        reason = (
            f"{messages} of {self.topic} could not become rows of {TABLE}: `reason` says why,"
            " `key`, `value` and `headers` are the bytes as base64."
        )
        self.landing.reject(JOB, f"{name}.jsonl", lines.encode(), reason)


def _dead_letter(message: Message, reason: str) -> dict[str, Any]:
    """All that is known of a message, in values of JSON."""
    _, milliseconds = message.timestamp()
    sent = datetime.fromtimestamp(milliseconds / 1000, timezone.utc) if milliseconds > 0 else None
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": sent.isoformat() if sent else None,
        "reason": reason,
        "key": _base64(message.key()),
        "value": _base64(message.value()),
        "headers": [[name, _base64(value)] for name, value in pairs],
    }


def _base64(content: str | bytes | None) -> str | None:
    if content is None:
        return None
    return b64encode(content.encode() if isinstance(content, str) else content).decode()
