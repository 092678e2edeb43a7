"""Messages of sessions over real sockets: errors are answers, heartbeats are answered, and sends are acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


@pytest.mark.logs_errors
@CODECS
async def test_errors_are_answers_and_the_connection_goes_on(codec: str) -> None:
    class Order(msgspec.Struct):
        price: float

    server = Book()
    server.on("order", Order)(lambda conn, order: {"at": order.price})

    @server.on("fails")
    async def fails(conn: fanwire.Connection, payload: Any) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("a bug of the application, which is in its log")

    async with server, await Talk.open(server, codec=codec) as talk:
        for kind, fields, code in (
            ("nonsense", {}, "unknown_type"),
            ("order", {"payload": {"price": "x"}}, "invalid_payload"),
            ("fails", {}, "internal"),
            ("join", {"room": "nowhere"}, "forbidden"),
            ("join", {}, "bad_message"),
            ("publish", {"room": "nowhere", "payload": 1}, "forbidden"),
            ("leave", {"room": "nowhere"}, "not_joined"),
            ("presence", {"room": "nowhere"}, "forbidden"),
        ):
            answer = await talk.ask(kind, **fields)
            assert (answer["type"], answer["payload"]["code"]) == ("error", code)
        for wrong in ("{", "[]", b"\x00", "nonsense"):
            await talk.socket.send(wrong)
            assert (await talk.hear("error"))["payload"]["code"] in ("bad_encoding", "bad_message")
        assert (await talk.ask("order", payload={"price": 2}))["payload"] == {"at": 2.0}


async def test_a_message_without_an_id_is_done_and_not_answered() -> None:
    server = Book()
    got: list[Any] = []
    server.on("note")(lambda conn, payload: got.append(payload))
    async with server, await Talk.open(server) as talk:
        await talk.socket.send('{"type":"note","payload":1}')
        assert (await talk.ask("note", payload=2))["type"] == "reply"
        assert got == [1, 2]


async def test_heartbeats_are_answered_while_a_handler_takes_its_time() -> None:
    server = Book()
    gate = asyncio.Event()

    @server.on("slow")
    async def slow(conn: fanwire.Connection, payload: Any) -> str:
        await gate.wait()
        return "done"

    async with server, await Talk.open(server) as talk:
        await talk.say("slow")
        await talk.say("ping")
        await talk.hear("pong")
        assert (await talk.hear("received"))["payload"] == {"count": 1}
        gate.set()
        assert (await talk.hear("reply"))["payload"] == "done"


@CODECS
async def test_the_server_sends_heartbeats_that_a_program_can_see(codec: str) -> None:
    # A ping follows the pong to the one before, when `ping_timeout` is over. A busy machine has time for the pong.
    quick = {"ping_interval": 0.05, "ping_timeout": 1.5}
    async with Book(quick) as server, await Talk.open(server, codec=codec) as talk:
        for _ in range(2):
            assert await talk.hear("ping") == {"type": "ping"}
        assert talk.received == 0
        await talk.close()


async def test_a_plain_message_reaches_on_message() -> None:
    async with Book().listens() as server, await Talk.open(server) as talk:
        await talk.ask("message", payload={"a": 1})
        assert server.heard == [{"a": 1}]


async def test_an_acknowledged_send_ends_when_the_client_says_so() -> None:
    async with Book() as server, await Talk.open(server) as talk:
        await until(lambda: server.opened)
        sending = asyncio.ensure_future(server.opened[0].send({"order": 1}, ack=True, timeout=30))
        message = await talk.hear("message")
        assert (message["ack"], message["payload"]) == (True, {"order": 1})
        assert not sending.done()
        await talk.say("ack", re=message["id"])
        await within(sending)


async def test_it_is_sent_again_by_the_same_name_also_over_the_next_connection() -> None:
    async with Book({"ack_attempts": 100}) as server:
        first = await Talk.open(server)
        await until(lambda: server.opened)
        sending = asyncio.ensure_future(server.opened[0].send("x", ack=True, timeout=0.2))
        names = {(await first.hear("message"))["id"] for _ in range(2)}
        first.received = 1
        first.cut()
        async with await Talk.open(server, after=first) as second:
            names.add((await second.hear("message"))["id"])
            assert len(names) == 1
            await second.say("ack", re=names.pop())
            await within(sending)


async def test_it_is_not_sent_for_ever() -> None:
    async with Book({"ack_attempts": 2}) as server, await Talk.open(server) as talk:
        await until(lambda: server.opened)
        with pytest.raises(asyncio.TimeoutError):
            await within(server.opened[0].send("x", ack=True, timeout=0.05))
        await talk.hear("message")
        await talk.hear("message")
        await talk.ask("nonsense")


async def test_the_end_of_the_session_ends_the_wait() -> None:
    async with Book() as server:
        talk = await Talk.open(server)
        await until(lambda: server.opened)
        sending = asyncio.ensure_future(server.opened[0].send("x", ack=True, timeout=30))
        await talk.hear("message")
        await talk.close()
        with pytest.raises(fanwire.Closed, match="the session has ended"):
            await within(sending)
        with pytest.raises(fanwire.Closed, match="the session has ended"):
            await within(server.closed[0].send("x", ack=True))


async def test_a_raw_client_cannot_acknowledge() -> None:
    async with Book() as server, server.client():
        await until(lambda: server.opened)
        with pytest.raises(TypeError, match="session"):
            server.opened[0].send("x", ack=True)
