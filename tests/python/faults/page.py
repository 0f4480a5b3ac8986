"""The table of faults: `make test-faults` writes docs/faults.md, row by row as the tests end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = """\
# Faults

`make test-faults` wrote this page. Each fault was done to `tidemark run` as a process of its own, on the seeds in a
DuckDB file: it was killed, told to stop, or met a broken database, disk, source or clock. Then the cause was
taken away, the command was repeated, and every mart was compared with a full refresh of a copy of the file, in all
columns but `record_loaded_at`.

| fault | what the user sees | rows differing after the rerun |
| --- | --- | ---: |
"""


@dataclass
class Page:
    """Rows, and the file that they go to, if any."""

    path: Path | None
    # what is not worth reading in a message: the folder of this run
    folder: Path
    rows: list[str] = field(default_factory=list)

    def add(self, fault: str, seen: str, differing: int) -> None:
        """One more row, written at once; and it must say that nothing differs."""
        seen = re.sub(r"\s+", " ", seen.replace(f"{self.folder}/", "")).strip().replace("|", "\\|")
        self.rows.append(f"| {fault} | {seen} | {differing} |\n")
        if self.path:
            self.path.write_text(_HEAD + "".join(self.rows))
        assert differing == 0, f"{differing} rows differ from a full refresh after: {fault}"
