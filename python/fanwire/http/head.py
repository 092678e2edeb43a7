"""Checks of a request head that httptools leaves to the server (RFC 9112 section 3). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import httptools

from fanwire.http.body import HttpError
from fanwire.identity.origin import is_host

__all__ = ["Headers", "bad_request", "checked_target", "has_body", "head_of", "wants_websocket"]

Headers = Sequence[tuple[bytes, bytes]]
"""Pairs of a name, in lower case, and a value."""


def checked_target(version: str, url: bytes, headers: Headers) -> bytes:
    """Returns the path and the query of a request. A target in absolute form is reduced to them (section 3.2.2).

    Raises:
        HttpError: 400, the version or the target is not supported, or `Host` is missing, repeated, invalid or differs
            from the target. A proxy in front could read such a request differently.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if version not in ("1.0", "1.1") or len(hosts) > 1 or (version == "1.1" and not hosts):
        raise bad_request()
    # An empty `Host` belongs to a target without a host (section 3.2).
    if any(host and not is_host(host.decode("latin-1")) for host in hosts):
        raise bad_request()
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise bad_request() from None
    if not (parsed.path or b"").startswith(b"/") or not url.isascii() or b"#" in url:
        raise bad_request()
    if url.startswith(b"/"):
        return url
    authority = url.partition(b"://")[2].partition(b"/")[0].lower()
    if not is_host(authority.decode()) or any(host.lower() != authority for host in hosts):
        raise bad_request()
    return parsed.path + (b"?" + parsed.query if parsed.query else b"")


def wants_websocket(headers: Headers) -> bool:
    """Whether a request is an upgrade to WebSocket, by the same rule as the engine's; that of httptools is wider.

    Raises:
        HttpError: 400, the upgrade has a body, which another reader could take for frames.
    """
    offers = [value.strip(SPACE).lower() for name, value in headers if name == b"upgrade"]
    tokens = [token for name, value in headers if name == b"connection" for token in value.split(b",")]
    if b"websocket" not in offers or b"upgrade" not in (token.strip(SPACE).lower() for token in tokens):
        return False
    if has_body(headers):
        raise bad_request()
    return True


def has_body(headers: Headers) -> bool:
    """Whether a request with these headers has a body. The parser has checked the headers."""
    found = dict(headers)
    return b"transfer-encoding" in found or found.get(b"content-length", b"0").strip(b"0") != b""


def head_of(method: bytes, target: bytes, headers: Headers, version: str = "1.1") -> bytes:
    """Returns a request head as bytes."""
    lines = [name + b": " + value for name, value in headers]
    return b"\r\n".join([method + b" " + target + b" HTTP/" + version.encode(), *lines, b"", b""])


def bad_request() -> HttpError:
    """Returns the error for bytes that are not a valid request: 400."""
    return HttpError(HTTPStatus.BAD_REQUEST, "bad_message", "the request is not valid HTTP/1.1")


SPACE = b" \t"
"""Characters allowed around a value (RFC 9110 section 5.6.3)."""
