"""Messages of clients, from their arrival to the answer: without sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.hosted import Hosted

import fanwire
from fanwire.errors import RoomFull


def code_of(envelope: dict[str, Any]) -> tuple[str, str, bool]:
    """What an error says to programs."""
    payload = envelope["payload"]
    return envelope["type"], payload["code"], payload["retry"]


async def test_a_method_gets_the_payload_and_its_result_is_the_reply(host: Hosted) -> None:
    seen: list[Any] = []

    @host.on("add", list[int])
    def add(conn: fanwire.Connection, numbers: list[int]) -> int:
        seen.append((conn.id, conn.message_id))
        return sum(numbers)

    client = await host.connect()
    answer = await client.asks({"type": "add", "id": "c1", "payload": [1, 2, 3]})
    assert (answer["type"], answer["re"], answer["payload"]) == ("reply", "c1", 6)
    assert seen == [(client.conn, "c1")]


async def test_without_an_id_nothing_is_answered(host: Hosted) -> None:
    seen: list[Any] = []
    host.on("note")(lambda conn, payload: seen.append(payload))
    client = await host.connect()
    assert await client.says({"type": "note", "payload": 7}) == []
    assert seen == [7]


async def test_msgpack_is_answered_in_msgpack(host: Hosted) -> None:
    host.on("echo")(lambda conn, payload: payload)
    client = await host.connect(codec="msgpack")
    answer = await client.asks({"type": "echo", "id": "c1", "payload": b"\x00\xff"})
    assert answer["payload"] == b"\x00\xff"


async def test_a_coroutine_is_awaited_and_what_comes_behind_it_waits(host: Hosted) -> None:
    gate = asyncio.Event()

    @host.on("slow")
    async def slow(conn: fanwire.Connection, payload: Any) -> str:
        await gate.wait()
        return "slow"

    host.on("quick")(lambda conn, payload: "quick")
    client = await host.connect()
    assert await client.says({"type": "slow", "id": "c1"}) == []
    assert await client.says({"type": "quick", "id": "c2"}) == []
    # About the connection itself, so it waits for no handler.
    assert [each["type"] for each in await client.says({"type": "ping"})] == ["pong", "received"]
    gate.set()
    assert [each["payload"] for each in await client.hears()] == ["slow", "quick"]


async def test_messages_of_no_type_of_their_own_go_to_on_message(host: Hosted) -> None:
    seen: list[Any] = []
    host.on_message(lambda conn, payload: seen.append(payload))
    client, raw = await host.connect(), await host.connect(codec=None)
    await client.says({"type": "message", "payload": {"a": 1}})
    raw.link.says("text")
    raw.link.says(b"bytes")
    await host.settle()
    assert seen == [{"a": 1}, "text", b"bytes"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x80", "bad_encoding"),
        ("no json", "bad_message"),
        ("[]", "bad_message"),
        ('{"type":7}', "bad_message"),
        ('{"type":"unknown"}', "unknown_type"),
        ('{"type":"add","payload":["x"]}', "invalid_payload"),
        ('{"type":"add","payload":[1e999]}', "invalid_payload"),
        ('{"type":"add","payload":"x","encoding":"hex"}', "bad_message"),
        ('{"type":"join"}', "bad_message"),
        ('{"type":"join","room":"a b"}', "bad_room"),
        ('{"type":"received","payload":{"count":"x"}}', "invalid_payload"),
    ],
)
async def test_what_is_wrong_with_a_message(host: Hosted, frame: str | bytes, code: str) -> None:
    host.on("add", list[int])(lambda conn, numbers: 0)
    client = await host.connect()
    (answer,) = await client.says(frame)
    assert code_of(answer) == ("error", code, False)
    # It goes on.
    assert (await client.asks({"type": "add", "id": "c1", "payload": [1]}))["payload"] == 0


@pytest.mark.logs_errors
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), asyncio.CancelledError()])
async def test_a_handler_that_fails_is_internal_and_nothing_of_it_is_told(error: BaseException, is_async: bool) -> None:
    host = Hosted()

    def fail(conn: fanwire.Connection, payload: Any) -> None:
        raise error

    async def fail_later(conn: fanwire.Connection, payload: Any) -> None:
        await asyncio.sleep(0)
        raise error

    host.on("fail")(fail_later if is_async else fail)
    host.on("echo")(lambda conn, payload: payload)
    client = await host.connect()
    answer = await client.asks({"type": "fail", "id": "c1"})
    assert code_of(answer) == ("error", "internal", False)
    assert answer["payload"]["text"] == "the server failed to do this"
    assert (await client.asks({"type": "echo", "id": "c2", "payload": 1}))["payload"] == 1
    assert len(host.errors) == 1
    await host.end()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (fanwire.Overloaded("x"), "overloaded", "the server is at a limit, try again later"),
        (RoomFull("x"), "room_full", "the room is full"),
        (fanwire.Unavailable("x"), "unavailable", "the server cannot reach the backplane: x"),
    ],
)
async def test_a_handler_may_raise_what_the_server_raises(
    host: Hosted, error: Exception, code: str, text: str, is_async: bool
) -> None:
    def fail(conn: fanwire.Connection, payload: Any) -> None:
        raise error

    async def fail_later(conn: fanwire.Connection, payload: Any) -> None:
        await asyncio.sleep(0)
        raise error

    host.on("fail")(fail_later if is_async else fail)
    client = await host.connect()
    for name in ("c1", "c2"):
        answer = await client.asks({"type": "fail", "id": name})
        assert code_of(answer) == ("error", code, True)
        assert answer["payload"]["text"] == text
    assert host.errors == []


@pytest.mark.logs_errors
async def test_a_reply_that_cannot_be_encoded_is_internal() -> None:
    host = Hosted()
    host.on("object")(lambda conn, payload: object())
    client = await host.connect()
    assert code_of(await client.asks({"type": "object", "id": "c1"})) == ("error", "internal", False)
    await host.end()


async def test_a_message_that_came_too_fast_is_answered_and_not_done(host: Hosted) -> None:
    seen: list[Any] = []
    host.on("note")(lambda conn, payload: seen.append(payload))
    client = await host.connect()
    (answer,) = await client.says({"type": "note", "id": "c1"}, wait=0.25)
    assert code_of(answer) == ("error", "rate_limited", True)
    assert (answer["re"], answer["payload"]["retry_after_ms"]) == ("c1", 250)
    # A ping that came too fast is not answered, and a report is taken.
    assert await client.says({"type": "ping"}, wait=0.25) == []
    assert await client.says({"payload": {"count": 1}, "type": "received"}, wait=0.25) == []
    assert seen == []
    # All of it was counted.
    assert (await client.says({"type": "ping"}))[1]["payload"] == {"count": 1}


async def test_messages_that_the_engine_has_refused_are_counted_in_their_place(host: Hosted) -> None:
    host.on("note")(lambda conn, payload: None)
    client = await host.connect()
    await client.says({"type": "note"})
    client.link.floods(40, 4000)
    assert [each["payload"] for each in await client.hears()] == [{"count": 41}]
    (connection,) = host.registry.connections.values()
    assert (connection.received_messages, connection.received_bytes) == (41, 4016)


async def test_the_client_is_told_how_much_has_come(host: Hosted) -> None:
    host.on("note")(lambda conn, payload: None)
    client = await host.connect()
    heard = []
    for _ in range(64):
        heard += await client.says({"type": "note"})
    assert [each["payload"] for each in heard] == [{"count": 32}, {"count": 64}]


async def test_a_request_that_comes_again_while_it_runs_gets_the_same_answer(host: Hosted) -> None:
    gate, runs = asyncio.Event(), []

    @host.on("order")
    async def order(conn: fanwire.Connection, payload: Any) -> int:
        runs.append(payload)
        await gate.wait()
        return len(runs)

    client = await host.connect()
    await client.says({"type": "order", "id": "c1"})
    await client.leaves()
    back = await host.resume(client, codec="msgpack")
    assert back.welcome["reason"] == "codec"
    # A new session of the same lineage.
    await back.says({"type": "order", "id": "c1"})
    gate.set()
    assert [(each["re"], each["payload"]) for each in await back.hears()] == [("c1", 1)]
    assert len(runs) == 1


async def test_an_acknowledgement_ends_the_wait_for_it(host: Hosted) -> None:
    connections: list[fanwire.Connection] = []
    host.on_connect(connections.append)
    client = await host.connect()
    waiting = asyncio.ensure_future(connections[0].send("important", ack=True))
    (message,) = await client.hears()
    assert (message["ack"], message["payload"], waiting.done()) == (True, "important", False)
    assert await client.says({"type": "ack", "re": "another"}) == []
    assert not waiting.done()
    await client.says({"type": "ack", "re": message["id"]})
    assert waiting.done()
    await waiting


async def test_a_message_that_is_not_acknowledged_comes_again_by_the_same_id() -> None:
    host = Hosted(ack_attempts=2)
    connections: list[fanwire.Connection] = []
    host.on_connect(connections.append)
    client = await host.connect()
    with pytest.raises(asyncio.TimeoutError):
        await connections[0].send("important", ack=True, timeout=0.001)
    first, second = await client.hears()
    assert first["id"] == second["id"]
    waiting = asyncio.ensure_future(connections[0].send("important", ack=True))
    await client.closes()
    with pytest.raises(fanwire.Closed, match="has ended"):
        await waiting
    await host.end()


async def test_a_full_engine_is_overloaded_and_the_limit_is_counted(host: Hosted) -> None:
    client = await host.connect()
    await client.joins("r")
    host.engine.is_full = True
    answer = await client.asks({"type": "publish", "id": "c1", "room": "r", "payload": 1})
    assert code_of(answer) == ("error", "overloaded", True)
    assert host.passed == ["queue_items"]
