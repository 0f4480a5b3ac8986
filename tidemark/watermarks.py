"""Watermarks: shown, set back, or reset. The macros decide and write; nothing is edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidemark.clock import parse_clock, parse_if_known, show_time
from tidemark.engine import Dbt


@dataclass(frozen=True)
class Change:
    """How a watermark changes; without `after` the job is rebuilt whole, else `rows` read again."""

    job: str
    before: datetime
    after: datetime | None
    rows: Mapping[str, int]

    @property
    def words(self) -> str:
        """The change as two sentences."""
        moved = f"The watermark of {self.job} goes from {show_time(self.before)}"
        if self.after is None:
            return f"{moved} to none. Its next run rebuilds it whole."
        again = [f"{rows:,} of {source}" for source, rows in self.rows.items() if rows]
        read = f"the rows loaded since: {', '.join(again)}" if again else "no newer rows"
        return f"{moved} to {show_time(self.after)}. Its next run looks again at {read}."


def change(
    dbt: Dbt,
    job: str,
    reason: str,
    to: datetime | None = None,
    as_of: datetime | None = None,
    dry_run: bool = False,
) -> Change:
    """Set the watermark of a job, or only ask what that does. Refused when it would lose rows."""
    wanted = {"job": job, "reason": reason, "dry_run": dry_run}
    if to is not None:
        wanted["to"] = to.isoformat()
    told = dbt.operate("set_watermark", wanted, as_of).event("watermark")
    return Change(
        job=told["job"],
        before=parse_clock(told["before"]),
        after=parse_if_known(told["after"]),
        rows=told["rows"] or {},
    )


def stored(dbt: Dbt) -> list[dict[str, Any]]:
    """The watermark of every model and snapshot that has ever run, by name."""
    dbt.operate("create_ops_tables")
    jobs = set(dbt.lineage.names.values())
    rows = [row for row in dbt.show("etl_job_watermarks") if row["job_name"] in jobs]
    return sorted(rows, key=lambda row: str(row["job_name"]))
