"""Rooms with a tick and the application's loops, on real servers: declared, running, on two nodes, and at the end."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire


@pytest.mark.logs_errors
async def test_what_a_loop_publishes_leaves_behind_it_and_an_error_does_not_stop_it() -> None:
    server = Book()
    server.room("zone", delivery="latest", tick=50)
    ticks: list[fanwire.Tick] = []

    @server.tick(50)
    async def step(tick: fanwire.Tick) -> None:
        ticks.append(tick)
        await asyncio.sleep(0)
        for n in range(3):
            assert server.publish("zone", [tick.number, n], key="k") is None
        if tick.number % 2:
            raise ZeroDivisionError

    async with server, fanwire.connect(server.url) as client:
        room = await client.join("zone")
        messages = [await within(anext(room)) for _ in range(5)]
        # A message is counted when all of its edge have left.
        await until(lambda: server.stats()["ticks"][50]["messages"] >= 5)
        stats = server.stats()["ticks"][50]
        await until(lambda: ticks[-1].number > messages[-1].data[0])
    # After a call that took longer than two intervals, edges are missed. What had waited has left during it.
    in_time = {tick.number for tick, following in pairwise(ticks) if not following.missed}
    assert all(message.data[1] == 2 for message in messages if message.data[0] in in_time), (
        "only the newest of each call"
    )
    # A value may be replaced once more while it waits for the client.
    seqs = [message.seq or 0 for message in messages]
    assert seqs == sorted({*seqs})
    assert [tick.number for tick in ticks] == sorted({tick.number for tick in ticks})
    assert all(round(tick.dt * 50) == tick.missed + 1 for tick in ticks)
    assert stats["edges"] >= 5
    count = len(ticks)
    await asyncio.sleep(0)
    assert len(ticks) == count, "no call after the stop"


async def test_publish_acked_and_ids_wait_for_the_edge() -> None:
    server = Book()
    server.room("zone", delivery="latest", tick=20)
    async with server:
        first, second = await within(
            asyncio.gather(*[server.publish_acked("zone", n, key="k", id="x") for n in range(2)])
        )
        assert first == second
        assert await within(server.publish_acked("zone", 3, key="k", id="x")) == first
        assert (await within(server.publish_acked("zone", 4, key="k"))) == first + 1


async def test_each_node_has_its_own_edges(nodes: Cluster) -> None:
    one, two = nodes.node(), nodes.node()
    for node in (one, two):
        node.room("tick.*", delivery="latest", tick=50)
    async with one as a, two as b, fanwire.connect(b.url) as client:
        room = await client.join("tick.1")
        newest: dict[Any, Any] = {}
        for n in range(100):
            a.publish("tick.1", n, key=f"k{n % 3}")
        seqs = []
        while newest != {"k0": 99, "k1": 97, "k2": 98}:
            message = await within(anext(room))
            newest[message.key] = message.data
            seqs.append(message.seq)
        assert len({*seqs}) == len(seqs)
        assert a.forget("tick.1", "k0")
        await until(lambda: len(b._engine.values("tick.1")) == 2)


async def test_what_cannot_be_combined_is_refused(nodes: Cluster) -> None:
    server = fanwire.Server(insecure=True)
    with pytest.raises(ValueError, match="a room with a tick cannot have a snapshot"):
        server.room("a", history=10, tick=30, snapshot=lambda room: fanwire.Snapshot(1, 1))
    with pytest.raises(ValueError, match="tick must be at most 1000, got 1001"):
        server.room("a", tick=1001)
    with pytest.raises(ValueError, match="rate must be at least 1, got 0"):
        server.tick(0)
    with pytest.raises(ValueError, match="max_waiting must be at least 1"):
        server.inputs("a", max_waiting=0)
    node = nodes.node()
    with pytest.raises(ValueError, match="have a tick, and a history that the backplane stores"):
        node.room("stored", history=10, tick=30)


async def test_loops_and_inputs_are_declared_before_the_start() -> None:
    async with Book() as server:
        with pytest.raises(RuntimeError, match="before the server starts"):
            server.tick(30)(print)
        with pytest.raises(RuntimeError, match="before the server starts"):
            server.inputs("zone")


@pytest.mark.parametrize("rate", [50, 100])
async def test_a_room_whose_inputs_were_taken_waits_for_a_late_function_and_leaves_behind_the_echo(rate: int) -> None:
    server = Book()
    server.room("arena", delivery="latest", tick=rate)
    server.room("clock", delivery="latest", tick=rate)
    inputs = server.inputs("arena")
    may_end = asyncio.Event()

    @server.tick(50)
    async def step(tick: fanwire.Tick) -> None:
        taken = inputs.take("arena")
        if taken:
            server.publish("arena", taken[-1].number, key="state")
            server.publish("clock", tick.number, key="tick")
            await may_end.wait()

    async with server, await Talk.open(server) as talk:
        for room in ("arena", "clock"):
            await talk.ask("join", room=room)
        await talk.say("input", id=None, room="arena", payload={"number": 1, "data": 0})
        # The function is late: a room without inputs leaves without it.
        assert (await talk.hear("message"))["room"] == "clock"
        # So it does at later edges.
        await within(server.publish_acked("clock", "next", key="tick"))
        assert (await talk.hear("message"))["payload"] == "next"
        may_end.set()
        echo = await talk.hear("inputs")
        assert (echo["seq"], echo["payload"]) == (1, {"number": 1})
        message = await talk.hear("message")
        assert (message["room"], message["seq"], message["payload"]) == ("arena", 1, 1)


async def test_the_end_of_another_loop_tells_nothing_of_what_a_slower_one_has_taken() -> None:
    server = Book()
    server.room("arena", delivery="latest", tick=50)
    inputs = server.inputs("arena")
    taken, ended, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @server.tick(50)
    async def step(tick: fanwire.Tick) -> None:
        await asyncio.sleep(0)
        found = inputs.take("arena")
        if found:
            taken.set()
            await may_end.wait()
            server.publish("arena", found[-1].number, key="state")

    @server.tick(100)
    async def other(tick: fanwire.Tick) -> None:
        await asyncio.sleep(0)
        if taken.is_set():
            ended.set()

    async with server, await Talk.open(server) as talk:
        await talk.ask("join", room="arena")
        await talk.say("input", id=None, room="arena", payload={"number": 1, "data": 0})
        await within(taken.wait())
        ended.clear()
        # Two whole calls: the end of the first is behind.
        for _ in range(2):
            await within(ended.wait())
            ended.clear()
        may_end.set()
        echo = await talk.hear("inputs")
        message = await talk.hear("message")
        assert (echo["seq"], echo["payload"]) == (message["seq"], {"number": message["payload"]})


async def test_a_stop_with_something_waiting_ends_and_tells_who_waits() -> None:
    server = Book()
    server.room("zone", delivery="latest", tick=1)
    async with server:
        waiting = asyncio.ensure_future(server.publish_acked("zone", 1, key="k"))
        await asyncio.sleep(0)
    # It has left with its edge, or the server has stopped before.
    outcome = (await within(asyncio.gather(waiting, return_exceptions=True)))[0]
    assert outcome == 1 or isinstance(outcome, fanwire.Closed)
