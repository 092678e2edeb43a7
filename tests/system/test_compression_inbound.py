"""Compressed messages of clients: inflated within the limits, whatever they hold."""

from __future__ import annotations

import json
import random
import resource
import zlib

import pytest
from helpers.deflating import PMD, bomb, squeezed
from helpers.serving import Book
from helpers.wait import until, within
from helpers.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Peer, close_frame, frame

OFFER = {"Sec-WebSocket-Extensions": PMD}
RSV1 = 4
LIMIT = 1 << 20


def server(max_message: int = LIMIT, **limits: float) -> Book:
    book = Book({"max_message": max_message, **limits}).listens()
    book.room("zip.*", compress=True)
    return book


async def agreed(book: Book, codec: str | None = None) -> Peer:
    """A client that has agreed to compression."""
    head = OFFER if codec is None else {**OFFER, "Sec-WebSocket-Protocol": f"fanwire.v1.{codec}"}
    peer = await book.dial()
    await peer.upgrade("/", head)
    return peer


def compressed(message: bytes, opcode: int = TEXT) -> bytes:
    return frame(opcode, squeezed(message), rsv=RSV1)


async def test_messages_are_inflated_in_order_with_others() -> None:
    async with server() as book, await agreed(book) as peer:
        text = "\u00e9\u20ac" * 1000
        payload = squeezed(text.encode())
        await peer.send(
            compressed(text.encode()),
            frame(TEXT, b"as it is"),
            compressed(text.encode(), BINARY),
            # In fragments, with a ping between them; the cuts are within characters and blocks.
            frame(TEXT, payload[:5], rsv=RSV1, fin=False) + frame(PING, b"between") + frame(CONT, b"", fin=False),
            frame(CONT, payload[5:]),
            compressed(b""),
            frame(BINARY, b"", rsv=RSV1),
            # A block with BFINAL (RFC 7692 section 7.2.3.4), and one that is not compressed (7.2.3.3).
            frame(TEXT, bytes.fromhex("f348cdc9c9070000"), rsv=RSV1),
            frame(TEXT, bytes.fromhex("000500faff48656c6c6f00"), rsv=RSV1),
        )
        assert await peer.frame() == (0x80 | PONG, b"between")
        await until(lambda: len(book.heard) == 8, "all have come")
        assert book.heard == [text, "as it is", text.encode(), text, "", b"", "Hello", "Hello"]


@pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
@pytest.mark.parametrize("part", [0, 100])
async def test_the_limit_is_that_of_the_inflated_message(size: int, part: int) -> None:
    """To the byte, in one frame and in fragments."""

    def message(size: int) -> bytes:
        payload = squeezed(bytes(size))
        if part == 0:
            return frame(BINARY, payload, rsv=RSV1)
        return frame(BINARY, payload[:part], rsv=RSV1, fin=False) + frame(CONT, payload[part:])

    async with server(max(size, 1)) as book, await agreed(book) as peer:
        await peer.send(message(size))
        await until(lambda: book.heard, "the message has come")
        assert book.heard == [bytes(size)]
        await peer.send(message(max(size, 1) + 1))
        assert (await peer.closed())[0] == 1009
        await peer.send(close_frame(1009))
        await peer.end()
        assert book.stats()["limits"]["max_message"] == 1
        assert (await book.ended()).close_code == 1009
        assert len(book.heard) == 1


GIGABYTE = bomb(1024)
NOISE = random.Random(1).randbytes(1000)


