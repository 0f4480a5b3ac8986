"""How far each job has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from tidemark.report.tables import table


def show_watermarks(out: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Every job with its watermark, and how its last run ended."""
    jobs = table("job", "watermark", "known until", "last run", whole=("known until", "last run"))
    for row in rows:
        watermark, known_until = row["last_processed_timestamp"], row["known_until"]
        jobs.add_row(
            row["job_name"],
            str(watermark or "- (rebuilt whole by its next run)"),
            str(known_until or "-"),
            row["last_run_status"],
        )
    out.print(jobs)
