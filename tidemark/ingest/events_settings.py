"""What the environment says of the event stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidemark.ingest import IngestError

_REQUIRED = ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC_EVENTS_RAW")
_COMPRESSIONS = ("zstd", "snappy", "gzip", "brotli", "lz4", "none")
# Any other setting of the client: KAFKA_CLIENT_SASL_PASSWORD is its sasl.password.
_CLIENT = "KAFKA_CLIENT_"
# Settings of the client that the promise of this job rests on, and those with a name of their own.
RESERVED: Mapping[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # Where to begin is decided by `where_to_begin`: no message is passed over silently.
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    # Whole assignments, not increments: a partition that is taken away is flushed with the others.
    "partition.assignment.strategy": "range,roundrobin",
    "group.protocol": "classic",
    "allow.auto.create.topics": False,
}
_NAMED = ("bootstrap.servers", "group.id")


@dataclass(frozen=True)
class Settings:
    """What the environment says of the stream."""

    brokers: str
    topic: str
    group: str = "tidemark"
    # Messages, and seconds, after which a batch lands, whichever comes first.
    batch_size: int = 10_000
    flush_interval: float = 300
    compression: str = "zstd"
    client: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """Read them. Raises IngestError, which names all that is wrong."""
        # An empty variable is how a compose file leaves one out.
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        problems = [f"{name} is not set" for name in _REQUIRED if name not in given]

        def number(name: str, default: float, least: float, most: float, kind: str) -> float:
            try:
                value = float(given.get(name, default))
            except ValueError:
                value = float("nan")
            if not least <= value <= most or (kind == "a whole number" and value != int(value)):
                # What is no number may be a secret in the wrong line: it is not repeated.
                found = f", not {value:g}" if value == value else ""
                problems.append(f"{name} must be {kind} from {least:g} to {most:,.0f}{found}")
            return value

        batch_size = number("BATCH_SIZE", cls.batch_size, 1, 1_000_000, "a whole number")
        interval = number("FLUSH_INTERVAL_SECONDS", cls.flush_interval, 0.1, 86_400, "a number")
        compression = given.get("PARQUET_COMPRESSION", cls.compression).lower()
        if compression not in _COMPRESSIONS:
            known = ", ".join(_COMPRESSIONS)
            problems.append(f"PARQUET_COMPRESSION must be one of {known}")
        client = {
            name.removeprefix(_CLIENT).lower().replace("_", "."): value
            for name, value in given.items()
            if name.startswith(_CLIENT)
        }
        for name in sorted(client.keys() & {*RESERVED, *_NAMED}):
            variable = f"{_CLIENT}{name.upper().replace('.', '_')}"
            problems.append(f"{variable} cannot be set: {name} is what this job rests on")
        if problems:
            raise IngestError("; ".join(problems) + ".")
        return cls(
            given["KAFKA_BOOTSTRAP_SERVERS"],
            given["KAFKA_TOPIC_EVENTS_RAW"],
            given.get("KAFKA_CONSUMER_GROUP", cls.group),
            int(batch_size),
            interval,
            compression,
            client,
        )
