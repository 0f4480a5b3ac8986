"""The ingest jobs that `tidemark run --ingest` does: those that the environment sets up."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from functools import partial

from tidemark.ingest import IngestError
from tidemark.ingest.landing import JobReport, Landing, LandingError, now

Clock = Callable[[], datetime]


def ingest(landing: Landing, as_of: datetime | None = None) -> None:
    """Do all jobs that are set up, each for itself: how it went is in its report.

    Raises LandingError when not even a report can be landed.
    """
    clock: Clock = partial(_still, as_of) if as_of else now
    for job, (variable, run) in _JOBS.items():
        if not os.environ.get(variable):
            continue
        began = now()
        try:
            run(landing, clock)
        except (IngestError, ValueError, ImportError) as error:
            # A job that could not begin leaves no report of its own.
            landing.report(JobReport(job, began, now(), "failed", 0, _words(error)))


def _usage(landing: Landing, clock: Clock) -> None:
    from tidemark.ingest import usage
    from tidemark.ingest.usage_api import Settings

    settings = Settings.of()
    reask = int(os.environ.get("TIDEMARK_USAGE_REASK_DAYS") or usage.REASK_DAYS)
    usage.ingest(landing, settings, usage.prepare(landing, clock(), reask=reask), clock)


def _crm(landing: Landing, clock: Clock) -> None:
    from tidemark.ingest import crm

    try:
        crm.ingest(landing, os.environ["TIDEMARK_CRM_PATH"], clock)
    except LandingError:
        raise
    except IngestError:
        # Its report says so already.
        return


_JOBS: dict[str, tuple[str, Callable[[Landing, Clock], None]]] = {
    "usage": ("TIDEMARK_USAGE_URL", _usage),
    "crm": ("TIDEMARK_CRM_PATH", _crm),
}


def _words(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"{error.name} is not installed: ingestion needs `pip install 'tidemark[ingest]'`."
    return str(error)


def _still(as_of: datetime) -> datetime:
    """A clock that stands still."""
    return as_of
