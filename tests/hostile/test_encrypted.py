"""Peers of a server that speaks TLS: those that do not, stop in the middle, or break rules inside of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.wait import until, within
from helpers.wire import TEXT, Peer, frame, request
from hostile.arena import Arena
from hostile.frames import VIOLATIONS, Frames
from hostile.upgrades import REFUSED, Head

import fanwire

pytestmark = pytest.mark.asyncio(loop_scope="module")

Contexts = tuple[fanwire.TLS, ssl.SSLContext]
HOSTS = ["localhost", "127.0.0.1"]
NO_RATE = {"handshake_rate": 0, "address_handshake_rate": 0}
IMPATIENCE = 2.0
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(tls: Contexts) -> AsyncIterator[Arena]:
    config = {"close_timeout": 1.0, "max_message": 10_000, "max_fragments": 50}
    async with Arena.of(Book({**config, **NO_RATE}, tls=tls[0], hosts=HOSTS).listens(), ssl=tls[1]) as arena:
        yield arena


@pytest_asyncio.fixture(loop_scope="module")
async def impatient(tls: Contexts) -> AsyncIterator[Arena]:
    """One that waits no longer for a handshake than its bystanders may need on a busy machine."""
    server = Book(NO_RATE, tls=replace(tls[0], handshake_timeout=IMPATIENCE), hosts=HOSTS)
    async with Arena.of(server, ssl=tls[1]) as arena:
        yield arena


@pytest.mark.parametrize(
    "data",
    [
        request(),
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"\0" * 100,
        b"\xff" * 20_000,
        HELLO + b"\0" * 600,
        b"\x16\x03\x01\xff\xff" + b"\0" * 70_000,
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x10" + b"\0" * 16,
        b"\x80\x2e\x01\x03\x01",
        b"SSH-2.0-x\r\n",
    ],
    ids=["HTTP upgrade", "HTTP", "zeros", "ones", "a bad hello", "a long record", "an alert", "data", "SSL 2", "SSH"],
)
async def test_who_does_not_speak_tls_is_cut_off(arena: Arena, data: bytes) -> None:
    async with arena.watched() as server:
        opened = len(server.opened)
        async with await server.dial() as peer:
            with contextlib.suppress(ConnectionError):
                await peer.send(data)
            # An alert, perhaps, and the end. Plain HTTP is told so.
            answer = await peer.end()
            assert answer.startswith(b"HTTP/1.1 400") if data.startswith(b"GET ") else len(answer) < 100
        assert len(server.opened) == opened


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_not_spoken(arena: Arena, tls: Contexts, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = version
    async with arena.watched() as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await server.dial(context=context)


async def test_handshakes_that_stop_are_ended(impatient: Arena) -> None:
    async with impatient.watched() as server:
        peers = [await server.dial() for _ in range(100)]
        for number, peer in enumerate(peers):
            await peer.send(HELLO[: number % len(HELLO)])
        await within(asyncio.gather(*[peer.end() for peer in peers]))


async def test_a_handshake_byte_by_byte_has_the_same_time(impatient: Arena) -> None:
    begun = asyncio.get_running_loop().time()
    async with impatient.watched() as server, await server.dial() as peer:
        with contextlib.suppress(ConnectionError):
            for byte in HELLO * 20:
                await peer.send(bytes([byte]))
                if peer.reader.at_eof():
                    break
                await asyncio.sleep(0.05)
        await peer.end()
        assert asyncio.get_running_loop().time() - begun >= 0.9 * IMPATIENCE


async def test_a_hello_in_pieces_is_understood(arena: Arena, tls: Contexts) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    spoken = tls[1].wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with arena.watched() as server, await server.dial() as peer:
        while True:
            try:
                spoken.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    await peer.send(bytes([byte]))
                incoming.write(await within(peer.reader.read(1 << 16)))
        spoken.write(request("/"))
        await peer.send(outgoing.read())
        answer = b""
        while b"\r\n\r\n" not in answer:
            incoming.write(await within(peer.reader.read(1 << 16)))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += spoken.read(1 << 16)
        assert answer.startswith(b"HTTP/1.1 101")


async def test_tls_at_a_plain_port_is_refused(tls: Contexts) -> None:
    async with Book() as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await server.dial(context=tls[1])
        assert not server.opened
        await until(lambda: server._engine.waiting == 0)


async def test_handshakes_that_are_interrupted(arena: Arena) -> None:
    rng = random.Random(11)
    async with arena.watched() as server:
        for _ in range(5):
            peers = await asyncio.gather(*[server.dial() for _ in range(100)])
            for peer in peers:
                # On a slow machine its time may be over.
                with contextlib.suppress(ConnectionError):
                    await peer.send((HELLO + b"\0" * 100)[: rng.randrange(100)])
                (peer.reset if rng.random() < 0.5 else peer.close)()
        # The next peer would wait behind all of them, longer than it may.
        await until(lambda: server._engine.waiting == 0)


@pytest.mark.parametrize("how", [Peer.reset, Peer.close], ids=["reset", "end"])
async def test_ends_without_a_goodbye(arena: Arena, tls: Contexts, how: object) -> None:
    async with arena.watched() as server:
        ended = len(server.closed)
        async with await server.peer(context=tls[1]) as peer:
            await peer.send(frame(TEXT, b"half")[:5])
            how(peer)
            assert (await server.ended(ended + 1)).close_code == 1006
        await until(lambda: server.stats()["connections"] == 3)


@pytest.mark.parametrize("row", VIOLATIONS[::3], ids=repr)
async def test_violations_inside(arena: Arena, tls: Contexts, row: Frames) -> None:
    async with arena.watched() as server:
        ended = len(server.closed)
        async with await server.peer(context=tls[1]) as peer:
            await peer.send(row.data)
            assert (await peer.closed())[0] == row.code
            await peer.end()
        assert (await server.ended(ended + 1)).close_code == row.code


@pytest.mark.parametrize("row", REFUSED[::10], ids=repr)
async def test_heads_inside(arena: Arena, tls: Contexts, row: Head) -> None:
    async with arena.watched() as server, await server.dial(context=tls[1]) as peer:
        await peer.send(row.data)
        assert (await peer.response()).status == row.status
        assert await peer.end() == b""


async def test_a_page_of_http_is_foreign(arena: Arena, tls: Contexts) -> None:
    server = Book(tls=tls[0], authenticate=lambda asking: asking.cookie("sid") or "nobody")
    async with server:
        for origin, status in (("https://localhost", 101), ("http://localhost", 403), ("https://localhost:80", 403)):
            async with await server.dial(context=tls[1]) as peer:
                await peer.send(request("/", {"Cookie": "sid=x", "Origin": origin}))
                assert (await peer.response()).status == status


async def test_readers_with_a_zero_window(arena: Arena, tls: Contexts) -> None:
    async with arena.watched() as server:
        closed = len(server.closed)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(5):
                peer = await stack.enter_async_context(await server.dial(rcvbuf=4096, context=tls[1]))
                await peer.upgrade("/busy")
                peer.stall()
            await until(lambda: server.publish("busy", bytes(50_000)) and len(server.closed) == closed + 5)
        assert {conn.close_code for conn in server.closed[closed:]} == {4008}
