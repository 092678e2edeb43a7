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


async def test_a_room_that_no_pattern_matches_is_logged_once_a_minute(
    host: Hosted, caplog: pytest.LogCaptureFixture
) -> None:
    client = await host.connect("/ann")
    for kind, room in (("join", "closed"), ("join", "undeclared"), ("publish", "nowhere")):
        assert await code(client, kind, room, payload={}) == "forbidden"
    (line,) = [record.getMessage() for record in caplog.records if "pattern" in record.getMessage()]
    assert "asks for room 'undeclared', which matches no pattern of Server.room" in line


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


async def test_rates_are_changed_field_by_field_and_end_with_the_membership(host: Hosted) -> None:
    host.room("rated.*", delivery="latest")
    client = await host.connect()
    configure: dict[str, Any] = {"type": "configure", "id": "c2", "room": "rated.a"}
    assert await code(client, "configure", "rated.a", payload={"max_rate": 4}) == "not_joined"
    (joined,) = await client.says({"type": "join", "id": "c1", "room": "rated.a", "payload": {"max_rate": 4}})
    assert (joined["payload"]["max_rate"], "max_bytes" in joined["payload"]) == (4.0, False)
    reply = await client.asks(configure | {"payload": {"max_bytes": 500}})
    assert (reply["type"], reply["room"], reply["payload"]) == ("reply", "rated.a", {"max_rate": 4.0, "max_bytes": 500})
    reply = await client.asks(configure | {"payload": {"max_rate": None}})
    assert reply["payload"] == {"max_rate": None, "max_bytes": 500}
    # A member that joins again keeps what it does not change.
    (joined,) = await client.says({"type": "join", "id": "c3", "room": "rated.a"})
    assert joined["payload"]["max_bytes"] == 500
    await client.says({"type": "leave", "room": "rated.a"})
    (joined,) = await client.says({"type": "join", "id": "c4", "room": "rated.a"})
    assert "max_bytes" not in joined["payload"]


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"max_rate": 0}, "$.max_rate"),
        ({"max_rate": "4"}, "$.max_rate"),
        ({"max_bytes": 1.5}, "$.max_bytes"),
        ({"max_bytes": 4}, "$.max_bytes"),
    ],
)
async def test_wrong_rates_are_refused(host: Hosted, payload: dict[str, Any], path: str) -> None:
    client = await host.connect()
    await client.joins("open.a")
    for kind in ("join", "configure"):
        answer = await client.asks({"type": kind, "id": "c1", "room": "open.a", "payload": payload})
        assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", path)


async def test_the_application_gives_rates(host: Hosted) -> None:
    host.room("rated.*", delivery="latest")
    client = await host.connect()
    connection = host.registry.connections[client.conn]
    connection.join("rated.a", max_rate=2, max_bytes=100)
    (joined,) = await client.hears()
    assert (joined["payload"]["max_rate"], joined["payload"]["max_bytes"]) == (2.0, 100)
    connection.join("rated.a", max_rate=1)
    assert (await client.hears())[0]["payload"]["max_rate"] == 1.0
    with pytest.raises(ValueError, match="needs a room of a class"):
        connection.join("open.a", max_rate=1)
    with pytest.raises(ValueError, match="max_rate must be"):
        connection.join("rated.b", max_rate=0)
    assert connection.rooms == {"rated.a"}


@pytest.mark.parametrize(("name", "value"), [("max_rate", 4), ("max_bytes", 9), ("filter", {"symbol": "eur"})])
async def test_a_pattern_has_no_options(host: Hosted, name: str, value: Any) -> None:
    client = await host.connect()
    join = {"type": "join", "id": "c1", "room": "open.*"}
    answer = await client.asks(join | {"payload": {name: value}})
    assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", f"$.{name}")
    assert (await client.asks(join | {"payload": {name: None}}))["type"] == "reply"
