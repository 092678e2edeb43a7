"""Deltas over the wire: who gets which bytes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
STILL = {f"field_{place}": "x" * 10 for place in range(20)}


def shop(**config: Any) -> Book:
    server = Book(config)
    server.room("quotes", delivery="latest", delta=True, history=10, join=True, publish=True)
    server.room("plain", delivery="latest", join=True)
    return server


def quote(n: int) -> dict[str, Any]:
    return {**STILL, "n": n}


async def member(server: Book, room: str = "quotes", **options: Any) -> Talk:
    talk = await Talk.open(server, **options)
    await talk.say("join", room=room)
    joined = await talk.hear("joined")
    assert joined["payload"].get("delta", False) is (room == "quotes")
    return talk


async def payloads(talk: Talk, count: int) -> list[tuple[int | None, Any]]:
    """The bases and the payloads of the next messages."""
    messages = [await talk.hear("message") for _ in range(count)]
    return [(message.get("base"), message["payload"]) for message in messages]


@CODECS
async def test_only_those_who_have_asked_get_deltas_and_only_of_rooms_that_have_them(codec: str) -> None:
    async with shop() as server:
        server.publish("quotes", quote(0), key="k")
        taking = await member(server, codec=codec, delta=True)
        other = await member(server, codec=codec)
        plain = await member(server, "plain", codec=codec, delta=True)
        async with server.client("/") as raw:
            await until(lambda: len(server.connections) == 4, "all are there")
            server.connections[-1].join("quotes")
            await within(raw.recv())
            for talk in (taking, other):
                assert await payloads(talk, 1) == [(None, quote(0))]
            for n in range(1, 4):
                server.publish("quotes", quote(n), key="k")
                server.publish("plain", quote(n), key="k")
                assert await payloads(taking, 1) == [(n, {"n": n})]
                for talk in (other, plain):
                    assert await payloads(talk, 1) == [(None, quote(n))]
                assert '"field_0"' in str(await within(raw.recv()))
        counts = server.stats()["deltas"]
        assert (counts["messages"], counts["not_smaller"]) == (3, 0)
        assert counts["bytes_after"] * 3 < counts["bytes_before"]
        for talk in (taking, other, plain):
            await within(talk.socket.close())


async def test_a_key_that_was_waiting_comes_whole_and_the_next_is_a_delta() -> None:
    async with shop() as server:
        talk = await member(server, delta=True)
        # In one turn of the loop the engine may have written the first or not; the last is right in both cases.
        for n in range(1, 30):
            server.publish("quotes", quote(n), key="k")
        value: Any = None
        while value is None or value["n"] < 29:
            message = await talk.hear()
            if message["type"] == "message":
                value = message["payload"] if "base" not in message else {**value, **message["payload"]}
                assert value == quote(value["n"])
        seq = message["seq"]
        server.publish("quotes", quote(30), key="k")
        while (message := await talk.hear())["type"] != "message":
            pass
        assert (message["base"], message["payload"]) == (seq, {"n": 30})
        await within(talk.socket.close())


@CODECS
@pytest.mark.parametrize("batch", [False, True])
async def test_a_session_goes_on_with_deltas_until_a_link_does_not_ask_for_them(codec: str, batch: bool) -> None:
    async with shop() as server:
        talk = await member(server, codec=codec, delta=True, batch=batch)
        server.publish("quotes", quote(1), key="k")
        assert await payloads(talk, 1) == [(None, quote(1))]
        n = 1
        for delta in (True, True, False, True):
            talk.cut()
            await until(lambda: all(conn.is_reconnecting for conn in server.connections), "the session is parked")
            n += 1
            server.publish("quotes", quote(n), key="k")
            talk = await Talk.open(server, codec=codec, after=talk, delta=delta, batch=batch)
            assert talk.welcome["resumed"]
            is_delta = n < 4
            assert await payloads(talk, 1) == [(n - 1, {"n": n}) if is_delta else (None, quote(n))]
        await within(talk.socket.close())


async def test_what_is_sent_again_is_the_same() -> None:
    async with shop() as server:
        talk = await member(server, delta=True)
        for n in range(1, 4):
            server.publish("quotes", quote(n), key="k")
            (got,) = await payloads(talk, 1)
            assert got == ((n - 1, {"n": n}) if n > 1 else (None, quote(1)))
        talk.cut()
        talk.received -= 2
        talk = await Talk.open(server, after=talk, delta=True)
        assert await payloads(talk, 2) == [(1, {"n": 2}), (2, {"n": 3})]
        await within(talk.socket.close())


async def test_histories_are_whole_and_so_is_the_first_value_behind_them() -> None:
    async with shop() as server:
        for n in range(3):
            server.publish("quotes", quote(n), key="k")
        server.publish("quotes", quote(7), key="other")
        epoch = (await server.history("quotes", limit=1))[0].position.epoch
        talk = await Talk.open(server, delta=True)
        await talk.say("join", room="quotes", payload={"since": {"epoch": epoch, "seq": 3}})
        assert (await talk.hear("joined"))["payload"]["recovered"]
        assert await payloads(talk, 1) == [(None, quote(7))]
        for n in range(8, 10):
            server.publish("quotes", quote(n), key="other")
            server.publish("quotes", quote(n), key="k")
            bases = (4, None) if n == 8 else (5, 6)
            assert await payloads(talk, 2) == [(base, quote(n) if base is None else {"n": n}) for base in bases]
        await within(talk.socket.close())


async def test_deltas_need_latest_values() -> None:
    server = fanwire.Server(insecure=True)
    with pytest.raises(ValueError, match="delta=True needs delivery='latest'"):
        server.room("log", delta=True)
    with pytest.raises(TypeError, match="delta"):
        server.room("quotes", delivery="latest", delta=1)  # type: ignore[arg-type]  # that is what is tested


async def test_a_thousand_updates_of_many_keys_are_applied() -> None:
    async with shop() as server:
        client = await within(fanwire.connect(server.url).__aenter__())
        try:
            room = await within(client.join("quotes"))
            want: dict[str, Any] = {}

            async def publish() -> None:
                for n in range(1000):
                    key = f"k{n * n % 37}"
                    want[key] = {**quote(n), f"at_{n % 5}": {"deep": {"er": [n, None]}, "n": n}}
                    server.publish("quotes", want[key], key=key)
                    if n % 50 == 0:
                        await asyncio.sleep(0)

            publishing = asyncio.ensure_future(publish())
            newest: dict[str, Any] = {}
            while not publishing.done() or newest != want:
                message = await within(anext(room))
                newest[message.key or ""] = message.data
            await publishing
        finally:
            await within(client.close())