@pytest.mark.parametrize(("data", "code"), [
    pytest.param(frame(BINARY, GIGABYTE[: LIMIT - 100], rsv=RSV1), 1009, id="a bomb"),
    pytest.param(
        frame(BINARY, GIGABYTE[:1000], rsv=RSV1, fin=False) + frame(CONT, GIGABYTE[1000:500_000]), 1009,
        id="a bomb in fragments"
    ),
    pytest.param(frame(TEXT, bomb(2), rsv=RSV1), 1009, id="a small bomb as text"),
    pytest.param(frame(TEXT, squeezed(NOISE)[:-1], rsv=RSV1), 1007, id="not all of it"),
    pytest.param(frame(BINARY, b"\x07", rsv=RSV1), 1007, id="a type of block that does not exist"),
    pytest.param(frame(BINARY, NOISE, rsv=RSV1), 1007, id="noise"),
    pytest.param(frame(BINARY, bytes.fromhex("f200110000"), rsv=RSV1), 1007, id="a context that there is not"),
    pytest.param(frame(BINARY, zlib.compress(b"x" * 100), rsv=RSV1), 1007, id="with zlib's header"),
    pytest.param(compressed(b"\xff"), 1007, id="text that is no UTF-8"),
    pytest.param(frame(TEXT, b"", rsv=RSV1, fin=False) + frame(CONT, squeezed(b"x"), rsv=RSV1), 1002, id="twice"),
    pytest.param(frame(TEXT, b"", fin=False) + frame(CONT, squeezed(b"x"), rsv=RSV1), 1002, id="a continuation"),
    pytest.param(compressed(b"x", PING), 1002, id="a ping"),
    pytest.param(compressed(b"x", PONG), 1002, id="a pong"),
    pytest.param(frame(CLOSE, b"\x03\xe8", rsv=RSV1), 1002, id="a close"),
    pytest.param(frame(TEXT, squeezed(b"x"), rsv=2), 1002, id="the second reserved bit"),
    pytest.param(frame(TEXT, squeezed(b"x"), rsv=5), 1002, id="the third reserved bit"),
    pytest.param(frame(BINARY, rsv=RSV1, length=2 * LIMIT), 1009, id="too much is announced"),
])  # fmt: skip
@pytest.mark.parametrize("codec", [None, "json"])
async def test_what_a_client_must_not_send(data: bytes, code: int, codec: str | None) -> None:
    async with server() as book, await agreed(book) as bystander:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with await agreed(book, codec) as peer:
            await peer.send(data)
            assert (await peer.closed())[0] == code
            await peer.send(close_frame(code))
            await peer.end()
        assert (await book.ended()).close_code == code
        assert book.heard == []
        await bystander.send(compressed(b"still there"))
        await until(lambda: book.heard == ["still there"])
        # A few times the limit on messages, not the size of what was packed into them.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


async def test_a_compressed_message_without_agreement_is_refused() -> None:
    async with server() as book, await book.peer() as peer:
        assert not book.opened[0].is_compressed
        await peer.send(compressed(b"x"))
        assert (await peer.closed())[0] == 1002


async def test_a_message_with_a_session_is_what_it_was_before_it_was_compressed() -> None:
    book = server()
    book.on("work")(lambda conn, payload: len(payload))
    async with book, await agreed(book, "json") as peer:
        assert json.loads((await peer.frame())[1])["type"] == "welcome"
        envelope = {"type": "work", "id": "1", "payload": "x" * 100_000}
        await peer.send(compressed(json.dumps(envelope).encode()))
        while (answer := json.loads(await peer.message()))["type"] == "received":
            pass
        assert (answer["type"], answer["re"], answer["payload"]) == ("reply", "1", 100_000)


async def test_rates_count_what_messages_are_inflated_to() -> None:
    async with server(byte_rate=1000.0, byte_burst=300_000) as book, await agreed(book) as peer:
        # Half a kilobyte each on the wire. The fourth is over the limit, so the client is not read for a while.
        for _ in range(8):
            await peer.send(compressed(bytes(100_000), BINARY))
        await within(book.has_stat("connections", 1))
        await until(lambda: book.stats()["limits"]["byte_rate"] > 0, "the limit has been exceeded")
        await until(lambda: len(book.heard) >= 3, "what is within the limit has been heard")
        assert len(book.heard) <= 4
