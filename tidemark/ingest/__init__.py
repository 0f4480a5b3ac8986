"""Bringing data in: answers of the usage API, CRM files and events, as files in a landing area.

Nothing here opens the warehouse; `tidemark load` takes what has landed there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tidemark.shown import hidden

# Characters of what a library says: a few of them tell a whole answer.
_LONGEST = 300


class IngestError(Exception):
    """What stops an ingest job, or a part of it: what is wrong, where, and what to do next.

    Its text goes to terminals, reports, the ledger and alerts, and so holds no secret.
    """

    # Whether the job that it stopped has left its report.
    is_reported = False

    def __init__(self, text: str) -> None:
        super().__init__(hidden(text))


def words(error: BaseException) -> str:
    """What somebody else's code raised, in one line."""
    if isinstance(error, IngestError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "Interrupted."
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{error.name} is not installed: ingestion needs `pip install 'tidemark[ingest]'`."
    text = str(getattr(error, "strerror", None) or error)
    text = " ".join(hidden(text).split())[:_LONGEST]
    # Who asks for a library says what to install; the system says what it does in words.
    if text and (isinstance(error, OSError) or type(error) is ImportError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def reported(error: BaseException, leave_report: Callable[[], object]) -> BaseException:
    """What a job raises that has failed, once its report says so."""
    told = IngestError(words(error)) if isinstance(error, Exception) else error
    if isinstance(error, IngestError):
        told = error
    # If it was the landing area that failed, it may take no report either.
    with suppress(IngestError):
        leave_report()
        if isinstance(told, IngestError):
            told.is_reported = True
    return told


class TwiceError(ValueError):
    """A JSON object that names a member twice: readers differ on which of them holds."""


def once_each(members: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The members of a JSON object, as `object_pairs_hook`. Raises TwiceError."""
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            raise TwiceError(f"{name!r} is there more than once")
        found[name] = value
    return found


@contextmanager
def reaching(where: str, to: str, raising: type[IngestError] = IngestError) -> Iterator[None]:
    """Say of a folder or a bucket that it cannot be `read` or `written`, and why."""
    try:
        yield
    except IngestError:
        raise
    except Exception as error:
        # Clients of object stores have families of errors of their own, and need libraries.
        raise raising(f"{where} cannot be {to}: {words(error)}") from error


@contextmanager
def unseen(_: int) -> Iterator[Callable[[], None]]:
    """In place of a progress bar for so many things, where nobody looks on."""
    yield lambda: None
