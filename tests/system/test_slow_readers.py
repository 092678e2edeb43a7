"""A reader that stalls, under each delivery class: it gets what its class says, the others get everything."""

from __future__ import annotations

from itertools import count

import pytest
from helpers.serving import Book, take
from helpers.wait import until, within
from helpers.wire import BINARY, FIN, PING, Peer, close_frame
from websockets.asyncio.client import ClientConnection

SMALL = {"connection_bytes": 64 << 10, "unsent_bytes": 4096}
BATCH = 10


def payload(number: int) -> bytes:
    """A kilobyte that starts with its number."""
    return b"%08d" % number + bytes(1016)


def number_of(message: bytes | str) -> int:
    return int(message[:8])


async def publish(server: Book, fast: ClientConnection, numbers: range, *, keyed: bool = False) -> None:
    """Publishes and sees that the fast reader gets each, in order. A few at a time: its limit is as small."""
    for start in range(numbers.start, numbers.stop, BATCH):
        batch = range(start, min(start + BATCH, numbers.stop))
        for number in batch:
            server.publish("a", payload(number), key=str(number % BATCH) if keyed else None)
        assert [number_of(message) for message in await take(fast, len(batch))] == list(batch)


async def publish_until(server: Book, fast: ClientConnection, stat: str, *, keyed: bool = False) -> int:
    """Publishes until the engine has counted something; returns how many."""
    for start in count(0, BATCH):
        assert start < 20_000, f"20 MB later still no {stat}"
        await publish(server, fast, range(start, start + BATCH), keyed=keyed)
        stats = server.stats()
        if {**stats, **stats["drops"]}[stat]:
            return start + BATCH
    raise AssertionError


async def read(peer: Peer) -> list[int]:
    """All numbers up to the message `end`."""
    numbers = []
    while (message := await peer.message()) != b"end":
        numbers.append(number_of(message))
    return numbers


async def test_reliable_closes_the_stalled_one_to_reconnect() -> None:
    patient = {**SMALL, "close_timeout": 20.0}
    async with Book(patient) as server, server.client("/a") as fast, await server.peer("/a", rcvbuf=4096) as stalled:
        published = await publish_until(server, fast, "closed_slow")
        # It is told why, after a part of the stream without gap; what waited was dropped, and counted.
        got = []
        while (frame := await stalled.frame())[0] == FIN | BINARY:
            got.append(number_of(frame[1]))
        assert frame[1] == b"\x0f\xa8too slow, reconnect"
        assert got == list(range(len(got)))
        await stalled.send(close_frame(4008))
        await stalled.end()
        ended = await server.ended()
        assert ended.close_code == 4008
        assert "connection_bytes" in ended.close_reason
        stats = server.stats()
        assert stats["closed_slow"] == 1
        # The one that did not fit was never queued, so it is not among those.
        assert len(got) + stats["drops"]["closed"] in range(published - BATCH, published + 1)
        await publish(server, fast, range(published, published + 100))


async def test_a_closed_one_that_stays_stalled_is_cut_off() -> None:
    small = {**SMALL, "close_timeout": 0.3}
    async with Book(small) as server, server.client("/a") as fast, await server.peer("/a", rcvbuf=4096):
        published = await publish_until(server, fast, "closed_slow")
        assert (await server.ended()).close_code == 4008
        await until(lambda: server.stats()["connections"] == 1)
        await until(lambda: server.count("a") == 1)
        await until(lambda: server.stats()["waiting_bytes"] == 0)
        await publish(server, fast, range(published, published + 100))


async def test_the_applications_close_of_a_stalled_one_ends_in_time() -> None:
    server = Book({**SMALL, "close_timeout": 0.3})
    server.room("a", delivery="drop-oldest")
    async with server, server.client("/a") as fast, await server.peer("/a", rcvbuf=4096):
        await publish_until(server, fast, "oldest")
        server.opened[1].close(4000)
        assert (await server.ended()).close_code == 4000
        await until(lambda: server.stats()["connections"] == 1)


async def test_latest_gives_the_newest_value_of_every_key() -> None:
    server = Book(SMALL)
    server.room("a", delivery="latest")
    async with server, server.client("/a") as fast, await server.peer("/a", rcvbuf=4096) as stalled:
        published = await publish_until(server, fast, "replaced", keyed=True)
        await publish(server, fast, range(published, published + 500), keyed=True)
        published += 500
        server.opened[1].send(b"first")
        server.publish("a", b"end", key="end")
        got = await read_with(stalled, b"first")
        # Newest of every key, each key's in order, and every message got or counted.
        assert set(range(published - BATCH, published)) <= set(got)
        for key in range(BATCH):
            of_key = [number for number in got if number % BATCH == key]
            assert of_key == sorted(of_key)
        assert len(got) + server.stats()["drops"]["replaced"] == published
        assert not server.closed


async def read_with(peer: Peer, ahead: bytes) -> list[int]:
    """As `read`; a reliable message must come ahead of droppable ones that were there before it."""
    numbers: list[int] = []
    while (message := await peer.message()) != ahead:
        numbers.append(number_of(message))
    rest = await read(peer)
    assert rest, "nothing waited behind the reliable message"
    return numbers + rest


