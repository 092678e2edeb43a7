"""Where a connection goes with a request that does not get an answer of plain HTTP: to the engine, or to a WebSocket of
the application. Pure."""

from __future__ import annotations

from enum import Enum

from fanwire.http.head import Headers, bad_request, wants_websocket
from fanwire.http.link_query import opens_link
from fanwire.http.prefix import below

__all__ = ["Way", "way_of"]


class Way(Enum):
    """Where a connection goes."""

    BACK = "back"
    """To the engine, which decides whether the client is let in."""
    APPLICATION = "application"
    """To a WebSocket of the application."""


def way_of(
    method: bytes,
    version: str,
    target: str,
    headers: Headers,
    *,
    mount: str,
    has_app: bool,
    is_first: bool,
    is_upgrade: bool,
) -> Way | None:
    """Where a connection goes with a request; None: the request is plain HTTP.

    Args:
        method: of the request.
        version: of HTTP.
        target: path and query without the prefix.
        headers: of the request.
        mount: the path below which Fanwire is.
        has_app: whether there is an application.
        is_first: it is the first request of the connection. The engine has seen it, and it opens no link.
        is_upgrade: whether the parser takes it for an upgrade.

    Raises:
        HttpError: 400, the upgrade is not valid.
    """
    ours = below(target, mount)
    if ours is not None and not is_first and opens_link(method, ours, headers):
        return Way.BACK
    if not (ours is not None or has_app) or not wants_websocket(headers):
        return None
    if not is_upgrade:
        # The parser would take the frames for a request.
        raise bad_request()
    if ours is not None:
        return Way.BACK
    # Other upgrades are ignored (RFC 9110 section 7.8).
    return Way.APPLICATION if version == "1.1" and method == b"GET" else None
