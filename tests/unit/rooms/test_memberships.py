"""Who is in which room: presence, and what the application does with memberships. Without sockets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from helpers.hosted import Hosted
from helpers.played import Client

import fanwire


async def code(client: Client, type: str, room: str, **fields: Any) -> str:
    """The code of the error that answers a message."""
    answer = await client.asks({"type": type, "id": "c1", "room": room, **fields})
    assert answer["type"] == "error", answer
    found: str = answer["payload"]["code"]
    return found


async def test_members_of_a_room_with_presence_are_told_who_is_there(host: Hosted) -> None:
    first, second = await host.connect("/ann"), await host.connect("/bob")
    joined = await first.joins("seen")
    assert joined["payload"]["count"] == 1
    assert [each["id"] for each in joined["payload"]["members"]] == [f"{first.conn:x}"]
    assert (await second.joins("seen"))["payload"]["count"] == 2
    (event,) = await first.hears()
    assert (event["type"], event["payload"]["id"]) == ("member_joined", f"{second.conn:x}")
    listed = await first.asks({"type": "presence", "id": "c2", "room": "seen"})
    assert listed["payload"]["count"] == 2
    await second.closes()
    (event,) = await first.hears()
    assert (event["type"], event["payload"]["id"]) == ("member_left", f"{second.conn:x}")


async def test_the_members_of_a_room_without_presence_cannot_be_listed(host: Hosted) -> None:
    client = await host.connect("/ann")
    for room, text in (
        ("open.a", "room 'open.a' has no presence"),
        # Who may not join it is not told what it has.
        ("closed", "this client may not see the members of room 'closed'"),
    ):
        answer = await client.asks({"type": "presence", "id": "c1", "room": room})
        assert (answer["payload"]["code"], answer["payload"]["text"]) == ("forbidden", text)


async def test_who_does_not_see_members_is_told_nothing_of_them() -> None:
    host = Hosted(lambda request: request.path.strip("/"))
    host.room("seen", presence=True, see_members=lambda conn, room: conn.identity == "ann")
    seeing, blind = await host.connect("/ann"), await host.connect("/bob")
    assert "members" not in (await blind.joins("seen"))["payload"]
    assert (await seeing.joins("seen"))["payload"]["count"] == 2
    assert await blind.hears() == []
    assert await code(blind, "presence", "seen") == "forbidden"
    await host.end()


async def test_the_application_joins_clients_and_takes_them_out(host: Hosted) -> None:
    joined: list[str] = []
    host.on_connect(lambda conn: conn.join("closed"))
    host.on_join(lambda conn, room: joined.append(f"join {room}"))
    host.on_leave(lambda conn, room: joined.append(f"leave {room}"))
    client = await host.connect("/ann")
    assert [(each["type"], each["room"]) for each in await client.hears()] == [("joined", "closed")]
    (connection,) = host.registry.connections.values()
    connection.leave("closed")
    (left,) = await client.hears()
    assert (left["type"], left.get("re"), left.get("payload")) == ("left", None, None)
    assert joined == ["join closed", "leave closed"]


async def test_a_member_that_sees_nobody_sees_nobody_after_a_join_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Hosted(lambda request: request.path.strip("/"))
    host.room("seen", presence=True, see_members=lambda conn, room: conn.identity == "ann")
    blind = await host.connect("/bob")
    await blind.joins("seen")

    def full(*args: Any, **kwargs: Any) -> Any:
        raise fanwire.Overloaded("full")

    with monkeypatch.context() as during:
        during.setattr(host.registry.memberships, "_engine", SimpleNamespace(join=full))
        assert await code(blind, "join", "seen") == "overloaded"
    seeing = await host.connect("/ann")
    await seeing.joins("seen")
    assert await blind.hears() == []
    await host.end()
