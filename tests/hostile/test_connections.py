"""What peers do to their connections: cut, reset, half open, slow, silent, by the thousand."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import BINARY, CONT, FIN, PING, PONG, TEXT, Peer, close_frame, frame, request
from hostile.arena import Arena
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.asyncio(loop_scope="module")

Act = Callable[[Book], Awaitable[None]]

SECOND = {"close_timeout": 1.0, "grace": 1.0, "message_timeout": 1.0}
"""Short waits, so that what is left of a row is gone before the next begins."""
NO_RATE = {"handshake_rate": 0, "address_handshake_rate": 0}
"""Everybody here comes from one address, and shall come in."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    server = Book({**SECOND, **NO_RATE, "connection_bytes": 1 << 18}).listens()
    server.room("own", presence=True)
    server.room("*", publish=True, history=10)
    async with Arena.of(server) as arena:
        yield arena


FRAMES = frame(TEXT, b"x" * 100) + frame(BINARY, bytes(300), fin=False) + frame(CONT, bytes(70_000))
WHOLE = request() + FRAMES

STAGES = {
    "with nothing said": 0,
    "in the first line": 5,
    "in a header": 60,
    "before the last byte of the head": len(request()) - 1,
    "behind the head": len(request()),
    "in the first byte of a frame": len(request()) + 1,
    "in the length of a frame": len(request()) + 2,
    "in a mask": len(request()) + 4,
    "in a payload": len(request()) + 30,
    "between fragments": len(request()) + 106 + 308,
    "in a long length": len(request()) + 106 + 308 + 5,
    "in a long payload": len(WHOLE) - 10,
    "behind a message": len(WHOLE),
}


def shut(peer: Peer) -> None:
    """Half of it: nothing more comes from here."""
    peer.writer.write_eof()


CUTS = {"reset": Peer.reset, "end": Peer.close, "half": shut}


async def is_quiet(arena: Arena) -> None:
    """Waits until nobody is there but the bystanders, and nothing is held of anybody."""
    server = arena.server
    await until(lambda: len(server.connections) == 3 and server.stats()["connections"] == 3, "all others are gone")
    await until(lambda: arena.gauge("handshaking_connections") == arena.gauge("http_connections") == 0)
    await until(lambda: arena.gauge("inbound_bytes") == 0)


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("stage", STAGES)
async def test_cut(arena: Arena, stage: str, how: str) -> None:
    async with arena.watched() as server:
        ended = len(server.closed)
        async with await server.dial() as peer:
            await peer.send(WHOLE[: STAGES[stage]])
            is_in = STAGES[stage] > len(request())
            if is_in:
                assert (await peer.response()).status == 101
            CUTS[how](peer)
            if is_in:
                assert (await server.ended(ended + 1)).close_code == 1006
            await is_quiet(arena)


@pytest.mark.parametrize("how", CUTS)
async def test_cut_while_the_server_writes(arena: Arena, how: str) -> None:
    async with arena.watched() as server:
        ended = len(server.closed)
        async with await server.dial(rcvbuf=4096) as peer:
            await peer.upgrade("/busy")
            peer.stall()
            for _ in range(20):
                server.publish("busy", bytes(10_000))
            CUTS[how](peer)
            assert (await server.ended(ended + 1)).close_code == 1006
            await is_quiet(arena)


async def interrupted_handshakes(server: Book) -> None:
    """By the thousand, everywhere in the head and by all means."""
    rng = random.Random(7)

    async def interrupt() -> None:
        peer = await server.dial()
        with contextlib.suppress(ConnectionError):
            await peer.send(request()[: rng.randrange(len(request()))])
        (peer.reset if rng.random() < 0.5 else peer.close)()

    for _ in range(5):
        await asyncio.gather(*[interrupt() for _ in range(200)])


async def half_open(server: Book) -> None:
    """Connections on which nothing is ever said: each is told that it took too long, and ended."""
    peers = [await server.dial() for _ in range(500)]
    answers = await within(asyncio.gather(*[peer.response() for peer in peers]))
    assert {answer.status for answer in answers} == {408}
    for peer in peers:
        peer.close()


async def slow_heads(server: Book) -> None:
    """A byte now and then: the time for a head is that of the whole."""

    async def trickle() -> int:
        async with await server.dial() as peer:

            async def drip() -> None:
                while True:
                    peer.writer.write(b"X: y\r\n")
                    await asyncio.sleep(0.05)

            await peer.send(b"GET / HTTP/1.1\r\n")
            task = asyncio.ensure_future(drip())
            try:
                return (await peer.response()).status
            finally:
                task.cancel()

    assert set(await within(asyncio.gather(*[trickle() for _ in range(100)]))) == {408}


