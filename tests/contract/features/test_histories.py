"""What rooms keep: before the stream, in pages, and how a reader that has missed messages comes up to date."""

from __future__ import annotations

from typing import Any

from helpers.features.cases import CUT, RENEW, STEADY, over
from helpers.features.stage import Stage

import fanwire


def declare(server: fanwire.Server) -> None:
    server.room("log.*", history=1000)
    # The state of a room is nothing but the number that it has come to.
    server.room("book.*", history=1000, snapshot=lambda room: fanwire.Snapshot(None, server._engine.position(room)[1]))


async def store(stage: Stage, room: str, data: list[Any]) -> None:
    for one in data:
        await stage.publisher.publish_acked(room, one)


@over(links=(STEADY, CUT, RENEW), codecs=("json", "msgpack"))
async def test_the_last_messages_come_first_and_only_once(stage: Stage) -> None:
    name = stage.room("log")
    await store(stage, name, list(range(8)))
    room = await stage.client.join(name, last=3)
    assert await room.get("replayed") == 3
    assert await room.data(3) == [5, 6, 7]
    async with stage.away():
        await store(stage, name, [8, 9])
    await store(stage, name, [10])
    assert await room.data(3) == [8, 9, 10]
    assert [event for event in await room.events() if event.kind == "gap"] == []


@over(links=(STEADY,))
async def test_a_page_of_what_a_room_keeps(stage: Stage) -> None:
    name = stage.room("log")
    await store(stage, name, list(range(8)))
    room = await stage.client.join(name)
    kept = await room.call("history", limit=3)
    assert [message["data"] if isinstance(message, dict) else message.data for message in kept] == [5, 6, 7]


@over(links=(STEADY, RENEW))
async def test_a_repair_is_told(stage: Stage) -> None:
    room = await stage.join("book", repair="replay")
    await store(stage, room.name, [1, 2])
    assert await room.data(2) == [1, 2]
    async with stage.away():
        await store(stage, room.name, [3])
    await store(stage, room.name, [4])
    assert await room.data(2) == [3, 4]
    if stage.case.link == RENEW:
        assert await room.get("repair") == "replay"
