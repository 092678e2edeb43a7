"""Batches over the wire: what waits for a session that has asked for them comes as one message, and counts as if it had
come message by message."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from helpers.fallback import Fallback
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire
from fanwire.client.codec import ClientCodec

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
SMALL = {"connection_bytes": 1 << 20, "unsent_bytes": 4096}


def shop(**config: Any) -> Book:
    """A server whose rooms have histories."""
    server = Book(config)
    server.room("a", history=100, join=True, publish=True)
    server.room("prices", delivery="latest", join=True)
    server.on("add")(lambda conn, payload: sum(payload))
    return server


async def parked(server: Book, talk: Talk) -> None:
    talk.cut()
    await until(lambda: all(conn.is_reconnecting for conn in server.connections), "the session is parked")


async def small_socket(server: Book) -> socket.socket:
    """A connection whose kernel takes little that is not read: what it takes may leave message by message."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await within(asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port)))
    return sock


@CODECS
async def test_a_history_comes_in_one_message(codec: str) -> None:
    async with shop() as server:
        for number in range(50):
            server.publish("a", number)
        epoch = (await server.history("a", limit=1))[0].position.epoch
        async with await Talk.open(server, codec=codec, batch=True) as talk, await Talk.open(server) as other:
            for one in (talk, other):
                await one.say("join", room="a", payload={"since": {"epoch": epoch, "seq": 10}})
                joined = await one.hear("joined")
                assert joined["payload"]["recovered"]
                assert await one.seqs(40) == list(range(11, 51))
                assert one.received == 41
            assert max(talk.batches) >= 40
            assert other.batches == []


@CODECS
async def test_what_was_missed_comes_in_the_form_of_the_next_connection(codec: str) -> None:
    async with shop() as server:
        talk = await Talk.open(server, "/a", codec=codec, batch=True)
        await talk.hear("joined")
        seen: list[int] = []
        for batch in (True, False, False, True, True):
            await parked(server, talk)
            for number in range(5):
                server.publish("a", number)
            talk = await Talk.open(server, codec=codec, after=talk, batch=batch)
            assert talk.welcome["resumed"]
            seen += await talk.seqs(5)
            assert talk.batches == ([5] if batch else [])
        assert seen == list(range(1, 26))
        await within(talk.socket.close())
        assert len(server.opened) == 1


async def test_a_client_may_count_and_come_back_from_any_place_in_a_batch() -> None:
    async with shop() as server:
        talk = await Talk.open(server, "/a", batch=True)
        await talk.hear("joined")
        for number in range(10):
            server.publish("a", number)
            assert await talk.seqs(1) == [number + 1]
        answers: list[str] = []
        for taken in (1, 4, 7):
            await parked(server, talk)
            talk.received = 1 + taken
            talk = await Talk.open(server, after=talk, batch=True)
            rest = await talk.seqs(10 - taken)
            assert rest == list(range(taken + 1, 11))
            assert talk.batches == [10 - taken]
            # It acknowledges a part of the batch.
            await talk.say("received", payload={"count": 1 + taken + 1})
            # It has not counted the earlier answers, so they come again.
            assert [(await talk.hear("reply"))["re"] for _ in answers] == answers
            answers.append((await talk.ask("add", payload=[1]))["re"])
            talk.received -= 1
        async with await Talk.open(server, after=talk, batch=True) as last:
            assert last.welcome["resumed"]


