"""What a build would touch, and why, before anything is written: dbt finds out as it compiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from tidemark.engine import Dbt
from tidemark.gate import ModelState
from tidemark.judgement import Judgement


@dataclass(frozen=True)
class Touched:
    """What a run does with one table.

    `partitions` are sessions of a table of sessions and entities of a replayed one; `rows`, out of
    `table_rows`, those that are stored of them now. A table without these is rebuilt whole. What
    the tables it `follows` change in the same run is touched besides, and not known before. Of each
    of its `tests` it is said whether it decides before the rows are published, and why.
    """

    table: str
    mode: str
    partitions: int | None = None
    rows: int | None = None
    table_rows: int | None = None
    why: Mapping[str, int] = field(default_factory=dict)
    follows: Sequence[str] = ()
    tests: Sequence[Mapping[str, Any]] = ()

    @property
    def share(self) -> float | None:
        """How much of the table is replaced."""
        if self.rows is None or not self.table_rows:
            return None
        return self.rows / self.table_rows


def explain(
    dbt: Dbt,
    as_of: datetime,
    tables: Sequence[str],
    window: tuple[date, date] | None = None,
) -> list[Touched]:
    """Ask what a build of some tables, or the restatement of a window, would touch.

    Raises DbtError when a table cannot tell.
    """
    if not tables:
        return []
    first, end = window or (None, None)
    asked = {"start": first.isoformat(), "end": end.isoformat()} if first and end else {}
    outcome = dbt.call(
        "compile",
        *("--select", *tables),
        *("--indirect-selection", "empty"),
        "--no-write-json",
        as_of=as_of,
        variables={"explain": asked},
    )
    outcome.raise_if_failed()
    told = {event["model"]: event for event in outcome.events.get("touched", [])}
    return [_touched(table, told.get(table)) for table in tables]


def tables_to_build(dbt: Dbt, judgement: Judgement) -> list[str]:
    """The stored tables that a run would build."""
    return [model for model in judgement.models(ModelState.NEW) if model in dbt.stored_marts]


def _touched(table: str, event: Mapping[str, Any] | None) -> Touched:
    """Who touches everything has no touched keys to tell of."""
    if event is None:
        return Touched(table, "full")
    return Touched(
        table=table,
        mode=event["mode"],
        partitions=event["partitions"],
        rows=event["rows"],
        table_rows=event["table_rows"],
        why=event["why"],
        follows=event["follows"],
        tests=event["tests"],
    )
