"""Tables of faults, as docs/faults.md: each test that is run puts its row there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_HEAD = """\
# Faults

`make test-faults` wrote this page. Each fault was done to `tidemark run` as a process of its own,
on the seeds in a DuckDB file: it was killed, told to stop, or met a broken database, disk, source
or clock. Then the cause was taken away, the command was repeated, and every mart was compared with
a full refresh of a copy of the file, in all columns but `record_loaded_at`.

| fault | what the user sees | rows differing after the rerun |
| --- | --- | ---: |
"""

INGESTION_HEAD = """\
# Faults of ingestion

`make test-faults` wrote this page. Each fault was done to `tidemark ingest usage`, which asked for
three days, 2025-10-12 to 2025-10-14, one at a time; it happened on the second of them. Then the API
was well again, and the command that was shown was given; without one, the next run came. Faults of
the CRM were done to a file of two companies, between whose rows they stand, for `tidemark ingest
crm`; then the file was mended and delivered again. Those of a load were done to the landing.

| fault | what the user sees | what landed | what the rerun does |
| --- | --- | --- | --- |
"""

# Characters of a message; a database tells more of its query than anybody reads in a table.
_MOST = 300


@dataclass(frozen=True)
class Page:
    """The file, if one is wanted."""

    path: Path | None
    # not worth reading in a message: the folder of this run
    folder: Path

    def add(self, fault: str, seen: str, differing: int) -> None:
        """Put a fault's row in its place, or at the end; it must say that nothing differs."""
        if self.path:
            shown = seen.replace(f"{self.folder}/", "")
            put_row(self.path, _HEAD, fault, shown, str(differing))
        assert differing == 0, f"{differing} rows differ from a full refresh after: {fault}"


def put_row(page: Path, head: str, *cells: str) -> None:
    """Put a row in its place of a page's table, or make the page; the first cell is its key."""
    rows = page.read_text().removeprefix(head) if page.exists() else ""
    by_key = {row.split(" | ")[0]: row for row in rows.splitlines(keepends=True)}
    row = f"| {' | '.join(_cell(cell) for cell in cells)} |\n"
    by_key[row.split(" | ")[0]] = row
    page.write_text(head + "".join(sorted(by_key.values())))


def _cell(text: str) -> str:
    shown = re.sub(r"[\s─]+", " ", text).strip()
    shown = shown if len(shown) <= _MOST else shown[:_MOST].rsplit(" ", 1)[0] + " …"
    return shown.replace("|", "\\|")
