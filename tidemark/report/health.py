"""How the pipeline is, on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidemark.health import Health, Level, worst
from tidemark.report.tables import colour, number, seconds, short_time, show_clock, table
from tidemark.report.values import as_values

# How many subjects of one finding are named.
_FINDINGS = 3


def show_health(out: Console, health: Health) -> None:
    """One screen: sources, jobs, the last run, and what is not normal."""
    show_clock(out, health.as_of)
    out.print(_sources_table(health))
    jobs = list(health.of("watermark_lag"))
    if jobs:
        out.print(_jobs_table(health, jobs))
    if ingested := [job for job in health.of("job_failures") if job not in jobs]:
        out.print(_ingestion_table(health, ingested))
    for figure in health.figures:
        if figure.metric == "run_time":
            ended = f"{figure.subject} ended in {figure.detail} after {figure.amount:.1f} s"
            at = short_time(figure.reference_time)
            out.print(f"The last run: {ended}, {at} by the wall clock.")
        if figure.metric == "unpublished":
            since = f"since {short_time(figure.reference_time)} by the wall clock"
            refused = f"{figure.subject}, refused by {figure.detail}"
            out.print(f"Waits unpublished: {escape(refused)}, {since}.")
    findings = [figure for figure in health.figures if figure.level is not Level.NORMAL]
    for level in (Level.CRITICAL, Level.WARNING):
        for metric in dict.fromkeys(f.metric for f in findings if f.level is level):
            told = [f.words for f in findings if (f.level, f.metric) == (level, metric)]
            rest = f" and {len(told) - _FINDINGS} more" if len(told) > _FINDINGS else ""
            words = escape(", ".join(sorted(told)[:_FINDINGS]))
            out.print(f"[{colour(level)}]{level.word}[/] {metric}: {words}{rest}")
    if not findings:
        out.print("[green]All is normal.[/]")


def _sources_table(health: Health) -> Table:
    columns = ("state", "last load", "age", "warning", "limit", "waiting", "bad rows")
    sources = table("source", *columns, right=(6, 7), whole=("state", "last load", *columns[5:]))
    for source, figures in health.of("source_age", "waiting_rows").items():
        age, waiting = figures["source_age"], figures["waiting_rows"]
        bad = [f for f in health.figures if f.metric == "quarantined_rows" and f.about == source]
        sources.add_row(
            source,
            f"[{colour(age.level)}]{age.detail}[/]",
            short_time(age.reference_time),
            seconds(age.amount),
            seconds(age.warning_at),
            seconds(age.critical_at),
            number(waiting.amount),
            number(sum(f.amount or 0 for f in bad) if bad else None),
        )
    return sources


def _jobs_table(health: Health, jobs: Sequence[str]) -> Table:
    columns = ("watermark", "lag", "pending", "last run", "seconds", "rows", "parts", "tested")
    shown = table("job", *columns, right=(2, 3, 5, 6, 7, 8), whole=("watermark", *columns[2:]))
    metrics = ("watermark_lag", "pending_rows", "job_failures", "code_drift")
    results = ("job_time", "job_rows", "job_partitions", "test_age")
    for job, figures in health.of(*metrics, *results).items():
        if job not in jobs:
            continue
        # The level is in the colour and, in words, below the tables.
        level = worst(figures.values())
        took = figures["job_time"].amount
        shown.add_row(
            f"[{colour(level)}]{job}[/]",
            short_time(health.watermarks.get(job)),
            seconds(figures["watermark_lag"].amount),
            number(figures["pending_rows"].amount),
            short_time(figures["job_time"].reference_time),
            f"{took:.2f}" if took is not None else "-",
            number(figures["job_rows"].amount),
            number(figures["job_partitions"].amount),
            seconds(tested.amount if (tested := figures.get("test_age")) else None),
        )
    return shown


def _ingestion_table(health: Health, jobs: Sequence[str]) -> Table:
    columns = ("last success", "seconds", "rows", "failures since", "unread")
    shown = table(
        "ingestion",
        *columns,
        right=(2, 3, 4, 5),
        whole=("last success", "seconds", "rows", "unread"),
    )
    for job, figures in health.of(
        "job_failures", "job_time", "job_rows", "unread_messages"
    ).items():
        if job not in jobs:
            continue
        failures, took = figures["job_failures"], figures["job_time"].amount
        shown.add_row(
            f"[{colour(failures.level)}]{job}[/]",
            short_time(figures["job_time"].reference_time),
            f"{took:.2f}" if took is not None else "-",
            number(figures["job_rows"].amount),
            number(failures.amount),
            number(figures["unread_messages"].amount),
        )
    return shown


def health_as_json(health: Health) -> dict[str, Any]:
    """The figures as the view has them, and the watermarks."""
    return {
        "as_of": health.as_of.isoformat(),
        "level": health.level.word,
        "watermarks": as_values(health.watermarks),
        "figures": [{**as_values(figure), "level": figure.level.word} for figure in health.figures],
    }
