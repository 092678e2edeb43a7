"""Sessions, from a lost connection to the next one, and how they end: without sockets."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.hosted import Hosted
from helpers.wait import until

import fanwire


@pytest.fixture
def host(host: Hosted) -> Hosted:
    """One with an echo."""
    host.on("echo")(lambda conn, payload: payload)
    return host


def payloads(envelopes: list[dict[str, Any]]) -> list[Any]:
    return [envelope["payload"] for envelope in envelopes]


async def test_a_session_goes_on_with_what_its_client_has_missed(host: Hosted) -> None:
    client = await host.connect()
    await client.joins("r")
    assert payloads(await client.says({"type": "echo", "id": "c1", "payload": 1})) == [1]
    await client.leaves()
    (connection,) = host.registry.connections.values()
    assert connection.is_reconnecting
    host.publish("r", "a")
    back = await host.resume(client)
    assert (back.welcome["resumed"], back.welcome["received"], back.session) == (True, 2, client.session)
    assert payloads(await back.hears()) == ["a"]
    host.publish("r", "b")
    assert payloads(await back.hears()) == ["b"]
    assert host.registry.connections == {connection.id: connection}
    assert connection.state is fanwire.ConnectionState.OPEN
    assert host.registry.sessions.parked == 0


async def test_what_was_sent_and_not_received_comes_again(host: Hosted) -> None:
    client = await host.connect()
    for number in range(3):
        await client.says({"type": "echo", "id": f"c{number}", "payload": number})
    await client.leaves()
    back = await host.resume(client, received=1)
    assert payloads(await back.hears()) == [1, 2]


async def test_a_session_that_waits_for_too_long_ends(host: Hosted) -> None:
    ended: list[fanwire.Connection] = []
    brief = Hosted(grace=0.001)
    brief.on_disconnect(ended.append)
    client = await brief.connect()
    await client.leaves()
    await until(lambda: ended)
    assert (ended[0].close_code, ended[0].closed_by) == (1006, "network")
    back = await brief.resume(client)
    assert (back.welcome["resumed"], back.welcome["reason"]) == (False, "expired")
    await brief.end()


async def test_of_too_many_that_wait_the_one_that_has_waited_longest_ends() -> None:
    host = Hosted(max_parked=1)
    first, second = await host.connect(), await host.connect()
    await first.leaves()
    await second.leaves()
    assert (await host.resume(first)).welcome["reason"] == "overflow"
    assert (await host.resume(second)).welcome["resumed"]
    assert host.passed == ["max_parked"]
    await host.end()


async def test_another_users_session_is_unknown(host: Hosted) -> None:
    client = await host.connect("/ann")
    await client.leaves()
    thief = await host.connect(f"/bob?session={client.session}&received=0")
    assert (thief.welcome["resumed"], thief.welcome["reason"]) == (False, "unknown")
    back = await host.connect(f"/ann?session={client.session}&received=0")
    assert back.welcome["resumed"]


@pytest.mark.parametrize(("received", "codec", "reason"), [(7, "json", "overflow"), (0, "msgpack", "codec")])
async def test_a_session_that_cannot_go_on_is_followed_by_another(
    host: Hosted, received: int, codec: str, reason: str
) -> None:
    client = await host.connect()
    await client.joins("r")
    await client.leaves()
    back = await host.resume(client, received, codec)
    assert (back.welcome["resumed"], back.welcome["reason"], back.welcome["received"]) == (False, reason, 0)
    assert back.session != client.session
    assert payloads(await back.says({"type": "echo", "id": "c1", "payload": 1})) == [1]
    if reason == "overflow":
        # The former one is over, and its memberships with it. One of another codec still waits.
        assert host.engine.members("r") == 0
        assert len(host.registry.connections) == 1


async def test_without_grace_no_session_waits() -> None:
    host = Hosted(grace=0)
    client, other = await host.connect(), await host.connect()
    await client.leaves()
    assert (await host.resume(client)).welcome["reason"] == "closed"
    await other.closes(4000)
    assert (await host.resume(other)).welcome["reason"] == "closed"
    await host.end()


async def test_another_connection_takes_the_session_over(host: Hosted) -> None:
    client = await host.connect()
    await client.joins("r")
    back = await host.resume(client)
    assert back.welcome["resumed"]
    assert client.farewell == (4503, "another connection uses this session")
    host.publish("r", "a")
    assert payloads(await back.hears()) == ["a"]
    (connection,) = host.registry.connections.values()
    assert connection._link == back.link.id
    third = await host.resume(back)
    assert (third.welcome["resumed"], back.farewell) == (True, client.farewell)
    assert payloads(await third.says({"type": "echo", "id": "c1", "payload": 1})) == [1]
