"""Asking the usage API for a day: patiently, within its limits, and no more often than allowed."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from http import HTTPStatus
from threading import Event, Lock
from urllib.request import getproxies, proxy_bypass

import httpx
from httpx_retries import Retry, RetryTransport

from tidemark import logs
from tidemark.clock import show_seconds
from tidemark.ingest import IngestError
from tidemark.ingest.usage_contract import (
    ContractError,
    UsagePage,
    UsageRow,
    one_per_company,
    read_page,
    unknown_fields,
)

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_TRIED_AGAIN = frozenset({HTTPStatus.TOO_MANY_REQUESTS.value, *range(500, 600)})

# A longer wait than this is left to the scheduler, in seconds.
_MOST_PATIENCE = 300.0
# The longest wait between two tries that the API did not ask for, in seconds.
_MOST_BACKOFF = 60.0


class StoppedError(IngestError):
    """No further day is asked."""


class DayError(Exception):
    """A day that was not answered; `pages` are the answers that cannot be used, as they came."""

    def __init__(self, reason: str, pages: list[bytes] | None = None) -> None:
        super().__init__(reason)
        self.pages = pages or []


@dataclass(frozen=True)
class Settings:
    """How the API is asked, from the environment; waits in seconds."""

    url: str
    token: str
    retries: int = 5
    backoff: float = 0.5
    timeout: float = 30.0
    parallel: int = 4
    requests_per_second: float = 5.0
    max_requests: int = 1000

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read TIDEMARK_USAGE_URL and the others. Raises IngestError naming what is wrong."""
        missing = [name for name in ("URL", "TOKEN") if not environment.get(f"{_PREFIX}{name}")]
        if missing:
            names = " and ".join(f"{_PREFIX}{name}" for name in missing)
            raise IngestError(f"{names} must be set: where the usage API is, and its bearer token.")
        # A secret read from a file ends with a line break.
        token = environment[f"{_PREFIX}TOKEN"].strip()
        if not re.fullmatch(r"[!-~]+", token):
            raise IngestError(f"{_PREFIX}TOKEN holds characters that no bearer token has.")
        return cls(
            _address(environment[f"{_PREFIX}URL"]),
            token,
            retries=int(_figure(environment, "RETRIES", cls.retries, least=0)),
            backoff=_figure(environment, "BACKOFF", cls.backoff, least=0),
            timeout=_figure(environment, "TIMEOUT", cls.timeout, least=0.1),
            parallel=int(_figure(environment, "PARALLEL", cls.parallel, least=1)),
            requests_per_second=_figure(
                environment, "REQUESTS_PER_SECOND", cls.requests_per_second, least=0.01
            ),
            max_requests=int(_figure(environment, "MAX_REQUESTS", cls.max_requests, least=1)),
        )


_PREFIX = "TIDEMARK_USAGE_"


def _address(text: str) -> str:
    try:
        scheme = httpx.URL(text).scheme
    except httpx.InvalidURL:
        scheme = ""
    if scheme not in ("http", "https"):
        raise IngestError(f"{_PREFIX}URL is {text!r}, which is no http address.")
    return text


def _figure(environment: Mapping[str, str], name: str, otherwise: float, least: float) -> float:
    text = environment.get(f"{_PREFIX}{name}", "")
    try:
        figure = float(text) if text else otherwise
    except ValueError:
        figure = -1
    if not figure >= least:
        raise IngestError(f"{_PREFIX}{name} is {text!r}; it must be a number from {least:g} on.")
    return figure


@dataclass(frozen=True)
class Answer:
    """A day's whole answer. It holds for the moment when it was asked for, not for later."""

    day: date
    asked_at: datetime
    rows: list[UsageRow]
    pages: list[bytes]
    unknown: frozenset[str]
    # Ids that had white space around them.
    trimmed: int = 0