@pytest.mark.parametrize("delivery", ["drop-oldest", "drop-newest"])
async def test_what_is_dropped_is_counted(delivery: str) -> None:
    server = Book(SMALL)
    server.room("a", delivery=delivery)
    reason = delivery.removeprefix("drop-")
    async with server, server.client("/a") as fast, await server.peer("/a", rcvbuf=4096) as stalled:
        published = await publish_until(server, fast, reason)
        await publish(server, fast, range(published, published + 200))
        published += 200
        dropped = server.stats()["drops"]
        assert dropped[reason] > 100
        got = []
        while len(got) < published - dropped[reason]:
            got.append(number_of(await stalled.message()))
        assert got == sorted(set(got))
        if delivery == "drop-oldest":
            assert got[-1] == published - 1
        else:
            # What waited was not touched by what came; the kernel may have taken a little more now and then.
            assert got[:BATCH] == list(range(BATCH))
        assert server.stats()["drops"] == {**dict.fromkeys(dropped, 0), reason: dropped[reason]}
        # It has caught up: now it gets everything again.
        await publish(server, fast, range(published, published + 50))
        assert [number_of(await stalled.message()) for _ in range(50)] == list(range(published, published + 50))
        assert not server.closed


async def test_a_publish_may_have_another_class_than_its_room() -> None:
    async with Book(SMALL) as server, server.client("/a") as fast, await server.peer("/a", rcvbuf=4096) as stalled:
        for number in range(2000):
            server.publish("a", payload(number), delivery="drop-newest")
            if number % BATCH == 0:
                await take(fast, 1 if number == 0 else BATCH)
        await take(fast, BATCH - 1)
        assert server.stats()["drops"]["newest"] > 0
        server.opened[1].send(b"end")
        while await stalled.message() != b"end":
            pass
        assert not server.closed


async def test_over_the_engines_budget_the_slowest_goes_first() -> None:
    server = Book({"engine_bytes": 1 << 20, "unsent_bytes": 4096})
    async with server, await server.peer(rcvbuf=4096) as small, await server.peer(rcvbuf=4096) as large:
        few, many = server.opened
        small.stall()
        large.stall()
        for stalled, (conn, messages) in enumerate([(few, 200), (many, 600)], 1):
            for number in range(messages):
                conn.send(payload(number))
            await server.has_stat("blocked", stalled)
        assert not server.stats()["closed_slow"]
        # However many of them the engine takes at once, this one holds less than the other.
        for number in range(200, 400):
            few.send(payload(number))
        await server.has_stat("closed_slow", 1)
        small.resume()
        large.resume()
        assert (await large.closed())[0] == 4008
        await large.end()
        ended = await server.ended()
        assert ended is many
        assert "engine_bytes" in ended.close_reason
        few.send(b"end")
        assert await read(small) == list(range(400))
        assert len(server.closed) == 1
        await until(lambda: server.stats()["waiting_bytes"] == 0)


async def test_over_the_engines_budget_what_may_be_dropped_goes_before_anybody() -> None:
    server = Book({"engine_bytes": 1 << 20, "unsent_bytes": 4096})
    async with server, await server.peer(rcvbuf=4096) as one, await server.peer(rcvbuf=4096) as two:
        for number in range(1500):
            for conn in server.opened:
                conn.send(payload(number), delivery="drop-newest")
        await server.has_stat("budget", 1)
        for conn in server.opened:
            conn.send(b"end")
        for peer in (one, two):
            got = await read(peer)
            assert got == sorted(set(got))
        assert not server.closed


async def test_no_pong_ends_it() -> None:
    async with Book({"ping_interval": 0.1, "ping_timeout": 0.2}) as server, await server.peer() as peer:
        assert await peer.frame() == (FIN | PING, b"")
        await peer.end()
        ended = await server.ended()
        assert ended.close_code == 1006
        # The socket's end may be seen before the event that says why.
        assert ended.close_reason in ("", "no pong within ping_timeout")
        assert server.stats()["closed_unanswered"] == 1


async def test_a_stalled_one_without_pong_ends() -> None:
    # Its kernel answers the probes of the window that is shut; for how long that may go on is `write_timeout`.
    server = Book({**SMALL, "ping_interval": 0.3, "ping_timeout": 0.3, "write_timeout": 2.0})
    server.room("a", delivery="drop-oldest")
    async with server, await server.peer("/a", rcvbuf=4096):
        for number in range(1000):
            server.publish("a", payload(number))
        assert (await server.ended()).close_code == 1006
        await until(lambda: server.stats()["connections"] == 0)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_pong_keeps_it() -> None:
    server = Book({"ping_interval": 0.2, "ping_timeout": 1.5})
    async with server, server.client("/a", ping_interval=None) as client:
        await server.has_stat("pings", 3)
        server.publish("a", "still")
        assert await take(client, 1) == ["still"]
        # And the other way round: theirs is answered.
        await within(await client.ping(b"hello"))
        assert server.stats()["closed_unanswered"] == 0
        assert not server.closed


async def test_a_message_that_can_never_fit_is_an_error_of_the_caller() -> None:
    async with Book(SMALL) as server, server.client("/a") as client:
        for call in (
            lambda: server.publish("a", bytes(65_536)),
            lambda: server.broadcast(bytes(65_536)),
            lambda: server.opened[0].send(bytes(65_536)),
        ):
            with pytest.raises(ValueError, match="65536"):
                call()
        largest = bytes((64 << 10) - 4 - 256)
        assert server.publish("a", largest) == 1
        assert await take(client, 1) == [largest]
