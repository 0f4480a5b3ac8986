"""A small HTTP server for scrapes: only GET, so many connections at a time, each for so long."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client.exposition import ThreadingWSGIServer

from tidemark.logs import tell

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Connections at a time: the oldest makes room for the newest, since a scrape takes milliseconds,
# and what waits longer has not asked yet.
_MOST = 32
# Seconds that a connection gets, from its first byte to the last one of the answer.
_PATIENCE = 10

Application = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]


class Server(ThreadingWSGIServer):
    """The server; who holds a connection open without asking loses it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # By connection, since when it is open; the first is the oldest.
        self._open: dict[Any, float] = {}
        self._lock = Lock()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, and let the oldest go where there are too many."""
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= _MOST else None
            self._open[request] = monotonic()
        if oldest is not None:
            self._cut(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._forget(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut what has had its time; called twice a second."""
        with self._lock:
            since = monotonic() - _PATIENCE
            late = [request for request, opened in self._open.items() if opened < since]
        for request in late:
            self._cut(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Who goes away in the middle of an answer is nobody's error."""
        tell(logging.DEBUG, f"{client_address[0]}: {sys.exc_info()[1]!r}")

    def _cut(self, request: Any) -> None:
        """End the wait of the thread that serves a connection; it closes it."""
        self._forget(request)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def _forget(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)


class _Handler(WSGIRequestHandler):
    """Scrapes go into the log at debug, not one by one to standard error."""

    # Of a single read or write, in seconds.
    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        tell(logging.DEBUG, format % args)


def listening(host: str, port: int, app: Application) -> Server:
    """A server that listens and does not serve yet. Raises ValueError saying why it cannot."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        kind = type("_Server", (Server,), {"address_family": family})
        return make_server(host, port, only_get(app), kind, _Handler)
    except (OSError, UnicodeError, OverflowError) as error:
        why = getattr(error, "strerror", None) or "no host has such a name"
        raise ValueError(f"{host}:{port} cannot be listened on: {why}.") from None


def only_get(app: Application) -> Application:
    """Refuse what is no GET: a scrape and a health check are nothing else."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            return app(environ, start_response)
        told = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"Only GET is answered.\n"
        headers = [("Allow", "GET"), ("Content-Type", "text/plain")]
        start_response("405 Method Not Allowed", [*headers, ("Content-Length", str(len(told)))])
        return [told]

    return answer
