"""A usage API on this machine, for `make demo` and the tests: it speaks the contract, no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

# What one company did on a day: its name, active users, events.
Usage = Sequence[tuple[str, int, int]]


@dataclass(frozen=True)
class LocalApi:
    """What it knows. `usage` is asked anew for each page; a LookupError makes it answer 503."""

    usage: Callable[[date], Usage]
    token: str
    page_size: int = 1000

    def page(self, day: date, number: int) -> dict[str, Any]:
        """A page of a day's answer, counted from 1."""
        known = self.usage(day)
        end = number * self.page_size
        return {
            "usage": [
                {"company_id": company, "date": f"{day}", "active_users": users, "events": events}
                for company, users, events in known[end - self.page_size : end]
            ],
            "next": f"?date={day}&page={number + 1}" if end < len(known) else None,
        }


class Handler(BaseHTTPRequestHandler):
    """Answers `GET ...?date=2025-10-14`, for those who have the token."""

    protocol_version = "HTTP/1.1"
    api: LocalApi

    def do_GET(self) -> None:
        """Answer a page."""
        asked = parse_qs(urlsplit(self.path).query)
        if self.headers["Authorization"] != f"Bearer {self.api.token}":
            return self.reply(401, {"error": "unknown token"})
        try:
            day = date.fromisoformat(asked["date"][0])
            number = int(asked.get("page", ["1"])[0])
        except (KeyError, ValueError):
            return self.reply(400, {"error": "which date?"})
        try:
            page = self.api.page(day, number)
        except LookupError:
            return self.reply(503, {"error": "out of order"})
        return self.reply(200, page)

    def reply(self, status: int, content: Any, **headers: str) -> None:
        """Send a JSON value."""
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Standard error belongs to who runs it."""


@contextmanager
def serving(api: LocalApi) -> Iterator[str]:
    """Serve on a free port of this machine: the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Handler", (Handler,), {"api": api}))
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/usage"
    finally:
        server.shutdown()
        server.server_close()
