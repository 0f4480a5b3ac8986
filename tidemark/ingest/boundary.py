"""Where a job ends that its libraries have failed: in one line, with a report, and alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tidemark.ingest import IngestError, reported, words
from tidemark.ingest.landing import JobReport, Landing, now

# Where each job is told what to ask, for those who look for the cause.
SETTINGS = {
    "usage": "TIDEMARK_USAGE_URL",
    "crm": "TIDEMARK_CRM_PATH",
    "events": "KAFKA_BOOTSTRAP_SERVERS",
}


@contextmanager
def bounded(
    landing: Landing, job: str, letting_pass: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Raise nothing but IngestError, and leave the job's report where it has left none itself."""
    began = now()
    try:
        yield
    except letting_pass:
        raise
    except Exception as error:
        told = _told(job, error)
        if not told.is_reported:
            report = JobReport(job, began, now(), "failed", 0, str(told))
            raise reported(told, lambda: landing.report(report)) from error
        raise told from error


def _told(job: str, error: Exception) -> IngestError:
    if isinstance(error, IngestError):
        return error
    # An import says itself what to install.
    if isinstance(error, ImportError):
        return IngestError(words(error))
    return IngestError(f"{job} ({SETTINGS[job]}): {words(error)}")
