"""Priorities of rooms: what waits together comes in the order of priority."""

from __future__ import annotations

import asyncio

from helpers.features.cases import CUT, over
from helpers.features.ports import RoomPort
from helpers.features.stage import Stage

import fanwire


def declare(server: fanwire.Server) -> None:
    server.room("high.*", priority="high")
    server.room("normal.*")
    server.room("low.*", priority="low")
    server.room("quick.*", priority="high", delivery="latest")
    server.room("slow.*", priority="low", delivery="drop-oldest")


KINDS = ("low", "slow", "normal", "quick", "high")


# Only while the client has no link it is certain that messages wait together. A link of polls has no such moment that
# the server knows of: a poll may be waiting, and takes the first message. In TypeScript each room gives way to the page
# now and then, so what the rooms hand out is not in the order in which it has come.
@over(clients=("python",), links=(CUT,), transports=("websocket", "sse"), codecs=("json", "msgpack"))
async def test_high_comes_before_low_when_both_wait(stage: Stage) -> None:
    rooms = [await stage.join(kind) for kind in KINDS]
    order: list[str] = []

    async def note(kind: str, room: RoomPort) -> None:
        assert (await room.one()).data == kind
        order.append(kind)

    waiting = [asyncio.create_task(note(kind, room)) for kind, room in zip(KINDS, rooms, strict=True)]
    await asyncio.sleep(0)
    async with stage.away():
        for kind in KINDS:
            stage.publish(kind, kind)
        # From another node the messages of different rooms come in any order.
        await stage.until_waiting(len(KINDS))
    await asyncio.gather(*waiting)
    assert order == ["high", "quick", "normal", "low", "slow"]


@over()
async def test_messages_of_one_room_keep_their_order_whatever_its_priority(stage: Stage) -> None:
    rooms = {kind: await stage.join(kind) for kind in ("low", "normal", "high")}
    async with stage.away():
        for n in range(50):
            for kind in rooms:
                stage.publish(kind, n)
    for n in range(50, 60):
        for kind in rooms:
            stage.publish(kind, n)
    for room in rooms.values():
        assert await room.data(60) == list(range(60))
