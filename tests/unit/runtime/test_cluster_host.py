"""What other nodes ask of this one."""

from __future__ import annotations

import pytest
from helpers.hosted import Hosted

from fanwire.runtime.cluster_host import ClusterHost


def made(host: Hosted) -> ClusterHost:
    async def publish(body: bytes) -> tuple[int, bytes]:
        return 200, body

    async def echo(question: bytes) -> bytes:
        return question

    return ClusterHost(host.host.engine, host.registry, host.host.fallbacks, host.host.health, publish, echo)


async def test_a_user_gets_messages_on_all_connections() -> None:
    host = Hosted(lambda request: "ann")
    first, second = await host.connect(), await host.connect()
    made(host).for_user("ann", b'{"a":1}', True, None)
    made(host).for_user("bob", b'{"a":2}', True, None)
    for client in (first, second):
        assert [envelope["payload"] for envelope in await client.hears()] == [{"a": 1}]
    await host.end()


async def test_a_session_that_moved_ends_here() -> None:
    host = Hosted(lambda request: "ann")
    client = await host.connect()
    assert client.session is not None
    made(host).apply("moved", client.session, "")
    made(host).apply("moved", "unknown", "")
    await host.settle()
    assert client.farewell == (4503, "another connection uses this session")
    assert not host.registry.connections
    await host.end()


@pytest.mark.parametrize("what", ["disconnect_user", "remove", "reauthorize", "revoke"])
async def test_revocations_of_other_nodes_are_carried_out(what: str) -> None:
    host = Hosted(lambda request: "ann", lambda identity, action, room: is_allowed)
    is_allowed = True
    host.room("a")
    client = await host.connect()
    await client.joins("a")
    is_allowed = False
    made(host).apply(what, client.session if what == "revoke" else "ann", "why", "a")
    await host.settle()
    assert host.engine.members("a") == 0
    assert (client.farewell is not None) is (what in ("disconnect_user", "revoke"))
    await host.end()


@pytest.mark.logs_errors
async def test_what_this_version_does_not_know_is_logged(host: Hosted, caplog: pytest.LogCaptureFixture) -> None:
    made(host).apply("dance", None, "")
    assert "does not know" in caplog.text


async def test_members_are_told_a_new_numbering(host: Hosted) -> None:
    host.room("a")
    client = await host.connect()
    await client.joins("a")
    made(host).renewed("a")
    made(host).renewed("b")
    assert [(told["type"], told["room"]) for told in await client.hears()] == [("joined", "a")]


async def test_members_are_told_of_members_elsewhere() -> None:
    host = Hosted()
    host.room("a", presence=True)
    client = await host.connect()
    await client.joins("a")
    (member,) = made(host).present_here("a")
    made(host).remote_member_changed("a", "x.1", None, True)
    made(host).remote_member_changed("a", "x.1", None, False)
    assert [told["type"] for told in await client.hears()] == ["member_joined", "member_left"]
    assert member in host.registry.memberships.present("a")
    await host.end()


async def test_a_question_of_an_operator_is_answered() -> None:
    host = Hosted(lambda request: "ann")
    assert await made(host).answer_question(b"?") == b"?"
    await host.end()
