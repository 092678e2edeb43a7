"""What clients publish: once for each id, by the room's schema, and answered with its number."""

from __future__ import annotations

from typing import Any

from helpers.hosted import Hosted
from helpers.played import Client


async def published(client: Client, room: str, payload: Any, id: str = "p1", **fields: Any) -> dict[str, Any]:
    return await client.asks({"type": "publish", "id": id, "room": room, "payload": payload, **fields})


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


async def test_what_a_room_takes_has_a_schema() -> None:
    host = Hosted()
    host.room("r", publish=True, schema=dict[str, int])
    client = await host.connect()
    answer = await client.asks({"type": "publish", "id": "c1", "room": "r", "payload": {"a": "x"}})
    assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", "$[...]")
    assert (await published(client, "r", {"a": 1}))["seq"] == 1
    await host.end()


async def test_the_answer_to_a_publish_comes_with_the_tick_and_the_next_message_does_not_wait(host: Hosted) -> None:
    host.room("zone", delivery="latest", publish=True, tick=10)
    client = await host.connect()
    await client.joins("zone")
    for number in range(3):
        publish = {"type": "publish", "id": f"p{number}", "room": "zone", "key": "k", "payload": number}
        assert await client.says(publish) == []
    # A message that comes again waits for the same answer.
    assert await client.says({"type": "publish", "id": "p2", "room": "zone", "key": "k", "payload": 2}) == []
    assert await client.says({"type": "publish", "room": "zone", "key": "k", "payload": 3}) == []
    assert host.engine.flush_tick(10) == 1
    heard = await client.hears()
    assert sorted(one["re"] for one in heard if one["type"] == "reply") == ["p0", "p1", "p2", "p2"]
    assert {one["seq"] for one in heard} == {1}
    assert [one["payload"] for one in heard if one["type"] == "message"] == [3]
