"""Values through every pair of publisher and subscriber: equal at all of them, or refused with the path."""

from __future__ import annotations

import asyncio
import enum
import json
import math
import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import numpy as np
import orjson
import pydantic
import pytest
import uvloop
from helpers.fuzz import fuzz
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wait import until, within
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection

import fanwire
from fanwire import client as fc
from fanwire.encoding import encode

ENCODINGS = ["json", "msgpack"]
CODECS = pytest.mark.parametrize("codec", ENCODINGS)


class Struct(msgspec.Struct, rename="camel"):
    unit_price: Decimal


class Model(pydantic.BaseModel):
    unit_price: Decimal = pydantic.Field(alias="unitPrice")


@dataclass
class Data:
    price: Decimal


class Side(enum.Enum):
    BUY = "buy"


NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
TABLE: list[tuple[Any, Any]] = [
    (960.4539460352057, 960.4539460352057), (5e-324, 5e-324), (-0.0, -0.0), (1.0, 1.0), (2**64 - 1, 2**64 - 1),
    (-(2**63), -(2**63)), (None, None), ((1, 2), [1, 2]), ({3}, [3]), (NOON, NOON.isoformat()), (date(2026, 1, 2),
    "2026-01-02"), (time(1, 2), "01:02:00"), (uuid.UUID(int=7), str(uuid.UUID(int=7))), (Decimal("1.10"), "1.10"),
    (Side.BUY, "buy"), (Data(Decimal("1.1")), {"price": "1.1"}), (Struct(Decimal("1.1")), {"unitPrice": "1.1"}),
    (Model(unitPrice=Decimal("1.1")), {"unitPrice": "1.1"}), (np.float32(0.1), 0.10000000149011612), (np.arange(3),
    [0, 1, 2]),
]  # fmt: skip
EVERYTHING, EXPECTED = [[pair[side] for pair in TABLE] for side in (0, 1)]

REFUSED: list[tuple[Any, str]] = [
    ({"a": [1, math.nan]}, "$.a[1]"), ({"a": 2**64}, "$.a"), ({"a": {"b": b"x"}}, "$.a.b"), ({"a": {1: 2}}, "$.a"),
    ({"a": "\ud800"}, "$.a"), ({"a": 1j}, "$.a"), ({"a": Data(Decimal("NaN"))}, "$.a.price"),
    (json.loads("[" * 201 + "]" * 201), "$" + "[0]" * 200),
]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other and repr(one) == repr(other))


class Party:
    """A server with a subscriber of each kind, and a publisher of each kind."""

    def __init__(self, server: Book) -> None:
        self.server = server
        self.readers: dict[str, fc.Room] = {}
        self.clients: dict[str, fc.Client] = {}
        self.raw: ClientConnection
        self.http: aiohttp.ClientSession

    async def arrived(self) -> Any:
        """The next message, which is the same at all."""
        found = [(await within(anext(reader))) for reader in self.readers.values()]
        assert [message.gap for message in found] == [None, None]
        raw = (await take(self.raw, 1))[0]
        first = found[0].data
        assert same(first, found[1].data), found
        if isinstance(raw, bytes) or isinstance(first, str):
            assert same(raw, first)
        else:
            assert same(orjson.loads(raw), first)
        return first

    async def settle(self) -> None:
        """Nothing is under way any more, also after an example that has failed."""
        mark = secrets.token_hex(8)
        self.server.publish("a", mark)
        for reader in self.readers.values():
            while (await within(anext(reader))).data != mark:
                pass
        while (await take(self.raw, 1))[0] != mark:
            pass

    async def post(self, body: bytes) -> tuple[int, str]:
        """Publishes a JSON body over HTTP."""
        url = self.server.url.replace("ws", "http", 1) + "/rooms/a"
        headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}
        async with self.http.post(url, data=body, headers=headers) as response:
            return response.status, await response.text()


@asynccontextmanager
async def party(**options: Any) -> AsyncIterator[Party]:
    server = Book({"message_rate": 0, "byte_rate": 0}, api_keys=["k"], **options)
    server.room("a", publish=True, history=100)
    server.on("echo")(lambda conn, payload: payload)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        found = Party(server)
        for name in ENCODINGS:
            client = await stack.enter_async_context(fanwire.connect(server.url, encoding=name))
            found.clients[name] = client
            found.readers[name] = await client.join("a")
        found.raw = await stack.enter_async_context(server.client("/a"))
        found.http = await stack.enter_async_context(aiohttp.ClientSession())
        await until(lambda: server.count("a") == 3, "all are in")
        yield found


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


async def test_what_cannot_be_carried_is_refused_with_its_path_by_every_call() -> None:
    async with party() as all_of:
        server, conn = all_of.server, all_of.server.opened[0]
        for value, path in REFUSED:
            calls: list[Callable[[], Any]] = [
                lambda value=value: server.publish("a", value),
                lambda value=value: server.broadcast(value),
                lambda value=value: server.send_to_user("alice", value),
                lambda value=value: conn.send(value),
            ]
            calls = calls if len(path) < 100 else calls[:0]
            for call in calls:
                with pytest.raises((TypeError, ValueError)) as refused:
                    call()
                assert str(refused.value).startswith(f"{path} must")
            for client in all_of.clients.values():
                for wait in (
                    client.publish("a", value),
                    client.request("echo", value),
                    server.publish_acked("a", value),
                ):
                    with pytest.raises((TypeError, ValueError)) as refused:
                        await within(wait)
                    assert str(refused.value).startswith(path[:30])
        # Nothing was sent, and everything goes on.
        server.publish("a", 1)
        assert await all_of.arrived() == 1


