"""The body of an HTTP request, within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fanwire.timing.deadline import within

__all__ = ["TooLarge", "read_body"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""Of ASGI."""


class TooLarge(Exception):
    """A body has more bytes than it may."""


async def read_body(receive: Receive, max_bytes: int, timeout: float, min_rate: int) -> bytes:
    """Reads a body to its end.

    Args:
        receive: of the request.
        max_bytes: it may have.
        timeout: seconds for it, and a second more for each `min_rate` bytes that have come: a slow link has the time
            that it takes, and one byte a second is an attack.
        min_rate: bytes a second.

    Raises:
        TooLarge: it is larger.
        asyncio.TimeoutError: it is too slow.
        ConnectionError: the peer is gone.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    body = bytearray()
    while True:
        left = begun + timeout + len(body) / min_rate - loop.time()
        message = await within(receive(), max(0.0, left))
        if message["type"] != "http.request":
            raise ConnectionError("the peer is gone")
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise TooLarge
        if not message.get("more_body", False):
            return bytes(body)
