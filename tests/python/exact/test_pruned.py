"""The differential test of retention.

A history in which raw rows are pruned after the first step ends in the same marts as one in which
nothing was pruned and nothing came for the pruned days.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from . import raw
from .history import DAY, START, History, Row, Step
from .marts import all_differences, connect
from .project import FILE_NAME, Project
from .raw import TABLES
from .replay import _commit, _take
from .rounds import drawn, in_processes, subject_of
from .test_exact import EXAMPLES, SEED

# Each takes three times as long as an ordinary history.
ROUNDS = max(2, EXAMPLES // 16)

FLOOR = START.date() - 4 * DAY
# A window of seven days needs them all.
WINDOWS_FLOOR = FLOOR + 6 * DAY
PRUNED = ("fact_events", "engagement_events", "web_events")


@pytest.mark.exact
def test_every_mart_is_what_it_is_where_nothing_was_pruned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with in_processes() as pool:
        late = sum(pool.map(_late_rows, range(SEED, SEED + ROUNDS)))
    with capsys.disabled():
        print(f"\n{ROUNDS} histories with a pruning, {late} rows came for pruned days")
    assert late, "in no history did a row come for a pruned day"


def _late_rows(number: int) -> int:
    """Draw a history and play it."""
    with tempfile.TemporaryDirectory(prefix="tidemark-pruned-") as folder:
        return play(drawn(number)[0], Project(subject_of(number), Path(folder)), Path(folder))


def play(history: History, project: Project, folder: Path) -> int:
    """Play a history twice; how many rows came for days that were pruned by then."""
    pruned, whole = (folder / name / FILE_NAME for name in ("pruned", "whole"))
    rows = [row for row in history.rows if not _is_frozen(row, history)]
    late = [row for row in rows if _is_late(row) and _below(row, FLOOR)]
    punctual = tuple(row for row in rows if row not in late)
    steps = [history.steps[0], *(_above_the_floor(step, history) for step in history.steps[1:])]

    pruned.parent.mkdir()
    with connect(pruned) as connection:
        raw.create(connection)
    _commit(punctual, 0, project, pruned)
    _take(steps[0], project, pruned)
    whole.parent.mkdir()
    shutil.copy(pruned, whole)
    _prune(project, pruned, steps[0].clock, FLOOR)
    # late, and yet in the raw tables since the first step: the clock had not reached them
    _commit(tuple(row for row in late if row.step == 0), 0, project, pruned)
    for number, step in enumerate(steps[1:], 1):
        for database, coming in ((pruned, tuple(rows)), (whole, punctual)):
            _commit(coming, number, project, database)
            _take(step, project, database)

    clock = steps[-1].clock
    _compare(project, pruned, whole, "increments", history)
    project.succeed(pruned, clock, "run", "--full-refresh")
    _compare(project, pruned, whole, "a full refresh", history)
    _prune(project, pruned, clock, max(FLOOR, clock.date() - 2 * DAY))
    project.succeed(pruned, clock, "run", "--full-refresh")
    _compare(project, pruned, whole, "a second pruning and a full refresh", history)
    return len(late)


def _prune(project: Project, database: Path, clock: datetime, kept_from: date) -> None:
    args = {"dry_run": False, "kept_from": str(kept_from)}
    project.succeed(database, clock, "run-operation", "prune", "--args", json.dumps(args))


def _below(row: Row, floor: date) -> bool:
    if row.table not in PRUNED or not row.values:
        return False
    day = raw.day_of(row.table, row.values)
    return day is not None and day < floor


def _is_late(row: Row) -> bool:
    """Whether the first step did not see it."""
    loaded = row.content.get(TABLES[row.table].load_time)
    return row.step > 0 or (loaded is not None and loaded > START)


def _is_frozen(row: Row, history: History) -> bool:
    """Rows that come too late for what lies above the floor, and yet is not recomputed."""
    if not _is_late(row) or not row.values:
        return False
    if row.table == "engagement_events":
        return not _below(row, FLOOR) and _below(row, WINDOWS_FLOOR)
    return row.table == "web_events" and any(
        _is_of_one_session(row, other) for other in _over_the_floor(history)
    )


def _over_the_floor(history: History) -> Iterator[Row]:
    """The events of sessions that began below the floor, as the first step knows them."""
    seen = [row for row in history.rows if row.table == "web_events" and not _is_late(row)]
    began = [row for row in seen if _below(row, FLOOR)]
    return (row for row in seen if any(_is_of_one_session(row, first) for first in began))


def _is_of_one_session(row: Row, other: Row) -> bool:
    keys = [("team_id", "session_id"), ("team_id", "event_id")]
    return any(all(row.content.get(k) == other.content.get(k) for k in key) for key in keys)


def _above_the_floor(step: Step, history: History) -> Step:
    """The step, if it doubts nothing of what cannot be recomputed; else just a build."""
    if step.action == "restate" and step.window:
        first, end = max(step.window[0], WINDOWS_FLOOR), step.window[1]
        if first < end:
            return replace(step, window=(first, end))
    elif step.action == "erase" and step.partition:
        table, _, day = step.partition
        held = {raw.day_of(row.table, row.content) for row in _over_the_floor(history)}
        if table not in PRUNED or (day >= WINDOWS_FLOOR and day not in held):
            return step
    elif step.action != "request":
        return step
    return Step(step.clock, "build tables")


def _compare(project: Project, pruned: Path, whole: Path, after: str, history: History) -> None:
    with connect(pruned) as one, connect(whole) as other:
        found = all_differences(one, other, project.marts, "the project where nothing was pruned")
    assert not found, "\n".join([f"After {after}:", *found, repr(history)])
