"""The exit codes of every command."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a scheduler reads; `--skip-exit-code` stands in for DONE when nothing was to be done."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BLOCKED = 3
    # `status --exit-code` alone: how the pipeline is, not how the command went.
    WARNING = 4
    CRITICAL = 5
    # `plan` alone: the code of the project is not what made its tables.
    CHANGES = 6
