"""Handlers know which message of their client they handle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


@CODECS
async def test_handlers_know_the_id_of_their_message(codec: str) -> None:
    ids: list[str | None] = []

    async def later(conn: fanwire.Connection) -> str | None:
        await asyncio.sleep(0)
        return conn.message_id

    def plain(conn: fanwire.Connection, payload: Any) -> str | None:
        return conn.message_id

    async def waits(conn: fanwire.Connection, payload: Any) -> list[str | None]:
        task = asyncio.ensure_future(later(conn))
        first = conn.message_id
        await asyncio.sleep(0)
        thread = await asyncio.to_thread(lambda: conn.message_id)
        return [first, conn.message_id, await task, thread]

    server = Book()
    server.on("plain")(plain)
    server.on("waits")(waits)
    server.on_message(plain)
    server.on_join(lambda conn, room: ids.append(conn.message_id))
    async with server, await Talk.open(server, "/a", codec=codec) as talk:
        await talk.hear("joined")
        for kind in ("plain", "message"):
            answer = await talk.ask(kind)
            assert answer["payload"] == answer["re"]
        answer = await talk.ask("waits")
        assert answer["payload"] == [answer["re"]] * 4
        # Two in a row, the second of which comes while the first is handled.
        names = [await talk.say("waits"), await talk.say("plain")]
        answers = [await talk.hear("reply"), await talk.hear("reply")]
        assert [answer["re"] for answer in answers] == names
        assert [answers[0]["payload"][1], answers[1]["payload"]] == names
        assert server.opened[0].message_id is None
        assert ids == [None]


async def test_a_message_without_an_id_has_none() -> None:
    ids: list[str | None] = []
    server = Book()
    server.on_message(lambda conn, message: ids.append(conn.message_id))
    async with server, await Talk.open(server) as talk, server.client() as raw:
        await talk.socket.send('{"type":"message","payload":1}')
        await raw.send("x")
        await until(lambda: len(ids) == 2)
        assert ids == [None, None]


async def test_a_handler_may_wait_for_its_own_client_to_acknowledge() -> None:
    async def ask(conn: fanwire.Connection, payload: Any) -> str:
        await conn.send("are you sure?", ack=True)
        return "done"

    server = Book()
    server.on("ask")(ask)
    async with server, fanwire.connect(server.url) as client:
        answer = asyncio.ensure_future(client.request("ask"))
        messages = client.messages()
        assert (await within(anext(messages))).data == "are you sure?"
        following = asyncio.ensure_future(anext(messages))
        assert await within(answer) == "done"
        following.cancel()
