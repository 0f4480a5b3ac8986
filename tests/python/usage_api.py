"""The usage API as a process of its own, with faults on request.

Run as a program it prints its URL, and is told by `POST /script` what it knows and how it fails.
For each day there may be a list of faults, used up one a request; [fault, "for good"] stays.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from tidemark.ingest.local_api import Handler, LocalApi

TOKEN = "swordfish"


class FaultyApi(Handler):
    """The local API, which does to an answer what the script says."""

    script: Mapping[str, Any]
    log: list[str]
    lock = threading.Lock()

    def do_POST(self) -> None:  # noqa: N802
        """Take a new script, and forget what was asked."""
        script = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).script, type(self).log = script, []
        type(self).api = LocalApi(_knows(script["usage"]), TOKEN, script.get("page_size", 1000))
        self.reply(200, {})

    def do_GET(self) -> None:  # noqa: N802
        """Answer, or fail."""
        if self.path == "/log":
            return self.reply(200, self.log)
        day = parse_qs(urlsplit(self.path).query).get("date", ["?"])[0]
        with self.lock:
            self.log.append(self.path.partition("?")[2])
            fault = self._fault(day)
        if fault is None:
            return super().do_GET()
        kind, _, detail = fault.partition(" ")
        return getattr(self, f"fail_{kind}")(detail)

    def _fault(self, day: str) -> str | None:
        faults = self.script.get("faults", {}).get(day, [])
        if faults[1:] == ["for good"]:
            return str(faults[0])
        return str(faults.pop(0)) if faults else None

    def fail_status(self, detail: str) -> None:
        """`status 503`, `status 429 2`: with a Retry-After."""
        status, _, seconds = detail.partition(" ")
        headers = {"Retry_After": seconds} if seconds else {}
        self.reply(int(status), {"error": "as the script says"}, **headers)

    def fail_stall(self, detail: str) -> None:
        """Say nothing for so many seconds, then cut the connection."""
        time.sleep(float(detail))
        self._cut()

    def fail_cut(self, _: str) -> None:
        """Cut the connection instead of answering."""
        self._cut()

    def fail_truncated(self, _: str) -> None:
        """Promise more than is sent."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"usage": [{"company_id": "acme", ')
        self.wfile.flush()
        self._cut()

    def fail_raw(self, detail: str) -> None:
        """Answer just that."""
        body = detail.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail_bomb(self, mebibytes: str) -> None:
        """Pack so many MiB of nothing into a thousandth of that."""
        packer = zlib.compressobj(9, wbits=31)
        body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(int(mebibytes)))
        body += packer.flush()
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def fail_drip(self, part: str) -> None:
        """Send the headers, or the body, a byte now and then, as long as anybody listens."""
        self.close_connection = True
        begun = b"HTTP/1.1 200 OK\r\nX-Long: " if part == "headers" else b"HTTP/1.1 200 OK\r\n\r\n"
        with suppress(OSError):
            self.wfile.write(begun)
            while True:
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.02)

    def fail_endless(self, rows: str) -> None:
        """Pages that always lead on, with `new` rows, or always the `same`, or `no` rows."""
        asked = parse_qs(urlsplit(self.path).query)
        day, number = asked["date"][0], int(asked.get("page", ["1"])[0])
        names = {"new": [f"c{number}"], "same": ["acme"], "no": []}[rows]
        usage = [
            {"company_id": name, "date": day, "active_users": 20, "events": 102} for name in names
        ]
        self.reply(200, {"usage": usage, "next": f"?date={day}&page={number + 1}"})

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Api:
    """A running API."""

    url: str

    def knows(self, usage: Mapping[str, Sequence[Any]], **script: Any) -> None:
        """What it answers from now on: day -> (company, active users, events) ..."""
        body = json.dumps({"usage": usage, **script}).encode()
        urlopen(Request(f"{self.url}/script", body)).close()

    @property
    def asked(self) -> list[str]:
        """The queries that came since."""
        with urlopen(f"{self.url}/log") as answer:
            asked: list[str] = json.load(answer)
        return asked

    @property
    def environment(self) -> dict[str, str]:
        """What leads a command there, with waits that suit a test."""
        return {
            "TIDEMARK_USAGE_URL": f"{self.url}/usage",
            "TIDEMARK_USAGE_TOKEN": TOKEN,
            "TIDEMARK_USAGE_BACKOFF": "0.01",
            "TIDEMARK_USAGE_TIMEOUT": "1",
            "TIDEMARK_USAGE_REQUESTS_PER_SECOND": "500",
        }


@contextmanager
def running() -> Iterator[Api]:
    """The API in a process of its own."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Api(process.stdout.readline().strip())
        finally:
            process.kill()


def _knows(usage: Mapping[str, Any]) -> Any:
    return lambda day: usage.get(day.isoformat(), [])


def _main() -> None:
    FaultyApi.api, FaultyApi.script, FaultyApi.log = LocalApi(_knows({}), TOKEN), {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), FaultyApi)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _main()
