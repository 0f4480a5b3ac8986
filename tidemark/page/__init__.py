"""The report: one HTML file of what the project's and the engine's analyses say.

Its charts need the extra `report`, which is imported where they are drawn.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.engine import Dbt

if TYPE_CHECKING:
    from tidemark.page.panels import Report

DAYS = 90
MISSING = (
    "The report needs the extra `report`: pip install 'tidemark[report]'. Nothing was written."
)


@dataclass(frozen=True)
class Page:
    """What was read, and the page that was made of it."""

    report: Report
    html: str


def is_installed() -> bool:
    """Whether the extra is there."""
    return all(find_spec(name) is not None for name in ("altair", "vl_convert"))


def make(dbt: Dbt, days: int = DAYS, as_of: datetime | None = None) -> Page:
    """Read everything through dbt, at the clock of the ledger's last entry, and make the page."""
    from tidemark.page.html import html_of
    from tidemark.page.panels import read

    report = read(dbt, days, as_of)
    return Page(report, html_of(report, dbt.lineage))


def write(html: str, path: Path) -> None:
    """Write it under another name first: the file is there whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(html, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
