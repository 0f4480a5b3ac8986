"""Answers of a server that may be broken or ill-meant: so large, and so slow, and no more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import local
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from tidemark.ingest import IngestError, words

# Bytes of an answer, unpacked, and of all answers of a day.
MOST_BYTES = 64 * 1024 * 1024
# What packs answers, one layer of it: a chunk from the network becomes a thousand times as large at
# most, and a second layer would make a million of it before anybody could count.
_PACKED = ("", "identity", "gzip", "deflate")


class UnfitError(Exception):
    """An answer that is too large or takes too long; to ask again would bring the same."""


class Bounded(httpx.BaseTransport):
    """Reads answers whole, up to a size and within so many seconds from the request on."""

    def __init__(self, url: str, seconds: float, most: int = MOST_BYTES) -> None:
        self._seconds, self._most = seconds, most
        self._deadline = _Deadline(seconds)
        self._transport = _transport(url)
        # httpx has no other way to watch the single reads, of which each may be in time.
        self._transport._pool._network_backend = _Backend(self._deadline)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and read what comes. Raises UnfitError besides what httpx raises."""
        self._deadline.begin()
        response = self._transport.handle_request(request)
        try:
            content = self._read(response)
        finally:
            response.close()
        # It is unpacked now, and no longer as long as it said.
        headers = [
            (name, value)
            for name, value in response.headers.raw
            if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
        ]
        return httpx.Response(
            response.status_code, headers=headers, content=content, extensions=response.extensions
        )

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    def _read(self, response: httpx.Response) -> bytes:
        packed = response.headers.get("Content-Encoding", "").strip().lower()
        if packed not in _PACKED:
            raise UnfitError("an answer that is packed as nobody has asked for")
        chunks, size = list[bytes](), 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > self._most:
                raise UnfitError(f"an answer of more than {self._most >> 20} MiB")
            chunks.append(chunk)
        return b"".join(chunks)


class _Deadline(local):
    """When the answer must be there that this thread waits for."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._at = float("inf")

    def begin(self) -> None:
        """A request begins."""
        self._at = time.monotonic() + self._seconds

    @contextmanager
    def within(self, timeout: float | None) -> Iterator[float]:
        """How long to wait for something. Raises UnfitError where the whole has taken too long."""
        left = self._at - time.monotonic()
        told = f"no whole answer within {self._seconds:g} s"
        if left <= 0:
            raise UnfitError(told)
        try:
            yield min(left, left if timeout is None else timeout)
        except httpcore.TimeoutException:
            if time.monotonic() >= self._at:
                raise UnfitError(told) from None
            raise


class _Stream(httpcore.NetworkStream):
    """A connection, whose every wait ends with the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._deadline.within(timeout) as seconds:
            return self._stream.read(max_bytes, seconds)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with self._deadline.within(timeout) as seconds:
            self._stream.write(buffer, seconds)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with self._deadline.within(timeout) as seconds:
            stream = self._stream.start_tls(ssl_context, server_hostname, seconds)
        return _Stream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    """Opens such connections."""

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        with self._deadline.within(timeout) as seconds:
            stream = super().connect_tcp(host, port, seconds, local_address, socket_options)
        return _Stream(stream, self._deadline)


def _transport(url: str) -> httpx.HTTPTransport:
    """A transport with what the environment says of proxies and certificates."""
    address = httpx.URL(url)
    variable = f"{address.scheme}_proxy"
    try:
        verify = httpx.create_ssl_context()
    except OSError as error:
        names = (name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
        raise IngestError(
            f"The certificates of {next(names, 'this machine')} cannot be read: {words(error)}."
            " Nothing was asked."
        ) from None
    try:
        return httpx.HTTPTransport(verify=verify, proxy=_proxy(address))
    except ImportError:
        raise IngestError(
            f"{variable} names a socks proxy, which needs `pip install 'httpx[socks]'`."
            " Nothing was asked."
        ) from None
    except Exception:
        # What the library says repeats the address.
        raise IngestError(
            f"{variable} is no proxy's address: it must be one such as"
            " http://proxy.example.com:3128. Nothing was asked."
        ) from None


def _proxy(address: httpx.URL) -> str | None:
    """The proxy that the environment names; a transport of one's own does not look for it."""
    proxy = None if proxy_bypass(address.host) else getproxies().get(address.scheme)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not httpx.URL(proxy).host.encode("idna"):
        raise ValueError("no host")
    return proxy