async def endless_heads(server: Book) -> None:
    """As fast as they can."""

    async def pour() -> int:
        async with await server.dial() as peer:
            with contextlib.suppress(ConnectionError):
                await peer.send(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000)
            return (await peer.response()).status

    results = await within(asyncio.gather(*[pour() for _ in range(20)], return_exceptions=True))
    # What it still sends may reset the connection before the answer is read.
    assert all(
        isinstance(result, (ConnectionError, asyncio.IncompleteReadError)) or result == 431 for result in results
    )


async def requests_whose_answers_nobody_reads(server: Book) -> None:
    async with await server.dial(rcvbuf=4096) as peer:
        peer.stall()
        get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
        with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
            for _ in range(100):
                await asyncio.wait_for(peer.send(get), 0.2)
        peer.reset()


async def pings_that_nobody_reads_the_answers_of(server: Book) -> None:
    """10 MB of them, or as many as it may."""
    ended = len(server.closed)
    async with await server.dial(rcvbuf=4096) as peer:
        await peer.upgrade()
        peer.stall()
        with contextlib.suppress(ConnectionError):
            for _ in range(80):
                await peer.send(frame(PING, bytes(125)) * 1000)
        await server.ended(ended + 1)


async def pings(server: Book) -> None:
    """Over the rate they are not answered, and far over it is the end."""
    async with await server.peer() as peer:
        with contextlib.suppress(ConnectionError):
            await peer.send(*(frame(PING, b"%d" % number) for number in range(5000)))
        seen = []
        while True:
            first, payload = await peer.frame()
            if first != FIN | PONG:
                break
            seen.append(int(payload))
        assert int.from_bytes(payload[:2], "big") == 1008
        # Not each is answered, but in their order (RFC 6455 section 5.5.3).
        assert seen == sorted(set(seen))
        assert 0 < len(seen) <= 200


async def pongs(server: Book) -> None:
    """That nobody has asked for."""
    async with await server.peer() as peer:
        with contextlib.suppress(ConnectionError):
            await peer.send(frame(PONG, b"x") * 5000)
        assert (await peer.closed())[0] == 1008


async def fragments(server: Book) -> None:
    """Each a byte, without end: slower and slower, until their time is over."""
    async with await server.peer() as peer:
        flood = asyncio.ensure_future(pour(peer, frame(CONT, b"x", fin=False) * 1000))
        await peer.send(frame(TEXT, b"x", fin=False))
        assert (await peer.closed())[0] in (1008, 1009)
        flood.cancel()


async def empty_fragments(server: Book) -> None:
    async with await server.peer() as peer:
        await peer.send(frame(BINARY, b"", fin=False))
        flood = asyncio.ensure_future(pour(peer, frame(CONT, b"", fin=False) * 1000))
        assert (await peer.closed())[0] in (1008, 1009)
        flood.cancel()


async def pour(peer: Peer, data: bytes) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError):
        while True:
            await peer.send(data)


async def announced_and_never_sent(server: Book) -> None:
    """A large message of each of many: what was announced is not set aside, and they keep their places for as long as a
    message may take."""
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(await server.peer()) for _ in range(200)]
        for peer in peers:
            await peer.send(frame(BINARY, length=1 << 20))
        assert {(await peer.closed())[0] for peer in peers} == {1008}


async def small_messages(server: Book) -> None:
    """Far over the rate, by one who cannot be told: it is read as fast as it may send, and heard in order."""
    heard = len(server.heard)
    messages = [str(number) for number in range(3500)]
    async with await server.peer() as peer:
        await peer.send(*(frame(TEXT, message.encode()) for message in messages))
        await until(lambda: len(server.heard) - heard == len(messages))
    assert server.heard[heard:] == messages


async def small_messages_of_one_who_is_gone(server: Book) -> None:
    """Megabytes of them wait in the kernel for their turn, and go with the connection."""
    async with await server.peer("/busy") as peer:
        flood = asyncio.ensure_future(pour(peer, frame(TEXT, b"x") * 10_000))
        await asyncio.sleep(0.2)
        flood.cancel()
        ended = len(server.closed)
    await until(lambda: server.publish("busy", "are you there?") and len(server.closed) > ended)


