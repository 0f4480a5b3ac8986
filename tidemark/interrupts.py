"""Ctrl-C, and SIGTERM, which schedulers send: both end a command in the same way."""

from __future__ import annotations

import signal
from types import FrameType

_CALLED = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_noticed: list[signal.Signals] = []


def listen() -> None:
    """Raise KeyboardInterrupt for either signal, and remember it."""
    for number in _CALLED:
        signal.signal(number, _interrupt)


def only_notice() -> None:
    """Only remember the next signal, for a loop that ends itself; one more interrupts that, too."""
    _noticed.clear()
    for number in _CALLED:
        signal.signal(number, _notice)


def is_noticed() -> bool:
    """Whether there was a signal."""
    return bool(_noticed)


def raise_if_noticed() -> None:
    """Raise what was swallowed on its way: DuckDB makes a failed query of it, dbt a failed node."""
    if _noticed:
        raise KeyboardInterrupt


def take() -> str:
    """What interrupted, in words; from here on only a further signal interrupts."""
    called = [_CALLED[number] for number in _noticed]
    _noticed.clear()
    return called[0] if called else _CALLED[signal.SIGINT]


def _notice(number: int, _: FrameType | None) -> None:
    _noticed.append(signal.Signals(number))
    listen()


def _interrupt(number: int, _: FrameType | None) -> None:
    _noticed.append(signal.Signals(number))
    raise KeyboardInterrupt
