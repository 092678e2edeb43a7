"""Patterns of rooms: no client can keep the loop busy with them, and each room is counted once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from helpers.hosted import QUIET_TURNS, Hosted
from helpers.played import Client
from helpers.wait import DEADLINE, until

from fanwire.rooms import pattern_holders
from fanwire.timing import clock
from fanwire.timing.clock import Clocks

JOIN = {"type": "join", "id": "j", "room": "open.*"}
LEAVE = {"type": "leave", "id": "l", "room": "open.*"}


async def answer(client: Client, envelope: dict[str, Any]) -> dict[str, Any]:
    """What answers a message, behind anything else."""
    *_, last = await client.says(envelope)
    assert last["re"] == envelope["id"], last
    return last


async def test_a_turn_of_the_loop_does_no_more_than_fits_into_a_slice() -> None:
    turn = 0
    turns: Counter[int] = Counter()

    def authorize(identity: Any, action: str, room: str) -> bool:
        turns[turn] += 1
        # At least half a slice, so that two of them are all of it.
        time.sleep(0.001)
        return room.endswith("0")

    host = Hosted(lambda request: "ann", authorize)
    host.room("open.*")
    for number in range(100):
        host.publish(f"open.{number}", number)

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    one, other = await host.connect(), await host.connect()
    tens = ["open.0", *(f"open.{ten}0" for ten in range(1, 10))]
    for client in (one, other):
        assert (await answer(client, JOIN))["payload"] == {"rooms": tens}
    assert turns.total() == 200
    host.publish("open.new.0", 0)
    await host.settle()
    assert turns.total() == 202
    assert max(turns.values()) <= 2
    counting.cancel()
    await host.end()


async def test_rooms_that_are_looked_at_count_as_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(pattern_holders, "LOOKS", 5.0)
    before = clock.use(Clocks(lambda: now, time.time))
    try:
        host = Hosted(lambda request: {"sub": "ann", "rate": 2}, message_rate=4.0)
        host.room("open.*")
        for number in range(6):
            host.publish(f"open.{number}", number)
        client, other = await host.connect(), await host.connect()
        assert (await answer(client, JOIN))["type"] == "reply"
        assert await client.says(JOIN | {"id": "again"}) == []
        # Others have a count of their own.
        assert (await answer(other, JOIN))["type"] == "reply"
        assert await client.hears() == []
        now += 0.2
        answers: list[Any] = []
        deadline = time.monotonic() + DEADLINE
        while not answers:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
            answers = await client.hears()
        assert [each["re"] for each in answers] == ["again"]
        await host.end()
    finally:
        clock.use(before)


async def test_a_full_pattern_asks_nobody_about_more_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.rooms.pattern_members.MOST_ROOMS", 3)
    asked: list[str] = []

    def authorize(identity: Any, action: str, room: str) -> bool:
        asked.append(room)
        return True

    host = Hosted(lambda request: "ann", authorize)
    host.room("open.*")
    for number in range(50):
        host.publish(f"open.{number}", number)
    client = await host.connect()
    *joined, error, reply = await client.says(JOIN)
    assert [each["type"] for each in joined] == ["joined"] * 3
    assert error["payload"]["code"] == "room_limit"
    assert reply["payload"] == {"rooms": sorted(each["room"] for each in joined)}
    assert len(asked) == 3
    # It is told once. A room that it leaves makes room for another.
    assert (await client.says(JOIN))[0]["payload"] == reply["payload"]
    assert await client.says({"type": "leave", "room": joined[0]["room"]}) == []
    assert [each["type"] for each in await client.says(JOIN)] == ["joined", "reply"]
    await host.end()


async def test_rooms_are_counted_once_and_forgotten_when_left(host: Hosted) -> None:
    for number in range(4):
        host.publish(f"open.{number}", number)
    client = await host.connect()
    connection = host.registry.connections[client.conn]
    await answer(client, JOIN)
    await answer(client, {"type": "join", "id": "k", "room": "*.1*"})
    patterns = connection._patterns
    assert patterns is not None
    assert (len(patterns), patterns.count) == (2, 4)
    await client.says({"type": "leave", "room": "open.1"})
    connection.leave("open.2")
    assert (patterns.count, connection.rooms) == (2, {"open.0", "open.3"})
    # It was asked for again, so it is joined again.
    assert (await answer(client, JOIN))["payload"] == {"rooms": [f"open.{number}" for number in range(4)]}
    assert (await answer(client, LEAVE))["type"] == "left"
    assert (patterns.count, connection.rooms) == (0, set())


async def test_the_names_of_rooms_are_looked_at_in_parts(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the engine does with many rooms.
    parts = [["open.0"], [], ["open.1", "open.2"], ["open.3"]]
    asked: list[int] = []

    def matching_rooms(pattern: str, part: int) -> tuple[list[str], int | None]:
        assert (pattern, part) == ("open.*", len(asked))
        asked.append(part)
        return parts[part], part + 1 if part + 1 < len(parts) else None

    monkeypatch.setattr(host.engine, "matching_rooms", matching_rooms)
    client = await host.connect()
    assert (await answer(client, JOIN))["payload"] == {"rooms": [f"open.{number}" for number in range(4)]}
    assert asked == [0, 1, 2, 3]
    # Not more than may be looked at.
    asked.clear()
    monkeypatch.setattr("fanwire.rooms.pattern_members.MOST_LOOKED", 2)
    other = await host.connect()
    assert (await answer(other, JOIN))["payload"] == {"rooms": ["open.0", "open.1"]}
    assert asked == [0, 1, 2]


async def test_a_room_that_may_not_be_joined_is_not_counted() -> None:
    host = Hosted(lambda request: "ann", lambda identity, action, room: room != "open.0")
    host.room("open.*")
    host.publish("open.0", 0)
    client = await host.connect()
    assert (await answer(client, JOIN))["payload"] == {"rooms": []}
    patterns = host.registry.connections[client.conn]._patterns
    assert patterns is not None
    assert patterns.count == 0
    await host.end()


@pytest.mark.parametrize("is_late", [False, True], ids=["while it is asked", "after others have joined"])
@pytest.mark.parametrize("history", [0, 2000])
@pytest.mark.parametrize("rooms", [{}, {"open.1": {"epoch": "abc", "seq": 3}}], ids=["new", "of an old numbering"])
async def test_a_client_is_in_a_room_that_is_made_while_it_joins_from_the_beginning(
    rooms: dict[str, Any], history: int, is_late: bool
) -> None:
    names = iter(["early", "late"])

    async def make_room(action: str) -> bool:
        host.publish("open.1", "first")
        early = host.registry.connections[clients[0].conn]
        if is_late:
            await until(lambda: "open.1" in early.rooms)
        # Whoever holds the pattern already is in the room, and the engine could keep less of it.
        for _ in range(QUIET_TURNS):
            await asyncio.sleep(0)
        return action == "join"

    def authorize(identity: Any, action: str, room: str) -> Any:
        # Nobody may read the history.
        is_first = identity == "late" and room in ("open.1", "open.0") and host.engine.rooms().get("open.1") is None
        return make_room(action) if is_first else action == "join"

    host = Hosted(lambda request: next(names), authorize)
    host.room("open.*", history=history)
    host.publish("open.0", "before")
    clients = [await host.connect(), await host.connect()]
    await answer(clients[0], JOIN)
    said = await clients[1].says(JOIN | {"payload": {"rooms": rooms, "last": 5 if history else None}})
    deadline = time.monotonic() + DEADLINE
    while not any(each.get("re") == "j" for each in said):
        assert time.monotonic() < deadline
        said += await clients[1].hears()
    said += await clients[1].hears()
    joined, message = (each for each in said if each.get("room") == "open.1")
    assert (joined["type"], joined["payload"].get("reason"), joined["payload"].get("after")) == ("joined", None, 0)
    assert joined["payload"]["recovered"]
    assert (message["type"], message["seq"], message["payload"]) == ("message", 1, "first")
    # It keeps its first messages no longer than until then.
    assert not host.engine.is_new_room("open.1")
    await host.end()
