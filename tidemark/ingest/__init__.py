"""Bringing data in: answers of the usage API, CRM files and events, as files in a landing area.

Nothing here opens the warehouse; `tidemark load` takes what has landed there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class IngestError(Exception):
    """What stops an ingest job, or a part of it: what is wrong, where, and what to do next."""


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
        # Clients of object stores have families of errors of their own.
        if not isinstance(error, OSError) and not type(error).__module__.startswith("botocore"):
            raise
        why = getattr(error, "strerror", None) or error
        raise raising(f"{where} cannot be {to}: {why}") from error


@contextmanager
def unseen(_: int) -> Iterator[Callable[[], None]]:
    """In place of a progress bar for so many things, where nobody looks on."""
    yield lambda: None
