"""Who is read when there is too much to do."""

from __future__ import annotations

from contextlib import AsyncExitStack
from itertools import pairwise
from statistics import median
from time import thread_time

from helpers.serving import Book
from helpers.wait import until
from helpers.wire import BINARY, FIN, Peer, frame

import fanwire

FLOODS = 40
EACH = 20_000
"""Messages of one: half a second of work on a slow machine."""
ASKED = 15


def work(seconds: float) -> None:
    end = thread_time() + seconds
    while thread_time() < end:
        pass


async def test_one_that_seldom_sends_does_not_wait_for_all_that_always_do() -> None:
    heard: list[str] = []

    def hear(conn: fanwire.Connection, message: bytes | str) -> None:
        heard.append(conn.request.path)
        if conn.request.path == "/seldom":
            work(0.0004)
            conn.send(message)

    server = Book({"message_rate": 0.0, "byte_rate": 0.0})
    server.on_message(hear)
    async with server, AsyncExitStack() as stack:

        async def enter(path: str) -> Peer:
            return await (await stack.enter_async_context(await server.dial())).upgrade(path)

        seldom = await enter("/seldom")
        for number in range(FLOODS):
            flood = await enter(f"/{number}")
            flood.writer.write(frame(BINARY, b"x") * EACH)
        await until(lambda: len(set(heard)) == FLOODS, "all of them are heard")
        del heard[:]
        for _ in range(ASKED):
            await seldom.send(frame(BINARY, b"?"))
            assert await seldom.frame() == (FIN | BINARY, b"?")
        assert len(heard) < FLOODS * EACH / 2, "the floods are over before it was asked: this shows nothing"
        turns = [at for at, path in enumerate(heard) if path == "/seldom"]
        assert len(turns) == ASKED
        # In one row each of its messages would wait for all of them. The first ones come while few have had much.
        others = [len(set(heard[first:last])) for first, last in pairwise(turns)]
        # While a thread stands still, many may be heard, so it is most of the turns that count.
        assert median(others[ASKED // 2 :]) < FLOODS / 2, others
