"""Messages of the protocol to sessions."""

from __future__ import annotations

import asyncio

import pytest
from helpers.hosted import Hosted

import fanwire


async def test_messages_have_ids_of_their_own(host: Hosted) -> None:
    client = await host.connect()
    raw = await host.connect(codec=None)
    for connection in host.registry.connections.values():
        host.host.messages.tell(connection, "left", room="a", re=None)
        host.host.messages.tell(connection, "left", room="b")
    first, second = await client.hears()
    assert (first["room"], second["room"]) == ("a", "b")
    assert first["id"] != second["id"]
    assert "re" not in first
    assert list(raw.link.frames) == []


async def test_a_message_is_sent_again_until_it_is_acknowledged(host: Hosted) -> None:
    client = await host.connect()
    (connection,) = host.registry.connections.values()
    with pytest.raises(asyncio.TimeoutError, match="not acknowledged after 5 times"):
        await connection.send("x", ack=True, timeout=0.01)
    sent = await client.hears()
    assert [envelope["payload"] for envelope in sent] == ["x"] * 5
    assert len({envelope["id"] for envelope in sent}) == 1


async def test_an_end_of_the_session_ends_the_wait(host: Hosted) -> None:
    await host.connect()
    (connection,) = host.registry.connections.values()
    waiting = asyncio.ensure_future(connection.send("x", ack=True, timeout=60))
    await host.settle()
    host.registry.revocation.dismiss(connection, 4502, "bye")
    await host.settle()
    host.registry.ended(connection, "closed")
    with pytest.raises(fanwire.Closed, match="before the client acknowledged"):
        await waiting
