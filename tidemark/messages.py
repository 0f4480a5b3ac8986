"""What dbt says of a failure, without what stands between a reader and the line that matters."""

from __future__ import annotations

import re
from collections.abc import Iterable

# How much is shown; the rest is counted, and stands in logs/dbt.log.
_LINES, _CHARACTERS = 12, 400
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# dbt's own heading of an operation, the macros that an error came through, and lines above the
# error that its log repeats: `1 of 2 ERROR creating ...`, `Failure in model ...`.
_HEADING = "Encountered an error while running operation: "
_NOISE = re.compile(
    r"> (in|called by) |\d+ of \d+ (ERROR|FAIL)\b|Failure in \w+ "
    # What can be done is said of dbt at large: here columns never change without a full refresh.
    r"|They can be reconciled in several ways:"
    r"|- set the `on_schema_change` config|- Re-run the incremental model|- update the schema manu"
    r"|Additional troubleshooting context:|(Source|Target) columns not in \w+: \[\]$"
    r"|New column types: \[\]$|Please ensure the name, data_type, and number of columns|\| -+ \|"
)
# How dbt prints a column of any adapter.
_COLUMN = re.compile(
    r"\b[A-Z][A-Za-z]{0,30}Column\(column='(?P<name>.*?)', dtype='(?P<type>.*?)'.*?\)(?=[,\]])"
)


def plain_words(message: str) -> str:
    """dbt's message without the macros it came through; logs/dbt.log has these."""
    lines = _COLOUR.sub("", message).removeprefix(_HEADING).splitlines()
    return "\n".join(line for line in lines if line.strip() and not _NOISE.match(line.strip()))


def telling_lines(message: str) -> str:
    """The lines that say what is wrong and where; what is left out is counted, never just cut.

    The first lines and the last ones: dbt begins with the node, engines end with the place.
    """
    lines = [_shortened(_COLUMN.sub(r"\g<name> (\g<type>)", line)) for line in _unrepeated(message)]
    if len(lines) <= _LINES:
        return "\n".join(lines)
    last = _LINES // 3
    more = f"  ... {len(lines) - _LINES} more lines in logs/dbt.log ..."
    return "\n".join([*lines[: _LINES - last], more, *lines[-last:]])


def in_one_line(message: str) -> str:
    """The same for where there is room for one line alone."""
    return " ".join(telling_lines(message).split())


def _unrepeated(message: str) -> Iterable[str]:
    """Each line once: a call that fails may tell the same as event and as result."""
    return dict.fromkeys(line.rstrip() for line in plain_words(message).splitlines())


def _shortened(line: str) -> str:
    if len(line) <= _CHARACTERS:
        return line
    half = _CHARACTERS // 2
    return f"{line[:half]} ... {len(line) - 2 * half:,} characters ... {line[-half:]}"
