"""What a running consumer shows to Prometheus, which scrapes the process itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge, make_wsgi_app

from tidemark.ingest import IngestError
from tidemark.ingest.batches import Counts
from tidemark.scraped import listening


class Exposure:
    """A server of /metrics, in a thread of its own."""

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
        self._waiting = Gauge(
            "tidemark_events_waiting_messages",
            "Messages that were read and have not landed.",
            registry=registry,
        )
        self._server = listening(host, port, make_wsgi_app(registry))
        self._thread = Thread(target=self._server.serve_forever, daemon=True, name="metrics")
        self._thread.start()
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def count(self, counts: Counts) -> None:
        """Count what a flush has landed."""
        self._rows.inc(counts.rows)
        self._files.inc(counts.files)
        self._dead_letters.inc(counts.dead_letters)
        self._last_flush.set(time())

    def show(self, waiting: int, lag: Mapping[int, int]) -> None:
        """Show what is read now: how much has not landed, and the lag by partition."""
        self._waiting.set(waiting)
        # What others read now is theirs to show.
        self._lag.clear()
        for partition, messages in lag.items():
            self._lag.labels(str(partition)).set(messages)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def exposed(host: str, port: int | None) -> Iterator[Exposure | None]:
    """Serve while something runs, if there is a port. Raises IngestError where it is taken."""
    if port is None:
        yield None
        return
    try:
        exposure = Exposure(host, port)
    except ValueError as error:
        raise IngestError(f"{error} Choose another --metrics-port.") from None
    try:
        yield exposure
    finally:
        exposure.close()
