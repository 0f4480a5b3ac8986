"""The figures of `ops.pipeline_health` as Prometheus reads them: in a file, or over HTTP.

The server shows what a run, a check or a look has found last. It reads nothing but the figures, at
an interval and in the background; while a run holds the database file, it serves what it has.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest, write_to_textfile
from prometheus_client.registry import Collector

from tidemark import page
from tidemark.engine import DatabaseLockedError, Dbt, DbtError
from tidemark.gate import ModelState, SourceState
from tidemark.health import Figure, Health, Level, known, worst
from tidemark.logs import tell
from tidemark.messages import in_one_line
from tidemark.scraped import Server, listening

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Seconds to wait for the last reading. Service managers kill after ten (docker stop) or more.
_PATIENCE = 8
# The figures by metric: their gauge, what it tells, and its labels, which the subject fills.
_GAUGES = {
    "run_time": ("last_run_seconds", "What the last run of dbt took.", ()),
    "failed_runs": ("failed_runs", "Runs of dbt that failed in the 24 hours before the clock.", ()),
    "job_time": ("job_seconds", "What the last success of a job took.", ("job",)),
    "job_rows": ("job_rows", "Rows that the last success of a job wrote.", ("job",)),
    "job_partitions": ("job_partitions", "Partitions that it touched.", ("job",)),
    "job_failures": ("job_failures", "Failures of a job since its last success.", ("job",)),
    "unread_messages": (
        "unread_messages",
        "Messages that an ingest job has not read yet.",
        ("job",),
    ),
    "watermark_lag": ("watermark_lag_seconds", "How far the clock is ahead of a job.", ("job",)),
    "pending_rows": ("pending_rows", "Visible rows that a job has not processed.", ("job",)),
    "code_drift": ("code_drift", "1 when a job's code is not what built it.", ("job",)),
    "unpublished": ("unpublished", "Tests that refused a job's new rows, which wait.", ("job",)),
    "source_age": ("source_age_seconds", "Age of a source's last load at the clock.", ("source",)),
    "waiting_rows": ("waiting_rows", "Rows of a source loaded after the clock.", ("source",)),
    "quarantined_rows": ("quarantined_rows", "Rows set aside lately.", ("source", "reason")),
    "skipped_files": ("skipped_files", "Files that a pipe did not load.", ("source",)),
    "open_gaps": ("open_gaps", "Partitions of a table that are not as they should be.", ("table",)),
    "repair_success": ("repair_success_percent", "Repairs of 30 days that succeeded.", ()),
    "test_age": (
        "test_age_seconds",
        "Since all tests of a model last looked at everything, by the clock.",
        ("job",),
    ),
    "repair_time": ("repair_seconds", "From found to repaired, on average of 30 days.", ()),
}


@dataclass(frozen=True)
class Known:
    """What is known, since when, and why it is not newer; times by the wall clock."""

    health: Health | None = None
    refreshed_at: datetime | None = None
    is_busy: bool = False
    problem: str = ""

    @property
    def age(self) -> float | None:
        """Seconds since the figures were read."""
        if self.refreshed_at is None:
            return None
        return (datetime.now(timezone.utc) - self.refreshed_at).total_seconds()


class Figures(Collector):
    """The gauges of the figures that are known when somebody asks."""

    def __init__(self, what_is_known: Callable[[], Known]) -> None:
        self.what_is_known = what_is_known

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client calls for every scrape."""
        health = self.what_is_known().health
        if health:
            yield from gauges(health)


