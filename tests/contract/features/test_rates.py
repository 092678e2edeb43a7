"""How often and how much a reader gets of a room: `max_rate` and `max_bytes`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.features.cases import CUT, RENEW, STEADY, over
from helpers.features.ports import RoomPort
from helpers.features.stage import Stage

import fanwire


def declare(server: fanwire.Server) -> None:
    server.room("quotes.*", delivery="latest")
    server.room("log.*")


async def rates(room: RoomPort) -> tuple[Any, Any]:
    """What holds, as the client knows it."""
    return await room.get("max_rate"), await room.get("max_bytes")


async def publish(stage: Stage, first: int, last: int) -> None:
    """Publishes these values of one key, and lets the servers work between."""
    for n in range(first, last + 1):
        stage.publish("quotes", n, key="eur")
        await asyncio.sleep(0.001)


@over(links=(STEADY, CUT, RENEW), codecs=("json", "msgpack"))
async def test_a_reader_gets_fewer_values_and_the_newest_and_no_gap(stage: Stage) -> None:
    room = await stage.join("quotes", max_rate=5)
    assert await rates(room) == (5, None)
    await publish(stage, 1, 50)
    async with stage.away():
        await publish(stage, 51, 60)
    await publish(stage, 61, 120)
    got = await room.until(lambda message: message.data == 120)
    values = [message.data for message in got]
    assert values == sorted(set(values))
    # A loaded machine takes longer to publish; with one value in 200 ms it still leaves most of them out.
    assert len(values) < 100
    assert await rates(room) == (5, None)
    gaps = [message.gap.reason for message in got if message.gap is not None]
    assert gaps == [] or stage.case.link == RENEW
    assert [event for event in await room.events() if event.kind == "skipped" and event.reason == "rate"] == []


@over(links=(STEADY, CUT, RENEW))
async def test_rates_are_changed_live_and_hold_in_a_new_session(stage: Stage) -> None:
    room = await stage.join("quotes")
    assert await rates(room) == (None, None)
    await room.call("configure", max_rate=0.01)
    assert await rates(room) == (0.01, None)
    await room.call("configure", max_bytes=1_000_000)
    assert await rates(room) == (0.01, 1_000_000)
    async with stage.away():
        pass
    # This comes when the next session has the room, too: as a newest value.
    stage.publish("quotes", "mark", key="mark")
    await room.until(lambda message: message.data == "mark")
    assert await rates(room) == (0.01, 1_000_000)
    for n in (1, 2, 3):
        stage.publish("quotes", n, key="eur")
    await room.until(lambda message: message.data == 1)
    await room.call("configure", max_rate=None)
    # What has waited comes at once, and then every value.
    await room.until(lambda message: message.data == 3)
    stage.publish("quotes", 4, key="usd")
    stage.publish("quotes", 5, key="chf")
    assert sorted(await room.data(2)) == [4, 5]


@over()
async def test_bytes_a_second_hold_and_what_waits_is_replaced(stage: Stage) -> None:
    for n in range(10):
        stage.publish("quotes", [n, "x" * 1000], key=f"key {n}")
    # Each value is larger than what may leave in a second, and leaves all the same. What a reader gets on joining comes
    # at once.
    room = await stage.join("quotes", max_bytes=2_000)
    assert sorted(message.data[0] for message in await room.take(10)) == list(range(10))
    async with stage.away():
        pass
    for n in range(10, 60):
        stage.publish("quotes", [n, "x" * 1000], key="key 1")
    got = await room.until(lambda message: message.data[0] == 59)
    assert len([message for message in got if message.data[0] >= 10]) < 20


@over(links=(STEADY,))
async def test_a_room_that_leaves_nothing_out_refuses_rates(stage: Stage) -> None:
    with pytest.raises(fanwire.RequestFailed, match="max_rate needs a room of a class") as refused:
        await stage.join("log", max_rate=4)
    assert (refused.value.code, refused.value.path) == ("invalid_payload", "$.max_rate")
    room = await stage.join("log")
    with pytest.raises(fanwire.RequestFailed, match="max_bytes needs a room of a class"):
        await room.call("configure", max_bytes=4)
    stage.publish("log", "still there")
    assert await room.data(1) == ["still there"]
    await room.leave()


@over(links=(STEADY,))
async def test_a_room_is_joined_with_one_set_of_rates(stage: Stage) -> None:
    await stage.join("quotes", max_rate=4)
    await stage.join("quotes", max_rate=4)
    await stage.join("quotes")
    with pytest.raises(ValueError, match="joined with other"):
        await stage.join("quotes", max_rate=5)