@pytest.mark.logs_errors
@CODECS
async def test_a_handler_whose_reply_cannot_be_carried_is_an_internal_error_that_names_the_path(
    codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Book()
    server.on("ask")(lambda conn, payload: {"orders": [{"price": math.nan}]})
    async with server, fanwire.connect(server.url, encoding=codec) as client:
        with pytest.raises(fanwire.RequestFailed) as failed:
            await within(client.request("ask"))
        assert failed.value.code == "internal"
    assert "$.orders[0].price must be a finite number, got nan" in caplog.text


JSON_DOCUMENTS = [
    ('{"a":18446744073709551616}', "$.a"), ('{"a":[-9223372036854775809]}', "$.a[0]"), ('{"a":1e400}', "$.a"),
    ('{"a":' + "9" * 400 + "}", "$.a"), ('{"a":{"b":1,"b":2}}', "$.a.b"),
    ('{"a":"\\ud800"}', "$.a"), ('{"a":[1,NaN]}', "$.a[1]"), ("[Infinity]", "$[0]"), ('"\\udc00"', "$"),
    ("[" * 65 + "]" * 65, "$" + "[0]" * 64), ("[" * 250 + "]" * 250, "$" + "[0]" * 64),
]  # fmt: skip


async def test_json_of_a_client_that_others_could_not_read_alike_is_refused_with_its_path() -> None:
    async with party() as all_of, await Talk.open(all_of.server) as talk:
        for document, path in JSON_DOCUMENTS:
            for kind, rest in (("publish", '"room":"a",'), ("echo", "")):
                await within(talk.socket.send(f'{{"type":"{kind}","id":"x",{rest}"payload":{document}}}'))
                while (answer := await talk.hear())["type"] == "received":
                    pass
                assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", path), document
                assert answer["re"] == "x"
            status, text = await all_of.post(document.encode())
            assert status == 400
            assert path in text
        for document, value in (
            ("-0", 0),
            ("1.0", 1.0),
            ("1E2", 100.0),
            ("-0.0", -0.0),
            ("5e-324", 5e-324),
            ("1e-400", 0.0),
        ):
            await within(talk.socket.send(f'{{"type":"publish","room":"a","payload":{document}}}'))
            assert same(await all_of.arrived(), value)


MSGPACK_VALUES = [
    ({"a": NOON}, "$.a"), ({"a": [b"x"]}, "$.a[0]"), ({"a": msgspec.msgpack.Ext(5, b"x")}, "$.a"), ({"a": {1: 2}},
    "$.a"), ([math.nan], "$[0]"), ([-math.inf], "$[0]"), (json.loads("[" * 65 + "]" * 65), "$" + "[0]" * 64),
]  # fmt: skip


async def test_msgpack_of_a_client_that_others_could_not_read_alike_is_refused_with_its_path() -> None:
    async with party() as all_of, await Talk.open(all_of.server, codec="msgpack") as talk:
        for value, path in MSGPACK_VALUES:
            for kind, rest in (("publish", {"room": "a"}), ("echo", {})):
                answer = await talk.ask(kind, payload=value, **rest)
                assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", path), value
        head = msgspec.msgpack.encode({"type": "publish", "room": "a", "payload": 0})[:-1]
        for packed, expected in ((b"\xca\x3d\xcc\xcc\xcd", 0.10000000149011612), (b"\xcf" + b"\xff" * 8, 2**64 - 1)):
            await within(talk.socket.send(head + packed))
            assert same(await all_of.arrived(), expected)


@pytest.mark.logs_errors
async def test_levels_are_those_that_the_server_is_told_at_every_door() -> None:
    server = Book({"max_nesting": 3}, api_keys=["k"])
    server.room("a", publish=True, presence=True, history=9, snapshot=lambda room: fanwire.Snapshot([[[[1]]]], 0))
    server.room("b", publish=True)
    server.on("deep")(lambda conn, payload: [[[[1]]]])
    async with server:
        server.publish("b", [[[1]]])
        with pytest.raises(ValueError, match=r"^\$\[0\]\[0\]\[0\] must not be nested deeper than 3 levels"):
            server.publish("b", [[[[1]]]])
        for codec in ENCODINGS:
            async with fanwire.connect(server.url, encoding=codec) as client:
                with pytest.raises(fanwire.RequestFailed) as failed:
                    await within(client.publish("b", [[[[1]]]]))
                assert (failed.value.code, failed.value.path) == ("invalid_payload", "$[0][0][0]")
                for call in (client.request("deep"), client.join("a")):
                    with pytest.raises(fanwire.RequestFailed) as failed:
                        await within(call)
                    assert failed.value.code == "internal"
                conn = server.opened[-1]
                conn.info = [[[[1]]]]
                with pytest.raises(ValueError, match="must not be nested deeper than 3 levels"):
                    conn.join("a")


def test_a_limit_of_levels_is_checked_when_it_is_given() -> None:
    for value in (0, 201):
        with pytest.raises(ValueError, match="max_nesting"):
            fanwire.Config(max_nesting=value)


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