async def joins(server: Book) -> None:
    """And leaves, of a room with presence, by one who reads nothing of what it is told."""
    async with await Talk.open(server) as talk:
        talk.socket.transport.pause_reading()
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            for number in range(10_000):
                await talk.socket.send(f'{{"type":"{"leave" if number % 2 else "join"}","id":"{number}","room":"own"}}')
        talk.socket.transport.resume_reading()
        await within(talk.socket.wait_closed())
        assert talk.socket.close_code in (1006, 1008, 4008)


async def publishes(server: Book) -> None:
    """A storm into the room that it is in itself."""
    async with await Talk.open(server) as talk:
        await talk.ask("join", room="storm")
        with contextlib.suppress(ConnectionClosed):
            for number in range(10_000):
                await talk.say("publish", room="storm", payload=number)
            while True:
                await talk.hear()
        assert talk.socket.close_code in (1008, 4008)


async def resumes(server: Book) -> None:
    """One session, taken over again and again."""
    talk = await Talk.open(server)
    for _ in range(100):
        talk = await Talk.open(server, after=talk)
        assert talk.welcome["resumed"]
    await talk.close()


async def sessions_without_clients(server: Book) -> None:
    """They wait for as long as they may, and no longer."""
    for _ in range(200):
        (await Talk.open(server)).cut()
    await until(lambda: len(server.connections) == 3)


async def comings_and_goings(server: Book) -> None:
    for _ in range(10):
        peers = await asyncio.gather(*[server.peer("/busy") for _ in range(50)])
        for number, peer in enumerate(peers):
            (peer.reset if number % 2 else peer.close)()


async def readers_with_a_zero_window(server: Book) -> None:
    """In a busy room: who does not read is closed, all others get everything."""
    closed = len(server.closed)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(50):
            peer = await stack.enter_async_context(await server.dial(rcvbuf=4096))
            await peer.upgrade("/busy")
            peer.stall()
        async with server.client("/busy") as reader:
            count = 0
            while len(server.closed) < closed + 50:
                count += 1
                server.publish("busy", b"%d " % count + bytes(10_000))
                # One at a time: its limit is theirs.
                message = await within(reader.recv())
                assert message.split(b" ")[0] == b"%d" % count
    assert {conn.close_code for conn in server.closed[closed : closed + 50]} == {4008}


ACTS: list[Act] = [
    interrupted_handshakes, endless_heads, requests_whose_answers_nobody_reads,
    pings_that_nobody_reads_the_answers_of, pings, pongs, fragments, empty_fragments, announced_and_never_sent,
    small_messages, small_messages_of_one_who_is_gone, resumes, sessions_without_clients,
    comings_and_goings, readers_with_a_zero_window,
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="module", loop_factories=["uvloop"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__.replace("_", " "))
async def test_floods(arena: Arena, act: Act) -> None:
    async with arena.watched() as server:
        await act(server)
    await is_quiet(arena)


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("act", [half_open, slow_heads], ids=lambda act: act.__name__)
async def test_floods_that_say_too_little(act: Act) -> None:
    # The bystanders have to come in within this time.
    async with Arena.of(Book({**NO_RATE, "handshake_timeout": 2.0})) as arena:
        async with arena.watched() as server:
            await act(server)
        await is_quiet(arena)


@pytest.mark.asyncio(loop_factories=["uvloop"])
# Who answers it has to read the close frame before the connection is cut.
@pytest.mark.parametrize(("act", "close_timeout"), [(joins, 1.0), (publishes, 20.0)], ids=["joins", "publishes"])
async def test_floods_over_the_rate(act: Act, close_timeout: float) -> None:
    # At a rate that the slowest machine passes.
    rate = {"message_rate": 100, "message_burst": 200}
    server = Book({**SECOND, **NO_RATE, **rate, "close_timeout": close_timeout})
    server.room("own", presence=True)
    server.room("*", publish=True, history=10)
    async with Arena.of(server) as arena:
        async with arena.watched():
            await act(server)
        await is_quiet(arena)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_heads_and_frames_in_single_bytes() -> None:
    # Without the short waits: a slow machine takes a second for them.
    async with Arena.of(Book(NO_RATE)) as arena, arena.watched() as server:

        async def trickle() -> None:
            async with await server.dial() as peer:
                for byte in request() + frame(TEXT, b"byte by byte") + close_frame(1000):
                    await peer.send(bytes([byte]))
                    await asyncio.sleep(0)
                assert (await peer.response()).status == 101
                assert await peer.closed() == (1000, "")

        await asyncio.gather(*[trickle() for _ in range(20)])
