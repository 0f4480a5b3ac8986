"""What text loses before people see it: secrets, and what a terminal would obey."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
# What is shorter is also a part of words, and would make them unreadable.
_SHORTEST = 4
# Variables whose whole value is nobody's to read, wherever they belong to.
_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|PRIVATE_KEY(?!_PATH)|A(?:PI|CCESS)_?KEY|SAS_KEY"
    r"|(?:TOKEN|_PEM)$|SASL_(?:JAAS|OAUTHBEARER)|^SNOWFLAKE_ACCOUNT$",
    re.IGNORECASE,
)
# A user alone that is so long is a token.
_TOKENS_LENGTH = 16
_KEYS = re.compile(
    r"[?&][^=&#]*(?:pass|pwd|token|key|secret|sig|auth|cred)[^=&#]*=([^&#]+)", re.IGNORECASE
)
_WORDS = ("true", "false", "none", "null")
# Addresses that need no scheme before a user.
_SERVERS = re.compile(r"BOOTSTRAP_SERVERS$|_PROXY$", re.IGNORECASE)
# The channels of alerts keep their secrets in every part of an address. A host rarely has digits.
_ALERTS = "TIDEMARK_ALERT_URLS"
_TOKEN = re.compile(r"(?<![\w-])(?=[A-Za-z_-]*\d)(?=\d*[A-Za-z_-])[\w-]{8,}")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>[^\s'\"<>`]*)")
_SCHEME = re.compile(r"\w+://")
_AUTHORITY = re.compile(r"[^/?#]*")
# All but a line break and a tabulator; and what turns the direction of a line around.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    r"""A text without control characters: what it came with cannot move a cursor or hide a line.

    >>> plain("na\x1b[2Jme")
    'na[2Jme'
    """
    return _CONTROL.sub("", text)


def hidden(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """A text without what the environment keeps secret; of addresses, without user and query.

    >>> hidden("No answer of https://me:pass@example.com/v1?key=1, twice", {})
    'No answer of https://example.com/v1, twice'
    """
    for secret in sorted(set(_secrets(environment)), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _URL.sub(_bare, text)


def hidden_in(value: Any) -> Any:
    """The same of all texts in a JSON value."""
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, Mapping):
        return {key: hidden_in(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [hidden_in(each) for each in value]
    return value


def has_secrets(url: str) -> bool:
    """Whether an address holds more than where something is: a user, a password, a query."""
    return hidden(url, {}) != url


def _bare(found: re.Match[str]) -> str:
    """An address without user and query. Where its host ends is not sure: then its scheme alone."""
    rest = found["rest"]
    # A sentence may go on behind an address.
    end = rest[len(rest.rstrip(".,;:)")) :]
    authority = _AUTHORITY.match(rest)
    assert authority
    host = authority[0].rpartition("@")[2]
    if _is_open(host):
        return f"{found['scheme']}{HIDDEN}{end}"
    path = re.split(r"[?#]", rest[authority.end() :])[0]
    shown = f"{host}{path}"
    return f"{found['scheme']}{shown if shown.endswith(end) else shown + end}"


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """The secret parts of what is configured, as they would stand in a text."""
    for name, value in environment.items():
        parts = [value.strip()] if _SECRET.search(name) else []
        if name == _ALERTS:
            parts += _TOKEN.findall(value)
        if "://" in value:
            parts += [part for rest in _SCHEME.split(value)[1:] for part in _parts(rest)]
        elif "@" in value and _SERVERS.search(name):
            parts += [part for server in value.split(",") for part in _parts(server)]
        for part in parts:
            for text in (part, unquote(part)):
                if len(text) >= _SHORTEST and text.lower() not in _WORDS:
                    yield text


def _parts(rest: str) -> list[str]:
    """What may be secret in an address: its password, a user without one, keys of its query."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password that was not encoded ends where its host begins.
    before = authority if "@" in authority or not _is_open(authority) else rest
    user, colon, password = before.rpartition("@")[0].partition(":")
    parts = [password] if colon else [user] if len(user) >= _TOKENS_LENGTH else []
    return parts + _KEYS.findall(rest)


def _is_open(authority: str) -> bool:
    """Whether a host is followed by what is no port: a password that goes on behind it."""
    port = authority.rpartition("]")[2].partition(":")[2].rstrip(".,;:)")
    return bool(port) and not port.isdigit()
