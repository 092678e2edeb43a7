"""Checks what the application puts into the head of the client's request: URL, headers, token. Pure.

The rule it keeps: every string is checked where it is given, so that none can end a line of the request and begin
another one. An error never quotes a token or the value of a header, which may be secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from fanwire.values.checks import described

__all__ = ["check_headers", "check_token", "check_url", "described_url"]


def check_url(url: Any) -> str:
    """Returns the URL in ASCII: other characters are percent-encoded, those of the host by IDNA.

    Raises:
        TypeError: it is no string.
        ValueError: it is no URL of a WebSocket, or has characters that no request can carry.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, got {type(url).__name__}")
    # `urlsplit` would drop some of these characters silently.
    _check_characters("url", url, lambda char: char > " " and char.isprintable())
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        # The parser's own text may quote a password.
        raise ValueError(f"url must be a valid URL, got {described_url(url)}: its host or port is wrong") from error
    if parts.scheme in ("ws+unix", "wss+unix"):
        raise ValueError(
            f"url must begin with ws:// or wss://, got {described_url(url)}: fanwire.connect does not speak to Unix "
            "sockets. Connect through a proxy, or with websockets.unix_connect"
        )
    if parts.scheme not in ("ws", "wss"):
        raise ValueError(f"url must begin with ws:// or wss://, got {described_url(url)}")
    if not host:
        raise ValueError(f"url must name a host, got {described_url(url)}")
    if port == 0:
        raise ValueError(f"url must have a port from 1 to 65535, got {described_url(url)}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must not have a user name or password, which would not be sent: use token or headers")
    if "#" in url:
        raise ValueError(f"url must not have a fragment (RFC 6455 section 3), got {described_url(url)}")
    try:
        # As the resolver does it: of ASCII, too, with its limits on the length of a label.
        name = host.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError(f"url must name a valid host, got {described(host)}") from error
    if url.isascii():
        return url
    netloc = name if port is None else f"{name}:{port}"
    return urlunsplit((parts.scheme, netloc, quote(parts.path, SAFE), quote(parts.query, SAFE), ""))


def described_url(url: str) -> str:
    """A URL for the text of an error, without what may be a secret: its query, its fragment, a user and a password."""
    place, mark, rest = re.split(r"([?#]|$)", url, maxsplit=1)
    scheme, separator, address = place.rpartition("://")
    # A password with a question mark ends behind it.
    _, at, host = ("", "", "***") if "@" in rest else address.rpartition("@")
    return described(f"{scheme}{separator}{at and '***@'}{host}{mark and mark + '***'}")


def check_headers(headers: Any, *, has_token: bool) -> dict[str, str]:
    """Returns a copy of the headers.

    Args:
        headers: a mapping of names to values, or None.
        has_token: whether there is a token, which is sent as `Authorization`.

    Raises:
        TypeError: it is no mapping of strings to strings.
        ValueError: a name or a value cannot be sent, is the client's own, or is there twice.
    """
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping of names to values, got {type(headers).__name__}")
    checked: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers must map str to str, got {type(name).__name__} to {type(value).__name__}")
        if not _NAME.fullmatch(name):
            raise ValueError(f"headers must have names that are tokens (RFC 9110 section 5.6.2), got {described(name)}")
        key = name.lower()
        if key in OWN or key.startswith("sec-websocket-"):
            raise ValueError(f"headers must not have {name!r}: the client sets it")
        if key == "authorization" and has_token:
            raise ValueError(f"headers must not have {name!r} together with token, which is sent as that header")
        if key in seen:
            raise ValueError(f"headers must have each name once, got {name!r} twice")
        _check_characters(f"header {name!r}", value, lambda char: " " <= char <= "~" or char == "\t")
        seen.add(key)
        checked[name] = value.strip(" \t")
    return checked


def check_token(token: Any) -> str:
    """Returns the token.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, or has characters that `Authorization: Bearer` cannot carry.
    """
    if not isinstance(token, str):
        raise TypeError(f"token must be a str, got {type(token).__name__}")
    if not token:
        raise ValueError("token must not be empty")
    _check_characters("token", token, lambda char: "!" <= char <= "~")
    return token


def _check_characters(what: str, text: str, is_allowed: Callable[[str], bool]) -> None:
    for place, char in enumerate(text):
        if not is_allowed(char):
            raise ValueError(f"{what} must not have the character {char!a} (at position {place})")


OWN = frozenset({
    "host", "connection", "upgrade", "content-length", "transfer-encoding", "te", "trailer", "expect",
})  # fmt: skip
"""Headers that make the request the handshake that it is."""

SAFE = "%:/?#[]@!$&'()*+,;="
"""Characters of a path and a query that are not encoded: the delimiters of RFC 3986, and "%" of existing escapes."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token (RFC 9110 section 5.6.2)."""
