"""Asking the usage API for a day: patiently, within its limits, and no more often than allowed."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from http import HTTPStatus
from threading import Event, Lock

import httpx
from httpx_retries import Retry, RetryTransport

from tidemark import logs
from tidemark.clock import show_seconds
from tidemark.ingest import IngestError, words
from tidemark.ingest.usage import REASK_DAYS
from tidemark.ingest.usage_contract import (
    ContractError,
    UsagePage,
    UsageRow,
    one_per_company,
    read_page,
    unknown_fields,
)
from tidemark.ingest.usage_http import MOST_BYTES, Bounded, UnfitError
from tidemark.shown import hidden

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_TRIED_AGAIN = frozenset({HTTPStatus.TOO_MANY_REQUESTS.value, *range(500, 600)})

# A longer wait than this is left to the scheduler, in seconds.
_MOST_PATIENCE = 300.0
# What is asked for beyond this is told as this, in seconds: no calendar reaches further.
_FOR_GOOD = 366 * 86_400.0
# The longest wait between two tries that the API did not ask for, in seconds.
_MOST_BACKOFF = 60.0
# How many times the wait for a byte a whole answer may take.
_WAITS_OF_AN_ANSWER = 10
# Characters of a host's name, and of its parts.
_MOST_OF_A_HOST = 253


class StoppedError(IngestError):
    """No further day is asked. `pages` have come of this one."""

    pages = 0


class DayError(Exception):
    """A day that was not answered; `pages` are the answers that cannot be used, as they came.

    The first of them is the day's page number `first`.
    """

    def __init__(self, reason: str, pages: list[bytes] | None = None, first: int = 1) -> None:
        super().__init__(hidden(reason))
        self.pages, self.first = pages or [], first


@dataclass(frozen=True)
class Settings:
    """How the API is asked, from the environment; waits in seconds."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    retries: int = 5
    backoff: float = 0.5
    timeout: float = 30.0
    parallel: int = 4
    requests_per_second: float = 5.0
    max_requests: int = 1000
    max_pages: int = 100
    reask_days: int = REASK_DAYS

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

        def whole(name: str, otherwise: int, least: int, most: int) -> int:
            return int(_figure(environment, name, otherwise, least, most, is_whole=True))

        return cls(
            _address(environment[f"{_PREFIX}URL"].strip()),
            token,
            retries=whole("RETRIES", cls.retries, 0, 100),
            backoff=_figure(environment, "BACKOFF", cls.backoff, 0, 3600),
            timeout=_figure(environment, "TIMEOUT", cls.timeout, 0.1, 3600),
            parallel=whole("PARALLEL", cls.parallel, 1, 64),
            requests_per_second=_figure(
                environment, "REQUESTS_PER_SECOND", cls.requests_per_second, 0.01, 10_000
            ),
            max_requests=whole("MAX_REQUESTS", cls.max_requests, 1, 1_000_000),
            max_pages=whole("MAX_PAGES", cls.max_pages, 1, 1_000_000),
            reask_days=whole("REASK_DAYS", cls.reask_days, 0, 3660),
        )


_PREFIX = "TIDEMARK_USAGE_"


def _address(text: str) -> str:
    """The address, without a user: a password beside the token would go in its place.

    None of it is repeated in an error: where it went wrong, a secret may stand anywhere in it.
    """
    try:
        url = httpx.URL(text)
        url.host.encode("idna")
        is_address = url.scheme in ("http", "https") and 0 < len(url.host) <= _MOST_OF_A_HOST
        is_address = is_address and 0 < (url.port or 1) < 65_536
    except (httpx.InvalidURL, UnicodeError):
        is_address = False
    if not is_address:
        raise IngestError(
            f"{_PREFIX}URL is no http address: it must be one such as"
            " https://usage.example.com/v1/usage."
        )
    if url.userinfo:
        logs.tell(
            logging.WARNING,
            f"{_PREFIX}URL holds a user or a password: they are left out, the API gets the token.",
        )
    return str(url.copy_with(username="", password="", fragment=None))


def _figure(
    environment: Mapping[str, str],
    name: str,
    otherwise: float,
    least: float,
    most: float,
    is_whole: bool = False,
) -> float:
    text = environment.get(f"{_PREFIX}{name}", "").strip()
    try:
        figure = float(text) if text else otherwise
    except ValueError:
        figure = float("nan")
    if least <= figure <= most and (figure == int(figure) or not is_whole):
        return figure
    # What is no figure may be anything, a secret in the wrong line among it.
    kind = "a whole number" if is_whole else "a number"
    found = f", not {figure:g}" if figure == figure else ""
    raise IngestError(f"{_PREFIX}{name} must be {kind} from {least:g} to {most:,}{found}.")


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


