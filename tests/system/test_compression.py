"""Rooms that compress: what clients of several makes get over real sockets."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from helpers.deflating import PMD, inflated
from helpers.nodes import Cluster
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wait import DEADLINE, until, within
from helpers.wire import BINARY, FIN, TEXT, Peer
from prometheus_client import generate_latest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

import fanwire

RSV1 = 0x40
BOTH = f"{PMD}; server_no_context_takeover; client_no_context_takeover"


def quotes(number: int) -> dict[str, Any]:
    """Half a kilobyte of JSON, of which no two are alike."""
    dice = random.Random(number)
    return {"number": number, "quotes": [{"symbol": f"S{n}", "bid": round(dice.random(), 4)} for n in range(14)]}


def server(config: dict[str, Any] | None = None, **options: Any) -> Book:
    book = Book(config, **options)
    book.room("zip.latest", publish=True, compress=True, delivery="latest")
    book.room("zip.log", publish=True, compress=True, history=1000)
    book.room("zip.*", publish=True, compress=True)
    book.room("plain.*", publish=True)
    return book


async def offering(book: Book, path: str, offer: str = PMD) -> tuple[Peer, str | None]:
    """A client by hand that offers something, and the answer."""
    peer = await book.dial()
    await peer.send(b"".join((
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".encode(),
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        f"Sec-WebSocket-Extensions: {offer}\r\n\r\n".encode(),
    )))  # fmt: skip
    response = await peer.response()
    assert response.status == 101
    return peer, response.headers.get("sec-websocket-extensions")


# What is compressed.


async def test_messages_of_rooms_that_compress_are_compressed_and_nothing_else() -> None:
    async with server() as book:
        peer, answer = await offering(book, "/zip.a,plain.a")
        assert answer == BOTH
        text = json.dumps(quotes(1))
        noise = random.Random(1).randbytes(2000)
        book.publish("zip.a", text)
        book.publish("zip.a", text.encode())
        book.publish("zip.a", quotes(1))
        book.publish("zip.a", "x" * 256)
        book.publish("zip.a", "x" * 255)
        book.publish("zip.a", noise)
        book.publish("plain.a", text)
        (conn,) = book.connections
        assert conn.is_compressed
        conn.send(text)
        book.broadcast(text)
        async with peer:
            for first, message in (
                (FIN | RSV1 | TEXT, text.encode()), (FIN | RSV1 | BINARY, text.encode()),
                (FIN | RSV1 | TEXT, json.dumps(quotes(1), separators=(",", ":")).encode()),
                (FIN | RSV1 | TEXT, b"x" * 256), (FIN | TEXT, b"x" * 255), (FIN | BINARY, noise),
                *((FIN | TEXT, text.encode()),) * 3,
            ):  # fmt: skip
                got, payload = await peer.frame()
                assert (got, inflated(payload) if got & RSV1 else payload) == (first, message)
                assert not got & RSV1 or len(payload) < len(message) * 0.7
        counts = book.stats()["compressed"]
        assert (counts["messages"], counts["not_smaller"]) == (4, 1)
        assert counts["bytes_after"] < counts["bytes_before"] * 0.7


@pytest.mark.parametrize(("offer", "answer", "bits"), [
    (PMD, BOTH, 15),
    (f"{PMD}; client_max_window_bits", BOTH, 15),
    (f"{PMD}; server_max_window_bits=15", f"{BOTH}; server_max_window_bits=15", 15),
    (f"{PMD}; server_max_window_bits=14", f"{BOTH}; server_max_window_bits=12", 12),
    (f"{PMD}; server_max_window_bits=13; server_no_context_takeover", f"{BOTH}; server_max_window_bits=12", 12),
    (f"{PMD}; server_max_window_bits=12", f"{BOTH}; server_max_window_bits=12", 12),
    (f"{PMD}; server_max_window_bits=11", f"{BOTH}; server_max_window_bits=9", 9),
    (f"{PMD}; server_max_window_bits=10", f"{BOTH}; server_max_window_bits=9", 9),
    (f"{PMD}; server_max_window_bits=\"9\"", f"{BOTH}; server_max_window_bits=9", 9),
    (f"{PMD}; server_max_window_bits=8", None, 0),
    (f"{PMD}; server_max_window_bits=8, {PMD}", BOTH, 15),
    (f"{PMD}; whatever, {PMD}; server_max_window_bits=9", f"{BOTH}; server_max_window_bits=9", 9),
    ("permessage-bzip2", None, 0),
])  # fmt: skip
async def test_the_window_is_as_asked(offer: str, answer: str | None, bits: int) -> None:
    async with server() as book:
        peer, got = await offering(book, "/zip.a", offer)
        assert got == answer
        (conn,) = book.connections
        assert conn.is_compressed is (answer is not None)
        # Noise that is there twice becomes smaller if the first copy is still in the window.
        blocks = {9: 100, 12: 1000, 15: 8000}
        async with peer:
            for needed, size in blocks.items():
                message = 2 * random.Random(size).randbytes(size) + b"z" * (60 if needed == 9 else 0)
                book.publish("zip.a", message)
                first, payload = await peer.frame()
                is_compressed = bool(first & RSV1)
                assert is_compressed is (bits >= needed), needed
                assert (inflated(payload, bits) if is_compressed else payload) == message


async def test_each_form_is_compressed_once_for_all() -> None:
    async with server() as book:
        raw = [await book.client("/zip.a", compression="deflate") for _ in range(5)]
        plain = await book.client("/zip.a")
        talks = [await Talk.open(book, compression="deflate", codec=codec) for codec in ("json", "msgpack") * 3]
        for talk in talks:
            await talk.ask("join", room="zip.a")
        for number in range(10):
            book.publish("zip.a", quotes(number))
        for client in (*raw, plain):
            assert [json.loads(data) for data in await take(client, 10)] == [quotes(number) for number in range(10)]
        for talk in talks:
            for number in range(10):
                assert (await talk.hear("message"))["payload"] == quotes(number)
        # Raw, JSON, MessagePack.
        assert book.stats()["compressed"]["messages"] == 30
        for client in (*raw, plain, *(talk.socket for talk in talks)):
            client.transport.abort()


async def test_a_rule_that_is_added_later_counts_for_connections_from_then_on() -> None:
    async with Book() as book, book.client("/zip.a", compression="deflate") as before:
        assert not before.protocol.extensions
        book.room("zip.*", compress=True)
        book.connections[0].join("zip.b")
        async with book.client("/zip.a,zip.b", compression="deflate") as after:
            assert [extension.name for extension in after.protocol.extensions] == [PMD]
            assert [conn.is_compressed for conn in book.connections] == [False, True]
            # Rooms that exist keep their settings.
            for room in ("zip.a", "zip.b"):
                book.publish(room, quotes(1))
                for client in (before, after):
                    assert json.loads((await take(client, 1))[0]) == quotes(1)
            assert book.stats()["compressed"]["messages"] == 1


# Clients of several makes, both ways.

Send = Callable[[Any], Any]
Client = Callable[[Book], Any]


def fanwire_client(encoding: str, compression: str | None = "deflate") -> Client:
    @asynccontextmanager
    async def run(book: Book) -> AsyncIterator[tuple[Send, Send]]:
        async with fanwire.connect(book.url, encoding=encoding, compression=compression) as client:
            assert client.is_compressed is (compression is not None)
            room = await within(client.join("zip.a"))

            async def send(data: Any) -> None:
                await within(client.publish("zip.a", data))

            async def hear() -> Any:
                return (await within(anext(room))).data

            yield send, hear

    return run


def websockets_client(**options: Any) -> Client:
    @asynccontextmanager
    async def run(book: Book) -> AsyncIterator[tuple[Send, Send]]:
        async with book.client("/zip.a", **{"compression": "deflate", "max_size": None, **options}) as client:
            assert client.protocol.extensions

            async def hear() -> Any:
                return json.loads(await within(client.recv()))

            async def send(data: Any) -> None:
                await within(client.send(json.dumps(data)))

            yield send, hear

    return run


@asynccontextmanager
async def aiohttp_client(book: Book) -> AsyncIterator[tuple[Send, Send]]:
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{book.url}/zip.a", compress=15, max_msg_size=0)
        assert socket.compress

        async def hear() -> Any:
            return await within(socket.receive_json())

        yield socket.send_json, hear
        await socket.close()


@pytest.mark.parametrize("client", [
    pytest.param(fanwire_client("json"), id="fanwire, json"),
    pytest.param(fanwire_client("msgpack"), id="fanwire, msgpack"),
    pytest.param(fanwire_client("json", None), id="fanwire, not compressed"),
    pytest.param(websockets_client(), id="websockets"),
    pytest.param(websockets_client(compression=None, extensions=[
        ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
    ]), id="websockets, small windows"),
    pytest.param(aiohttp_client, id="aiohttp"),
])  # fmt: skip
async def test_messages_go_both_ways(client: Client) -> None:
    data: list[Any] = [quotes(1), "short", "\u00e9\u20ac" * 5_000, [0] * 50_000, None, {"a": "b" * 257}]
    book = server()

    @book.on_message
    def echo(conn: fanwire.Connection, message: bytes | str) -> None:
        book.publish("zip.a", message)

    async with book, client(book) as (send, hear):
        for each in data:
            await send(each)
            assert await hear() == each


async def test_fallback_transports_beside_it_get_the_same() -> None:
    async with server() as book:
        for transport in ("websocket", "sse", "long-poll"):
            async with fanwire.connect(book.url, compression="deflate", transports=[transport]) as client:
                assert client.is_compressed is (transport == "websocket")
                room = await within(client.join("zip.a"))
                book.publish("zip.a", quotes(1))
                assert (await within(anext(room))).data == quotes(1)


# A session that goes on.


async def test_a_session_goes_on_with_and_without_compression() -> None:
    async with server() as book:
        talk = await Talk.open(book, compression="deflate")
        await talk.ask("join", room="zip.a")
        (conn,) = book.connections
        got = []
        for number in range(12):
            is_compressed = number % 2 == 0
            # The host learns after the client that the session goes on.
            await until(lambda is_compressed=is_compressed: conn.is_compressed is is_compressed)
            for part in range(10):
                book.publish("zip.a", quotes(10 * number + part))
            # Half of them are read, and the others come over the next link.
            got += [(await talk.hear("message"))["payload"]["number"] for _ in range(5)]
            talk.cut()
            await until(lambda: conn.is_reconnecting, "the session waits")
            talk = await Talk.open(book, after=talk, compression=None if is_compressed else "deflate")
            assert talk.welcome["resumed"]
            got += [(await talk.hear("message"))["payload"]["number"] for _ in range(5)]
        assert got == list(range(120))
        talk.cut()


async def test_a_client_that_loses_its_connections_misses_nothing() -> None:
    async with server() as book, fanwire.connect(book.url, compression="deflate", max_attempts=None) as client:
        room = await within(client.join("zip.log"))
        for number in range(200):
            await within(book.publish_acked("zip.log", quotes(number)))
            if number % 50 == 20:
                for conn in book.connections:
                    conn._engine.cut(conn.id, conn._link)
        got = [await within(anext(room)) for _ in range(200)]
        assert [message.data for message in got] == [quotes(number) for number in range(200)]
        assert not [message.gap for message in got if message.gap]
        await until(lambda: client.is_compressed)


# Slow readers.


async def test_a_slow_reader_of_a_latest_room_gets_the_newest_values() -> None:
    async with server({"unsent_bytes": 4096, "connection_bytes": 64 << 10}) as book:
        slow = await book.dial(rcvbuf=4096)
        await slow.upgrade("/zip.latest", {"Sec-WebSocket-Extensions": PMD})
        count = 0
        while not book.stats()["drops"]["replaced"]:
            assert count < 100_000, "nothing was replaced"
            for key in ("a", "b", "c"):
                count += 1
                book.publish("zip.latest", quotes(count), key=key)
            await asyncio.sleep(0)
        # Compressed, while the slow one still waits for plain bytes.
        async with book.client("/zip.latest", compression="deflate") as other:
            newest = {json.loads(data)["number"] for data in await take(other, 3)}
        assert newest == {count - 2, count - 1, count}
        async with slow:
            seen: list[int] = []
            while not newest <= {*seen}:
                first, payload = await slow.frame()
                data = json.loads(inflated(payload) if first & RSV1 else payload)
                assert data == quotes(data["number"])
                seen.append(data["number"])
            assert len(seen) < count
            for key in range(3):
                of_key = [number for number in seen if number % 3 == key]
                assert of_key == sorted(of_key)


async def test_a_reliable_room_closes_a_slow_reader_and_not_a_fast_one() -> None:
    # It has its time to read to the close frame.
    async with server({"unsent_bytes": 4096, "connection_bytes": 64 << 10, "close_timeout": DEADLINE}) as book:
        slow = await book.dial(rcvbuf=4096)
        await slow.upgrade("/zip.a", {"Sec-WebSocket-Extensions": PMD})
        async with slow, book.client("/zip.a", compression="deflate") as fast:
            count = 0
            while not book.stats()["closed_slow"]:
                assert count < 100_000, "nobody is too slow"
                for _ in range(10):
                    count += 1
                    book.publish("zip.a", quotes(count))
                assert [json.loads(data)["number"] for data in await take(fast, 10)] == list(
                    range(count - 9, count + 1)
                )
            got = 0
            while (frame := await slow.frame())[0] & 15 == TEXT:
                first, payload = frame
                got += 1
                assert json.loads(inflated(payload) if first & RSV1 else payload) == quotes(got)
            assert frame[1].startswith(b"\x0f\xa8")


# Several nodes.


async def test_each_node_compresses_for_its_own_clients(nodes: Cluster) -> None:
    def node() -> Book:
        book = nodes.node()
        book.room("zip.log", publish=True, compress=True, history=100)
        book.room("zip.*", publish=True, compress=True)
        return book

    async with node() as a, node() as b:
        for name in ("zip.live", "zip.log"):
            async with (
                fanwire.connect(a.url, compression="deflate") as one,
                fanwire.connect(b.url, compression="deflate", encoding="msgpack") as two,
                fanwire.connect(b.url) as three,
            ):
                rooms = [await within(client.join(name)) for client in (one, two, three)]
                before = [book.stats()["compressed"]["messages"] for book in (a, b)]
                for number in range(20):
                    await within((a, b)[number % 2].publish_acked(name, quotes(number)))
                for room in rooms:
                    got = [(await within(anext(room))).data for _ in range(20)]
                    assert sorted(got, key=lambda data: data["number"]) == [quotes(number) for number in range(20)]
                after = [book.stats()["compressed"]["messages"] for book in (a, b)]
                # Those that went out together are compressed as one.
                assert all(0 < now - then <= 20 for now, then in zip(after, before, strict=True))


async def test_metrics() -> None:
    async with server() as book, book.client("/zip.a", compression="deflate") as client:
        book.publish("zip.a", quotes(1))
        await take(client, 1)
        lines = generate_latest(book.metrics).decode().splitlines()
        found = {name: value for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
        assert float(found["fanwire_compressed_messages_total"]) == 1
        before, after = (float(found[f"fanwire_{name}_bytes_total"]) for name in ("uncompressed", "compressed"))
        assert 0 < after < before
        assert float(found["fanwire_incompressible_messages_total"]) == 0
