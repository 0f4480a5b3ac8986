"""A Kafka cluster for tests: librdkafka's mock of one, in a process of its own.

It keeps about 5 MB of a partition, forgets its groups when it ends, and knows errors on demand. It
is made through the C interface, which has more of it than `test.mock.num.brokers`: the number of
partitions, errors in answers, and no wait of three seconds for the other members of a group.

    python kafka_cluster.py TOPIC PARTITIONS
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka

# Kinds of requests and errors, by their numbers in Kafka's protocol.
OFFSET_COMMIT = 8
FETCH = 1
GROUP_AUTHORIZATION_FAILED = 30
OFFSET_OUT_OF_RANGE = 1
TOPIC_AUTHORIZATION_FAILED = 29


@dataclass
class Cluster:
    """A running cluster with one topic."""

    brokers: str
    topic: str
    _process: subprocess.Popen[str]

    def produce(self, messages: Mapping[int, list[bytes | None]], **settings: object) -> None:
        """Append values to partitions, and wait until they are there."""
        producer = confluent_kafka.Producer({"bootstrap.servers": self.brokers, **settings})
        for partition, values in messages.items():
            for value in values:
                producer.produce(self.topic, value, partition=partition)
        assert producer.flush(30) == 0

    def fail(self, request: int, *errors: int) -> None:
        """Have the next requests of a kind answered with these errors."""
        self._tell(f"fail {request} {' '.join(map(str, errors))}")

    def stop_brokers(self) -> None:
        """Cut all connections, and take no new ones."""
        self._tell("down")

    def start_brokers(self) -> None:
        """Take connections again."""
        self._tell("up")

    def committed(self, group: str, partitions: int) -> list[int | None]:
        """The offsets of a group."""
        asks = confluent_kafka.Consumer({"bootstrap.servers": self.brokers, "group.id": group})
        asked = [confluent_kafka.TopicPartition(self.topic, each) for each in range(partitions)]
        try:
            answers = asks.committed(asked, timeout=10)
        finally:
            asks.close()
        return [each.offset if each.offset >= 0 else None for each in answers]

    def _tell(self, command: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def running(topic: str, partitions: int = 1) -> Iterator[Cluster]:
    """A cluster that ends with the block."""
    command = [sys.executable, __file__, topic, str(partitions)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        try:
            yield Cluster(process.stdout.readline().strip(), topic, process)
        finally:
            process.kill()


def _library() -> ctypes.CDLL:
    """The librdkafka that the Python client has loaded, from its wheel or from the system."""
    (loaded,) = {
        line.split(maxsplit=5)[5].strip()
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "librdkafka" in line
    }
    library = ctypes.CDLL(loaded)
    for function in ("rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, function).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


def main(topic: str, partitions: int) -> None:
    """Be a cluster, and do what standard input says, until it ends."""
    library = _library()
    producer, problem = 0, ctypes.create_string_buffer(500)
    client = library.rd_kafka_new(producer, None, problem, len(problem))
    assert client, problem.value
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), 1))
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    assert library.rd_kafka_mock_topic_create(cluster, topic.encode(), partitions, 1) == 0
    print(library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "fail":
            request, *errors = map(int, numbers)
            array = (ctypes.c_int * len(errors))(*errors)
            library.rd_kafka_mock_push_request_errors_array(
                cluster, ctypes.c_int16(request), ctypes.c_size_t(len(errors)), array
            )
        else:
            switch = getattr(library, f"rd_kafka_mock_broker_set_{command}")
            assert switch(cluster, -1) == 0
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
