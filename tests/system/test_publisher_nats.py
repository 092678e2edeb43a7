"""`fanwire.Publisher` and `fanwire.AsyncPublisher` over NATS, and with nodes that are killed in the middle."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
import threading
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from helpers.listening import free_port
from helpers.nodes import Cluster, cluster
from helpers.program import Program
from helpers.wait import PROCESS, until, within

import fanwire
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.backplane.nats import NATS
from fanwire.publisher.async_nats_poster import AsyncNatsPoster
from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.http_poster import PostFailed
from fanwire.publisher.nats_poster import NatsPoster
from fanwire.publisher.target import PublishTarget

KEY = "a-key-that-is-long-enough"
ON_ONE_LOOP = pytest.mark.asyncio(loop_factories=["asyncio"])


def url_of(nodes: Cluster) -> str:
    """The address of the NATS server, with its token."""
    assert nodes.nats is not None
    return nodes.nats.url


async def test_a_node_publishes_what_comes_over_nats(tmp_path: Path) -> None:
    async with cluster("nats", tmp_path) as nodes, nodes.node() as a, a.subscribe("*", limit=2000) as messages:
        with fanwire.Publisher(url_of(nodes)) as publisher:
            found = await asyncio.to_thread(publisher.publish, "log.x", {"x": 1}, id="one")
            assert await asyncio.to_thread(publisher.publish, "log.x", {"x": 2}, id="one") == found
            many = await asyncio.to_thread(publisher.publish_many, [("live.x", n) for n in range(1200)])
            assert [one.seq for one in many] == list(range(1, 1201))
            with pytest.raises(fanwire.RequestFailed, match="bad_message"):
                await asyncio.to_thread(publisher.publish, "live.x", 1, "a-key")
        first = await within(anext(messages))
        assert (first.data, messages.positions["log.x"]) == ({"x": 1}, found.position)


async def test_an_async_publisher_shares_one_connection(tmp_path: Path) -> None:
    async with cluster("nats", tmp_path) as nodes, nodes.node() as a:
        async with fanwire.AsyncPublisher(url_of(nodes)) as publisher:
            found = await within(asyncio.gather(*[publisher.publish("live.x", n) for n in range(100)]))
            assert sorted(one.seq for one in found) == list(range(1, 101))
        assert a.stats()["published"] == 100


async def test_what_nats_does_not_carry_is_split_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster("nats", tmp_path) as nodes, nodes.node() as a:
        # As if the server's limit were 2,000 bytes.
        monkeypatch.setattr("fanwire.publisher.nats_connections.HEAD", (8 << 20) - 2000)
        async with fanwire.AsyncPublisher(url_of(nodes), timeout=30) as publisher:
            assert len(await within(publisher.publish_many([("live.x", "x" * 500)] * 5))) == 5
            with pytest.raises(fanwire.RequestFailed, match="larger than the limit of the NATS server"):
                await within(publisher.publish("live.x", "x" * 5000))
        with (
            fanwire.Publisher(url_of(nodes), timeout=30) as blocking,
            pytest.raises(fanwire.RequestFailed, match="larger than the limit of the NATS server"),
        ):
            await within(asyncio.to_thread(blocking.publish, "live.x", "x" * 5000))
        assert a.stats()["published"] == 5


async def test_closing_ends_calls_that_wait_for_a_node(tmp_path: Path) -> None:
    async with cluster("nats", tmp_path) as nodes:
        publisher = fanwire.AsyncPublisher(url_of(nodes), timeout=90)
        call = asyncio.ensure_future(publisher.publish("a", 1))
        poster = publisher._poster
        assert isinstance(poster, AsyncNatsPoster)
        await until(lambda: poster._connection is not None and poster._connection.is_ready, "it is connected")
        await publisher.close()
        # Not only when the attempt ends, which has 10 seconds.
        await asyncio.wait([call], timeout=5)
        assert call.done()
        with pytest.raises(fanwire.Closed):
            await call


class Scripted:
    """A connection that the test answers for. The first request that waits has the number 1, as in each connection."""

    is_ready, node = True, "n"
    made: ClassVar[list[Scripted]] = []

    def __init__(self, target: object) -> None:
        self.made.append(self)
        self._ends = socket.socketpair()
        self.requests = 0
        self._events: list[dict[int, PublishAnswer] | PostFailed] = []

    def fileno(self) -> int:
        return self._ends[0].fileno()

    def publish(self, body: bytes) -> int:
        self.requests += 1
        return self.requests

    def comes(self, event: dict[int, PublishAnswer] | PostFailed) -> None:
        self._events.append(event)
        self._ends[1].send(b"x")

    def take(self) -> dict[int, PublishAnswer]:
        self._ends[0].recv(1)
        event = self._events.pop(0)
        if isinstance(event, PostFailed):
            raise event
        return event

    def close(self) -> None:
        for end in self._ends:
            end.close()


async def test_requests_of_a_connection_that_has_ended_are_not_those_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fanwire.publisher.async_nats_poster.NatsPublisherConnection", Scripted)
    monkeypatch.setattr(Scripted, "made", [])
    poster = AsyncNatsPoster(PublishTarget.of("nats://127.0.0.1:4222", None, None, 10.0, 10, "fanwire"))
    old = asyncio.ensure_future(poster.post(b"[]", 60))
    await until(lambda: Scripted.made and Scripted.made[0].requests == 1, "it has asked")
    Scripted.made[0].comes(PostFailed("the connection to NATS has ended"))
    with pytest.raises(PostFailed):
        await within(old)
    new = asyncio.ensure_future(poster.post(b"[]", 60))
    await until(lambda: len(Scripted.made) == 2 and Scripted.made[1].requests == 1, "it has asked")
    Scripted.made[1].comes({1: PublishAnswer(200, b"{}")})
    assert (await within(new)).body == b"{}"
    await poster.close()
    Scripted.made[0].close()


async def test_an_idle_connection_that_has_ended_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        is_ready, is_over, node = True, False, "n"

        def __init__(self, target: object) -> None:
            made.append(self)

        def fileno(self) -> int:
            return 0

        def publish(self, body: bytes) -> int:
            raise PostFailed("not connected to NATS")

        def take(self) -> dict[int, PublishAnswer]:
            self.is_over = True
            raise PostFailed("the connection to NATS has ended")

    made: list[Ended] = []
    monkeypatch.setattr("fanwire.publisher.nats_poster.NatsPublisherConnection", Ended)
    poster = NatsPoster(PublishTarget.of("nats://127.0.0.1:4222", None, None, 10.0, 1, "fanwire"))
    for count in (1, 2):
        with pytest.raises(PostFailed):
            poster.post(b"[]", 1.0)
        assert len(made) == count


async def test_another_node_takes_over(tmp_path: Path) -> None:
    async with cluster("nats", tmp_path) as nodes, nodes.node() as a:
        async with fanwire.AsyncPublisher(url_of(nodes), timeout=30) as publisher:
            async with nodes.node():
                await until(lambda: a._running.node.nodes == 2, "the nodes hear each other")
                await publisher.publish("log.x", 0)
            # Whichever node it was: this one is left.
            for number in range(1, 4):
                await within(publisher.publish("log.x", number), PROCESS)
        assert [one.data for one in await a.history("log.x")] == [0, 1, 2, 3]


async def test_without_a_node_it_is_told(tmp_path: Path) -> None:
    async with cluster("nats", tmp_path) as nodes:
        said: list[str] = []

        async def is_told() -> bool:
            with pytest.raises(fanwire.Unavailable) as raised:
                await asyncio.to_thread(publisher.publish, "a", 1)
            said.append(str(raised.value))
            return "no node of Fanwire answers over NATS" in said[-1]

        with fanwire.Publisher(url_of(nodes), timeout=0.7) as publisher:
            # It may take longer than that until there is a connection.
            while not await is_told():
                assert "not connected to NATS" in said[-1]
                assert len(said) < 20
        url = url_of(nodes)
    async with fanwire.AsyncPublisher(url, timeout=0.5) as other:
        with pytest.raises(fanwire.Unavailable, match="not connected to NATS"):
            await other.publish("a", 1)


@ON_ONE_LOOP
async def test_forks_and_threads_publish_over_nats(tmp_path: Path) -> None:
    async with cluster("nats", tmp_path) as nodes, nodes.node() as a:
        publisher = fanwire.Publisher(url_of(nodes))
        await asyncio.to_thread(publisher.publish, "log.x", "before")

        def work(number: int) -> None:
            publisher.publish("log.x", number)

        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(number,)) for number in range(2)]
        for child in children:
            child.start()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(2, 6)]
        for thread in threads:
            thread.start()
        for one in (*children, *threads):
            await asyncio.to_thread(one.join, PROCESS)
        assert [child.exitcode for child in children] == [0, 0]
        publisher.close()
        assert Counter(str(one.data) for one in await a.history("log.x")) == Counter(
            ["before", "0", "1", "2", "3", "4", "5"]
        )


@ON_ONE_LOOP
@pytest.mark.parametrize("way", ["http", "nats"])
async def test_each_id_is_stored_once_although_the_server_is_killed(tmp_path: Path, way: str) -> None:
    nats = EmbeddedServer(tmp_path / "store")
    await nats.start()
    config = tmp_path / "quick.toml"
    config.write_text('[[rooms]]\npattern = "log.*"\nhistory = 2000\n')
    options = ["serve", "--config", str(config), "--nats", nats.url, "--insecure", "--api-key", KEY]
    # The second program listens where the first one did.
    port = str(free_port())
    is_killed = threading.Event()
    try:
        with Program(*options, "--port", port) as first:
            url = await asyncio.to_thread(first.url)
            target = url if way == "http" else nats.url
            publisher = fanwire.Publisher(target, key=KEY if way == "http" else None, timeout=60)
            found: list[fanwire.Published] = []

            def publish() -> None:
                for number in range(300):
                    # However late the signal is, it comes between two of them.
                    assert number < 200 or is_killed.wait(PROCESS)
                    found.append(publisher.publish("log.x", number, id=f"id-{number}"))

            work = asyncio.ensure_future(asyncio.to_thread(publish))
            await until(lambda: len(found) >= 50, "some were published")
            first.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(first.process.wait, PROCESS)
            assert len(found) <= 200
            is_killed.set()
        with Program(*options, "--port", port) as second:
            await asyncio.to_thread(second.url)
            await within(work, 2 * PROCESS)
            await asyncio.to_thread(publisher.close)
            assert [one.id for one in found] == [f"id-{n}" for n in range(300)]
            async with reader(nats.url) as server:
                kept = await server.history("log.x", limit=1000)
            assert [one.data for one in kept] == list(range(300))
            assert [one.seq for one in kept] == [one.seq for one in found]
    finally:
        is_killed.set()
        await nats.stop()


def reader(url: str) -> fanwire.Server:
    """A node that reads the log."""
    server = fanwire.Server(port=0, insecure=True, backplane=NATS(url))
    server.room("log.*", history=2000)
    return server
