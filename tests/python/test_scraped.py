"""The server of figures, against clients that do not behave."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest

from tidemark import scraped
from tidemark.engine import Dbt
from tidemark.ingest import IngestError
from tidemark.ingest.exposure import Exposure, exposed
from tidemark.metrics import Monitor, server
from tidemark.scraped import Server, listening


@pytest.fixture(params=["serve", "ingest events"])
def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that either command serves, with less patience than in earnest."""
    monkeypatch.setattr(scraped, "_PATIENCE", 1)
    monkeypatch.setattr(scraped, "_MOST", 4)
    if request.param == "ingest events":
        exposure = Exposure("127.0.0.1", 0)
        yield exposure._server.server_port
        exposure.close()
        return
    serving = server(Monitor(Dbt(_nowhere()), 30), "127.0.0.1", 0)
    thread = Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield serving.server_port
    serving.shutdown()
    serving.server_close()
    thread.join()


def _nowhere() -> Any:
    return None


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answer(port: int, method: str, path: str = "/metrics") -> bytes:
    with connected(port) as client:
        client.sendall(f"{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("method", ["HEAD", "POST", "TRACE", "OPTIONS", "PUT", "DELETE", "get"])
def test_only_get_is_answered(port: int, method: str) -> None:
    head, _, body = answer(port, method).partition(b"\r\n\r\n")
    assert b" 405 Method Not Allowed" in head.splitlines()[0]
    assert b"Allow: GET" in head
    assert (body == b"") == (method == "HEAD")


def test_get_is(port: int) -> None:
    assert b"200 OK" in answer(port, "GET").splitlines()[0]


def test_half_requests_keep_nobody_out(port: int) -> None:
    """Many of them, of whom the oldest goes for the newest; and each has its time."""
    halves = [connected(port) for _ in range(20)]
    for half in halves:
        half.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert b"200 OK" in answer(port, "GET").splitlines()[0]
    # the server hangs up, without a word
    for half in halves:
        with half:
            assert _is_closed(half)


def test_a_request_by_the_byte_has_an_end(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        _wait_until(lambda: not _is_taken(client))


def test_who_hangs_up_is_no_error(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        client = connected(port)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
        client.close()
    assert b"200 OK" in answer(port, "GET").splitlines()[0]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("host", ["a..b", "no.such.host.invalid", "x" * 70, "192.0.2.1"])
def test_where_nobody_can_listen(host: str) -> None:
    with pytest.raises(ValueError, match="cannot be listened on: "):
        listening(host, 0, lambda *_: [])
    with pytest.raises(IngestError, match="Choose another --metrics-port"), exposed(host, 0):
        pass


def test_it_listens_where_it_is_told() -> None:
    try:
        serving: Server = listening("::1", 0, lambda *_: [])
    except ValueError:
        pytest.skip("this machine has no IPv6")
    serving.server_close()


def _is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def _is_taken(client: socket.socket) -> bool:
    try:
        client.sendall(b"a")
    except OSError:
        return False
    return True


def _wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)
