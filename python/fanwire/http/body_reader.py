"""Reads the body of an HTTP request, with limits on its size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fanwire.timing.deadline import within

__all__ = ["AsgiReceive", "AsgiSend", "TooLarge", "read_body"]

AsgiReceive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""The `receive` of an ASGI application."""

AsgiSend = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""The `send` of an ASGI application."""


class TooLarge(Exception):
    """A body has more bytes than allowed."""


async def read_body(receive: AsgiReceive, max_bytes: int, timeout: float, min_rate: int) -> bytes:
    """Reads a body to its end.

    Args:
        receive: the `receive` of the ASGI request.
        max_bytes: the largest size of the body.
        timeout: seconds for the body, and one second more for each `min_rate` bytes received. So a slow link has the
            time that it needs, and a peer that sends one byte a second is cut off.
        min_rate: bytes a second.

    Raises:
        TooLarge: the body is larger than `max_bytes`.
        asyncio.TimeoutError: the body is too slow.
        ConnectionError: the peer has disconnected.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    body = bytearray()
    while True:
        left = begun + timeout + len(body) / min_rate - loop.time()
        message = await within(receive(), max(0.0, left))
        if message["type"] != "http.request":
            raise ConnectionError("the peer has disconnected before the end of the body")
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise TooLarge
        if not message.get("more_body", False):
            return bytes(body)
