"""Checks of the URL and the room that a user has typed."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from fanwire.cli.failure import Misuse
from fanwire.client.head import check_url, described_url
from fanwire.protocol.table import ROOM_MAX
from fanwire.values.checks import described

__all__ = ["check_room", "server_url"]

SCHEMES = {"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}


def server_url(base: str) -> str:
    """The WebSocket URL of a server; http and ws, and https and wss, mean the same.

    Raises:
        Misuse: the base is no such URL.
    """
    try:
        parts = urlsplit(base)
        is_there = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_there = False
    if not is_there or parts.scheme not in SCHEMES:
        raise Misuse(f"--url must be the URL of a server, such as ws://127.0.0.1:8000, got {described_url(base)}")
    try:
        # Checked as typed: the standard library's parser removes newlines silently.
        check_url(SCHEMES[parts.scheme] + base[len(parts.scheme) :].partition("#")[0])
        return check_url(urlunsplit((SCHEMES[parts.scheme], parts.netloc, parts.path or "/", parts.query, "")))
    except ValueError as error:
        raise Misuse(str(error)) from error


def check_room(name: str) -> str:
    """Returns the name of a room.

    Raises:
        Misuse: it is no name of a room.
    """
    if not 1 <= len(name.encode(errors="replace")) <= ROOM_MAX:
        raise Misuse(f"the name of a room must have 1 to {ROOM_MAX} bytes of UTF-8")
    # Control characters would break lines in terminals and logs. Bytes that are not UTF-8 are not printable either.
    if not name.isprintable():
        raise Misuse(f"the name of a room must not have control characters, got {described(name)}")
    return name
