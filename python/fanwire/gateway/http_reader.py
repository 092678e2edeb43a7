"""The body of an HTTP request, within bounds of size and time."""

from __future__ import annotations

import asyncio

from aiohttp import web

from fanwire.deadline import within

__all__ = ["read_body"]


async def read_body(request: web.Request, max_bytes: int, timeout: float, min_rate: int) -> bytes:
    """Reads a body to its end.

    Args:
        request: what it belongs to.
        max_bytes: it may have.
        timeout: seconds for it, and a second more for each `min_rate` bytes that have come: a slow link has the time
            that it takes, and one byte a second is an attack.
        min_rate: bytes a second.

    Raises:
        HTTPRequestEntityTooLarge: it is larger.
        asyncio.TimeoutError: it is too slow.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    body = bytearray()
    while not request.content.at_eof():
        left = begun + timeout + len(body) / min_rate - loop.time()
        body += await within(request.content.readany(), max(0.0, left))
        if len(body) > max_bytes:
            raise web.HTTPRequestEntityTooLarge(max_size=max_bytes, actual_size=len(body))
    return bytes(body)
