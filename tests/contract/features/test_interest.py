"""Messages for some of the members: by attributes that the application gives, and by filters that clients choose."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.features.cases import CUT, RENEW, STEADY, over
from helpers.features.ports import RoomPort
from helpers.features.stage import Stage

import fanwire

OPTIONS = {"config": {"history_bytes": 1 << 20}}
EURO = {"symbol": {"in": ["EURUSD", "EURGBP"]}}


def declare(server: fanwire.Server) -> None:
    def place(conn: fanwire.Connection, room: str) -> bool:
        # Before the join, so that they hold for the messages of the history, too.
        conn.set_attributes(room, team="red", cell=1)
        return True

    server.room("zone.*", interest=True, join=place)
    server.room("log.*", interest=True, history=1000, join=place)
    server.room("quotes.*", interest=True, delivery="latest")
    server.room("trades.*", interest=True, history=1000)
    server.room("plain.*")

    @server.on("move")
    def move(conn: fanwire.Connection, data: Any) -> None:
        conn.set_attributes(data["room"], cell=data["cell"])


async def gaps(room: RoomPort) -> list[Any]:
    return [event for event in await room.events() if event.kind in ("gap", "skipped")]


@over(links=(STEADY, CUT), codecs=("json", "msgpack"))
async def test_a_message_reaches_the_members_for_whom_its_condition_holds(stage: Stage) -> None:
    room = await stage.join("zone")
    where = fanwire.where

    def publish_all(turn: int) -> None:
        stage.publish("zone", [turn, 1], where=where(cell=[1, 2]))
        stage.publish("zone", [turn, 2], where=where(cell=2))
        stage.publish("zone", [turn, 3], where=where(cell=1) & ~where(team="red"))
        stage.publish("zone", [turn, 4], where={"cell": {"range": [0, 1]}})
        stage.publish("zone", [turn, 5], where=where(team="blue") | where(team="red"))
        stage.publish("zone", [turn, 6])

    publish_all(1)
    assert await room.data(4) == [[1, 1], [1, 4], [1, 5], [1, 6]]
    async with stage.away():
        publish_all(2)
    assert await room.data(4) == [[2, 1], [2, 4], [2, 5], [2, 6]]
    await stage.client.request("move", {"room": room.name, "cell": 2})
    publish_all(3)
    assert await room.data(4) == [[3, 1], [3, 2], [3, 5], [3, 6]]
    assert await gaps(room) == []


@over(links=(STEADY, CUT, RENEW))
async def test_a_history_has_only_what_was_meant_for_the_member(stage: Stage) -> None:
    room = await stage.join("log")
    for n in range(6):
        await stage.publisher.publish_acked(room.name, n, where=fanwire.where(cell=n % 2))
    assert await room.data(3) == [1, 3, 5]
    async with stage.away():
        for n in range(6, 12):
            await stage.publisher.publish_acked(room.name, n, where=fanwire.where(cell=n % 2))
    await stage.publisher.publish_acked(room.name, "end")
    assert await room.data(4) == [7, 9, 11, "end"]
    assert await gaps(room) == []


@over(links=(STEADY, CUT, RENEW), codecs=("json", "msgpack"))
async def test_a_filter_lets_the_messages_with_its_tags_through(stage: Stage) -> None:
    room = await stage.join("trades", filter=EURO)
    assert await room.get("filter") == EURO

    async def publish_all(turn: int) -> None:
        for symbol in ("EURUSD", "USDJPY", "EURGBP"):
            await stage.publisher.publish_acked(room.name, [turn, symbol], tags={"symbol": symbol, "price": turn})
        await stage.publisher.publish_acked(room.name, [turn, "untagged"])

    await publish_all(1)
    assert await room.data(2) == [[1, "EURUSD"], [1, "EURGBP"]]
    async with stage.away():
        await publish_all(2)
    assert await room.data(2) == [[2, "EURUSD"], [2, "EURGBP"]]
    await room.call("configure", filter={"price": {"range": [3, None]}, "symbol": "USDJPY"})
    await publish_all(3)
    assert await room.data(1) == [[3, "USDJPY"]]
    await room.call("configure", filter=None)
    await publish_all(4)
    # What was published before comes to the other node later, and may have come after the change.
    found = await room.until(lambda message: message.data == [4, "untagged"])
    assert [message.data[1] for message in found if message.data[0] == 4] == ["EURUSD", "USDJPY", "EURGBP", "untagged"]
    assert await room.get("filter") is None
    assert await gaps(room) == []


@over(links=(STEADY,))
async def test_a_joiner_gets_the_newest_values_and_the_history_that_its_filter_lets_through(stage: Stage) -> None:
    for symbol in ("EURUSD", "USDJPY", "EURGBP"):
        stage.publish("quotes", symbol, key=symbol, tags={"symbol": symbol})
    # The reader's node has them when this one has come.
    whole = await stage.join("quotes")
    assert {message.data for message in await whole.take(3)} == {"EURUSD", "USDJPY", "EURGBP"}
    other = await (await stage.connect(stage.home)).join(whole.name, filter=EURO)
    assert {message.data for message in await other.take(2)} == {"EURUSD", "EURGBP"}
    stage.publish("quotes", 2, key="USDJPY", tags={"symbol": "USDJPY"})
    stage.publish("quotes", 3, key="EURUSD", tags={"symbol": "EURUSD"})
    assert await other.data(1) == [3]


@over(links=(STEADY, CUT))
async def test_a_rate_holds_for_what_the_filter_lets_through(stage: Stage) -> None:
    room = await stage.join("quotes", filter=EURO, max_rate=50)
    async with stage.away():
        for n in range(1, 21):
            for symbol in ("EURUSD", "USDJPY", "EURGBP"):
                stage.publish("quotes", [symbol, n], key=symbol, tags={"symbol": symbol})
    newest: dict[str, int] = {}
    while newest != {"EURUSD": 20, "EURGBP": 20}:
        message = await room.one()
        assert message.gap is None
        newest[message.data[0]] = message.data[1]


@over(links=(STEADY,))
async def test_another_filter_brings_the_newest_values_that_it_lets_through(stage: Stage) -> None:
    for symbol in ("EURUSD", "USDJPY", "EURGBP"):
        stage.publish("quotes", symbol, key=symbol, tags={"symbol": symbol})
    # The reader's node has them when this one has come.
    whole = await stage.join("quotes")
    assert {message.data for message in await whole.take(3)} == {"EURUSD", "USDJPY", "EURGBP"}
    room = await (await stage.connect(stage.home)).join(whole.name, filter={"symbol": "EURUSD"})
    assert await room.data(1) == ["EURUSD"]
    await room.call("configure", filter={"symbol": "USDJPY"})
    assert await room.data(1) == ["USDJPY"]
    stage.publish("quotes", "late", key="EURUSD", tags={"symbol": "EURUSD"})
    stage.publish("quotes", "new", key="USDJPY", tags={"symbol": "USDJPY"})
    assert await room.data(1) == ["new"]
    assert await gaps(room) == []


@over(links=(STEADY,))
async def test_a_wrong_filter_is_refused_with_its_place(stage: Stage) -> None:
    with pytest.raises(fanwire.RequestFailed) as refused:
        await stage.join("trades", filter={"or": [{"a": 1}, {"b": {"in": 7}}]})
    assert (refused.value.code, refused.value.path) == ("invalid_payload", "$.filter.or[1].b.in")
    with pytest.raises(fanwire.RequestFailed, match="takes no filter"):
        await stage.join("plain", filter={"a": 1})
    room = await stage.join("trades", filter=EURO)
    with pytest.raises(fanwire.RequestFailed, match=r"\$\.filter\.a\.like"):
        await room.call("configure", filter={"a": {"like": "x"}})
    assert await room.get("filter") == EURO


@over(links=(STEADY, CUT), clients=("python",), transports=("websocket",))
async def test_the_servers_own_program_reads_every_message(stage: Stage) -> None:
    name = stage.room("zone")
    await stage.client.join(name)
    async with stage.publisher.subscribe(name) as messages:
        stage.publish("zone", 1, where=fanwire.where(cell=99))
        stage.publish("zone", 2, tags={"a": 1})
        async with stage.away():
            stage.publish("zone", 3)
        assert [(await anext(messages)).data for _ in range(3)] == [1, 2, 3]
