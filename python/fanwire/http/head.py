"""Checks of a request head that httptools leaves to the server (RFC 9112 section 3). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import httptools

from fanwire.http.body import HttpError
from fanwire.identity.origin import is_host

__all__ = ["Headers", "bad_request", "checked_target", "has_body", "head_of", "wants_websocket"]

Headers = Sequence[tuple[bytes, bytes]]
"""Names, in lower case, and values."""


def checked_target(version: str, url: bytes, headers: Headers) -> bytes:
    """The path and the query that a request asks for. The absolute form (section 3.2.2) is another way to write them.

    Raises:
        HttpError: 400, the version or the target is none that is served, or there is not one header `Host` as it
            should be. A target that names another host would be one request to a proxy and another to us.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if version not in ("1.0", "1.1") or len(hosts) > 1 or (version == "1.1" and not hosts):
        raise bad_request()
    # An empty one is for targets without a host (section 3.2).
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
    """Whether a request is an upgrade to WebSocket: by the engine's rule, since httptools has others beside it.

    Raises:
        HttpError: 400, it is, and has a body: what follows would be a body to one reader and frames to another.
    """
    offers = [value.strip(SPACE).lower() for name, value in headers if name == b"upgrade"]
    tokens = [token for name, value in headers if name == b"connection" for token in value.split(b",")]
    if b"websocket" not in offers or b"upgrade" not in (token.strip(SPACE).lower() for token in tokens):
        return False
    if has_body(headers):
        raise bad_request()
    return True


def has_body(headers: Headers) -> bool:
    """Whether a request with these headers, which the parser has checked, has a body."""
    found = dict(headers)
    return b"transfer-encoding" in found or found.get(b"content-length", b"0").strip(b"0") != b""


def head_of(method: bytes, target: bytes, headers: Headers, version: str = "1.1") -> bytes:
    """A head as bytes."""
    lines = [name + b": " + value for name, value in headers]
    return b"\r\n".join([method + b" " + target + b" HTTP/" + version.encode(), *lines, b"", b""])


def bad_request() -> HttpError:
    """The answer to what is no request."""
    return HttpError(HTTPStatus.BAD_REQUEST, "bad_message", "this is no request that can be read")


SPACE = b" \t"
"""What may stand around a value (RFC 9110 section 5.6.3)."""
