"""What clients could always do: values, histories, presence, publishing, requests, batches."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.features.cases import CUT, RENEW, STEADY, over
from helpers.features.ports import eventually
from helpers.features.stage import Stage

import fanwire


def declare(server: fanwire.Server) -> None:
    server.room("values.*", delivery="latest", publish=True)
    server.room("log.*", history=1000, publish=True)
    server.room("live.*", publish=True)
    server.room("lobby.*", presence=True)
    server.room("closed.*", join=False)

    @server.on("double")
    def double(conn: fanwire.Connection, payload: Any) -> Any:
        return payload * 2

    @server.on("refuse")
    def refuse(conn: fanwire.Connection, payload: Any) -> Any:
        raise fanwire.Reject("sold_out", "none is left", data={"left": 0})


@over(links=(STEADY, CUT, RENEW))
async def test_the_newest_value_of_each_key_comes(stage: Stage) -> None:
    stage.publish("values", 1, key="eur")
    room = await stage.join("values")
    first = await room.one()
    assert (first.key, first.data) == ("eur", 1)
    async with stage.away():
        for n in range(2, 6):
            stage.publish("values", n, key="eur")
            stage.publish("values", -n, key="usd")
    newest: dict[str, Any] = {}
    while newest != {"eur": 5, "usd": -5}:
        message = await room.one()
        newest[message.key] = message.data


@over(links=(STEADY, CUT, RENEW), codecs=("json", "msgpack"))
async def test_no_message_is_lost_or_comes_twice(stage: Stage) -> None:
    room = await stage.join("log")
    for n in range(5):
        await stage.publisher.publish_acked(room.name, {"n": n})
    assert await room.data(5) == [{"n": n} for n in range(5)]
    async with stage.away():
        for n in range(5, 10):
            await stage.publisher.publish_acked(room.name, {"n": n})
    for n in range(10, 15):
        await stage.publisher.publish_acked(room.name, {"n": n})
    assert await room.data(10) == [{"n": n} for n in range(5, 15)]
    assert [event for event in await room.events() if event.kind == "gap"] == []


@over(links=(STEADY,))
async def test_a_history_is_read_from_a_position_on(stage: Stage) -> None:
    room = await stage.join("log")
    for n in range(5):
        await stage.publisher.publish_acked(room.name, n)
    assert await room.data(2) == [0, 1]
    since = await room.position()
    await room.leave()
    again = await stage.join("log", since=since)
    assert await again.data(3) == [2, 3, 4]


@over()
async def test_members_come_and_go(stage: Stage) -> None:
    name = stage.room("lobby")
    room = await stage.client.join(name)
    assert await stage.client.call("count", name) == 1
    other = await stage.connect()
    async with stage.away():
        await other.join(name)
    stage.publish("lobby", "mark")
    assert await room.data(1) == ["mark"]
    await eventually(lambda: stage.client.call("count", name), lambda count: count == 2)
    listed = await stage.client.call("presence", name)
    joined = [event for event in await room.events() if event.kind == "member" and event.is_here]
    assert len(listed) == 2
    assert {event.id for event in joined} <= listed.keys()


@over()
async def test_what_a_client_publishes_is_acknowledged_and_comes_to_the_others(stage: Stage) -> None:
    other = await (await stage.connect()).join(stage.room("log"))
    seqs = [await stage.client.publish(other.name, {"n": 0})]
    async with stage.away():
        pass
    seqs += [await stage.client.publish(other.name, {"n": n}) for n in range(1, 3)]
    taken = await other.take(3)
    assert [message.seq for message in taken] == seqs
    assert [message.data for message in taken] == [{"n": n} for n in range(3)]


@over()
async def test_requests_are_answered(stage: Stage) -> None:
    assert await stage.client.request("double", [1, "é"]) == [1, "é", 1, "é"]
    async with stage.away():
        pass
    assert await stage.client.request("double", 4) == 8
    with pytest.raises(fanwire.RequestFailed, match="none is left") as refused:
        await stage.client.request("refuse")
    assert (refused.value.code, refused.value.data) == ("sold_out", {"left": 0})
    with pytest.raises(fanwire.RequestFailed) as forbidden:
        await stage.join("closed")
    assert forbidden.value.code == "forbidden"


@over()
async def test_bytes_and_texts_are_the_same(stage: Stage) -> None:
    room = await stage.join("live")
    values = [b"\x00\xff", "two\nlines", {"a": [None, True, 1.5]}]
    async with stage.away():
        for value in values:
            stage.publish("live", value)
    assert await room.data(3) == values


@over()
async def test_a_burst_comes_in_order(stage: Stage) -> None:
    room = await stage.join("live")
    async with stage.away():
        for n in range(200):
            stage.publish("live", n)
    assert await room.data(200) == list(range(200))
