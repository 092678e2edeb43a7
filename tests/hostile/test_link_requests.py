"""What a client with links may make the server hold by its requests."""

from __future__ import annotations

import asyncio
import contextlib

from helpers.fallback import Fallback, http
from helpers.serving import Book
from helpers.wait import until

BODY = 300_000
"""Bytes that a body announces."""


async def test_bodies_that_do_not_end_hold_no_more_than_inbound_bytes() -> None:
    config = {"inbound_bytes": 1 << 20, "max_message": BODY}
    async with Book(config) as server, contextlib.AsyncExitStack() as stack:
        held = server._http._links._limits.inbound
        refused = 0
        for _ in range(3):
            client = await stack.enter_async_context(Fallback(server.port))
            await client.open()
            for number in range(1, 5):
                peer = await stack.enter_async_context(await server.dial())
                await peer.send(http("POST", f"/?link={client.link}&number={number}", Content_Length=str(BODY)))
                before = held.bytes
                await peer.send(b" " * 200_000)
                answer = asyncio.ensure_future(peer.response())
                await until(lambda: answer.done() or held.bytes == before + 200_000)  # noqa: B023 - it is awaited here
                if answer.done():
                    assert (answer.result().status, answer.result().headers["retry-after"]) == (503, "1")
                    refused += 1
                answer.cancel()
        assert refused == 7
        assert held.bytes <= 1 << 20
        # Small ones come through.
        async with await client.resume() as again:
            await again.say({"type": "ping"})
    assert held.bytes == 0
