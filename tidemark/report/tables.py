"""What all that is shown has in common: the console, tables, colours, and words for figures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from tidemark.build import Failure
from tidemark.clock import show_duration, show_seconds, show_time
from tidemark.gate import ModelState, SourceState
from tidemark.health import Level
from tidemark.shown import plain

_COLOURS = {
    SourceState.FRESH: "green",
    SourceState.WARN: "yellow",
    ModelState.NEW: "cyan",
    ModelState.UNCHANGED: "dim",
    Level.NORMAL: "green",
    Level.WARNING: "yellow",
}
# A pipe or a log file has no width of its own; the tables are made for this one.
_WIDTH_WITHOUT_TERMINAL = 110
# Of a longer name the middle is left out.
_LONGEST = 60


def console(quiet: bool = False) -> Console:
    """The console that all tables go to; quiet when standard output belongs to JSON."""
    measured = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if measured else _WIDTH_WITHOUT_TERMINAL
    return _Console(width=width, quiet=quiet, highlight=False)


class _Console(Console):
    """Whatever is printed: names, headers and errors from outside cannot command a terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """All segments, those of text without control characters."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


def show_clock(out: Console, as_of: datetime) -> None:
    """The clock that everything below it is seen at."""
    out.print(f"The clock stands at {show_time(as_of)}.")


def show_failures(out: Console, failures: Sequence[Failure]) -> None:
    """What failed, with the first lines of what dbt says of it."""
    for failure in failures:
        out.print(f"[red]The {failure.kind} {failure.node} failed:[/]")
        out.print(escape(failure.message))


def show_rows(out: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of JSON values, one column per name."""
    grid = table(*(rows[0] if rows else ["no rows"]))
    for row in rows:
        grid.add_row(*(escape(json.dumps(value).strip('"')) for value in row.values()))
    out.print(grid)


def table(*columns: str, right: Sequence[int] = (), whole: Sequence[str] = ()) -> Table:
    """An empty table; `right` are the columns that are aligned there, by position.

    What is `whole` (figures, times, dates) keeps its line. Where there is no room for all, the
    widest of the other columns wraps first. None of those is cut: names are looked up and copied.
    """
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        justify: JustifyMethod = "right" if position in right else "left"
        if column in whole:
            grid.add_column(column, no_wrap=True, justify=justify)
        else:
            grid.add_column(column, overflow="fold", justify=justify)
    return grid


def from_outside(text: str) -> str:
    """A cell for a name that somebody else chose; `--json` has all of a long one."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 2 + 3 :]}"
    return escape(text)


def colour(state: SourceState | ModelState | Level) -> str:
    """What is neither well nor a warning is red."""
    return _COLOURS.get(state, "red")


def coloured(state: SourceState | ModelState) -> str:
    """A state by its name."""
    return f"[{colour(state)}]{state.value}[/]"


def count(things: int, noun: str) -> str:
    """A number of things: `1 model`, `3 models`."""
    return f"{things:,} {noun}{'' if things == 1 else 's'}"


def number(figure: float | None) -> str:
    """A figure without decimals, if it is known."""
    return f"{figure:,.0f}" if figure is not None else "-"


def duration(took: timedelta | None) -> str:
    """A duration, if it is known."""
    return show_duration(took) if took is not None else "-"


def seconds(took: float | None) -> str:
    """Seconds as a duration, if they are known."""
    return show_seconds(took) if took is not None else "-"


def short_time(moment: datetime | None) -> str:
    """A time in a narrow column, if it is known."""
    return f"{moment:%m-%d %H:%M}" if moment else "-"
