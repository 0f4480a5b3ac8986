"""The consumer of the event stream, against a cluster of librdkafka's making."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import kafka_cluster
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka_cluster import Cluster
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from tidemark import cli, logs
from tidemark.ingest import IngestError
from tidemark.ingest import events as events_module
from tidemark.ingest.events import Beginning, Job, Outcome, where_to_begin
from tidemark.ingest.events_settings import Settings
from tidemark.ingest.landing import Landing, now

PROJECT = Path(__file__).parents[2]
TOPIC, GROUP = "events", "tidemark"
NAMED = {"KAFKA_BOOTSTRAP_SERVERS": "a:9092,b:9092", "KAFKA_TOPIC_EVENTS_RAW": TOPIC}
# The cluster takes so long to notice who has died, and a second less to go on without who has left.
SOON = {"session.timeout.ms": "1500", "heartbeat.interval.ms": "200"}
# What every process here ends within, on a busy machine.
PATIENCE = 60


# ---- settings ----


def test_only_the_stream_has_to_be_named() -> None:
    assert Settings.of(NAMED | {"BATCH_SIZE": " ", "HOME": "/root"}) == Settings(
        "a:9092,b:9092", TOPIC, "tidemark", 10_000, 300, "zstd", {}
    )


def test_every_setting_has_its_name() -> None:
    given = {
        "KAFKA_CONSUMER_GROUP": "g",
        "BATCH_SIZE": "500",
        "FLUSH_INTERVAL_SECONDS": "0.5",
        "PARQUET_COMPRESSION": "SNAPPY",
        "KAFKA_CLIENT_SASL_PASSWORD": "secret",
        "KAFKA_CLIENT_SECURITY_PROTOCOL": "SASL_SSL",
    }
    client = {"sasl.password": "secret", "security.protocol": "SASL_SSL"}
    assert Settings.of(NAMED | given) == Settings(
        "a:9092,b:9092", TOPIC, "g", 500, 0.5, "snappy", client
    )


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {
        "KAFKA_TOPIC_EVENTS_RAW": TOPIC,
        "BATCH_SIZE": "many",
        "FLUSH_INTERVAL_SECONDS": "0",
        "PARQUET_COMPRESSION": "zip",
        "KAFKA_CLIENT_ENABLE_AUTO_COMMIT": "true",
        "KAFKA_CLIENT_GROUP_ID": "other",
    }
    with pytest.raises(IngestError) as caught:
        Settings.of(wrong)
    assert str(caught.value) == (
        "KAFKA_BOOTSTRAP_SERVERS is not set;"
        " BATCH_SIZE must be a whole number from 1 to 1,000,000;"
        " FLUSH_INTERVAL_SECONDS must be a number from 0.1 to 86,400, not 0;"
        " PARQUET_COMPRESSION must be one of zstd, snappy, gzip, brotli, lz4, none;"
        " KAFKA_CLIENT_ENABLE_AUTO_COMMIT cannot be set: enable.auto.commit is what this job rests"
        " on; KAFKA_CLIENT_GROUP_ID cannot be set: group.id is what this job rests on."
    )


@pytest.mark.parametrize(
    ("committed", "low", "high", "begins"),
    [
        (None, 0, 10, Beginning(0)),
        (None, 7, 10, Beginning(7)),
        (7, 7, 10, Beginning(7)),
        (10, 7, 10, Beginning(10)),
        (3, 7, 10, Beginning(7, 4, "offsets 3 to 6 were deleted before they were read")),
        (
            11,
            7,
            10,
            Beginning(
                7,
                0,
                "the group has read up to offset 11, but the topic ends at 10: it was made anew,"
                " and is read from its beginning",
            ),
        ),
    ],
)
def test_where_reading_begins(
    committed: int | None, low: int, high: int, begins: Beginning
) -> None:
    assert where_to_begin(committed, low, high) == begins


# ---- a topic, and what lands of it ----


def event(number: int, **fields: Any) -> bytes:
    """An event: of three learners, in two minutes."""
    at = datetime(2025, 9, 3, 1, 10) + timedelta(seconds=number % 120)
    told = {"learner_id": f"learner-{number % 3}", "event_type": "interaction"}
    told |= {"event_id": f"e-{number}", "timestamp": f"{at.isoformat()}Z"}
    return json.dumps(told | {"data": {"page_id": "page-1"}} | fields).encode()


def events(*numbers: int) -> list[bytes | None]:
    return [event(number) for number in range(*numbers)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with kafka_cluster.running(TOPIC, 2) as found:
        yield found


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(str(tmp_path / "landing"))


def settings(cluster: Cluster, **other: Any) -> Settings:
    return Settings(**{"brokers": cluster.brokers, "topic": TOPIC, "client": SOON, **other})


def never() -> bool:
    return False


def drain(cluster: Cluster, landing: Landing, **other: Any) -> Outcome:
    return Job(settings(cluster, **other), landing, True, never).run()


def landed(landing: Landing) -> Counter[str]:
    """How often each event has landed."""
    found: Counter[str] = Counter()
    for file in landing.files("learner_events"):
        found.update(pq.read_table(Path(landing.root) / file.path)["event_id"].to_pylist())
    return found


def dead_letters(landing: Landing) -> list[dict[str, Any]]:
    files = sorted((Path(landing.root) / "rejected" / "events").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def ids(*numbers: int) -> set[str]:
    return {f"e-{number}" for number in range(*numbers)}


def test_a_topic_lands_in_files_of_a_partition_each(cluster: Cluster, landing: Landing) -> None:
    cluster.produce({0: events(5), 1: events(5, 8)})
    before = now()
    came = drain(cluster, landing)
    first, second = landing.files()
    assert (first.name, second.name) == ("events-0-0", "events-1-0")
    assert before <= first.loaded_at == second.loaded_at <= now()
    path = Path(landing.root) / second.path
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    rows = pq.read_table(path).to_pylist()
    assert rows[0] == {
        "learner_id": "learner-2",
        "event_type": "interaction",
        "event_id": "e-5",
        "session_id": None,
        "timestamp": datetime(2025, 9, 3, 1, 10, 5),
        "data": '{"page_id": "page-1"}',
        "metadata": None,
        "version": None,
        "processed_at": second.loaded_at,
        "partition_date": datetime(2025, 9, 3).date(),
        "s3_path": str(path),
    }
    assert landed(landing) == dict.fromkeys(ids(8), 1)
    assert cluster.committed(GROUP, 2) == [5, 3]
    (report,) = landing.reports().values()
    assert report == came.report
    assert (report.job, report.status, report.records, report.error) == (
        "events",
        "success",
        8,
        None,
    )
    assert before <= report.started_at < report.completed_at
    assert report.figures == {
        "topic": TOPIC,
        "group": GROUP,
        "files": 2,
        "dead_letters": 0,
        "lost": 0,
        "trimmed_ids": 0,
        "unknown_fields": [],
        "lag": 0,
        "lag_of_partitions": {"0": 0, "1": 0},
    }


def test_the_next_run_begins_where_the_last_one_ended(cluster: Cluster, landing: Landing) -> None:
    cluster.produce({0: events(3)})
    drain(cluster, landing)
    assert drain(cluster, landing).counts.rows == 0
    cluster.produce({1: events(3, 6)})
    assert drain(cluster, landing).counts.rows == 3
    assert landed(landing) == dict.fromkeys(ids(6), 1)
    assert [report.records for report in landing.reports().values()] == [3, 0, 3]


def test_what_cannot_be_a_row_is_kept_to_the_byte(cluster: Cluster, landing: Landing) -> None:
    bad: list[bytes | None] = [b"\x00\xff", None, b"[]", event(9, learner_id=7)]
    # Staging sets it aside: that is no affair of the consumer.
    quarantined = event(1, learner_id=None, data="{oops")
    cluster.produce({0: [event(0), *bad, quarantined]})
    came = drain(cluster, landing)
    assert (came.counts.rows, came.counts.dead_letters, came.report.status) == (2, 4, "success")
    assert landed(landing) == {"e-0": 1, "e-1": 1}
    kept = dead_letters(landing)
    assert [letter["offset"] for letter in kept] == [1, 2, 3, 4]
    assert [letter["reason"] for letter in kept] == [
        "it is not UTF-8: invalid start byte at byte 1",
        "it has no value",
        "it is JSON, but a list and no object",
        "learner_id is a number, not text",
    ]
    values = [letter["value"] and base64.b64decode(letter["value"]) for letter in kept]
    assert values == bad
    assert {(letter["topic"], letter["partition"]) for letter in kept} == {(TOPIC, 0)}
    (reason,) = (Path(landing.root) / "rejected" / "events").glob("*.reason.txt")
    assert reason.read_text().startswith("4 messages of events could not become rows")


def test_keys_and_headers_are_kept_as_well(cluster: Cluster, landing: Landing) -> None:
    producer = Producer({"bootstrap.servers": cluster.brokers})
    headers = [("trace", b"\xfe"), ("trace", None)]
    at = datetime(2025, 9, 3, tzinfo=timezone.utc)
    milliseconds = int(at.timestamp() * 1000)
    producer.produce(TOPIC, b"?", b"\xff", partition=0, headers=headers, timestamp=milliseconds)
    producer.flush(10)
    drain(cluster, landing)
    (kept,) = dead_letters(landing)
    assert base64.b64decode(kept["key"]) == b"\xff"
    assert [(name, v and base64.b64decode(v)) for name, v in kept["headers"]] == headers
    assert kept["timestamp"] == at.isoformat()


def test_a_format_that_has_changed_altogether_fails_the_job(
    cluster: Cluster, landing: Landing
) -> None:
    cluster.produce({0: [event(n).replace(b"learner_id", b"learnerId") for n in range(3)]})
    came = drain(cluster, landing)
    assert came.report.status == "failed"
    assert came.report.error == "None of 3 messages could become a row: a new format?"
    assert [letter["reason"] for letter in dead_letters(landing)] == ["learner_id is missing"] * 3
    # They are kept, so reading goes on behind them.
    assert cluster.committed(GROUP, 1) == [3]
    assert drain(cluster, landing).report.status == "success"


def test_a_field_without_a_column_is_told_once(
    cluster: Cluster, landing: Landing, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(logs.LogFormat.TEXT, "ingest events", "a-run")
    cluster.produce({0: [event(n, device="phone") for n in range(5)]})
    came = drain(cluster, landing, batch_size=2)
    assert came.report.figures["unknown_fields"] == ["device"]
    assert capfd.readouterr().err.count("'device'") == 1


# ---- batches ----


def test_a_batch_lands_when_it_is_full(cluster: Cluster, landing: Landing) -> None:
    cluster.produce({0: events(25)})
    assert drain(cluster, landing, batch_size=10).counts.files == 3
    sizes = [pq.read_metadata(Path(landing.root) / file.path).num_rows for file in landing.files()]
    assert sizes == [10, 10, 5]
    assert [file.name for file in landing.files()] == ["events-0-0", "events-0-10", "events-0-20"]


def test_a_batch_of_large_messages_lands_early(
    cluster: Cluster, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_MOST_BYTES", 10_000)
    monkeypatch.setattr(events_module, "_MOST_AT_ONCE", 1)
    cluster.produce({0: [event(n, data="x" * 6_000) for n in range(4)]})
    assert drain(cluster, landing).counts.files == 2


def test_a_batch_lands_when_its_time_has_come(cluster: Cluster, landing: Landing) -> None:
    cluster.produce({0: events(3)})
    job = Job(settings(cluster, flush_interval=0.3), landing, False, lambda: bool(landing.files()))
    assert job.run().counts.rows == 3


def test_a_bucket_as_the_landing_area(cluster: Cluster, bucket: str) -> None:
    cluster.produce({0: [*events(3), b"?"]})
    came = drain(cluster, Landing(bucket))
    (file,) = Landing(bucket).files("learner_events")
    with Landing(bucket).open(file.path) as opened:
        rows = pq.read_table(opened)
    assert set(rows["event_id"].to_pylist()) == ids(3)
    assert set(rows["s3_path"].to_pylist()) == {f"{bucket}/{file.path}"}
    assert (came.report.status, came.counts.dead_letters) == ("success", 1)


# ---- what fails ----


def test_offsets_that_cannot_be_committed(cluster: Cluster, landing: Landing) -> None:
    cluster.produce({0: events(3)})
    cluster.fail(kafka_cluster.OFFSET_COMMIT, kafka_cluster.GROUP_AUTHORIZATION_FAILED)
    came = drain(cluster, landing)
    assert (came.report.status, came.is_drained) == ("failed", True)
    assert came.report.error == (
        "What has landed could not be committed: it will come again, and counts once."
    )
    assert came.lag == {0: 3, 1: 0}
    assert cluster.committed(GROUP, 1) == [None]
    assert drain(cluster, landing).report.status == "success"
    assert landed(landing) == dict.fromkeys(ids(3), 2)
    assert cluster.committed(GROUP, 1) == [3]


def test_an_offset_that_could_not_be_committed_is_tried_again(
    cluster: Cluster, landing: Landing
) -> None:
    cluster.produce({0: events(3)})
    cluster.fail(kafka_cluster.OFFSET_COMMIT, kafka_cluster.GROUP_AUTHORIZATION_FAILED)
    # Nothing more comes; the next batch would be due in a moment.
    until = time.monotonic() + PATIENCE

    def committed() -> bool:
        assert time.monotonic() < until
        return bool(landing.files()) and cluster.committed(GROUP, 1) == [3]

    came = Job(settings(cluster, flush_interval=0.3), landing, False, committed).run()
    assert (came.report.status, came.counts.rows) == ("success", 3)


@pytest.mark.parametrize("broken", ["learner_events", "rejected"])
def test_a_landing_area_that_cannot_be_written(
    cluster: Cluster, landing: Landing, broken: str
) -> None:
    cluster.produce({0: [*events(3), b"?"]})
    in_the_way = Path(landing.root) / broken
    in_the_way.parent.mkdir()
    in_the_way.touch()
    came = drain(cluster, landing)
    assert came.report.status == "failed"
    assert "cannot be written" in (came.report.error or "")
    assert cluster.committed(GROUP, 1) == [None]
    assert landing.reports()
    in_the_way.unlink()
    assert drain(cluster, landing).report.status == "success"
    assert (set(landed(landing)), len(dead_letters(landing)) > 0) == (ids(3), True)


def test_a_cluster_that_is_not_there(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_ANSWER", 1)
    came = Job(Settings("127.0.0.1:1", TOPIC), landing, True, never).run()
    assert came.report.status == "failed"
    assert (came.report.error or "").startswith("No broker of 127.0.0.1:1 answers")


def test_a_topic_that_may_not_be_read(cluster: Cluster, landing: Landing) -> None:
    cluster.produce({0: events(3)})
    # Twice: the client forgets an answer that comes while its partitions are assigned anew.
    cluster.fail(kafka_cluster.FETCH, *[kafka_cluster.TOPIC_AUTHORIZATION_FAILED] * 2)
    came = drain(cluster, landing)
    assert (
        came.report.error == "Kafka: Fetch from broker 1 failed: Broker: Topic authorization failed"
    )
    assert not landed(landing)
    for _ in range(2):
        drain(cluster, landing)
    assert set(landed(landing)) == ids(3)


def test_a_setting_that_the_client_does_not_know(cluster: Cluster, landing: Landing) -> None:
    came = drain(cluster, landing, client={"sasl.pasword": "secret"})
    assert came.report.error == (
        "The Kafka client does not take its settings: No such configuration property:"
        ' "sasl.pasword"'
    )


def test_a_drain_does_not_wait_for_ever(
    cluster: Cluster, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_PATIENCE", 1)
    cluster.produce({0: events(3)})
    asked = []

    def cut_off(*offsets: Any) -> Beginning:
        asked.append(offsets)
        if len(asked) == 2:
            cluster.stop_brokers()
        return where_to_begin(*offsets)

    monkeypatch.setattr(events_module, "where_to_begin", cut_off)
    came = drain(cluster, landing)
    assert (came.report.error or "").startswith("Nothing came from events for 1 s")
    assert not came.is_drained
    cluster.start_brokers()
    monkeypatch.undo()
    assert drain(cluster, landing).counts.rows == 3


def test_messages_that_were_deleted_unread_are_told_once(
    cluster: Cluster, landing: Landing
) -> None:
    cluster.produce({0: events(3)})
    drain(cluster, landing)
    # The cluster keeps 5 MB of a partition.
    cluster.produce({0: [event(n, data="x" * 500_000) for n in range(3, 23)]})
    came = drain(cluster, landing)
    lost = came.counts.lost
    assert 3 <= lost < 20
    assert came.report.error == (
        f"events, partition 0: offsets 3 to {lost + 2} were deleted before they were read"
    )
    assert came.counts.rows == 20 - lost
    assert drain(cluster, landing).report.status == "success"


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    cluster: Cluster, landing: Landing
) -> None:
    cluster.produce({0: events(3)})
    earlier = Consumer({"bootstrap.servers": cluster.brokers, "group.id": GROUP})
    earlier.commit(offsets=[TopicPartition(TOPIC, 0, 500)], asynchronous=False)
    earlier.close()
    came = drain(cluster, landing)
    assert (came.report.status, came.counts.rows) == ("failed", 3)
    assert "made anew" in (came.report.error or "")
    assert drain(cluster, landing).report.status == "success"


# ---- several consumers, and a long run ----


def test_a_partition_that_is_taken_away_is_committed_before(
    cluster: Cluster, landing: Landing
) -> None:
    cluster.produce({0: events(5), 1: events(5, 10)})
    job = Job(settings(cluster), landing, False, lambda: taken_away())

    def taken_away() -> bool:
        if job._batches.messages < 10:
            return False
        # It is not full, and its time has not come.
        job._revoked(job._consumer, [TopicPartition(TOPIC, 1)])
        assert landed(landing) == dict.fromkeys(ids(5, 10), 1)
        assert cluster.committed(GROUP, 2) == [None, 5]
        return True

    assert job.run().report.status == "success"
    assert landed(landing) == dict.fromkeys(ids(10), 1)


def test_a_second_consumer_takes_over_what_the_first_has_not_committed(
    cluster: Cluster, landing: Landing
) -> None:
    cluster.produce({0: events(5), 1: events(5, 10)})
    stops = [threading.Event(), threading.Event()]
    jobs = [Job(settings(cluster), landing, False, stop.is_set) for stop in stops]
    with ThreadPoolExecutor() as pool:
        try:
            first = pool.submit(jobs[0].run)
            _wait_until(lambda: jobs[0]._batches.messages == 10)
            second = pool.submit(jobs[1].run)
            _wait_until(lambda: all(len(job._committed) == 1 for job in jobs))
            # Landed to be given up. This cluster, unlike others, takes no offsets meanwhile.
            assert set(landed(landing)) == ids(10)
            cluster.produce({0: events(10, 12), 1: events(12, 14)})
            stops[0].set()
            first.result()
            _wait_until(lambda: len(jobs[1]._committed) == 2)
        finally:
            for stop in stops:
                stop.set()
        second.result()
    drain(cluster, landing)
    assert set(landed(landing)) == ids(14)
    assert cluster.committed(GROUP, 2) == [7, 7]


def test_what_cannot_land_when_a_partition_is_taken_away_comes_again(
    cluster: Cluster, landing: Landing
) -> None:
    cluster.produce({0: events(5), 1: events(5, 10)})
    in_the_way = Path(landing.root) / "learner_events"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    stop = threading.Event()
    jobs = [Job(settings(cluster), landing, False, stop.is_set) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        try:
            first = pool.submit(jobs[0].run)
            _wait_until(lambda: jobs[0]._batches.messages == 10)
            second = pool.submit(jobs[1].run)
            assert "cannot be written" in (first.result(PATIENCE).report.error or "")
            in_the_way.unlink()
            _wait_until(lambda: jobs[1]._batches.messages == 10)
        finally:
            stop.set()
        assert second.result().report.status == "success"
    assert landed(landing) == dict.fromkeys(ids(10), 1)


def test_a_consumer_that_runs_for_long_reports_now_and_then(
    cluster: Cluster, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_REPORT_EVERY", 0.5)
    cluster.produce({0: events(3)})
    until = time.monotonic() + 2
    job = Job(settings(cluster, batch_size=3), landing, False, lambda: time.monotonic() > until)
    came = job.run()
    reports = list(landing.reports().values())
    assert len(reports) >= 3
    assert sum(report.records for report in reports) == came.counts.rows == 3
    for earlier, later in pairwise(reports):
        assert later.started_at == earlier.completed_at


# ---- the command ----


def command(cluster: Cluster, landing: Landing, **other: str) -> dict[str, str]:
    """The environment of a consumer."""
    client = {f"KAFKA_CLIENT_{name.upper().replace('.', '_')}": v for name, v in SOON.items()}
    return {
        "KAFKA_BOOTSTRAP_SERVERS": cluster.brokers,
        "KAFKA_TOPIC_EVENTS_RAW": TOPIC,
        "TIDEMARK_LANDING": landing.root,
        **client,
        **other,
    }


def test_what_the_command_says(cluster: Cluster, landing: Landing) -> None:
    cluster.produce({0: [*events(3), b"?"]})
    environment = command(cluster, landing)
    ran = CliRunner().invoke(cli.app, ["ingest", "events", "--until-drained"], env=environment)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout == (
        f"3 rows landed in 1 file of {landing.root}. Still to be read: 0 messages.\n"
        "1 message could not become rows: they are kept in rejected/events, with their reasons.\n"
    )
    ran = CliRunner().invoke(
        cli.app, ["ingest", "events", "--until-drained", "--json"], env=environment
    )
    told = json.loads(ran.stdout)
    assert (told["command"], told["exit_code"], told["landing"]) == (
        "ingest events",
        0,
        landing.root,
    )
    assert (told["records"], told["figures"]["lag"], told["is_drained"]) == (0, 0, True)


@pytest.mark.parametrize(
    ("client", "says"),
    [
        ({"security.protocol": "opensesame"}, r"security\.protocol"),
        ({"sasl.password": "opensesame", "session.timeout.ms": "opensesame"}, "session.timeout"),
        ({"ssl.ca.location": "/no/opensesame", "security.protocol": "ssl"}, "settings: .*ssl"),
    ],
)
def test_a_setting_of_the_client_is_named_and_not_repeated(
    landing: Landing, client: dict[str, str], says: str
) -> None:
    settings = Settings("u:opensesame@127.0.0.1:9", TOPIC, client=client)
    came = Job(settings, landing, True, lambda: False).run()
    assert came.report.error is not None
    assert re.search(says, came.report.error)
    assert "opensesame" not in came.report.error
    (report,) = landing.reports().values()
    assert report.error == came.report.error


def test_settings_that_are_missing(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    given = {"KAFKA_TOPIC_EVENTS_RAW": TOPIC, "TIDEMARK_LANDING": landing.root}
    ran = CliRunner().invoke(cli.app, ["ingest", "events"], env=given)
    assert (ran.exit_code, ran.stderr) == (
        1,
        "KAFKA_BOOTSTRAP_SERVERS is not set.\nNothing was read.\n",
    )
    (report,) = landing.reports().values()
    assert (report.job, report.status) == ("events", "failed")


def test_a_client_that_is_not_installed(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    given = {**NAMED, "TIDEMARK_LANDING": landing.root}
    ran = CliRunner().invoke(cli.app, ["ingest", "events"], env=given)
    assert ran.exit_code == 1
    assert "ingestion needs `pip install 'tidemark[ingest]'`" in ran.stderr


def start(environment: Mapping[str, str], *options: str) -> subprocess.Popen[str]:
    """A consumer as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tidemark", "ingest", "events", *options],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "LOG_LEVEL": "info", **environment},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def scraped(url: str) -> dict[str, float]:
    """Every sample, by its name and the partition."""
    with urlopen(url) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_lands_what_it_has_read(
    cluster: Cluster, landing: Landing, number: signal.Signals
) -> None:
    cluster.produce({0: events(3), 1: [b"?"]})
    process = start(command(cluster, landing), "--metrics-port", "0")
    assert process.stderr
    url = next(found[0] for line in process.stderr if (found := re.search(r"http\S+", line)))
    _wait_until(lambda: scraped(url).get("tidemark_events_waiting_messages") == 4)
    seen = scraped(url)
    assert seen == {
        "tidemark_events_rows_total": 0,
        "tidemark_events_files_total": 0,
        "tidemark_events_dead_letters_total": 0,
        "tidemark_events_last_flush_timestamp_seconds": 0,
        "tidemark_events_lag_messages 0": 3,
        "tidemark_events_lag_messages 1": 1,
        "tidemark_events_waiting_messages": 4,
    }
    process.send_signal(number)
    shown, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert shown.startswith("3 rows landed in 1 file")
    assert (landed(landing), len(dead_letters(landing))) == (dict.fromkeys(ids(3), 1), 1)
    assert cluster.committed(GROUP, 2) == [3, 1]


def test_figures_are_counted_as_they_land(cluster: Cluster, landing: Landing) -> None:
    cluster.produce({0: events(4), 1: [b"?"]})
    process = start(command(cluster, landing, FLUSH_INTERVAL_SECONDS="0.2"), "--metrics-port", "0")
    assert process.stderr
    url = next(found[0] for line in process.stderr if (found := re.search(r"http\S+", line)))
    _wait_until(lambda: scraped(url)["tidemark_events_rows_total"] == 4)
    _wait_until(lambda: scraped(url)["tidemark_events_dead_letters_total"] == 1)
    seen = scraped(url)
    assert time.time() - seen["tidemark_events_last_flush_timestamp_seconds"] < PATIENCE
    assert seen["tidemark_events_lag_messages 0"] == 0
    process.kill()
    process.communicate()


# ---- helpers ----


def _wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
