"""Where a room is: from what was typed to a URL."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from fanwire.cli.failure import Misuse

__all__ = ["room_url"]


def room_url(base: str, room: str, *, websocket: bool) -> str:
    """The URL of a room at a server; http and ws mean the same server, so either is taken for either.

    Raises:
        Misuse: the base is no such URL.
    """
    parts = urlsplit(base)
    if parts.scheme not in SECURE or not parts.netloc:
        raise Misuse(f"{base!r} is no URL of a server, such as {'ws' if websocket else 'http'}://127.0.0.1:8000")
    if not room:
        raise Misuse("a room's name is not empty")
    scheme = ("ws" if websocket else "http") + ("s" if SECURE[parts.scheme] else "")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/rooms/{quote(room, safe='')}"


SECURE = {"http": False, "ws": False, "https": True, "wss": True}
