"""The newest values of rooms, on several nodes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.nodes import Cluster
from helpers.wait import until, within

import fanwire


async def take(room: fanwire.Room, count: int) -> list[fanwire.Message]:
    return [await within(anext(room)) for _ in range(count)]


async def test_the_newest_values_are_there_for_whoever_comes_first_at_a_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b:
        for n in range(3):
            a.publish("values.x", n, key=f"k{n % 2}")
        a.publish("values.x", b"bytes", key="bin")
        # Nobody is in the room anywhere; its values are where they were published.
        async with fanwire.connect(b.url) as two:
            messages = await take(await two.join("values.x"), 3)
            assert {m.key: m.data for m in messages} == {"k0": 2, "k1": 1, "bin": b"bytes"}
            a.publish("values.x", 7, key="k1")
            b.publish("values.x", 8, key="k2")
        async with nodes.node() as c, fanwire.connect(c.url) as three:
            room = await three.join("values.x")
            values: dict[str | None, Any] = {}
            async for message in room:
                values[message.key] = message.data
                if values == {"k0": 2, "k1": 7, "bin": b"bytes", "k2": 8}:
                    break


async def test_values_from_before_a_room_was_left_are_not_the_newest(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.cluster.subscriptions.LINGER", 0.05)
    async with nodes.node() as a, nodes.node() as b:
        for value in ("old", "new"):
            a.publish("values.x", value, key="k")
            a.publish("values.x", "same", key="same")
            async with fanwire.connect(b.url) as two:
                room = await two.join("values.x")
                messages = await take(room, 2)
                assert {m.key: m.data for m in messages} == {"k": value, "same": "same"}
                await room.leave()
                await until(lambda: "values.x" not in b._running.node._parts.subscriptions.rooms)


async def test_values_that_changed_while_the_backplane_was_away(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        a.publish("values.x", 1, key="k")
        room = await two.join("values.x")
        assert [m.data for m in await take(room, 1)] == [1]
        await nodes.take_away()
        await until(lambda: not (a._is_ready() or b._is_ready()))
        # Values are dated in milliseconds: of two in the same one, the newer is not known.
        await asyncio.sleep(0.002)
        a.publish("values.x", 2, key="k")
        await nodes.bring_back()
        assert [m.data for m in await take(room, 1)] == [2]


async def test_many_values_come_in_portions(nodes: Cluster) -> None:
    # On a busy machine all of it may wait at the server for a moment.
    roomy = {"connection_bytes": 8 << 20}
    async with nodes.node() as a, nodes.node(roomy) as b, fanwire.connect(b.url) as two:
        for n in range(3000):
            a.publish("values.x", [n, "x" * 200], key=f"k{n}")
        messages = await take(await two.join("values.x"), 3000)
        assert sorted(m.data[0] for m in messages) == list(range(3000))


async def test_values_of_a_room_with_history_are_there_for_the_first_at_a_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        for server in (a, b):
            server.room("values.*", delivery="latest", history=100)
        for n in range(60):
            await a.publish_acked("values.x", n, key=f"k{n % 3}")
        room = await two.join("values.x")
        assert sorted([(m.key, m.data) for m in await take(room, 3)]) == [("k0", 57), ("k1", 58), ("k2", 59)]
        a.publish("values.x", 60, key="k0")
        assert [m.data for m in await take(room, 1)] == [60]


async def test_one_key_too_many_is_told_and_does_not_stop_the_room(nodes: Cluster) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        a.room("few.*", delivery="latest", history=100, max_keys=2)
        room = await one.join("few.x")
        told: list[Any] = []
        room.on_skipped(told.append)
        for key in ("a", "b", "c", "a"):
            last = await a.publish_acked("few.x", key, key=key)
        await until(lambda: told)
        # A newer value may take the place of one that waits.
        while (await take(room, 1))[0].seq != last:
            pass
        assert sum(skip.count for skip in told if skip.reason == "backplane") == 1
