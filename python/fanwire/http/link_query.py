"""What a request asks of the fallback transports, by its method, its path and its query. Pure.

The engine opens the streams: `opens_link` has its rule, for requests that come behind others on one connection.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qsl

from fanwire.http.body import HttpError
from fanwire.http.head import Headers
from fanwire.transports.exchange import LinkRequest
from fanwire.transports.fallback_link import LONG_POLL, SSE
from fanwire.transports.link_tokens import tag_of

__all__ = ["is_for_links", "link_request", "opens_link", "token_in"]


@lru_cache(256)
def token_in(query: str) -> str | None:
    """The token in the parameter `link` of a query; None: there is none, or it is no token."""
    if "link=" not in query or query.count("&") >= MAX_FIELDS:
        return None
    tokens = [value for name, value in _fields(query) if name == "link"]
    return tokens[0] if len(tokens) == 1 and tag_of(tokens[0]) is not None else None


def is_for_links(method: str, path: str, query: str, headers: Headers, *, has_app: bool) -> bool:
    """Whether a request is for a link, or asks whether a page may send such requests (a CORS preflight).

    Args:
        method: of the request.
        path: below the mount.
        query: of the request.
        headers: of the request.
        has_app: an application has the paths that are not Fanwire's. Its own parameter `link` is left alone: no other
            value looks like a token.
    """
    if "link=" in query and (token_in(query) is not None or (not has_app and any(n == "link" for n, _ in _few(query)))):
        return True
    if method != "OPTIONS" or not any(name == b"access-control-request-method" for name, _ in headers):
        return False
    return _ROOM.fullmatch(path) is not None or any(name == "transport" for name, _ in _few(query))


def link_request(method: str, query: str, body: bytes) -> LinkRequest:
    """Reads a POST or a poll.

    Raises:
        HttpError: 400, a parameter is wrong or missing; 404, the link is no token.
    """
    token = token_in(query)
    if token is None:
        raise HttpError(HTTPStatus.NOT_FOUND, "unknown_link", "there is no such link; resume the session by a new one")
    if method == "POST":
        close = _number(query, "close", 1000, 4999) if "close=" in query else None
        return LinkRequest(token, _number(query, "number", 1), body=body, close=close)
    return LinkRequest(token, received=_number(query, "received", 0))


def opens_link(method: bytes, target: str, headers: Headers) -> bool:
    """Whether a request opens a link of a fallback transport, by the same rule as the engine's: `rust/wire/opening.rs`.

    Args:
        method: of the request.
        target: path and query, below the mount.
        headers: of the request.
    """
    if method != b"GET" or _parameter(target, "link") is not None:
        return False
    transport = _parameter(target, "transport")
    if transport is not None:
        return transport in (SSE, LONG_POLL)
    if _ROOM.fullmatch(target.partition("?")[0]) is None:
        return False
    accepted = [value for name, value in headers if name == b"accept"]
    kinds = [kind.partition(b";")[0].strip().lower() for value in accepted for kind in value.split(b",")]
    return not accepted or accepted[0] == b"*/*" or b"text/event-stream" in kinds


def _parameter(target: str, name: str) -> str | None:
    """The first value of a parameter, as it stands in the query."""
    pairs = (pair.partition("=") for pair in target.partition("?")[2].split("&"))
    return next((value for key, equals, value in pairs if key == name and equals), None)


def _number(query: str, name: str, least: int, most: int = 1 << 60) -> int:
    found = [value for key, value in _fields(query) if key == name]
    text = found[0] if len(found) == 1 else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and least <= int(text) <= most):
        raise HttpError(
            HTTPStatus.BAD_REQUEST, "bad_message", f"{name} must be given once, as a number from {least} on", f"?{name}"
        )
    return int(text)


def _few(query: str) -> list[tuple[str, str]]:
    return _fields(query) if query and query.count("&") < MAX_FIELDS else []


@lru_cache(256)
def _fields(query: str) -> list[tuple[str, str]]:
    # Each request asks several times, and all that run at one time fit.
    return parse_qsl(query, keep_blank_values=True)


MAX_FIELDS = 100
"""The most fields of a query; one with more is for no link."""

_ROOM = re.compile(r"/rooms/[^/]+")
"""The paths of raw rooms, whose event streams need no parameter."""
