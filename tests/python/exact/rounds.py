"""Plays drawn histories in rounds, several rounds at a time in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from .histories import SUBJECTS, histories
from .history import History
from .phenomena import mattered
from .project import Project
from .replay import replay
from .variants import with_changes_of_code

# Hypothesis begins with the dullest history, which is not played, and after ten it varies what it
# had: near copies, and each takes seconds.
EXAMPLES_PER_ROUND = 4

WORKERS = min(4, os.cpu_count() or 1)


@dataclass
class Round:
    """What came of one round: how often each phenomenon mattered, and what went wrong."""

    seed: int
    examples: int = 0
    phenomena: Counter[str] = field(default_factory=Counter)
    failure: str | None = None


def play_rounds(first_seed: int, examples: int) -> Iterator[Round]:
    """Rounds as they end. The caller may stop listening; what has not begun is then left out."""
    rounds = -(-examples // EXAMPLES_PER_ROUND)
    with in_processes() as pool:
        futures = [pool.submit(play_round, first_seed + number) for number in range(rounds)]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def in_processes() -> ProcessPoolExecutor:
    """Fresh processes: neither dbt nor DuckDB is made to be forked."""
    return ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"))


def play_round(number: int) -> Round:
    """Draw and play one round against the project as it is."""
    played = Round(number)

    def play(drawn: History) -> None:
        history = with_changes_of_code(drawn, number, played.examples)
        with tempfile.TemporaryDirectory() as folder:
            replay(history, _project(history.domains), Path(folder))
        played.examples += 1
        played.phenomena.update(mattered(history))

    try:
        draw(number, play)
    except AssertionError as error:
        played.failure = str(error)
    return played


def draw(number: int, play: Callable[[History], None]) -> None:
    """Hand the histories of one round, which its number decides, to a function that may fail."""
    is_dullest = True

    @seed(number)
    @settings(
        max_examples=EXAMPLES_PER_ROUND + 1,
        database=None,
        deadline=None,
        phases=[Phase.generate] + [Phase.shrink] * ("TIDEMARK_SHRINK" in os.environ),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories(subject_of(number)))
    def draw_and_play(history: History) -> None:
        nonlocal is_dullest
        if not is_dullest:
            play(history)
        is_dullest = False

    draw_and_play()


def subject_of(number: int) -> tuple[str, ...]:
    """The domains that a round is about."""
    return SUBJECTS[number % len(SUBJECTS)]


def drawn(number: int) -> list[History]:
    """The histories of one round."""
    histories_of_round: list[History] = []
    draw(number, histories_of_round.append)
    return histories_of_round


@cache
def _project(domains: tuple[str, ...]) -> Project:
    """One parse for all rounds of a process."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-exact-"))
    if os.environ.get("TIDEMARK_EXACT_TARGET", "duckdb") == "duckdb":
        return Project(domains, folder)
    from .emulated import EmulatedProject

    return EmulatedProject(domains, folder)
