"""What clients ask of rooms, from the message to what members see: without sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.hosted import Hosted
from helpers.played import Client

import fanwire


async def published(client: Client, room: str, payload: Any, id: str = "p1", **fields: Any) -> dict[str, Any]:
    return await client.asks({"type": "publish", "id": id, "room": room, "payload": payload, **fields})


async def code(client: Client, type: str, room: str, **fields: Any) -> str:
    """The code of the error that answers a message."""
    answer = await client.asks({"type": type, "id": "c1", "room": room, **fields})
    assert answer["type"] == "error", answer
    found: str = answer["payload"]["code"]
    return found


async def test_members_get_what_is_published(host: Hosted) -> None:
    publisher, member = await host.connect("/ann"), await host.connect("/bob")
    joined = await member.joins("open.a")
    assert (joined["type"], joined["seq"], joined["payload"]["recovered"]) == ("joined", 0, False)
    reply = await published(publisher, "open.a", {"n": 1})
    assert (reply["type"], reply["room"], reply["seq"]) == ("reply", "open.a", 1)
    (message,) = await member.hears()
    assert (message["type"], message["seq"], message["payload"]) == ("message", 1, {"n": 1})
    assert await member.says({"type": "leave", "room": "open.a"}) == []
    host.publish("open.a", "x")
    assert await member.hears() == []


async def test_what_came_while_one_was_away(host: Hosted) -> None:
    for number in range(5):
        host.publish("open.a", number)
    epoch, _ = host.engine.position("open.a")
    client = await host.connect()
    ask = {"type": "join", "id": "c1", "room": "open.a"}
    joined, *messages = await client.says(ask | {"payload": {"since": {"epoch": epoch, "seq": 3}}})
    assert joined["payload"]["recovered"]
    assert [each["seq"] for each in messages] == [4, 5]
    (joined,) = await client.says(ask | {"payload": {"since": {"epoch": epoch, "seq": 1}}})
    assert (joined["payload"]["recovered"], joined["payload"]["reason"]) == (False, "history")


async def test_rooms_are_for_whom_their_rules_say(host: Hosted) -> None:
    client = await host.connect("/ann")
    assert await code(client, "join", "closed") == "forbidden"
    assert await code(client, "join", "undeclared") == "forbidden"
    assert await code(client, "join", "mine.bob") == "forbidden"
    assert (await client.joins("mine.ann"))["type"] == "joined"
    assert await code(client, "publish", "seen", payload=1) == "forbidden"
    assert await code(client, "publish", "mine.bob", payload=1) == "forbidden"
    assert (await client.says({"type": "publish", "id": "c2", "room": "mine.ann", "payload": 1}))[-1]["seq"] == 1
    assert host.engine.members("closed") == 0


@pytest.mark.parametrize("is_async", [False, True])
async def test_authorize_is_asked_as_well(is_async: bool) -> None:
    asked: list[tuple[Any, str, str]] = []

    def answer(identity: Any, action: str, room: str) -> bool:
        asked.append((identity, action, room))
        return action == "join"

    async def answer_later(identity: Any, action: str, room: str) -> bool:
        await asyncio.sleep(0)
        return answer(identity, action, room)

    host = Hosted(lambda request: "ann", answer_later if is_async else answer)
    host.room("r", history=3)
    client = await host.connect()
    for _ in range(2):
        assert (await client.joins("r"))["type"] == "joined"
    assert await code(client, "publish", "r", payload=1) == "forbidden"
    # Answers are kept.
    assert asked == [("ann", "join", "r"), ("ann", "publish", "r")]
    # What came before is not for everybody.
    host.publish("r", 1)
    await client.hears()
    joined = await client.joins("r", since={"epoch": host.engine.position("r")[0], "seq": 0})
    assert joined["payload"]["reason"] == "forbidden"
    await host.end()


async def test_leaving_is_answered_and_only_members_can(host: Hosted) -> None:
    client = await host.connect()
    assert await code(client, "leave", "open.a") == "not_joined"
    await client.joins("open.a")
    answer = await client.asks({"type": "leave", "id": "c2", "room": "open.a"})
    assert (answer["type"], answer["room"]) == ("left", "open.a")
    assert host.engine.members("open.a") == 0


async def test_a_client_is_in_so_many_rooms() -> None:
    host = Hosted(max_rooms_per_connection=2)
    host.room("*")
    client = await host.connect()
    for room in ("a", "b"):
        await client.joins(room)
    assert await code(client, "join", "c") == "room_limit"
    assert (await client.joins("b"))["type"] == "joined"
    assert host.passed == ["max_rooms_per_connection"]
    await host.end()


async def test_a_full_room() -> None:
    host = Hosted()
    host.room("r", max_members=1)
    first, second = await host.connect(), await host.connect()
    await first.joins("r")
    assert await code(second, "join", "r") == "room_full"
    await first.closes()
    assert (await second.joins("r"))["type"] == "joined"
    assert host.passed == ["max_members"]
    await host.end()


async def test_what_is_published_again_by_the_same_id_is_published_once(host: Hosted) -> None:
    client, other = await host.connect("/ann"), await host.connect("/bob")
    for _ in range(2):
        assert (await published(client, "open.a", 1, "same"))["seq"] == 1
    # Of another room, and of another user, it is another message.
    assert (await published(client, "open.b", 1, "same"))["seq"] == 1
    assert (await published(other, "open.a", 1, "same"))["seq"] == 2
    # Another connection of the user counts as well, and without an id each is a message.
    assert (await published(await host.connect("/ann"), "open.a", 1, "same"))["seq"] == 1
    for _ in range(2):
        assert await client.says({"type": "publish", "room": "open.a", "payload": 1}) == []
    assert host.engine.position("open.a")[1] == 4


async def test_an_anonymous_client_publishes_once_over_all_its_sessions(host: Hosted) -> None:
    client, other = await host.connect(), await host.connect()
    assert (await published(client, "open.a", 1, "same"))["seq"] == 1
    assert (await published(other, "open.a", 1, "same"))["seq"] == 2
    await client.closes()
    back = await host.resume(client)
    assert (back.welcome["resumed"], back.welcome["reason"]) == (False, "closed")
    assert (await published(back, "open.a", 1, "same"))["seq"] == 1


async def test_values_of_keys(host: Hosted) -> None:
    client = await host.connect()
    assert await code(client, "publish", "open.a", payload=1, key="k") == "bad_message"
    for key, payload in (("eur", 1), ("usd", 2), ("eur", 3)):
        await published(client, "prices", payload, f"{key} {payload}", key=key)
    joined, *values = await client.says({"type": "join", "id": "c2", "room": "prices"})
    assert joined["payload"]["delivery"] == "latest"
    assert [(each["key"], each["payload"]) for each in values] == [("usd", 2), ("eur", 3)]
    assert host.node.forget("prices", "usd")
    (forgotten,) = await client.hears()
    assert (forgotten["type"], forgotten["key"], forgotten["seq"]) == ("forgotten", "usd", 4)


async def test_what_a_room_takes_has_a_schema() -> None:
    host = Hosted()
    host.room("r", publish=True, schema=dict[str, int])
    client = await host.connect()
    answer = await client.asks({"type": "publish", "id": "c1", "room": "r", "payload": {"a": "x"}})
    assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", "$[...]")
    assert (await published(client, "r", {"a": 1}))["seq"] == 1
    await host.end()


async def test_joiners_get_the_state_and_what_came_after_it() -> None:
    host = Hosted()
    host.room("r", history=10, snapshot=lambda room: fanwire.Snapshot({"sum": 3}, 2))
    for number in (1, 2, 3):
        host.publish("r", number)
    client = await host.connect()
    joined, message = await client.says({"type": "join", "id": "c1", "room": "r"})
    assert (joined["seq"], joined["payload"]["snapshot"]) == (2, {"sum": 3})
    assert (message["seq"], message["payload"]) == (3, 3)
    await host.end()