class Freshness(Figures):
    """How old they are, and whether that will last."""

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client calls for every scrape."""
        known_now = self.what_is_known()
        yield _gauge("figures_age_seconds", "Since the figures were read.", known_now.age)
        busy = "1 while another process holds the database: the figures are the last known."
        yield _gauge("database_busy", busy, known_now.is_busy)


def gauges(health: Health) -> Iterator[Metric]:
    """The figures, how bad they are, and what the gate has decided."""
    by_metric: dict[str, list[Figure]] = {}
    for figure in health.figures:
        by_metric.setdefault(figure.metric, []).append(figure)
    for metric, (name, tells, labels) in _GAUGES.items():
        yield _labelled(
            name,
            tells,
            labels,
            {_values(figure, labels): figure.amount for figure in by_metric.get(metric, [])},
        )
    sources = by_metric.get("source_age", [])
    loads: dict[tuple[str, ...], float | None]
    loads = {(figure.subject,): _unix(figure.reference_time) for figure in sources}
    yield _labelled(
        "source_last_load_timestamp_seconds", "When a source was last loaded.", ("source",), loads
    )
    states = Counter(str(figure.detail) for figure in sources)
    yield _states("sources", "Sources by their state.", states, SourceState)
    decisions = by_metric.get("decisions", [])
    decided = Counter({figure.subject: int(figure.amount or 0) for figure in decisions})
    yield _states("models", "Models by the gate's last decision.", decided, ModelState)
    tells = "When the gate last decided, by the wall clock."
    yield _gauge("gate_last_check_timestamp_seconds", tells, _unix(_last_check(health)))
    yield _gauge("clock_timestamp_seconds", "The clock of the figures.", _unix(health.as_of))
    levels: dict[tuple[str, ...], float | None]
    levels = {(metric,): float(worst(found)) for metric, found in sorted(by_metric.items())}
    tells = "The worst level of a metric: 0 normal, 1 warning, 2 critical."
    yield _labelled("metric_level", tells, ("metric",), levels)
    yield _gauge("level", "The worst level of all.", float(health.level))


def _labelled(
    name: str, tells: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float | None]
) -> Metric:
    """One gauge; what is not known is left out."""
    gauge = GaugeMetricFamily(f"tidemark_{name}", tells, labels=labels)
    for of, value in sorted(values.items()):
        if value is not None:
            gauge.add_metric(of, value)
    return gauge


def _gauge(name: str, tells: str, value: float | None) -> Metric:
    return _labelled(name, tells, (), {(): value})


def _states(
    name: str, tells: str, counted: Counter[str], states: Iterable[SourceState | ModelState]
) -> Metric:
    """A gauge with every state, also those that nothing is in."""
    values: dict[tuple[str, ...], float | None]
    values = {(state.value,): float(counted[state.value]) for state in states}
    return _labelled(name, tells, ("state",), values)


def _last_check(health: Health) -> datetime | None:
    """When the gate last decided: without a scheduler everything else stands still."""
    decisions = (figure for figure in health.figures if figure.metric == "decisions")
    return max((each.reference_time for each in decisions if each.reference_time), default=None)


def _values(figure: Figure, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Bad rows are told by source and reason; a source without any has no reason."""
    parts = [part.strip() for part in figure.subject.split(":", 1)]
    return tuple((*parts, "")[: len(labels)])


def _unix(moment: datetime | None) -> float | None:
    return moment.replace(tzinfo=timezone.utc).timestamp() if moment else None


