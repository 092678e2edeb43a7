"""Nodes that are cut off, deaf or stopped, and logs that were lost."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire.backplane import Unavailable


async def take(room: fanwire.Room, count: int) -> list[fanwire.Message]:
    return [await within(anext(room)) for _ in range(count)]


async def test_while_the_backplane_is_away(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(a.url) as one, fanwire.connect(b.url) as two:
        live, log = await one.join("live.x"), await one.join("log.x")
        far_live, far_log = await two.join("live.x"), await two.join("log.x")
        for server in (a, b):
            server.publish("live.x", "before")
        await take(live, 2)
        await take(far_live, 2)
        assert a._is_ready()
        gaps: list[fanwire.Gap] = []
        far_live.on_gap(gaps.append)
        await nodes.take_away()
        await until(lambda: not a._is_ready() and not b._is_ready())
        # Members here are served, and publishing does not fail.
        for n in range(3):
            a.publish("live.x", n)
        assert [m.data for m in await take(live, 3)] == [0, 1, 2]
        a.publish("log.x", "waits")
        with pytest.raises(Unavailable):
            await a.publish_acked("fail.x", 1)
        # A room that nobody here was in cannot be joined.
        with pytest.raises(fanwire.RequestFailed, match="unavailable"):
            await within(one.join("log.cold"))
        await nodes.bring_back()
        await until(lambda: a._is_ready() and b._is_ready())
        assert [m.data for m in await take(log, 1)] == ["waits"]
        assert [m.data for m in await take(far_log, 1)] == ["waits"]
        # Nobody wonders where the three are: they are told without another message.
        await until(lambda: gaps, "the gap is told")
        a.publish("live.x", "after")
        message = (await take(far_live, 1))[0]
        assert message.data == "after"
        assert message.gap is not None
        assert message.gap.reason == "backplane"
        assert message.gap.upto - message.gap.after == 3


async def test_a_node_that_was_cut_off_catches_up(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        for n in range(5):
            await a.publish_acked("log.x", n)
        await take(room, 5)
        backplane = b._backplane
        assert backplane is not None
        # As if its subscriptions had been lost: it is connected, and deaf.
        policy = b._policies.of("log.x")
        node = b._running.node
        assert isinstance(node, fanwire.cluster.Cluster)
        backplane.unfollow(node._parts.logs.of(policy), "log.x")
        await asyncio.sleep(0.05)
        for n in range(5, 10):
            await a.publish_acked("log.x", n)
        await backplane.follow(node._parts.logs.of(policy), "log.x")
        await a.publish_acked("log.x", 10)
        messages = await take(room, 6)
        assert [m.data for m in messages] == list(range(5, 11))
        assert not [m.gap for m in messages if m.gap]


@pytest.mark.usefixtures("quick_deaths")
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.logs_errors
async def test_a_deaf_node_finds_out_and_heals(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        node = b._running.node
        assert isinstance(node, fanwire.cluster.Cluster)
        heard, node._events.told = node._events.told, lambda data: None
        stored, node._events.stored = node._events.stored, lambda log, room, message: None
        for n in range(3):
            await a.publish_acked("log.x", n)
        backplane: Any = b._backplane
        reconnect = backplane.reconnect

        async def heal() -> None:
            # What comes by the new connection is heard from its first message on.
            node._events.told, node._events.stored = heard, stored
            await reconnect()

        backplane.reconnect = heal
        await until(lambda: node._events.told is heard, "it notices that it is deaf")
        assert [m.data for m in await take(room, 3)] == [0, 1, 2]
        await until(b._is_ready)


@pytest.mark.parametrize(("nodes", "question"), [("memory", "follow"), ("memory", "read")], indirect=["nodes"])
async def test_a_loss_right_after_the_answer_of_the_backplane(nodes: Cluster, question: str) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        node = b._running.node
        assert isinstance(node, fanwire.cluster.Cluster)
        backplane: Any = b._backplane
        ask, stored = getattr(backplane, question), node._events.stored
        dropped: list[str] = []

        async def ask_and_lose(log: Any, room: str, *rest: Any) -> Any:
            answer = await ask(log, room, *rest)
            if room == "log.x":
                setattr(backplane, question, ask)
                node._events.stored = lambda log, room, message: dropped.append(room)
                await a.publish_acked("log.x", "lost")
                await until(lambda: dropped)
                node._events.stored = stored
                # All of it is read from the connection at once, before the one that has asked goes on.
                node._events.connection_changed(False)
                node._events.connection_changed(True)
            return answer

        if question == "read":
            room = await two.join("log.x")
            setattr(backplane, question, ask_and_lose)
            node._events.lost("log.*", "log.x")
        else:
            setattr(backplane, question, ask_and_lose)
            room = await two.join("log.x")
        assert [m.data for m in await take(room, 1)] == ["lost"]


@pytest.mark.parametrize("nodes", ["nats"], indirect=True)
async def test_a_log_that_was_lost_is_told(nodes: Cluster, tmp_path: Path) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        room = await one.join("log.x")
        await a.publish_acked("log.x", 0)
        await take(room, 1)
        node = a._running.node
        assert isinstance(node, fanwire.cluster.Cluster)
        backplane: Any = a._backplane
        stream = backplane._stream(node._parts.logs.of(a._policies.of("log.x")))
        await backplane._jetstream._ask(f"$JS.API.STREAM.DELETE.{stream}", b"{}")
        assert nodes.nats is not None
        nodes.nats.kill()
        await until(lambda: not a._is_ready())
        await until(a._is_ready)
        for n in range(3):
            await within(a.publish_acked("log.x", f"new {n}"))
        messages = await take(room, 3)
        assert [m.data for m in messages] == ["new 0", "new 1", "new 2"]
        assert messages[0].gap is not None
        assert messages[0].gap.reason == "epoch"


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_no_backplane_no_server(tmp_path: Path) -> None:
    from fanwire.backplane.nats import NATS

    server = Book(backplane=NATS("nats://127.0.0.1:1"))
    with pytest.raises(Unavailable, match="cannot connect to a NATS server"):
        await server.start()
    with contextlib.suppress(fanwire.Closed):
        await server.stop()


async def test_losing_connections_at_one_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        for n in range(30):
            await a.publish_acked("log.x", n)
            if n % 10 == 5:
                b.cut_all()
        assert [m.data for m in await take(room, 30)] == list(range(30))


@pytest.mark.logs_errors
@pytest.mark.parametrize("nodes", ["memory"], indirect=True)
async def test_a_log_that_has_lost_messages_is_told(nodes: Cluster) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        room = await one.join("log.x")
        for n in range(10):
            await a.publish_acked("log.x", n)
        await take(room, 10)
        assert nodes.bus is not None
        nodes.bus.set_up(False)
        await until(lambda: not a._is_ready())
        log = next(log for name, log in nodes.bus.logs.items() if name == "rooms log.*")
        for _ in range(4):
            log.rooms["log.x"].pop()
        log.seq -= 4
        nodes.bus.set_up(True)
        await until(lambda: a._engine.position("log.x")[0] != room.epoch)
        for n in range(3):
            await a.publish_acked("log.x", f"new {n}")
        messages = await take(room, 3)
        assert [m.data for m in messages] == ["new 0", "new 1", "new 2"]
        assert messages[0].gap is not None
        assert messages[0].gap.reason == "epoch"
        # Its history has the numbering that its members are told.
        for pages in (room.history(after=6), one.history("log.x", after=6)):
            assert [m.data for m in await within(pages)] == ["new 0", "new 1", "new 2"]
        assert room.position is not None
        since = room.position._replace(seq=7)
        assert [m.data for m in await a.history("log.x", after=since)] == ["new 1", "new 2"]


async def test_a_node_that_was_stopped_starts_again(nodes: Cluster) -> None:
    async with nodes.node() as a:
        b = nodes.node()
        for n in range(2):
            async with b, fanwire.connect(b.url) as two:
                live, log = await two.join("live.x"), await two.join("log.x")
                a.publish("live.x", n)
                a.publish("log.x", n)
                assert [m.data for m in await take(live, 1) + await take(log, 1)] == [n, n]


@pytest.mark.parametrize("nodes", ["nats"], indirect=True)
async def test_what_comes_too_fast_is_told_or_read_again(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # Hardly more than one message at a time.
    monkeypatch.setattr("fanwire.backplane.nats_client.PENDING", 500)
    rooms = [f"log.{n}" for n in range(10)]
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        live, logs = await two.join("live.x"), [await two.join(room) for room in rooms]
        told: list[Any] = []
        got: list[Any] = []
        live.on_skipped(told.append)

        async def read() -> None:
            async for message in live:
                got.append(message.data)  # noqa: PERF401 - as they come

        reading = asyncio.ensure_future(read())
        for n in range(500):
            a.publish("live.x", n)
        await asyncio.gather(*(a.publish_acked(room, n) for n in range(50) for room in rooms))
        for log in logs:
            messages = await take(log, 50)
            assert [m.data for m in messages] == list(range(50))
            assert not [m.gap for m in messages if m.gap]
        await until(lambda: sum(skip.count for skip in told) + len(got) == 500, "all that did not come is told")
        assert told
        assert got == sorted(got)
        reading.cancel()


async def test_a_client_that_is_ahead_of_its_new_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(a.url) as one, fanwire.connect(b.url) as two:
        here, there = await one.join("log.x"), await two.join("log.x")
        # What is stored does not get to b, for a while.
        node: Any = b._running.node
        stored, node._events.stored = node._events.stored, lambda log, room, message: None
        for n in range(5):
            await a.publish_acked("log.x", n)
        last = (await take(here, 5))[-1]
        async with fanwire.connect(b.url) as three:
            room = await three.join("log.x", since=fanwire.client.Position(here.epoch, last.seq))
            node._events.stored = stored
            await a.publish_acked("log.x", 5)
            message = (await take(room, 1))[0]
            assert (message.data, message.gap) == (5, None)
        assert [m.data for m in await take(there, 6)] == list(range(6))


async def test_what_ends_with_a_node_does_not_reach_its_next_life(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.cluster.subscriptions.LINGER", 0.2)
    async with nodes.node() as a:
        b = nodes.node()
        async with b, fanwire.connect(b.url) as two:
            await two.join("log.x")
            await two.join("live.x")
        async with b, fanwire.connect(b.url) as two:
            live, log = await two.join("live.x"), await two.join("log.x")
            await asyncio.sleep(0.4)
            a.publish("live.x", 1)
            a.publish("log.x", 1)
            assert [m.data for m in await take(live, 1) + await take(log, 1)] == [1, 1]
