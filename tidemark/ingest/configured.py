"""The ingest jobs that `tidemark run --ingest` does: those that the environment sets up."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import datetime
from functools import partial

from tidemark.ingest import IngestError
from tidemark.ingest.boundary import SETTINGS, bounded
from tidemark.ingest.landing import Landing, now
from tidemark.logs import tell

Clock = Callable[[], datetime]


def ingest(landing: Landing, as_of: datetime | None = None) -> None:
    """Do all jobs that are set up, each for itself: how it went is in its report.

    Raises IngestError when not even a report can be landed.
    """
    clock: Clock = partial(_still, as_of) if as_of else now
    for job, run in _JOBS.items():
        if not os.environ.get(SETTINGS[job]):
            continue
        try:
            with bounded(landing, job):
                run(landing, clock)
        except IngestError as error:
            if not error.is_reported:
                raise
            tell(logging.WARNING, f"ingest {job}: {error}")


def _usage(landing: Landing, clock: Clock) -> None:
    from tidemark.ingest import usage
    from tidemark.ingest.usage_api import Settings

    settings = Settings.of()
    try:
        asked = usage.prepare(landing, clock(), reask=settings.reask_days)
    except ValueError as error:
        raise IngestError(str(error)) from None
    usage.ingest(landing, settings, asked, clock)


def _crm(landing: Landing, clock: Clock) -> None:
    from tidemark.ingest import crm

    crm.ingest(landing, os.environ[SETTINGS["crm"]], clock)


_JOBS: dict[str, Callable[[Landing, Clock], None]] = {"usage": _usage, "crm": _crm}


def _still(as_of: datetime) -> datetime:
    """A clock that stands still."""
    return as_of
