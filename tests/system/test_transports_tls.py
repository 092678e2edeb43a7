"""Sessions that change their transport over TLS."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from helpers.fallback import Fallback
from helpers.serving import Book
from helpers.wait import until, within

import fanwire


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_what_the_old_link_has_written_lets_no_poll_be_answered(
    tls: tuple[fanwire.TLS, ssl.SSLContext], codec: str
) -> None:
    async with Book(tls=tls[0]) as server, Fallback(server.port, "sse", codec, "/a", tls[1]) as client:
        await client.open()
        # More than the buffer of a transport has room for: it reports what it has written when the client reads.
        for number in range(200):
            server.publish("a", {"n": number, "text": "x" * 1000})
        for number in range(200):
            assert (await client.hear_type("message"))["payload"]["n"] == number
        async with await client.resume("long-poll", must_resume=1) as again:
            assert (await client.closed())["code"] == 4503
            await again.say({"type": "ping"})
            link = server._running.host.fallbacks.find(again.link)
            assert link is not None
            # Without a poll nothing leaves.
            await asyncio.sleep(0.01)
            assert link._polls._kept is None
            assert (await within(again.hear_type("pong")))["type"] == "pong"
        await until(lambda: server._http.connections == 0)
