"""Sessions, from a lost connection to the next one, and how they end: over a fake engine, so nothing waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from helpers.hosted import Hosted
from helpers.wait import until

import fanwire


@pytest.fixture
async def host() -> AsyncIterator[Hosted]:
    """A server with a room and an echo, whose users are named by their paths."""
    host = Hosted(lambda request: request.path.strip("/") or fanwire.ANONYMOUS)
    host.room("r", publish=True, history=10)
    host.on("echo")(lambda conn, payload: payload)
    yield host
    await host.end()
    assert not host.errors


def payloads(envelopes: list[dict[str, Any]]) -> list[Any]:
    return [envelope["payload"] for envelope in envelopes]


async def test_a_session_goes_on_with_what_its_client_has_missed(host: Hosted) -> None:
    client = await host.connect()
    await client.joins("r")
    assert payloads(await client.says({"type": "echo", "id": "c1", "payload": 1})) == [1]
    await client.leaves()
    (connection,) = host.hub.connections.values()
    assert connection.is_parked
    host.publish("r", "a")
    back = await host.resume(client)
    assert (back.welcome["resumed"], back.welcome["received"], back.session) == (True, 2, client.session)
    assert payloads(await back.hears()) == ["a"]
    host.publish("r", "b")
    assert payloads(await back.hears()) == ["b"]
    assert host.hub.connections == {connection.id: connection}
    assert connection.state is fanwire.State.OPEN
    assert host.hub.sessions.parked == 0


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
        assert len(host.hub.connections) == 1


async def test_a_client_that_closes_ends_its_session(host: Hosted) -> None:
    client = await host.connect()
    await client.joins("r")
    await client.closes(1000, "done")
    assert (client.farewell, client.link.is_over) == ((1000, "done"), True)
    assert host.engine.members("r") == 0
    assert not host.hub.connections
    assert (await host.resume(client)).welcome["reason"] == "closed"


@pytest.mark.parametrize("code", [4000, 4499])
async def test_a_code_of_one_that_comes_back_parks_the_session(host: Hosted, code: int) -> None:
    client = await host.connect()
    await client.closes(code, "soon")
    assert client.farewell == (code, "soon")
    assert (await host.resume(client)).welcome["resumed"]


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
    (connection,) = host.hub.connections.values()
    assert connection.link == back.link.id
    third = await host.resume(back)
    assert (third.welcome["resumed"], back.farewell) == (True, client.farewell)
    assert payloads(await third.says({"type": "echo", "id": "c1", "payload": 1})) == [1]


async def test_what_the_old_link_still_says_does_not_count(host: Hosted) -> None:
    client = await host.connect()
    back = await host.resume(client)
    await client.says({"type": "echo", "id": "late", "payload": "late"})
    assert await back.hears() == []
    assert (await back.says({"type": "ping"}))[1]["payload"] == {"count": 0}


async def test_a_user_that_is_sent_away(host: Hosted) -> None:
    first, second, other = await host.connect("/ann"), await host.connect("/ann"), await host.connect("/bob")
    away = await host.connect("/ann")
    await away.leaves()
    host.hub.disconnect_user("ann", "bye")
    await host.settle()
    assert first.farewell == second.farewell == (4502, "bye")
    assert other.farewell is None
    for client in (first, away):
        back = await host.connect(f"/ann?session={client.session}&received=0")
        assert back.welcome["reason"] == "closed"


async def test_one_session_that_is_revoked(host: Hosted) -> None:
    first, second = await host.connect("/ann"), await host.connect("/ann")
    host.hub.revoke(first.session, "stolen")
    host.hub.revoke("unknown", "stolen")
    await host.settle()
    assert (first.farewell, second.farewell) == ((4502, "stolen"), None)
    assert [connection.id for connection in host.hub.users.of("ann")] == [second.conn]


async def test_a_slow_client_is_closed_and_its_session_is_over() -> None:
    host = Hosted(connection_bytes=10_000)
    host.room("r")
    client = await host.connect()
    await client.joins("r")
    client.link.stalls()
    for _ in range(3):
        host.publish("r", "x" * 5_000)
    await host.settle()
    (connection,) = host.hub.connections.values()
    assert (connection.close_code, host.passed) == (4008, ["connection_bytes"])
    client.link.reads()
    await host.settle()
    assert client.farewell == (4008, "too slow, reconnect")
    assert (await host.resume(client)).welcome["reason"] == "overflow"
    await host.end()


async def test_a_session_whose_client_is_away_for_too_much_is_over() -> None:
    host = Hosted(connection_bytes=10_000)
    host.room("r")
    client = await host.connect()
    await client.joins("r")
    await client.leaves()
    for _ in range(3):
        host.publish("r", "x" * 5_000)
    await host.settle()
    assert not host.hub.connections
    assert (await host.resume(client)).welcome["reason"] == "overflow"
    await host.end()


async def test_a_client_that_breaks_a_rule_is_closed_after_the_answers_to_what_came_before(host: Hosted) -> None:
    client = await host.connect()
    client.link.says('{"type":"echo","id":"c1","payload":1}')
    client.link.breaks(1002, "a frame is not masked")
    assert payloads(await client.hears()) == [1]
    assert client.farewell == (1002, "a frame is not masked")
    assert not host.hub.connections


async def test_a_connection_that_does_not_answer_a_close_ends_all_the_same(host: Hosted) -> None:
    ended: list[fanwire.Connection] = []
    host.on_disconnect(ended.append)
    host.on_connect(lambda conn: conn.close(1000, "bye"))
    link = host.engine.ask(subprotocol="fanwire.v1.json", answers=False)
    await host.settle()
    assert link.farewell == (1000, "bye")
    assert not ended
    host.engine.let_close_timeout_pass()
    await host.settle()
    assert [(connection.close_code, connection.closed_by) for connection in ended] == [(1000, "server")]


async def test_a_peer_that_is_not_let_in() -> None:
    def authenticate(request: fanwire.Request) -> Any:
        raise fanwire.Refused(403, "no")

    host = Hosted(authenticate)
    client = await host.connect()
    assert client.link.refusal == (403, [], "no")
    assert not host.hub.connections
    await host.end()


async def test_a_peer_that_goes_before_it_was_let_in(host: Hosted) -> None:
    link = host.engine.ask(subprotocol="fanwire.v1.json")
    link.leaves()
    await host.settle()
    assert not host.hub.connections