class _Bearer(httpx.Auth):
    """The token, whatever else an address or a file of this machine would have sent."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class UsageApi:
    """The API, for several threads at once. Raises IngestError where it cannot be asked at all."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._limits = _Limits(settings)
        self._client = httpx.Client(
            transport=RetryTransport(
                transport=_Careful(self._limits, settings),
                retry=_patience(settings, self._limits),
            ),
            headers={"Accept": "application/json", "Accept-Encoding": "gzip, deflate"},
            auth=_Bearer(settings.token),
            timeout=settings.timeout,
        )

    @property
    def requests(self) -> int:
        """How many requests were sent, repetitions among them."""
        return self._limits.sent

    def ask(self, day: date) -> Answer:
        """Ask for all pages of a day. Raises DayError, or StoppedError when no day has a chance."""
        pages: list[bytes] = []
        try:
            return self._answer(day, pages)
        except StoppedError as error:
            error.pages = len(pages)
            raise
        except DayError:
            raise
        except _EndlessError as error:
            # Of what goes round in circles the last page tells as much as all.
            raise DayError(str(error), pages[-1:], len(pages)) from None
        except ContractError as error:
            raise DayError(str(error), pages) from None
        except Exception as error:
            raise DayError(words(error), pages) from None

    def _answer(self, day: date, pages: list[bytes]) -> Answer:
        """The answer; its pages as they come."""
        asked_at = self._clock()
        url = httpx.URL(self._settings.url).copy_merge_params({"date": day.isoformat()})
        known = {url}
        companies: set[str] = set()
        rows: list[UsageRow] = []
        unknown: set[str] = set()
        while True:
            content = self._get(url).content
            pages.append(content)
            page = read_page(content, day)
            rows += page.usage
            unknown |= unknown_fields(page)
            if not page.next:
                kept, trimmed = one_per_company(rows)
                return Answer(day, asked_at, kept, pages, frozenset(unknown), trimmed)
            named = {row.company_id for row in page.usage}
            self._refuse_endless(pages, bool(named) and named <= companies, rows)
            companies |= named
            url = _following(url, page)
            # Whether more would have come nobody knows, so what came may be a part.
            if url in known:
                raise ContractError("`next` leads to a page that was already read")
            known.add(url)

    def _refuse_endless(self, pages: list[bytes], is_repeated: bool, rows: list[UsageRow]) -> None:
        """Raise _EndlessError for a day that another page brings no nearer to its end."""
        if is_repeated:
            one_per_company(rows)
            raise _EndlessError(
                f"page {len(pages)} has no row that was not there already, and `next` leads on"
            )
        if len(pages) >= self._settings.max_pages:
            raise _EndlessError(
                f"more than {len(pages)} pages ({_PREFIX}MAX_PAGES), and `next` leads on"
            )
        if sum(map(len, pages)) > MOST_BYTES:
            raise _EndlessError(f"more than {MOST_BYTES >> 20} MiB in {len(pages)} pages")

    def stop(self, reason: str) -> None:
        """Send no further request: whoever wants to, or waits, gets StoppedError."""
        self._limits.stop(reason)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _get(self, url: httpx.URL) -> httpx.Response:
        try:
            response = self._client.get(url)
        except UnfitError as error:
            raise DayError(str(error)) from None
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


def _following(url: httpx.URL, page: UsagePage) -> httpx.URL:
    """The URL of the next page; the token goes nowhere else."""
    try:
        following = url.join(page.next or "").copy_with(username="", password="")
    except httpx.InvalidURL as error:
        raise ContractError(f"`next` is no URL: {error}") from None
    if (following.scheme, following.netloc) != (url.scheme, url.netloc):
        raise ContractError(f"`next` leads to another server, {following.host}")
    return following


class _EndlessError(ContractError):
    """A day whose pages come to no end."""


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
            told = show_seconds(min(seconds, _FOR_GOOD))
            told = f"more than {told}" if seconds > _FOR_GOOD else told
            self.stop(f"The usage API asks to be left alone for {told}. Run again then.")
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

    def __init__(self, limits: _Limits, settings: Settings) -> None:
        self._limits = limits
        self._transport = Bounded(settings.url, _WAITS_OF_AN_ANSWER * settings.timeout)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._limits.take_turn()
        response = self._transport.handle_request(request)
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
    except (ValueError, OverflowError):
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
