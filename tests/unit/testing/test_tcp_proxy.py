"""The proxy that other tests break connections with, on both loops: each fault, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

import pytest
from helpers.wait import until, within
from helpers.wire import Peer

from fanwire.testing.tcp_proxy import FIN, RST, TcpProxy

DATA = bytes(range(256)) * 40


@contextlib.asynccontextmanager
async def proxied(**options: object) -> AsyncIterator[tuple[TcpProxy, list[Peer]]]:
    """A proxy before an echo server, and the server's ends of its connections."""
    ends: list[Peer] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(Peer(reader, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        async with TcpProxy("127.0.0.1", server.sockets[0].getsockname()[1], **options) as proxy:
            yield proxy, ends
        for end in ends:
            end.close()
        assert not proxy.links
        assert not proxy.up.lines
    finally:
        server.close()
        await within(server.wait_closed())


async def send_and_end(proxy: TcpProxy, data: bytes) -> bytes:
    """What comes back of these bytes, to the end of the connection."""
    peer = await Peer.dial("127.0.0.1", proxy.port)
    await peer.send(data)
    return await peer.end()


async def resets(peer: Peer) -> bool:
    """Reads to the end; whether it was an RST."""
    try:
        while await within(peer.reader.read(1 << 16)):
            pass
    except ConnectionResetError:
        return True
    return False


async def test_without_faults_all_passes_and_each_end_is_told_of_the_others() -> None:
    async with proxied() as (proxy, ends):
        peers = []
        for _ in range(3):
            # One after the other: those that come together may reach the server in any order.
            peer = await Peer.dial("127.0.0.1", proxy.port)
            await peer.send(DATA)
            assert await within(peer.reader.readexactly(len(DATA))) == DATA
            peers.append(peer)
        # The client's FIN goes to the server, whose own FIN comes back after the echo.
        await peers[0].send(b"last")
        peers[0].writer.write_eof()
        assert await peers[0].end() == b"last"
        peers[1].reset()
        ends[2].reset()
        assert await resets(peers[2])
        await until(lambda: not proxy.links, "all connections have ended")


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    async with proxied() as (proxy, _):
        pass
    async with TcpProxy("127.0.0.1", proxy._address[1]) as proxy, await Peer.dial("127.0.0.1", proxy.port) as peer:
        assert await resets(peer)
        await until(lambda: not proxy.links)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_latency_and_jitter_keep_the_order(direction: str) -> None:
    async with proxied(rng=random.Random(7)) as (proxy, _), await Peer.dial("127.0.0.1", proxy.port) as peer:
        getattr(proxy, direction).change(latency=0.1, jitter=0.05)
        start = time.monotonic()
        for number in range(20):
            await peer.send(bytes([number]))
            await asyncio.sleep(0.001)
        assert await within(peer.reader.readexactly(20)) == bytes(range(20))
        assert time.monotonic() - start >= 0.1


async def test_latency_of_one_connection_ends_when_it_is_taken_back() -> None:
    async with proxied() as (proxy, _):
        slow, quick = [await Peer.dial("127.0.0.1", proxy.port) for _ in range(2)]
        await until(lambda: len(proxy.links) == 2)
        proxy.links[0].down.change(latency=30.0)
        await quick.send(b"q")
        assert await within(quick.reader.readexactly(1)) == b"q"
        proxy.links[0].down.change(latency=0.0)
        await slow.send(b"s")
        assert await within(slow.reader.readexactly(1)) == b"s"
        quick.close()
        slow.close()


async def test_bandwidth_is_a_limit_until_it_is_lifted() -> None:
    async with proxied() as (proxy, _), await Peer.dial("127.0.0.1", proxy.port) as peer:
        proxy.down.change(bandwidth=20_000)
        start = time.monotonic()
        await peer.send(DATA)
        assert await within(peer.reader.readexactly(len(DATA))) == DATA
        # 10,240 bytes take 0.51 s; the first and the last slice, and what is made up for, are given away.
        assert time.monotonic() - start >= 0.45
        proxy.down.change(bandwidth=1)
        await peer.send(DATA)
        assert await within(peer.reader.read(10))
        proxy.down.change(bandwidth=None)
        await within(peer.reader.readexactly(len(DATA) - 10))


@pytest.mark.parametrize("by", [FIN, RST])
@pytest.mark.parametrize("count", [0, 1, 1000, len(DATA) - 1])
async def test_a_cut_after_k_bytes_of_the_server(by: str, count: int) -> None:
    async with proxied() as (proxy, _):
        proxy.down.cut_after(count, by)
        peer = await Peer.dial("127.0.0.1", proxy.port)
        if count:
            await peer.send(DATA)
            assert await within(peer.reader.readexactly(count)) == DATA[:count]
        assert await resets(peer) == (by == RST)
        peer.close()
        await until(lambda: not proxy.links)


@pytest.mark.parametrize("by", [FIN, RST])
async def test_a_cut_after_k_bytes_of_the_client_from_now(by: str) -> None:
    async with proxied() as (proxy, ends), await Peer.dial("127.0.0.1", proxy.port) as peer:
        await peer.send(b"before")
        assert await within(peer.reader.readexactly(6)) == b"before"
        (link,) = proxy.links
        link.up.cut_after(3, by, from_now=True)
        await peer.send(b"abc")
        assert await resets(peer) == (by == RST)
        assert link.up.passed == 9
        peer.close()
        await until(lambda: not proxy.links)
        assert await ends[0].end() == b""


async def test_a_held_direction_forwards_nothing_not_even_an_end() -> None:
    async with proxied() as (proxy, ends):
        peer = await Peer.dial("127.0.0.1", proxy.port)
        await until(lambda: ends)
        (link,) = proxy.links
        link.up.change(held=True)
        await peer.send(b"silence")
        peer.writer.write_eof()
        await asyncio.sleep(0.05)
        assert link.up.passed == 0
        assert not ends[0].reader.at_eof()
        # The other direction is not held.
        await ends[0].send(b"hello")
        assert await within(peer.reader.readexactly(5)) == b"hello"
        link.up.change(held=False)
        assert await peer.end() == b"silence"


async def test_both_directions_held_hide_that_the_client_has_gone() -> None:
    async with proxied() as (proxy, ends):
        peer = await Peer.dial("127.0.0.1", proxy.port)
        await until(lambda: ends)
        for direction in (proxy.up, proxy.down):
            direction.change(held=True)
        peer.reset()
        await asyncio.sleep(0.05)
        assert not ends[0].reader.at_eof()
        assert len(proxy.links) == 1
        proxy.up.change(held=False)
        await until(lambda: not proxy.links)
        await within(ends[0].end())


async def test_refused_connections_are_reset_and_others_go_on() -> None:
    async with proxied() as (proxy, _), await Peer.dial("127.0.0.1", proxy.port) as peer:
        await peer.send(b"a")
        assert await within(peer.reader.readexactly(1)) == b"a"
        proxy.refusing = True
        # The handshake of TCP is the kernel's, so a refused one may still be connected for a moment.
        with contextlib.suppress(ConnectionError):
            assert await send_and_end(proxy, b"b") == b""
        await peer.send(b"c")
        assert await within(peer.reader.readexactly(1)) == b"c"
        proxy.refusing = False
        async with await Peer.dial("127.0.0.1", proxy.port) as again:
            await again.send(b"d")
            assert await within(again.reader.readexactly(1)) == b"d"


@pytest.mark.parametrize("by", [FIN, RST])
async def test_all_are_cut_now_and_new_ones_are_not(by: str) -> None:
    async with proxied() as (proxy, ends):
        peers = [await Peer.dial("127.0.0.1", proxy.port) for _ in range(5)]
        await until(lambda: len(ends) == 5)
        proxy.up.change(held=True)
        await peers[0].send(b"lost")
        proxy.cut(by)
        assert [await resets(peer) for peer in peers] == [by == RST] * 5
        for peer in peers:
            peer.close()
        await until(lambda: not proxy.links)
        proxy.up.change(held=False)
        async with await Peer.dial("127.0.0.1", proxy.port) as peer:
            await peer.send(b"new")
            assert await within(peer.reader.readexactly(3)) == b"new"


async def test_a_side_that_does_not_read_holds_up_the_other() -> None:
    async with proxied(limit=1 << 16) as (proxy, ends), await Peer.dial("127.0.0.1", proxy.port, rcvbuf=4096) as peer:
        await until(lambda: ends)
        peer.stall()
        (link,) = proxy.links
        block = bytes(1 << 16)
        sent = 0
        # What the kernel, the limit and the transport's own buffer hold is bounded, so this ends.
        with contextlib.suppress(asyncio.TimeoutError):
            while sent < 1 << 28:
                ends[0].writer.write(block)
                sent += len(block)
                await within(ends[0].writer.drain(), 0.3)
        assert sent < 1 << 28
        assert link.down._size < 2 << 16
        peer.resume()
        got = 0
        while got < sent:
            got += len(await within(peer.reader.read(1 << 20)))
        assert got == sent


async def test_leaving_ends_what_is_still_there() -> None:
    before = asyncio.all_tasks()
    async with proxied() as (proxy, ends):
        proxy.down.change(latency=30.0, bandwidth=1)
        peers = [await Peer.dial("127.0.0.1", proxy.port) for _ in range(3)]
        for peer in peers:
            await peer.send(DATA)
        await until(lambda: len(ends) == 3)
    for peer in peers:
        await peer.end()
    await until(lambda: asyncio.all_tasks() == before, "the servers' tasks have ended")
