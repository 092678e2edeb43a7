"""Handlers as applications write them: mypy --strict and pyright accept all of this."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic

import fanwire

if TYPE_CHECKING:
    from typing_extensions import assert_type

server = fanwire.Server(port=0, insecure=True)


class Order(msgspec.Struct):
    """What msgspec checks."""

    amount: int


class Cancel(pydantic.BaseModel):
    """What pydantic checks."""

    order: int


@dataclass
class Move:
    """What a dataclass is."""

    x: int


# Each handler may be a function or a coroutine function, and may return anything.


@server.on_connect
def welcome(conn: fanwire.Connection) -> None:
    conn.join("prices")


async def look(conn: fanwire.Connection) -> None:
    if TYPE_CHECKING:
        assert_type(server.rooms(), dict[str, int])
        assert_type(server.count("prices"), int)
        assert_type(server.publish("prices", 1), int | None)
        assert_type(conn.join("prices"), int | None)
        assert_type(conn.session, str | None)
        assert_type(conn.state, fanwire.ConnectionState)
    for message in await server.history("prices", after=fanwire.Position("a", 1), limit=10):
        print(message.seq, message.data, message.position.epoch)
    server.remove("prices", conn, reason="no more")
    server.remove("prices", "bob")


@server.on_message
def heard(conn: fanwire.Connection, message: Any) -> str:
    return f"thank you for {message}"


@server.on_disconnect
async def gone(conn: fanwire.Connection) -> None:
    await asyncio.sleep(0)


@server.on_join
async def joined(conn: fanwire.Connection, room: str) -> int:
    return len(room)


@server.on_leave
def left(conn: fanwire.Connection, room: str) -> None:
    print(room)


# The payload is of the type of the schema.


@server.on("order", Order)
def place(conn: fanwire.Connection, order: Order) -> dict[str, int]:
    if order.amount > 3:
        raise fanwire.Reject("out_of_stock", "3 are left", data={"left": 3}, retry_after=2)
    return {"amount": order.amount}


@server.on("cancel", Cancel)
async def cancel(conn: fanwire.Connection, wish: Cancel) -> str | None:
    return conn.message_id


@server.on("move", Move)
async def move(conn: fanwire.Connection, move: Move) -> Move:
    return move


@server.on("sum", list[int])
def add(conn: fanwire.Connection, numbers: list[int]) -> int:
    return sum(numbers)


@server.on("either", int | str)
def either(conn: fanwire.Connection, value: int | str) -> str:
    return str(value)


@server.on("anything")
def anything(conn: fanwire.Connection, payload: dict[str, Any]) -> Any:
    return payload


server.on("lambda", Order)(lambda conn, order: order.amount)


# A decorated handler stays what it is.


async def uses(conn: fanwire.Connection) -> None:
    assert_type(place(conn, Order(1)), dict[str, int])
    assert_type(await cancel(conn, Cancel(order=1)), str | None)
    assert_type(add(conn, [1]), int)
    assert_type(welcome(conn), None)
    assert_type(await joined(conn, "a"), int)
    assert_type(conn.message_id, str | None)


# Rules, snapshots, and those who are asked.


async def snapshot(room: str) -> fanwire.Snapshot:
    return fanwire.Snapshot({"room": room}, 1)


def may_join(conn: fanwire.Connection, room: str) -> bool:
    return room.startswith("a")


server.room("a.*", join=may_join, publish="scope:trade", history=10, snapshot=snapshot, schema=Order)
server.room("b.*", join=lambda conn, room: conn.identity is not None, publish=True)
server.room("c.*", history=10, snapshot=lambda room: fanwire.Snapshot([], 0))


async def authenticate(request: fanwire.Request) -> fanwire.Identity:
    if "token" not in request.query:
        raise fanwire.Refused(401)
    return fanwire.Identity(subject="alice")


async def authorize(identity: fanwire.Identity, action: str, room: str) -> bool:
    return room.endswith(identity.subject)


fanwire.Server(authenticate=authenticate, authorize=authorize)
fanwire.Server(insecure=True, tls=fanwire.TLS("chain.pem", Path("key.pem"), others=[("b.pem", Path("b.key"))]))
fanwire.Server(authenticate=lambda request: request.query["user"], authorize=lambda identity, action, room: True)


# The client.


async def client_side() -> None:
    async with fanwire.connect("ws://127.0.0.1:1", token=lambda: "token") as client:

        @client.on_state
        def state(new: fanwire.ConnectionState) -> None:
            print(new)

        @client.on_room
        def given(room: fanwire.Room) -> str:
            return room.name

        assert_type(given(await client.join("a")), str)
        room = await client.join("a")

        @room.on_gap
        def missed(gap: fanwire.Gap) -> None:
            print(gap.reason)

        @room.on_behind
        def behind(slow: fanwire.Room) -> None:
            assert_type(slow.is_behind, bool)

        assert_type(client.session, str | None)
        assert_type(client.state, fanwire.ConnectionState)
        assert_type(await client.presence("a"), dict[str, Any])
        assert_type(await client.count("a"), int)
        assert_type(room.members, dict[str, Any] | None)
        assert_type(room.count, int | None)
        assert_type(room.position, fanwire.Position)
        async for message in room:
            print(message.seq, message.data)
            assert_type(message.age, float | None)
            assert_type(message.seq, int | None)
        try:
            await client.request("order", {"amount": 5})
        except fanwire.RequestFailed as failed:
            print(failed.code, failed.data, failed.retry_after_ms)
