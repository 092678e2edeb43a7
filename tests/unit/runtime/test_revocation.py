"""Rights that end, and clients that are sent away: without sockets."""

from __future__ import annotations

import asyncio
from typing import Any

from helpers.hosted import Hosted
from helpers.played import Client
from helpers.wait import until


async def code(client: Client, type: str, room: str, **fields: Any) -> str:
    """The code of the error that answers a message."""
    answer = await client.asks({"type": type, "id": "c1", "room": room, **fields})
    assert answer["type"] == "error", answer
    found: str = answer["payload"]["code"]
    return found


async def test_a_right_that_has_ended_ends_the_membership() -> None:
    allowed = {"r", "s"}
    host = Hosted(lambda request: "ann", lambda identity, action, room: room in allowed)
    host.room("*")
    client = await host.connect()
    for room in ("r", "s"):
        await client.joins(room)
    allowed.remove("r")
    host.registry.revocation.reauthorize("ann")
    (left,) = await client.hears()
    assert (left["type"], left["room"], left["payload"]) == ("left", "r", {"reason": "forbidden"})
    assert (host.engine.members("r"), host.engine.members("s")) == (0, 1)
    assert await code(client, "join", "r") == "forbidden"
    await host.end()


async def test_a_membership_that_the_application_gave_does_not_end_with_a_right(host: Hosted) -> None:
    host.on_connect(lambda conn: conn.join("closed"))
    client = await host.connect("/ann")
    await client.hears()
    host.registry.revocation.reauthorize(None)
    assert await client.hears() == []
    assert host.engine.members("closed") == 1


async def test_a_user_that_is_sent_away(host: Hosted) -> None:
    first, second, other = await host.connect("/ann"), await host.connect("/ann"), await host.connect("/bob")
    away = await host.connect("/ann")
    await away.leaves()
    host.registry.revocation.disconnect_user("ann", "bye")
    await host.settle()
    assert first.farewell == second.farewell == (4502, "bye")
    assert other.farewell is None
    for client in (first, away):
        back = await host.connect(f"/ann?session={client.session}&received=0")
        assert back.welcome["reason"] == "closed"


async def test_one_session_that_is_revoked(host: Hosted) -> None:
    first, second = await host.connect("/ann"), await host.connect("/ann")
    host.registry.revocation.revoke(first.session, "stolen")
    host.registry.revocation.revoke("unknown", "stolen")
    await host.settle()
    assert (first.farewell, second.farewell) == ((4502, "stolen"), None)
    assert [connection.id for connection in host.registry.users.of("ann")] == [second.conn]


async def test_a_late_no_does_not_end_what_the_application_has_given_meanwhile() -> None:
    asked: list[asyncio.Future[bool]] = []

    def authorize(identity: Any, action: str, room: str) -> Any:
        asked.append(asyncio.get_running_loop().create_future())
        if len(asked) == 1:
            asked[0].set_result(True)
        return asked[-1]

    host = Hosted(lambda request: "ann", authorize)
    host.room("*")
    client = await host.connect()
    await client.joins("r")
    host.registry.revocation.reauthorize("ann")
    await until(lambda: len(asked) == 2)
    (connection,) = host.registry.connections.values()
    connection.leave("r")
    connection.join("r")
    asked[1].set_result(False)
    await host.settle()
    assert connection.rooms == {"r"}
    assert [each["type"] for each in await client.hears()] == ["left", "joined"]
    await host.end()
