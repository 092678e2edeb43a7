"""Hooks for what clients publish: change, refuse, store; in order, and once for each id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from helpers.hosted import Hosted
from helpers.played import Client

import fanwire


class Order(msgspec.Struct):
    amount: int


def later(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same as a coroutine function."""

    async def call(*args: Any) -> Any:
        await asyncio.sleep(0)
        return handler(*args)

    return call


FORMS = pytest.mark.parametrize("form", [lambda handler: handler, later], ids=["plain", "async"])


async def publish(client: Client, payload: Any, id: str = "p1", room: str = "open.a", **fields: Any) -> dict[str, Any]:
    return await client.asks({"type": "publish", "id": id, "room": room, "payload": payload, **fields})


@FORMS
async def test_a_hook_lets_through_changes_and_refuses(host: Hosted, form: Callable[..., Any]) -> None:
    seen: list[fanwire.Message] = []

    def check(conn: fanwire.Connection, message: fanwire.Message) -> Any:
        seen.append(message)
        if message.data == "no":
            raise fanwire.Reject("muted", "not now", data=1)
        return {"was": message.data, "id": conn.message_id} if message.data == "change" else None

    host.on_publish("open.*")(form(check))
    ann, bob = await host.connect("/ann"), await host.connect("/bob")
    await bob.joins("open.a")
    assert (await publish(ann, "as it is", "p1"))["seq"] == 1
    assert (await publish(ann, "no", "p2"))["payload"] == {
        "code": "muted",
        "text": "not now",
        "retry": False,
        "data": 1,
    }
    assert (await publish(ann, "change", "p3"))["seq"] == 2
    assert [message["payload"] for message in await bob.hears()] == ["as it is", {"was": "change", "id": "p3"}]
    assert [(message.room, message.id, message.seq) for message in seen] == [
        ("open.a", name, None) for name in ("p1", "p2", "p3")
    ]
    # Another pattern, and what the server publishes.
    assert (await publish(ann, "no", room="r"))["seq"] == 1
    host.publish("open.a", "no")
    assert len(seen) == 3


@FORMS
async def test_a_repeat_does_not_run_the_hook_again(host: Hosted, form: Callable[..., Any]) -> None:
    seen: list[Any] = []
    host.on_publish("*")(form(lambda conn, message: seen.append(message.data)))
    client = await host.connect("/ann")
    assert [(await publish(client, number))["seq"] for number in range(3)] == [1, 1, 1]
    assert seen == [0]


async def test_messages_keep_their_order_while_a_hook_waits(host: Hosted) -> None:
    gate = asyncio.Event()

    async def slow(conn: fanwire.Connection, message: fanwire.Message) -> None:
        if message.data == 1:
            await gate.wait()

    host.on_publish("open.*")(slow)
    client, other = await host.connect("/ann"), await host.connect("/bob")
    for number in (1, 2):
        assert await client.says({"type": "publish", "room": "open.a", "payload": number}) == []
    # Another client does not wait.
    assert (await publish(other, 3))["seq"] == 1
    await other.joins("open.a")
    gate.set()
    assert [message["payload"] for message in await other.hears()] == [1, 2]


@pytest.mark.logs_errors
@FORMS
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(), asyncio.CancelledError(), TypeError("no such")])
async def test_an_error_of_a_hook_publishes_nothing(error: BaseException, form: Callable[..., Any]) -> None:
    host = Hosted(lambda request: "ann")
    host.room("open.*", publish=True)

    def fail(conn: fanwire.Connection, message: fanwire.Message) -> Any:
        raise error

    host.on_publish("open.*")(form(fail))
    client = await host.connect()
    answer = await publish(client, 1)
    assert (answer["payload"]["code"], answer["payload"]["text"]) == ("internal", "the server failed to do this")
    assert host.engine.position("open.a")[1] == 0
    assert len(host.errors) == 1
    assert "test_publish_hooks" in host.errors[0]
    await host.end()


@pytest.mark.logs_errors
async def test_a_value_that_cannot_be_sent_is_an_error_of_the_hook() -> None:
    host = Hosted(lambda request: "ann")
    host.room("open.*", publish=True)
    host.on_publish("open.*")(lambda conn, message: object())
    client = await host.connect()
    assert (await publish(client, 1))["payload"]["code"] == "internal"
    assert len(host.errors) == 1
    await host.end()


async def test_a_hook_that_is_overloaded_asks_the_client_to_come_later(host: Hosted) -> None:
    def full(conn: fanwire.Connection, message: fanwire.Message) -> Any:
        raise fanwire.Overloaded("later")

    host.on_publish("open.*")(full)
    client = await host.connect()
    answer = await publish(client, 1)
    assert (answer["payload"]["code"], answer["payload"]["retry"]) == ("overloaded", True)


async def test_a_hook_gets_values_of_the_schema_and_bytes(host: Hosted) -> None:
    seen: list[Any] = []
    host.room("typed.*", publish=True, schema=Order)
    host.on_publish("*")(lambda conn, message: seen.append((message.data, message.key)))
    client = await host.connect("/ann")
    assert (await publish(client, {"amount": 3}, room="typed.a"))["seq"] == 1
    assert (await publish(client, {"amount": "x"}, "p2", room="typed.a"))["payload"]["code"] == "invalid_payload"
    assert (await publish(client, "AP8=", "p3", encoding="base64"))["seq"] == 1
    assert (await publish(client, 5, "p4", room="prices", key="EUR"))["seq"] == 1
    assert seen == [(Order(3), None), (b"\x00\xff", None), (5, "EUR")]


async def test_who_may_not_publish_does_not_reach_the_hook(host: Hosted) -> None:
    seen: list[Any] = []
    host.on_publish("*")(lambda conn, message: seen.append(message))
    client = await host.connect("/ann")
    assert (await publish(client, 1, room="closed"))["payload"]["code"] == "forbidden"
    assert seen == []


async def test_the_first_pattern_counts_and_mistakes_are_told(host: Hosted) -> None:
    seen: list[str] = []
    host.on_publish("open.a")(lambda conn, message: seen.append("a"))
    host.on_publish("open.*")(lambda conn, message: seen.append("open"))
    with pytest.raises(ValueError, match="already has an on_publish hook"):
        host.on_publish("open.*")(lambda conn, message: None)
    nothing: Any = None
    with pytest.raises(TypeError, match="the hook for 'x'"):
        host.on_publish("x")(nothing)
    with pytest.raises(ValueError, match="pattern must not be empty"):
        host.on_publish("")
    client = await host.connect("/ann")
    await publish(client, 1)
    await publish(client, 1, "p2", room="open.b")
    assert seen == ["a", "open"]