def _registry(*collectors: Collector) -> CollectorRegistry:
    """Ours alone: the library's own one tells of the Python process."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def write(health: Health, path: Path) -> None:
    """Write the gauges into a file that is there whole or not at all."""
    write_to_textfile(str(path), _registry(Figures(lambda: Known(health))))


def text(health: Health) -> str:
    """The gauges as the file would hold them."""
    return generate_latest(_registry(Figures(lambda: Known(health)))).decode()


def health_of(known_now: Known) -> tuple[int, dict[str, Any]]:
    """The answer of /health: 503 when something is critical, and while nothing is known."""
    health = known_now.health
    checked_at = _last_check(health) if health else None
    told = {
        "level": health.level.word if health else "unknown",
        "critical": [f"{figure.metric}: {figure.words}" for figure in _critical(health)],
        "as_of": health.as_of.isoformat() if health else None,
        "checked_at": checked_at.isoformat() if checked_at else None,
        "age_seconds": round(known_now.age, 1) if known_now.age is not None else None,
        "database_busy": known_now.is_busy,
        "problem": known_now.problem or None,
    }
    return 503 if health is None or health.level is Level.CRITICAL else 200, told


def _critical(health: Health | None) -> list[Figure]:
    figures = health.figures if health else []
    found = [figure for figure in figures if figure.level is Level.CRITICAL]
    return sorted(found, key=lambda figure: (figure.metric, figure.subject))


class Monitor:
    """What was last read of the figures, and the report; a thread refreshes them.

    Without being started it is refreshed by whoever made it, whom `wake` calls for the report.
    """

    def __init__(self, dbt: Dbt, interval: float, wake: Event | None = None) -> None:
        self.dbt, self.interval = dbt, interval
        self.known = Known(problem="The figures are being read for the first time.")
        # The report is made for who asks for it, of figures that change with every look and run.
        self.page = ""
        self._is_asked = False
        self._shown: Health | None = None
        # A reading that fails is told here, once; a busy database is no error at all.
        dbt.listeners.clear()
        self._stopped, self._wake = Event(), wake or Event()
        self._thread = Thread(target=self._refresh_for_ever, daemon=True, name="refresh")

    def refresh(self) -> None:
        """Read the figures, if nobody holds the database."""
        try:
            health = known(self.dbt)
        except DatabaseLockedError as error:
            if not self.known.is_busy:
                tell(logging.INFO, f"{error} The figures stay as they are until it is free.")
            self.known = replace(self.known, is_busy=True, problem=str(error))
        except DbtError as error:
            problem = in_one_line(str(error))
            if problem != self.known.problem:
                tell(logging.WARNING, f"The figures could not be read: {problem}")
            self.known = replace(self.known, is_busy=False, problem=problem)
        else:
            self.known = Known(health, datetime.now(timezone.utc))
            if self._is_asked:
                self._make_page(health)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody asked for the report, and there is none yet."""
        return self._is_asked and not self.page

    def ask(self) -> str:
        """The report as it was last made, and from now on anew when something happened."""
        self._is_asked = True
        if not self.page:
            self._wake.set()
        return self.page

    def _make_page(self, health: Health) -> None:
        """The report anew, when something happened since it was made."""
        if health == self._shown:
            return
        try:
            self.page = page.make(self.dbt).html
        except DatabaseLockedError:
            # it is made when the database is free
            return
        except DbtError as error:
            tell(logging.WARNING, f"The report could not be made: {in_one_line(str(error))}")
        self._shown = health

    def _refresh_for_ever(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            self._wake.wait(self.interval)
            self._wake.clear()

    def start(self) -> None:
        """Refresh from now on, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Refresh no more, and let a reading end: cut off, DuckDB complains of what it leaks."""
        self._stopped.set()
        self._wake.set()
        self._thread.join(timeout=_PATIENCE)


def page_of(monitor: Monitor, start_response: StartResponse) -> Iterable[bytes]:
    """The report; while it is made a page that asks again, without the extra a line."""
    html = {"Content-Type": "text/html; charset=utf-8"}
    if not page.is_installed():
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [f"{page.MISSING}\n".encode()]
    if made := monitor.ask():
        start_response("200 OK", [*html.items()])
        return [made.encode()]
    why = escape(monitor.known.problem or "The report is being made.")
    start_response("503 Service Unavailable", [*html.items(), ("Retry-After", "3")])
    return [f'<!doctype html><meta http-equiv="refresh" content="3"><p>{why}</p>\n'.encode()]


def server(monitor: Monitor, host: str, port: int) -> Server:
    """The server of the report, /health and /metrics. Raises ValueError where it cannot listen."""
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(
        _registry(Figures(lambda: monitor.known), Freshness(lambda: monitor.known))
    )

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)
        if path == "/":
            return page_of(monitor, start_response)
        if path == "/health":
            code, told = health_of(monitor.known)
            phrase = "200 OK" if code == 200 else "503 Service Unavailable"
        else:
            told, phrase = {"paths": ["/", "/health", "/metrics"]}, "404 Not Found"
        start_response(phrase, [("Content-Type", "application/json")])
        return [json.dumps(told, indent=2).encode() + b"\n"]

    return listening(host, port, app)
