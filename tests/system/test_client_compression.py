"""The client's compression, with servers of other makes and by hand."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from helpers.deflating import PMD, bomb, inflated, squeezed
from helpers.frame_server import RSV1, FramePeer, frame_server
from helpers.scripted import JOINED, WELCOME, Peer, idle, no_tasks_left, scripted
from helpers.wait import until, within
from helpers.wire import BINARY, CLOSE, CONT, FIN, PING, TEXT
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from fanwire.client import ConnectionFailed, connect

BARE = f"{PMD}; server_no_context_takeover; client_no_context_takeover"
DATA: list[Any] = [
    "short", "a" * 257, "\u00e9\u20ac" * 5_000, {"quotes": [{"symbol": f"S{n}", "price": n / 7} for n in range(200)]},
    "".join(random.Random(7).choices([chr(code) for code in range(32, 0x2FFF)], k=3_000)), [0] * 100_000, None,
]  # fmt: skip
"""Small ones, some that become much smaller, and one that does not."""


# Servers of other makes, which send back what the client publishes.

Server = Callable[[], Any]


def websockets_server(**options: Any) -> Server:
    @asynccontextmanager
    async def run() -> AsyncIterator[str]:
        async def script(peer: Peer) -> None:
            await peer.say("welcome", payload=WELCOME)
            await peer.let_in()
            for seq in range(1, len(DATA) + 1):
                publish = await peer.hear()
                await peer.say("message", room="r", seq=seq, payload=publish["payload"])
                await peer.say("reply", re=publish["id"], room="r", seq=seq)

        async with scripted(script, max_size=None, **options) as url:
            yield url

    return run


def websockets_with(**options: Any) -> Server:
    return websockets_server(extensions=[ServerPerMessageDeflateFactory(**options)])


@asynccontextmanager
async def aiohttp_server() -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=True, protocols=["fanwire.v1.json"], max_msg_size=0)
        await socket.prepare(request)

        async def say(kind: str, **fields: Any) -> None:
            await socket.send_str(json.dumps({"type": kind, **fields}))

        await say("welcome", payload=WELCOME)
        seq = 0
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            envelope = json.loads(message.data)
            if envelope["type"] == "join":
                await say("joined", re=envelope["id"], room="r", seq=0, payload=JOINED)
            elif envelope["type"] == "publish":
                seq += 1
                await say("message", room="r", seq=seq, payload=envelope["payload"])
                await say("reply", re=envelope["id"], room="r", seq=seq)
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("server", "encoding", "is_compressed"), [
    pytest.param(websockets_server(compression="deflate"), "json", True, id="websockets"),
    pytest.param(websockets_server(compression="deflate"), "msgpack", True, id="websockets, msgpack"),
    pytest.param(websockets_with(server_max_window_bits=9, client_max_window_bits=9), "json", True, id="small windows"),
    pytest.param(websockets_with(client_max_window_bits=8), "json", True, id="a window zlib cannot compress with"),
    pytest.param(websockets_with(client_no_context_takeover=True), "json", True, id="no context"),
    pytest.param(websockets_server(), "json", False, id="no compression"),
    pytest.param(aiohttp_server, "json", True, id="aiohttp"),
])  # fmt: skip
async def test_messages_go_both_ways(server: Server, encoding: str, is_compressed: bool) -> None:
    async with server() as url:
        async with connect(url, encoding=encoding, compression="deflate", transports=["websocket"]) as client:
            assert client.is_compressed is is_compressed
            room = await within(client.join("r"))
            for data in DATA:
                await within(client.publish("r", data))
                assert (await within(anext(room))).data == data
        assert not client.is_compressed
    no_tasks_left()


async def test_nothing_is_offered_unless_asked() -> None:
    offers: list[str | None] = []

    async def script(peer: Peer) -> None:
        offers.append(peer.headers.get("Sec-WebSocket-Extensions"))
        await idle(peer)

    async with scripted(script, script, compression="deflate") as url:
        for compression in (None, "deflate"):
            async with connect(url, compression=compression) as client:
                assert client.is_compressed is (compression is not None)
    assert offers == [None, f"{PMD}; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"]


# By hand.


@pytest.mark.parametrize("answer", [
    f"{PMD}; server_max_window_bits=16", f"{PMD}; client_max_window_bits", f"{PMD}; whatever", f"{PMD}, x", "x",
    f"{PMD}\n{PMD}", f"{PMD}; server_no_context_takeover; server_no_context_takeover", f"{PMD};",
])  # fmt: skip
@pytest.mark.parametrize("is_offered", [True, False])
async def test_a_wrong_answer_fails_the_connection(answer: str, is_offered: bool) -> None:
    closes: list[tuple[int, str]] = []

    async def script(peer: FramePeer) -> None:
        assert (PMD in peer.head) is is_offered
        peer.welcome()
        closes.append(await peer.closed())

    compression = "deflate" if is_offered else None
    async with frame_server(script, answer) as url:
        with pytest.raises(ConnectionFailed, match=r"extension|permessage-deflate|Extensions"):
            await within(connect(url, compression=compression, transports=["websocket"]).__aenter__())
        await until(lambda: closes, "the client has closed the connection")
    assert closes[0][0] == 1002


async def test_an_answer_without_an_offer_fails_the_connection() -> None:
    async def script(peer: FramePeer) -> None:
        await peer.closed()

    async with frame_server(script, PMD) as url:
        with pytest.raises(ConnectionFailed, match="the extension permessage-deflate, which was not offered"):
            await within(connect(url, transports=["websocket"]).__aenter__())


async def test_large_messages_are_sent_compressed_and_small_ones_are_not() -> None:
    heard: list[tuple[int, bytes]] = []

    async def script(peer: FramePeer) -> None:
        peer.welcome()
        while len(heard) < 4:
            heard.append(await peer.frame())
        await peer.closed()

    async with frame_server(script, BARE) as url, connect(url, compression="deflate") as client:
        sent = [{"n": 1}, "a" * 1000, random.Random(3).randbytes(3000).hex(), "\u20ac" * 100]
        for payload in sent:
            asyncio.ensure_future(client.request("work", payload)).add_done_callback(lambda task: task.exception())
        await until(lambda: len(heard) == 4, "the server has heard all")
    firsts = [first for first, _ in heard]
    assert firsts == [FIN | TEXT, FIN | TEXT | 0x40, FIN | TEXT | 0x40, FIN | TEXT | 0x40]
    for (first, payload), data in zip(heard, sent, strict=True):
        message = inflated(payload) if first & 0x40 else payload
        assert json.loads(message)["payload"] == data


@pytest.mark.parametrize("answer", [BARE, PMD, f"{PMD}; server_max_window_bits=9"])
async def test_fragments_empty_blocks_and_contexts(answer: str) -> None:
    bits = 9 if "bits" in answer else 15
    kept = None if "server_no" in answer else zlib.compressobj(wbits=-bits)

    async def script(peer: FramePeer) -> None:
        peer.welcome()
        for number in range(100):
            text = json.dumps({"type": "message", "payload": f"the same again and again {number}"}).encode()
            if number % 3 == 2:
                peer.write(TEXT, text)
                continue
            payload = squeezed(text, kept or zlib.compressobj(wbits=-bits))
            if number % 3 == 0:
                peer.write(TEXT, payload, rsv=RSV1)
            else:
                # Control frames may come between fragments.
                peer.write(TEXT, b"", rsv=RSV1, fin=False)
                peer.write(PING, b"between")
                peer.write(CONT, payload[:7], fin=False)
                peer.write(CONT, payload[7:])
        while await peer.frame() != (FIN | 0xA, b"between"):
            pass
        await peer.closed()

    async with frame_server(script, answer) as url, connect(url, compression="deflate") as client:
        messages = aiter(client.messages())
        got = [(await within(anext(messages))).data for _ in range(100)]
    assert got == [f"the same again and again {number}" for number in range(100)]


ZEROS = bomb(1024)
"""A gigabyte in one megabyte."""


@pytest.mark.parametrize(("frames", "code"), [
    pytest.param([(TEXT, ZEROS, {"rsv": RSV1})], 1009, id="a bomb"),
    pytest.param(
        [(BINARY, ZEROS[:1000], {"rsv": RSV1, "fin": False}), (CONT, ZEROS[1000:], {})], 1009,
        id="a bomb in fragments"
    ),
    pytest.param([(TEXT, b"\xff" * 300, {"rsv": RSV1})], 1007, id="corrupt"),
    pytest.param([(TEXT, squeezed(b"\xff"), {"rsv": RSV1})], 1007, id="text that is no UTF-8"),
    pytest.param([(TEXT, b"\x03\x00" * 1000, {"rsv": RSV1})], 1007, id="a thousand streams"),
    pytest.param([(TEXT, b"", {"rsv": RSV1, "fin": False}), (CONT, b"", {"rsv": RSV1})], 1002, id="continuation"),
    pytest.param([(PING, b"", {"rsv": RSV1})], 1002, id="ping"),
    pytest.param([(0xA, b"", {"rsv": RSV1})], 1002, id="pong"),
    pytest.param([(CLOSE, b"\x03\xe8", {"rsv": RSV1})], 1002, id="close"),
    pytest.param([(TEXT, b"x", {"rsv": 2})], 1002, id="the second reserved bit"),
    pytest.param([(TEXT, squeezed(b"x"), {"rsv": 5})], 1002, id="the third reserved bit"),
])  # fmt: skip
async def test_what_a_server_must_not_send(frames: list[tuple[int, bytes, dict[str, Any]]], code: int) -> None:
    closes: list[tuple[int, str]] = []

    async def script(peer: FramePeer) -> None:
        peer.welcome()
        if not closes:
            for opcode, payload, options in frames:
                peer.write(opcode, payload, **options)
        closes.append(await peer.closed())

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with frame_server(script, BARE) as url, connect(url, compression="deflate", transports=["websocket"]):
        await until(lambda: closes, "the client has closed the connection")
    assert closes[0][0] == code, closes
    # The message that is too large, twice at most, and some room for the rest.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


async def test_a_compressed_message_without_agreement_is_refused() -> None:
    closes: list[tuple[int, str]] = []

    async def script(peer: FramePeer) -> None:
        peer.welcome()
        peer.write(TEXT, squeezed(b"{}"), rsv=RSV1)
        closes.append(await peer.closed())

    async with frame_server(script, None) as url, connect(url, compression="deflate", transports=["websocket"]):
        await until(lambda: closes, "the client has closed the connection")
    assert closes[0] == (1002, "the reserved bit RSV1 is set")
