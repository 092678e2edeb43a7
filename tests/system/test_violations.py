"""Peers that break RFC 6455: each is failed with the right code, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest
from helpers.serving import Book, take
from helpers.wait import until
from helpers.wire import BINARY, CLOSE, CONT, FIN, PING, PONG, TEXT, Peer, close_frame, frame


def raw_close(payload: bytes) -> bytes:
    return frame(CLOSE, payload)


def bad(code: int) -> bytes:
    return raw_close(struct.pack("!H", code))


@asynccontextmanager
async def with_bystander(**config: float) -> AsyncIterator[tuple[Book, Peer]]:
    """A server and a peer that will misbehave; at the end a third, who was there all the time, has missed nothing."""
    # Without a rate: what is too much is to be refused, not waited for.
    async with Book({"byte_rate": 0.0, **config}).listens() as server, server.client("/a") as bystander:
        server.publish("a", "before")
        async with await server.peer("/a") as peer:
            server.publish("a", "during")
            assert await peer.message() == b"during"
            yield server, peer
            server.publish("a", "after")
        assert await take(bystander, 3) == ["before", "during", "after"]
        await bystander.send("alive")
        await until(lambda: server.heard[-1:] == ["alive"])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x", mask=False), 1002),
        (frame(TEXT, b"x", rsv=4), 1002),
        (frame(TEXT, b"x", rsv=2), 1002),
        (frame(TEXT, b"x", rsv=1), 1002),
        (frame(PING, b"x", rsv=4), 1002),
        *((frame(opcode, b"x"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        *((frame(opcode, b"x", fin=False), 1002) for opcode in (PING, PONG, CLOSE)),
        *((frame(opcode, bytes(126)), 1002) for opcode in (PING, PONG, CLOSE)),
        (frame(CONT, b"x"), 1002),
        (frame(CONT, b"x", fin=False), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(BINARY, b"y"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(CONT, b"y") + frame(CONT, b"z"), 1002),
        (b"\x81\xfe\x00\x05" + bytes(9), 1002),
        (b"\x81\xff" + struct.pack("!Q", 200) + bytes(204), 1002),
        (b"\x82\xff" + struct.pack("!Q", 1 << 63) + bytes(4), 1002),
        (frame(BINARY, length=(1 << 63) - 1), 1009),
        (frame(BINARY, length=1 << 30), 1009),
        (frame(BINARY, length=10_001), 1009),
        (frame(BINARY, bytes(10_001)), 1009),
        (frame(BINARY, bytes(6000), fin=False) + frame(CONT, bytes(4001)), 1009),
        (frame(BINARY, b"x", fin=False) + frame(CONT, length=(1 << 63) - 1), 1009),
        (frame(BINARY, b"xy", fin=False) + frame(CONT, b"xy", fin=False) * 5000, 1009),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, "\u20ac".encode()[:2]), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xc0\x80"), 1007),
        (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
        (frame(TEXT, b"ok", fin=False) + frame(CONT, b"\xff", fin=False), 1007),
        (frame(TEXT, b"\xe2\x82", fin=False) + frame(CONT, b"x", fin=False), 1007),
        (frame(TEXT, b"\xe2\x82", fin=False) + frame(CONT, b""), 1007),
        *((bad(code), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)),
        (raw_close(b"\x03"), 1002),
        (raw_close(b"\x03\xe8\xff"), 1007),
    ],
    ids=lambda value: value[:16].hex() if isinstance(value, bytes) else str(value),
)
async def test_violations(data: bytes, code: int) -> None:
    async with with_bystander(max_message=10_000) as (server, peer):
        await peer.send(data)
        assert (await peer.closed())[0] == code
        # What it still sends is read by nobody.
        await peer.send(frame(TEXT, b"after the violation"), close_frame(1000))
        assert await peer.end() == b""
        ended = await server.ended()
        assert ended.close_code == code
        assert "after the violation" not in server.heard


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7])
async def test_frames_cut_anywhere_are_the_same(cut: int) -> None:
    data = (
        frame(TEXT, "\u20ac".encode()[:1], fin=False) + frame(PING, b"p") + frame(CONT, "\u20ac".encode()[1:])
        + frame(BINARY, bytes(300)) + frame(TEXT, b"") + close_frame(1000)
    )  # fmt: skip
    async with Book().listens() as server, await server.peer() as peer:
        for start in range(0, len(data), cut):
            await peer.send(data[start : start + cut])
            await asyncio.sleep(0)
        assert await peer.closed() == (1000, "")
        await server.ended()
        assert server.heard == ["\u20ac", bytes(300), ""]


async def test_limits_are_exact() -> None:
    async with with_bystander(max_message=10_000) as (server, peer):
        await peer.send(frame(BINARY, bytes(10_000)), frame(BINARY, bytes(6000), fin=False), frame(CONT, bytes(4000)))
        await peer.send(frame(PING, bytes(125)), frame(PONG, bytes(125)), frame(PONG))
        await until(lambda: server.heard == [bytes(10_000)] * 2)
        await peer.send(close_frame(4999, b"x" * 123))
        assert (await peer.closed())[0] == 4999


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
async def test_good_close_codes(code: int) -> None:
    async with Book() as server, await server.peer() as peer:
        await peer.send(close_frame(code))
        assert (await peer.closed())[0] == code
        await peer.end()
        assert (await server.ended()).close_code == code


async def test_data_after_a_close_is_ignored() -> None:
    async with with_bystander() as (server, peer):
        await peer.send(frame(TEXT, b"1"), close_frame(1000), frame(TEXT, b"2"), frame(CONT, b"3"), b"\xff" * 100)
        assert (await peer.closed())[0] == 1000
        await peer.send(b"\xff" * 100_000)
        assert await peer.end() == b""
        assert (await server.ended()).close_code == 1000
        assert server.heard == ["1"]


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_flood_of_pings_from_one_who_never_reads_costs_nothing() -> None:
    process = psutil.Process()
    async with with_bystander() as (server, flooder), await server.peer(rcvbuf=4096) as peer:
        # So that it is in the flow before the memory is looked at.
        pings = frame(PING, bytes(125)) * 500
        await peer.send(pings)
        before = process.memory_info().rss
        # It is closed for it, and then not read any more.
        with contextlib.suppress(ConnectionError):
            for _ in range(30_000_000 // len(pings)):
                await peer.send(pings)
        await flooder.send(frame(PING, b"mine"))
        assert await flooder.frame() == (FIN | PONG, b"mine")
        assert process.memory_info().rss - before < 20 << 20
        assert server.stats()["waiting_bytes"] < 1 << 20


async def test_a_flood_of_pings_from_one_who_reads_is_answered() -> None:
    async with with_bystander() as (_, peer):
        await peer.send(*(frame(PING, b"%d" % number) for number in range(5000)), close_frame(1000))
        seen = []
        while True:
            first, payload = await peer.frame()
            if first == FIN | CLOSE:
                break
            assert first == FIN | PONG
            seen.append(int(payload))
        # Not each (RFC 6455 section 5.5.3), but in order.
        assert seen == sorted(set(seen))
        assert seen


async def test_unasked_pongs_are_ignored() -> None:
    async with with_bystander() as (server, peer):
        await peer.send(frame(PONG, b"x") * 1000, frame(TEXT, b"fine"))
        await until(lambda: server.heard == ["fine"])