class UsageApi:
    """The API, for several threads at once."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._limits = _Limits(settings)
        self._client = httpx.Client(
            transport=RetryTransport(
                transport=_Careful(self._limits, _proxy(settings.url)),
                retry=_patience(settings, self._limits),
            ),
            headers={"Authorization": f"Bearer {settings.token}", "Accept": "application/json"},
            timeout=settings.timeout,
        )

    @property
    def requests(self) -> int:
        """How many requests were sent, repetitions among them."""
        return self._limits.sent

    def ask(self, day: date) -> Answer:
        """Ask for all pages of a day. Raises DayError, or StoppedError when no day has a chance."""
        asked_at = self._clock()
        url = httpx.URL(self._settings.url).copy_merge_params({"date": day.isoformat()})
        known = {url}
        pages: list[bytes] = []
        rows: list[UsageRow] = []
        unknown: set[str] = set()
        try:
            while True:
                response = self._get(url)
                pages.append(response.content)
                page = read_page(response.content, day)
                rows += page.usage
                unknown |= unknown_fields(page)
                if page.next is None:
                    rows, trimmed = one_per_company(rows)
                    return Answer(day, asked_at, rows, pages, frozenset(unknown), trimmed)
                url = _following(url, page)
                # Whether more would have come nobody knows, so what came may be a part.
                if url in known:
                    raise ContractError("`next` leads to a page that was already read")
                known.add(url)
        except ContractError as error:
            raise DayError(str(error), pages) from None

    def stop(self, reason: str) -> None:
        """Send no further request: whoever wants to, or waits, gets StoppedError."""
        self._limits.stop(reason)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _get(self, url: httpx.URL) -> httpx.Response:
        try:
            response = self._client.get(url)
        except httpx.HTTPError as error:
            is_tried_again = Retry().is_retryable_exception(error)
            raise DayError(_fault(error) + self._times(is_tried_again)) from None
        status = response.status_code
        if status in _REFUSED:
            reason = (
                f"The usage API refused the token (HTTP {status}). Nothing is asked until"
                f" {_PREFIX}TOKEN holds one that is valid."
            )
            self.stop(reason)
            raise StoppedError(reason)
        if status != HTTPStatus.OK:
            words = f"HTTP {status} {response.reason_phrase}".strip()
            raise DayError(words + self._times(status in _TRIED_AGAIN))
        return response

    def _times(self, is_tried_again: bool) -> str:
        retries = self._settings.retries
        return f", {retries + 1} times" if is_tried_again and retries else ""


def _proxy(url: str) -> str | None:
    """The proxy that the environment names; a transport of one's own does not look for it."""
    address = httpx.URL(url)
    proxy = None if proxy_bypass(address.host) else getproxies().get(address.scheme)
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _following(url: httpx.URL, page: UsagePage) -> httpx.URL:
    """The URL of the next page; the token goes nowhere else."""
    try:
        following = url.join(page.next or "")
    except httpx.InvalidURL as error:
        raise ContractError(f"`next` is no URL: {error}") from None
    if (following.scheme, following.netloc) != (url.scheme, url.netloc):
        raise ContractError(f"`next` leads to another server, {following.host}")
    return following


class _Limits:
    """The rate and the budget of requests that all threads share, and the end of them."""

    def __init__(self, settings: Settings) -> None:
        self.sent = 0
        self._settings = settings
        self._lock = Lock()
        self._next = 0.0
        self._stopped = Event()
        self._reason = ""

    def take_turn(self) -> None:
        """Wait until a request may be sent."""
        with self._lock:
            self._raise_if_stopped()
            if self.sent >= self._settings.max_requests:
                self.stop(
                    f"The budget of {self.sent} requests is spent ({_PREFIX}MAX_REQUESTS)."
                    " What is left can be asked by a further run."
                )
                self._raise_if_stopped()
            self.sent += 1
            turn = max(self._next, time.monotonic())
            self._next = turn + 1 / self._settings.requests_per_second
        self.wait(turn - time.monotonic())

    def hold_back(self, seconds: float) -> None:
        """No thread asks again before the API wants to be asked."""
        if seconds > _MOST_PATIENCE:
            self.stop(
                f"The usage API asks to be left alone for {show_seconds(seconds)}. Run again then."
            )
            self._raise_if_stopped()
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def wait(self, seconds: float) -> None:
        """Wait, unless everything stops."""
        if self._stopped.wait(max(0.0, seconds)):
            self._raise_if_stopped()

    def stop(self, reason: str) -> None:
        """Let no further request be sent."""
        self._reason = self._reason or reason
        self._stopped.set()

    def _raise_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise StoppedError(self._reason)


class _Careful(httpx.BaseTransport):
    """Keeps the limits, and reads answers whole: one that is cut short is tried again, too."""

    def __init__(self, limits: _Limits, proxy: str | None) -> None:
        self._limits = limits
        self._transport = httpx.HTTPTransport(proxy=proxy)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._limits.take_turn()
        response = self._transport.handle_request(request)
        try:
            response.read()
        finally:
            response.close()
        if response.status_code in _TRIED_AGAIN:
            self._limits.hold_back(_retry_after(response))
        return response

    def close(self) -> None:
        self._transport.close()


def _patience(settings: Settings, limits: _Limits) -> Retry:
    """Tries again with growing, random waits, which end at once when everything stops."""

    class Patience(Retry):
        def sleep(self, response: httpx.Response | Exception) -> None:
            if isinstance(response, Exception):
                fault, asked = _fault(response), 0.0
            else:
                fault, asked = f"HTTP {response.status_code}", _retry_after(response)
            seconds = asked or self.backoff_strategy()
            logs.tell(
                logging.WARNING,
                f"The usage API: {fault}. Try {self.attempts_made + 1} of {self.total + 1}"
                f" in {seconds:.1f} s{', as it asks' if asked else ''}.",
            )
            limits.wait(seconds)

    return Patience(
        total=settings.retries,
        backoff_factor=settings.backoff,
        # between half of the wait and all of it
        backoff_jitter=0.5,
        max_backoff_wait=_MOST_BACKOFF,
        status_forcelist=_TRIED_AGAIN,
    )


def _retry_after(response: httpx.Response) -> float:
    """How long the API asks to wait, in seconds; 0 when it does not."""
    try:
        return Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0


def _fault(error: Exception) -> str:
    """What went wrong with a request, in words."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({error})"
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return f"an answer cut short ({error})"
    return f"{type(error).__name__} ({error})"
