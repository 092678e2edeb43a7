"""Many clients send in the same instant: the loop goes on in between, and each client's messages keep their order."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from time import thread_time
from typing import Any

import msgspec
import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until

import fanwire
from fanwire.runtime.events import SLICE

CLIENTS = 24
CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


def write(talk: Talk, kind: str, payload: Any) -> None:
    """Sends without a turn of the loop."""
    message = {"type": kind, "id": f"{kind} {payload}", "payload": payload}
    data = json.dumps(message).encode() if talk.codec == "json" else msgspec.msgpack.encode(message)
    talk.socket.transport.write(bytes([0x81 if talk.codec == "json" else 0x82, 0x80 | len(data)]) + bytes(4) + data)


def write_close(talk: Talk) -> None:
    talk.socket.transport.write(b"\x88\x82" + bytes(4) + (1000).to_bytes(2, "big"))


def work(seconds: float) -> None:
    """Keeps the loop for so long, by its own time."""
    begun = thread_time()
    while thread_time() - begun < seconds:
        pass


@CODECS
async def test_messages_of_one_instant_are_handled_in_several_turns_of_the_loop(codec: str) -> None:
    turn = 0
    handled: dict[int, int] = {}

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    server = Book()

    @server.on("work")
    def handle(conn: fanwire.Connection, payload: Any) -> Any:
        handled[turn] = handled.get(turn, 0) + 1
        work(SLICE / 2)
        return payload

    async with server, AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(await Talk.open(server, codec=codec)) for _ in range(CLIENTS)]
        counting = asyncio.ensure_future(count())
        for talk in talks:
            write(talk, "work", 1)
        for talk in talks:
            while (answer := await talk.hear())["type"] == "received":
                pass
            assert (answer["type"], answer["payload"]) == ("reply", 1)
        counting.cancel()
    assert sum(handled.values()) == CLIENTS
    # Two fill a slice, and a task may have its turn between two slices.
    assert max(handled.values()) <= 6


@CODECS
@pytest.mark.parametrize("end", ["close", "cut", "stay"])
async def test_what_was_sent_before_an_end_is_handled_in_its_order(codec: str, end: str) -> None:
    heard: dict[int, list[Any]] = {}
    server = Book()

    @server.on("work")
    def handle(conn: fanwire.Connection, payload: Any) -> None:
        heard.setdefault(conn.id, []).append(payload)
        work(SLICE / 4)

    async with server, AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(await Talk.open(server, codec=codec)) for _ in range(CLIENTS)]
        for number in range(3):
            for talk in talks:
                write(talk, "work", number)
        for talk in talks:
            if end == "close":
                write_close(talk)
        if end == "cut":
            # All that was written has left.
            await until(lambda: sum(map(len, heard.values())) > 0)
            for talk in talks:
                talk.cut()
        await until(lambda: sum(map(len, heard.values())) == 3 * CLIENTS)
        assert list(heard.values()) == [[0, 1, 2]] * CLIENTS
        assert server._host is not None
        assert server._host.limits.inbound.bytes == 0