async def test_answers_presence_and_skipped_keep_their_places() -> None:
    async with shop() as server:
        server.room("crowd", presence=True, join=True)
        talk = await Talk.open(server, "/a,crowd", batch=True)
        assert [(await talk.hear("joined"))["room"] for _ in range(2)] == ["a", "crowd"]
        await parked(server, talk)
        conn = server.opened[0]
        server.publish("a", 1)
        conn.send({"only": "you"})
        server.publish("a", 2, exclude=[conn])
        server.publish("a", 3)
        async with await Talk.open(server, "/crowd") as other:
            await other.hear("joined")
            await other.ask("leave", room="crowd")
        server.publish("a", 4)
        talk = await Talk.open(server, after=talk, batch=True)
        heard = [await talk.hear() for _ in range(7)]
        kinds = [(each["type"], each.get("seq")) for each in heard if each.get("room") == "a"]
        assert [kind for kind, _ in kinds] == ["message", "message", "message", "skipped"]
        assert [seq for _, seq in kinds[:3]] == [1, 3, 4]
        told = [each["payload"] for each in heard if each["type"] == "message" and "room" not in each]
        assert told == [{"only": "you"}]
        assert [each["type"] for each in heard if each.get("room") == "crowd"] == ["member_joined", "member_left"]
        assert talk.batches[0] > 4
        # An array from a client is refused, and the session goes on.
        await within(talk.socket.send('[{"type":"add","id":"x","payload":[1,2]},{"type":"add","id":"y"}]'))
        assert (await talk.hear("error"))["payload"]["code"] == "bad_message"
        assert (await talk.ask("add", payload=[1, 2]))["payload"] == 3
        await within(talk.socket.close())


@CODECS
async def test_a_reader_that_stalls_gets_its_backlog_in_fewer_messages(codec: str) -> None:
    async with (
        shop(**SMALL) as server,
        await Talk.open(server, "/a", codec=codec, batch=True, sock=await small_socket(server)) as talk,
    ):
        await talk.hear("joined")
        talk.socket.transport.pause_reading()
        for number in range(600):
            server.publish("a", "x" * 500 + str(number))
            if number % 50 == 0:
                await asyncio.sleep(0)
        talk.socket.transport.resume_reading()
        assert await talk.seqs(600) == list(range(1, 601))
        assert sum(talk.batches) > 500
        assert len(talk.batches) < 100


async def test_values_are_replaced_until_their_batch_leaves() -> None:
    async with shop() as server:
        talk = await Talk.open(server, "/prices", batch=True)
        await talk.hear("joined")
        await talk.say("received", payload={"count": 0, "taken": {}})
        await talk.say("ping")
        while (await talk.hear())["type"] != "pong":
            pass
        await parked(server, talk)
        for number in range(100):
            server.publish("prices", number, key=str(number % 10))
        async with await Talk.open(server, after=talk, batch=True) as talk:
            values = [(await talk.hear("message"))["payload"] for _ in range(10)]
            assert sorted(values) == list(range(90, 100))
            assert talk.batches == [10]


@CODECS
@pytest.mark.parametrize("transport", ["sse", "long-poll"])
async def test_over_the_other_transports_a_batch_is_one_event(transport: str, codec: str) -> None:
    async with shop() as server:
        for number in range(20):
            server.publish("a", f"{number}\n")
        epoch = (await server.history("a", limit=1))[0].position.epoch
        for batch in (1, 0):
            async with await Fallback(server.port, transport, codec).open(batch=batch) as link:
                join = {"type": "join", "id": "j", "room": "a", "payload": {"since": {"epoch": epoch, "seq": 5}}}
                await link.say(join)
                await link.hear_type("joined")
                heard = [await link.hear_type("message") for _ in range(15)]
                assert [each["payload"] for each in heard] == [f"{number}\n" for number in range(5, 20)]
                assert (max(link.batches, default=0) >= 15) == bool(batch)


@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll"])
@CODECS
async def test_the_client_gets_batches_and_its_application_single_messages(
    transport: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    split = ClientCodec.split

    def noted(self: ClientCodec, frame: bytes | str) -> Sequence[bytes | str]:
        parts = split(self, frame)
        sizes.append(len(parts))
        return parts

    monkeypatch.setattr(ClientCodec, "split", noted)
    async with shop() as server:
        for number in range(60):
            server.publish("a", {"n": number})
        since = fanwire.Position((await server.history("a", limit=1))[0].position.epoch, 0)
        client = fanwire.connect(server.url, encoding=codec, transports=[transport])
        async with client:
            room = await within(client.join("a", since=since))
            for number in range(60):
                message = await within(anext(aiter(room)))
                assert (message.seq, message.data) == (number + 1, {"n": number})
            assert await within(client.publish("a", {"n": 60})) == 61
        assert max(sizes) >= 60
