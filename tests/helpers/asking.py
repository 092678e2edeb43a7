"""Requests of plain HTTP."""

from __future__ import annotations

from helpers.wire import Peer, Response

RIGHT = {"Authorization": "Bearer key-two"}


async def say(peer: Peer, method: str, path: str, head: dict[str, str] | None = None, body: bytes = b"") -> Response:
    """A request on a connection that stays open."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (head or {}).items()]
    await peer.send("\r\n".join([*lines, "", ""]).encode("latin-1"), body)
    return await peer.response()
