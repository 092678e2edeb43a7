"""`Server.subscribe` where other nodes publish."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from helpers.nodes import Cluster
from helpers.wait import until, within

import fanwire
from fanwire import Message, Position


async def some(messages: AsyncIterator[Message], count: int) -> list[Message]:
    """The next messages."""
    return [await within(anext(messages)) for _ in range(count)]


async def know_each_other(*nodes: fanwire.Server) -> None:
    """Waits until each node has heard the others."""
    await until(lambda: all(node._running.node.nodes == len(nodes) for node in nodes), "the nodes hear each other")


@pytest.mark.parametrize("room", ["live.x", "log.x"])
async def test_a_room_is_read_wherever_it_is_published(nodes: Cluster, room: str) -> None:
    async with nodes.node() as a, nodes.node() as b, a.subscribe(room) as messages:
        for number in range(50):
            b.publish(room, number)
        assert [(one.data, one.gap) for one in await some(messages, 50)] == [(number, None) for number in range(50)]
        a.publish(room, "here")
        assert [one.data for one in await some(messages, 1)] == ["here"]


@pytest.mark.parametrize("kind", ["live", "log"])
async def test_rooms_that_another_node_begins_are_read_from_their_first_message_on(nodes: Cluster, kind: str) -> None:
    async with nodes.node() as a, nodes.node() as b:
        await know_each_other(a, b)
        b.publish(f"{kind}.other.old", "before")
        async with a.subscribe(f"{kind}.new.*", limit=10_000) as messages:
            await until(lambda: b._running.node._parts.patterns._others, "the other node knows the pattern")
            for number in range(200):
                b.publish(f"{kind}.new.{number % 4}", number)
                b.publish(f"{kind}.other.{number % 4}", number)
                if number % 10 == 0:
                    await asyncio.sleep(0.01)
            found = await some(messages, 200)
            for room in range(4):
                own = [one for one in found if one.room == f"{kind}.new.{room}"]
                assert [one.data for one in own] == list(range(room, 200, 4))
                assert all(one.gap is None for one in own)


async def test_a_burst_into_a_new_room_is_whole(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, a.subscribe("live.*", limit=10_000) as messages:
        await until(lambda: b._running.node._parts.patterns._others, "the other node knows the pattern")
        for number in range(2000):
            b.publish("live.burst", number)
            if number % 100 == 0:
                await asyncio.sleep(0)
        found = await some(messages, 2000)
        assert [one.data for one in found] == list(range(2000))
        assert all(one.gap is None for one in found)
        # After the first seconds the room is heard as any other.
        b.publish("live.burst", "later")
        assert [one.data for one in await some(messages, 1)] == ["later"]


async def test_a_subscriber_that_comes_later_is_told_of_what_there_is(nodes: Cluster) -> None:
    async with nodes.node() as b:
        for number in range(5):
            b.publish("log.x", number)
            b.publish("live.x", number)
        async with nodes.node() as a:
            await know_each_other(a, b)
            async with a.subscribe("*", history=2) as messages:
                assert [(one.room, one.data) for one in await some(messages, 2)] == [("log.x", 3), ("log.x", 4)]
                position = messages.positions["log.x"]
                await until(lambda: a.rooms().get("live.x") is not None, "the other node has told of the live room")
                b.publish("log.x", 5)
                b.publish("live.x", 5)
                found = await some(messages, 2)
                assert sorted((one.room or "", one.data) for one in found) == [("live.x", 5), ("log.x", 5)]
            async with a.subscribe("log.*", since={"log.x": Position(position.epoch, 0)}) as messages:
                found = await some(messages, 6)
                assert [one.data for one in found] == list(range(6))
                assert all(one.gap is None for one in found)


async def test_a_subscription_goes_on_where_another_node_has_stopped(nodes: Cluster) -> None:
    async with nodes.node() as b:
        async with nodes.node() as a, a.subscribe("log.*") as messages:
            await until(lambda: b._running.node._parts.patterns._others, "the other node knows the pattern")
            b.publish("log.x", 1)
            await some(messages, 1)
        for number in range(2, 6):
            await b.publish_acked("log.x", number)
        async with nodes.node() as c, c.subscribe("log.*", since=messages.positions) as messages:
            found = await some(messages, 4)
            assert [(one.data, one.gap) for one in found] == [(number, None) for number in range(2, 6)]


async def test_nothing_is_announced_without_a_pattern(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b:
        async with a.subscribe("live.*"):
            await until(lambda: b._running.node._parts.patterns._others, "the other node knows the pattern")
        await until(lambda: not b._running.node._parts.patterns._others, "it is told that nobody reads it")
        b.publish("live.x", 1)
        assert not b._running.node._parts.patterns._told


async def test_what_a_break_has_cost_is_told_or_read_again(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, a.subscribe("*", limit=10_000) as messages:
        await until(lambda: b._running.node._parts.patterns._others, "the other node knows the pattern")
        for room in ("log.x", "live.x"):
            b.publish(room, 0)
        await some(messages, 2)
        await nodes.take_away()
        for number in range(1, 4):
            b.publish("log.x", number)
            b.publish("live.x", number)
        await nodes.bring_back()
        found = await some(messages, 3)
        logged = [one for one in found if one.room == "log.x"]
        live: list[Message] = [one for one in found if one.room == "live.x"]
        while len(logged) < 3 or not live or live[-1].data < 4:
            # Again and again: what comes before both are back is lost.
            number += 1
            b.publish("live.x", number)
            with contextlib.suppress(asyncio.TimeoutError):
                one = await within(anext(messages), 0.5)
                (logged if one.room == "log.x" else live).append(one)
        assert [(one.data, one.gap) for one in logged] == [(1, None), (2, None), (3, None)]
        # What has left before the break was noticed may still come.
        last = 0
        for one in live:
            assert one.data == last + 1 or (one.data > last and one.gap is not None)
            assert one.gap is None or one.gap.reason == "backplane"
            last = one.data


async def test_a_room_of_a_log_for_which_there_was_no_space_is_read_later(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Empty rooms give way, but each attempt looks for them in a part of the table only.
    for module in ("rooms.pattern_members", "subscribers.subscription"):
        monkeypatch.setattr(f"fanwire.{module}.AGAIN", 0.02)
    async with nodes.node() as a, nodes.node({"max_rooms": 1}) as b, b.subscribe("log.*") as messages:
        await know_each_other(a, b)
        async with fanwire.connect(b.url) as client:
            pattern = await within(client.join_pattern("log.*"))
            async with await b.peer("/other"):
                await until(lambda: b.rooms() == {"other": 1})
                await a.publish_acked("log.a", "first")
                await until(lambda: b._faults.counts["room"] > 1, "both have found no space")
            assert [one.data for one in await some(messages, 1)] == ["first"]
            assert (await within(anext(pattern))).data == "first"
            a.publish("log.a", "second")
            assert [one.data for one in await some(messages, 1)] == ["second"]
            assert (await within(anext(pattern))).data == "second"
