"""Values through every pair of publisher and subscriber: equal at all of them, or refused with the path."""

from __future__ import annotations

import asyncio
import enum
import json
import secrets
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import date, time
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import orjson
import pydantic
import pytest
import uvloop
from helpers.fuzz import fuzz
from helpers.party import CODECS, ENCODINGS, NOON, Data, Party, party, same
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import within
from hypothesis import given
from hypothesis import strategies as st

import fanwire
from fanwire.values.encoding import encode


class Struct(msgspec.Struct, rename="camel"):
    unit_price: Decimal


class Model(pydantic.BaseModel):
    unit_price: Decimal = pydantic.Field(alias="unitPrice")


class Side(enum.Enum):
    BUY = "buy"


TABLE: list[tuple[Any, Any]] = [
    (960.4539460352057, 960.4539460352057), (5e-324, 5e-324), (-0.0, -0.0), (1.0, 1.0), (2**64 - 1, 2**64 - 1),
    (-(2**63), -(2**63)), (None, None), ((1, 2), [1, 2]), ({3}, [3]), (NOON, NOON.isoformat()), (date(2026, 1, 2),
    "2026-01-02"), (time(1, 2), "01:02:00"), (uuid.UUID(int=7), str(uuid.UUID(int=7))), (Decimal("1.10"), "1.10"),
    (Side.BUY, "buy"), (Data(Decimal("1.1")), {"price": "1.1"}), (Struct(Decimal("1.1")), {"unitPrice": "1.1"}),
    (Model(unitPrice=Decimal("1.1")), {"unitPrice": "1.1"}), (np.float32(0.1), 0.10000000149011612), (np.arange(3),
    [0, 1, 2]),
]  # fmt: skip
EVERYTHING, EXPECTED = [[pair[side] for pair in TABLE] for side in (0, 1)]


async def test_every_type_of_the_table_arrives_as_the_same_from_every_publisher() -> None:
    async with party() as all_of:
        for publisher in (
            all_of.server.publish,
            all_of.server.publish_acked,
            *(c.publish for c in all_of.clients.values()),
        ):
            result = publisher("a", EVERYTHING)
            if not isinstance(result, int):
                await within(result)
            assert same(await all_of.arrived(), EXPECTED)
        for data in (b"\x00\xff", bytearray(b"b"), "text", "", b"", Side.BUY):
            for client in all_of.clients.values():
                await within(client.publish("a", data))
                arrived = await all_of.arrived()
                assert arrived == (
                    bytes(data) if isinstance(data, (bytes, bytearray)) else getattr(data, "value", data)
                )
        assert (await all_of.post(orjson.dumps(EXPECTED)))[0] == 200
        assert same(await all_of.arrived(), EXPECTED)
        assert (await all_of.post(b'"text"'))[0] == 200
        assert await all_of.arrived() == "text"


@CODECS
async def test_every_type_of_the_table_is_the_same_in_replies_sends_snapshots_and_presence(codec: str) -> None:
    server = Book()
    server.room("a", presence=True, history=10, snapshot=lambda room: fanwire.Snapshot(EVERYTHING, 0))

    @server.on("ask")
    def answer(conn: fanwire.Connection, payload: Any) -> Any:
        assert same(payload, EXPECTED)
        conn.info = EVERYTHING
        conn.send(EVERYTHING)
        server.broadcast(EVERYTHING)
        return EVERYTHING

    @server.on("refuse")
    def refuse(conn: fanwire.Connection, payload: Any) -> None:
        raise fanwire.Reject("no", data=EVERYTHING)

    async with server, fanwire.connect(server.url, encoding=codec) as client:
        messages = client.messages()
        assert same(await within(client.request("ask", EVERYTHING)), EXPECTED)
        for _ in range(2):
            assert same((await within(anext(messages))).data, EXPECTED)
        with pytest.raises(fanwire.RequestFailed) as failed:
            await within(client.request("refuse"))
        assert same(failed.value.data, EXPECTED)
        room = await within(client.join("a"))
        assert same(room.snapshot, EXPECTED)
        told = await within(client.presence("a"))
        assert same(next(iter(told.values())), EXPECTED)
        assert same(next(iter((await server.presence("a")).values())), EXPECTED)


@CODECS
async def test_a_reply_of_bytes_arrives_as_bytes(codec: str) -> None:
    server = Book()
    server.on("echo")(lambda conn, payload: payload)
    async with server, fanwire.connect(server.url, encoding=codec) as client:
        assert await within(client.request("echo", b"\x00\xff")) == b"\x00\xff"


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | st.datetimes()
)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_any_value_through_any_pair_of_codecs_is_equal_or_refused(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """All readers have the same at the end, which is what the publisher's own library reads, or nobody has anything."""
    loop = new_loop()
    stack = AsyncExitStack()

    async def enter() -> tuple[Party, dict[str, Talk]]:
        all_of = await stack.enter_async_context(party())
        talks = {
            name: await stack.enter_async_context(await Talk.open(all_of.server, codec=name)) for name in ENCODINGS
        }
        return all_of, talks

    try:
        all_of, talks = loop.run_until_complete(enter())

        @fuzz(25)
        @given(documents)
        def each(value: Any) -> None:
            loop.run_until_complete(all_of.settle())
            loop.run_until_complete(published_by_python(all_of, value))
            loop.run_until_complete(published_by_others(all_of, talks, value))

        each()
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


async def published_by_python(all_of: Party, value: Any) -> None:
    """By the server itself, by clients of both codecs, and by HTTP."""
    try:
        payload, is_json = encode(value, 64)
    except (TypeError, ValueError):
        for publish in (client.publish for client in all_of.clients.values()):
            with pytest.raises((TypeError, ValueError)):
                await within(publish("a", value))
        with pytest.raises((TypeError, ValueError)):
            all_of.server.publish("a", value)
        return
    expected = orjson.loads(payload) if is_json else payload
    all_of.server.publish("a", value)
    assert same(await all_of.arrived(), expected)
    for client in all_of.clients.values():
        await within(client.publish("a", value))
        assert same(await all_of.arrived(), expected)
        assert same(await within(client.request("echo", value)), expected)
    if isinstance(payload, bytes) and is_json:
        assert (await all_of.post(payload))[0] == 200
        assert same(await all_of.arrived(), expected)


async def published_by_others(all_of: Party, talks: dict[str, Talk], value: Any) -> None:
    """By clients that know no table, and write what their libraries write."""
    for codec, talk in talks.items():
        try:
            raw = msgspec.msgpack.encode(value) if codec == "msgpack" else json.dumps(value).encode()
            head = {"type": "publish", "id": secrets.token_hex(8), "room": "a", "payload": msgspec.Raw(raw)}
            frame = msgspec.msgpack.encode(head) if codec == "msgpack" else msgspec.json.encode(head).decode()
        except (OverflowError, ValueError, TypeError):
            continue
        await within(talk.socket.send(frame))
        while (answer := await talk.hear())["type"] == "received":
            pass
        if answer["type"] == "error":
            assert answer["payload"]["code"] in ("invalid_payload", "bad_message")
        else:
            read = msgspec.msgpack.decode(raw) if codec == "msgpack" else json.loads(raw)
            assert same(await all_of.arrived(), read)
