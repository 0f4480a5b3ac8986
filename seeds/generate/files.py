"""What all domains share: the days, the clock of the seeds, and one way to write a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

Row = list[str]

FOLDER = Path(__file__).parent.parent
SIZE_LIMIT = 300_000
FIRST_DAY = date(2025, 9, 3)
END = datetime(2025, 10, 17)
DAYS = [FIRST_DAY + timedelta(days=n) for n in range((END.date() - FIRST_DAY).days)]

# A load inside the overlap before the seed clock (var `watermark_overlap_minutes`) would be
# touched again by a second run at the same clock, and that run must touch nothing.
SEED_CLOCK = datetime(2025, 10, 15, 12)
OVERLAP = timedelta(minutes=30)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def next_load(moment: datetime, minute: int) -> datetime:
    """The hourly batch, at that minute, that follows the moment."""
    batch = moment.replace(minute=minute, second=0, microsecond=0)
    return batch if batch > moment else batch + timedelta(hours=1)


def write(table: str, columns: str, rows: Iterator[Row], special: str = "") -> None:
    """Write one CSV in order of load time, the last column; rows without one come last."""
    every_row = [*rows, *csv.reader(io.StringIO(special))]
    every_row.sort(key=lambda row: (not row[-1], row[-1], row))
    overlap = str(SEED_CLOCK - OVERLAP), str(SEED_CLOCK)
    if any(overlap[0] <= row[-1] <= overlap[1] for row in every_row):
        raise ValueError(f"{table}: a load lies in the overlap before the seed clock")
    path = FOLDER / f"{table}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns.split(), *every_row])
    if path.stat().st_size > SIZE_LIMIT:
        raise ValueError(f"{table}: larger than {SIZE_LIMIT} bytes")
