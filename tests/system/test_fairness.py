"""Fair delivery over real sockets: who is first, priorities, the spread, and threads that spin."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.serving import Book, take
from helpers.wait import DEADLINE, until
from helpers.wire import Peer

import fanwire

LINUX = sys.platform == "linux"
SMALL = {"connection_bytes": 8 << 20, "unsent_bytes": 4096}


def sockets_of(peers: list[Peer]) -> dict[int, int]:
    """The descriptors of peers, with their places."""
    found = {}
    for place, peer in enumerate(peers):
        sock: socket.socket = peer.writer.get_extra_info("socket")
        found[sock.fileno()] = place
    return found


def has_delivered(server: Book, count: int) -> None:
    """Waits for the engine to have written so many messages, without the loop, which would read them."""
    ends = time.monotonic() + DEADLINE
    while server.stats()["delivered"] < count:
        assert time.monotonic() < ends
        time.sleep(0.001)


def spread_of(server: Book, pattern: str) -> int:
    """How many messages of a rule were measured."""
    return sum(count for _, count in server.stats()["rules"][pattern]["spread_us"])


@pytest.mark.skipif(not LINUX, reason="epoll tells which socket was written to first")
async def test_each_member_is_first_in_its_turn() -> None:
    count, rounds = 4, 10
    async with Book({"shards": 1}) as server:
        peers = [await server.peer("/a") for _ in range(count)]
        try:
            places = sockets_of(peers)
            firsts: Counter[int] = Counter()
            delivered = server.stats()["delivered"]
            for _ in range(count * rounds):
                with select.epoll() as poll:
                    for descriptor in places:
                        poll.register(descriptor, select.EPOLLIN | select.EPOLLET)
                    poll.poll(0)
                    server.publish("a", "x")
                    delivered += count
                    has_delivered(server, delivered)
                    # The list of ready descriptors is in the order in which they became ready.
                    firsts[places[poll.poll(1)[0][0]]] += 1
                for peer in peers:
                    assert await peer.message() == b"x"
            # The order of the list is not promised, so this is less than the engine's tests require.
            assert all(firsts[place] >= rounds // 2 for place in range(count)), firsts
        finally:
            for peer in peers:
                peer.close()


@pytest.mark.parametrize("delivery", ["reliable", "drop-oldest"])
async def test_high_goes_ahead_of_what_waits_and_low_still_comes(delivery: str) -> None:
    server = Book(SMALL)
    server.room("news.*", priority="low", delivery=delivery)
    server.room("orders.*", priority="high", delivery=delivery)
    async with server, await server.peer("/news.a,orders.a", rcvbuf=4096) as slow:
        slow.stall()
        # Far more than the kernel takes for a reader that stalls.
        published = 3000
        for number in range(published):
            server.publish("news.a", b"low %06d" % number + bytes(1000))
        for number in range(10):
            server.publish("orders.a", b"high %06d" % number)
        server.publish("news.a", b"end")
        slow.resume()
        got = []
        while (message := await slow.message()) != b"end":
            got.append(message[:11].rstrip(b"\0").split())
        high = [place for place, (kind, _) in enumerate(got) if kind == b"high"]
        assert [int(number) for kind, number in got if kind == b"high"] == list(range(10))
        assert [int(number) for kind, number in got if kind == b"low"] == list(range(published))
        assert high[-1] < len(got) - 1, "low messages that waited came after all high ones"


async def test_the_spread_of_a_rule_is_measured_and_told() -> None:
    server = Book()
    server.room("quotes.*")
    server.room("alone.*")
    async with server, server.client("/quotes.a,alone.a") as one, server.client("/quotes.a") as other:
        server.publish("quotes.a", "x")
        server.publish("alone.a", "y")
        assert await take(one, 2) == ["x", "y"]
        assert await take(other, 1) == ["x"]
        await until(lambda: spread_of(server, "quotes.*") == 1, "the spread is measured")
        assert spread_of(server, "alone.*") == 0
        found = server.metrics.get_sample_value("fanwire_delivery_spread_seconds_count", {"pattern": "quotes.*"})
        assert found == 1


def shard_threads() -> Iterator[str]:
    """On which processors the writing threads of this process may run."""
    for task in Path("/proc/self/task").iterdir():
        # A thread of another test may be ending.
        with contextlib.suppress(OSError):
            lines = (task / "status").read_text().splitlines()
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            if status["Name"] == "fanwire-0":
                yield status["Cpus_allowed_list"]


@pytest.mark.skipif(not LINUX, reason="only Linux lets a thread choose its processor")
async def test_a_thread_that_spins_on_its_processor_delivers_as_any_other() -> None:
    core = max(os.sched_getaffinity(0))
    # Long enough to spin between two messages, and short enough to sleep in between.
    async with Book({"shard_spin": 0.005, "shard_cores": str(core)}) as server:
        await until(lambda: str(core) in list(shard_threads()), "the thread is on its processor")
        async with server.client("/a") as one, server.client("/a") as other:
            for number in range(200):
                server.publish("a", f"{number}")
                if number % 50 == 0:
                    assert await take(one, 1) == [f"{number}"]
                    await one.send("hello")
                else:
                    assert await take(one, 1) == [f"{number}"]
            assert await take(other, 200) == [f"{number}" for number in range(200)]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"shard_cores": "8191"}, "Config.shard_cores names processors that this process may not use: 8191"),
    ],
)
async def test_processors_that_are_not_there_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        await Book(settings).start()


async def test_a_server_warns_that_spinning_threads_leave_no_processor(caplog: pytest.LogCaptureFixture) -> None:
    shards = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    async with Book({"shard_spin": 0.00001, "shards": shards}) as server:
        assert server.port
    assert "lower limits.shards, or set limits.shard_spin = 0" in caplog.text


def test_a_priority_that_does_not_exist_is_refused() -> None:
    server = fanwire.Server(insecure=True)
    with pytest.raises(TypeError, match="priority must be a str, got None"):
        server.room("a", priority=None)  # type: ignore[arg-type]  # a wrong type on purpose
    with pytest.raises(ValueError, match="priority must be high, normal or low, got 'urgent'"):
        server.room("a", priority="urgent")
