"""What a running consumer shows to Prometheus, which scrapes the process itself."""

from __future__ import annotations

from collections.abc import Mapping
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from tidemark.ingest.batches import Counts


class Exposure:
    """A server of /metrics, in a thread of its own. Raises OSError where it cannot listen."""

    def __init__(self, host: str, port: int) -> None:
        # Ours alone: the library's own one tells of the Python process.
        registry = CollectorRegistry()

        def counter(name: str, tells: str) -> Counter:
            return Counter(f"tidemark_events_{name}", tells, registry=registry)

        self._rows = counter("rows", "Rows that have landed.")
        self._files = counter("files", "Files that have landed.")
        self._dead_letters = counter("dead_letters", "Messages that could not become rows.")
        self._last_flush = Gauge(
            "tidemark_events_last_flush_timestamp_seconds",
            "When messages last landed, or what had landed was committed.",
            registry=registry,
        )
        self._lag = Gauge(
            "tidemark_events_lag_messages",
            "Messages of a partition that are not committed.",
            ["partition"],
            registry=registry,
        )
        self._server, self._thread = start_http_server(port, host, registry)
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def count(self, counts: Counts) -> None:
        """Count what a flush has landed."""
        self._rows.inc(counts.rows)
        self._files.inc(counts.files)
        self._dead_letters.inc(counts.dead_letters)
        self._last_flush.set(time())

    def show_lag(self, lag: Mapping[int, int]) -> None:
        """Show the lag of the partitions that are read now, and of no others."""
        self._lag.clear()
        for partition, messages in lag.items():
            self._lag.labels(str(partition)).set(messages)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
