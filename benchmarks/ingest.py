"""How many rows a second ingestion takes, against the libraries that do the same work alone."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from tidemark.engine import Dbt
from tidemark.ingest.events import Job
from tidemark.ingest.events_settings import Settings
from tidemark.ingest.landing import Landing
from tidemark.load import load

# The cluster of the tests: librdkafka's own, in a process beside the consumer.
sys.path.append(str(Path(__file__).parents[1] / "tests" / "python"))
import kafka_cluster

TOPIC = "learner_events"
# It keeps 5 MB of a partition, compressed: a round of messages takes less than half of that.
PARTITIONS = 8
ROUND = 100_000
FIRST = datetime(2025, 9, 1)


@dataclass(frozen=True)
class Rate:
    """Rows, and the seconds that they took."""

    rows: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.rows / self.seconds

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} rows/s"


class TimedJob(Job):
    """A consumer that notes when it begins to read: joining a group takes what others need."""

    began = 0.0

    def _assigned(self, *given: Any) -> None:
        super()._assigned(*given)
        self.began = time.perf_counter()


def consumer(folder: Path, rows: int) -> tuple[Rate, Rate]:
    """The consumer, and pyarrow on the same messages, in turns of 100,000; both write to disk."""
    ours, alone = Rate(0, 0), Rate(0, 0)
    with kafka_cluster.running(TOPIC, PARTITIONS) as cluster:
        settings = Settings(cluster.brokers, TOPIC)
        landing = Landing(str(folder / "landing"))
        for first in range(0, rows, ROUND):
            messages = [_message(n) for n in range(first, min(first + ROUND, rows))]
            by_partition = {each: messages[each::PARTITIONS] for each in range(PARTITIONS)}
            cluster.produce(by_partition, **{"compression.type": "zstd", "linger.ms": 50})
            job = TimedJob(settings, landing, True, lambda: False)
            came = job.run()
            took = time.perf_counter() - job.began
            if came.counts.rows != len(messages):
                raise RuntimeError(f"{came.counts.rows} of {len(messages)} rows: {came.report}")
            ours = Rate(ours.rows + len(messages), ours.seconds + took)
            took = _by_pyarrow(folder / "alone" / f"{first}", messages, settings.batch_size)
            alone = Rate(alone.rows + len(messages), alone.seconds + took)
    return ours, alone


def loader(folder: Path, project: Path) -> tuple[Rate, Rate]:
    """The loader on the files that the consumer has landed, and DuckDB: one statement on all."""
    landing, database = Landing(str(folder / "landing")), folder / "tidemark.duckdb"
    os.environ["TIDEMARK_DUCKDB_PATH"] = str(database)
    dbt = Dbt(project, "duckdb", {"domains": ["learning"]}, folder / "target")
    dbt.manifest  # noqa: B018
    began = time.perf_counter()
    done = load(dbt, landing)
    took = time.perf_counter() - began
    rows = sum(file.records for file in done.loaded)
    if not done.is_done:
        raise RuntimeError(done.error)
    return Rate(rows, took), Rate(rows, _by_duckdb(folder / "alone.duckdb", database, landing))


def _by_duckdb(alone: Path, loaded: Path, landing: Landing) -> float:
    """Fill the same table in a file of its own, and close that: seconds."""
    urls = [landing.url(file.path) for file in landing.files()]
    with duckdb.connect(str(loaded), read_only=True) as connection:
        ((ddl,),) = connection.execute(
            "select sql from duckdb_tables() where table_name = ?", [TOPIC]
        ).fetchall()
    connection = duckdb.connect(str(alone))
    connection.execute(f"create schema raw; {ddl}")
    began = time.perf_counter()
    connection.execute(f"insert into raw.{TOPIC} by name select * from read_parquet({urls})")
    connection.close()
    return time.perf_counter() - began


def _by_pyarrow(folder: Path, messages: Sequence[bytes], batch_size: int) -> float:
    """Read them as lines and write files of as many rows: seconds."""
    folder.mkdir(parents=True)
    began = time.perf_counter()
    for first in range(0, len(messages), batch_size):
        lines = b"\n".join(messages[first : first + batch_size])
        table = pyarrow.json.read_json(pa.BufferReader(lines))
        pq.write_table(table, folder / f"{first}.parquet", compression="zstd")
    return time.perf_counter() - began


def _message(number: int) -> bytes:
    """An event of about 300 bytes, in the order of time."""
    return json.dumps(
        {
            "learner_id": f"learner-{number * 7919 % 5000:04}",
            "event_type": ("page_view", "interaction", "assessment_complete")[number % 3],
            "event_id": f"{number * 2654435761 % 2**32:08x}-{number:012}",
            "session_id": f"session-{number // 40:08}",
            "timestamp": f"{(FIRST + timedelta(milliseconds=7 * number)).isoformat()}Z",
            "data": {"page_id": f"page-{number % 97}", "score": number % 101, "max_score": 100},
            "metadata": {"client": "web", "version": "4.18.2"},
            "version": "1.0",
        }
    ).encode()
