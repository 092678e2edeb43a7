"""Users, their sessions and presence, on several nodes."""

from __future__ import annotations

import asyncio
import json
import threading
from inspect import isawaitable
from typing import Any
from unittest.mock import patch

import pytest
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from websockets.exceptions import InvalidStatus

import fanwire


def token_of(request: fanwire.Request) -> Any:
    """Whoever says who they are is believed."""
    return fanwire.Identity(subject=request.credential(("header",)) or "nobody")


async def test_a_message_to_a_user_reaches_all_their_connections(nodes: Cluster) -> None:
    async with (
        nodes.node(authenticate=token_of) as a,
        nodes.node(authenticate=token_of) as b,
        nodes.node(authenticate=token_of) as c,
        fanwire.connect(a.url, token="ann") as one,
        fanwire.connect(b.url, token="ann") as two,
        fanwire.connect(b.url, token="bob") as three,
    ):
        for client, subject in ((one, "ann"), (two, "ann"), (three, "bob")):
            await within(is_heard(c, subject, client))
        for server in (a, b, c):
            server.send_to_user("ann", {"to": "ann"})
        server.send_to_user("bob", "to bob")
        for client in (one, two):
            assert [await told(client) for _ in range(3)] == [{"to": "ann"}] * 3
        assert await told(three) == "to bob"


async def is_heard(server: Book, subject: str, client: fanwire.Client) -> None:
    """Until what another node sends to a user comes."""
    first = asyncio.ensure_future(anext(client.messages()))
    while not first.done():
        server.send_to_user(subject, "anybody?")
        await asyncio.sleep(0.01)


async def told(client: fanwire.Client) -> Any:
    """What the client is told next, without what `is_heard` has sent."""
    while (message := await within(anext(client.messages()))).data == "anybody?":
        pass
    return message.data


async def test_a_user_is_sent_away_everywhere(nodes: Cluster) -> None:
    async with (
        nodes.node(authenticate=token_of) as a,
        nodes.node(authenticate=token_of) as b,
        b.client(additional_headers={"Authorization": "Bearer ann"}) as ann,
        b.client(additional_headers={"Authorization": "Bearer bob"}) as bob,
    ):
        await until(lambda: len(b.opened) == 2)
        a.disconnect_user("ann", reason="go")
        await within(ann.wait_closed())
        assert (ann.close_code, ann.close_reason) == (4502, "go")
        assert bob.close_code is None


async def test_a_session_is_revoked_wherever_it_is(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as one, fanwire.connect(b.url) as two:
        assert one.session is not None
        a.revoke(one.session)
        await until(lambda: one.state is fanwire.ConnectionState.CLOSED)
        assert two.state is fanwire.ConnectionState.OPEN


async def test_an_order_reaches_a_node_that_was_cut_off(nodes: Cluster) -> None:
    async with (
        nodes.node(authenticate=token_of) as a,
        nodes.node(authenticate=token_of) as b,
        b.client(additional_headers={"Authorization": "Bearer ann"}) as ann,
    ):
        await until(lambda: b.opened)
        await nodes.take_away()
        await until(lambda: not a._is_ready() and not b._is_ready())
        a.disconnect_user("ann")
        await nodes.bring_back()
        await within(ann.wait_closed())
        assert ann.close_code == 4502


def with_presence(server: Book) -> Book:
    server.room("seen.*", presence=True)
    return server


async def test_presence_over_all_nodes(nodes: Cluster) -> None:
    async with (
        with_presence(nodes.node()) as a,
        with_presence(nodes.node()) as b,
        fanwire.connect(a.url) as one,
        fanwire.connect(b.url) as two,
    ):
        await until(lambda: a._running.node.nodes == b._running.node.nodes == 2)
        here = await one.join("seen.x")
        there = await two.join("seen.x")
        await until(lambda: len(here.members) == len(there.members) == 2)
        assert set(here.members) == set(there.members)
        assert set(await a.presence("seen.x")) == set(here.members) == set(await b.presence("seen.x"))
        async with fanwire.connect(b.url) as three:
            third = await three.join("seen.x")
            assert len(third.members) == 3
            await until(lambda: len(here.members) == 3)
        await until(lambda: len(here.members) == len(there.members) == 2)
        await there.leave()
        await until(lambda: len(here.members) == 1)
        assert len(await b.presence("seen.x")) == 1


@pytest.mark.usefixtures("quick_deaths")
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.logs_errors
async def test_who_was_at_a_node_that_is_gone_is_gone(nodes: Cluster) -> None:
    async with (
        with_presence(nodes.node()) as a,
        with_presence(nodes.node()) as b,
        fanwire.connect(a.url) as one,
        fanwire.connect(b.url) as two,
    ):
        await until(lambda: a._running.node.nodes == 2)
        here = await one.join("seen.x")
        await two.join("seen.x")
        await until(lambda: len(here.members) == 2)
        # As if it had been killed: nobody says goodbye.
        assert b._backplane is not None
        await b._backplane.close()
        await until(lambda: len(here.members) == 1)


async def hello(server: Book, path: str = "/") -> tuple[Any, dict[str, Any]]:
    """A session of JSON, and its welcome."""
    client = await server.client(path, subprotocols=["fanwire.v1.json"])
    return client, json.loads(await within(client.recv()))["payload"]


async def test_a_session_whose_node_has_died_is_known_elsewhere(nodes: Cluster) -> None:
    async with with_presence(nodes.node()) as a, with_presence(nodes.node()) as b:
        client, welcome = await hello(a)
        for room in ("log.x", "seen.x"):
            await client.send(json.dumps({"type": "join", "id": room, "room": room}))
            assert json.loads(await within(client.recv()))["type"] == "joined"
        seq = await a.publish_acked("log.x", 1)
        await until(lambda: b._running.node.nodes == 2)
        await within(is_known(b, welcome["session"], 2))
        other, again = await hello(b, f"/?session={welcome['session']}&received=0")
        assert (again["resumed"], again["reason"]) == (False, "other node")
        assert set(again["rooms"]) == {"log.x", "seen.x"}
        position = again["rooms"]["log.x"]
        assert position["seq"] <= seq
        await other.send(json.dumps({"type": "join", "id": "1", "room": "log.x", "payload": {"since": position}}))
        joined = json.loads(await within(other.recv()))
        assert joined["payload"]["recovered"] is True
        # The node that had it has let it go.
        await until(lambda: not a.connections)
        await within(is_empty(b, "seen.x"))
        _, third = await hello(b, f"/?session={welcome['session']}&received=0")
        assert third["reason"] in ("other node", "unknown")
        _, stranger = await hello(b, "/?session=nobodys&received=0")
        assert stranger["reason"] == "unknown"
        assert "rooms" not in stranger


async def is_known(server: Book, session: str, rooms: int = 0) -> None:
    """Until a node finds the record of a session, with so many rooms at least."""
    store = server._running.host.registry.sessions._store
    while True:
        loading = store.load(session)
        record = await loading if isawaitable(loading) else loading
        if record is not None and len(record.rooms) >= rooms:
            return
        await asyncio.sleep(0.01)


async def is_empty(server: Book, room: str) -> None:
    """Until a node knows of no member of a room."""
    while True:
        if not await server.presence(room):
            return
        await asyncio.sleep(0.01)


async def test_a_session_whose_client_another_node_refuses_goes_on(nodes: Cluster) -> None:
    options: dict[str, Any] = {"authenticate": lambda request: "ann"}
    async with nodes.node(**options) as a, nodes.node({"max_user_connections": 1}, **options) as b:
        await until(lambda: a._running.node.nodes == b._running.node.nodes == 2)
        async with await Talk.open(a) as talk, await Talk.open(b):
            moved: list[str] = []
            await within(is_known(b, talk.session))
            with patch.object(b._running.node, "moved_here", moved.append):
                with pytest.raises(InvalidStatus, match="429"):
                    await Talk.open(b, after=talk)
                assert moved == []
            async with await Talk.open(a, after=talk) as again:
                assert again.welcome["resumed"]


async def test_presence_after_everybody_had_left_one_node(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.cluster.subscriptions.LINGER", 0.05)
    async with (
        with_presence(nodes.node()) as a,
        with_presence(nodes.node()) as b,
        fanwire.connect(a.url) as one,
        fanwire.connect(b.url) as two,
    ):
        here = await one.join("seen.x")
        for _ in range(3):
            there = await two.join("seen.x")
            await until(lambda: len(here.members) == 2)
            await there.leave()
            await until(lambda: len(here.members) == 1)
            # Until b has forgotten the room.
            await until(lambda: "seen.x" not in b._running.node._parts.subscriptions.rooms)


async def test_a_member_that_a_thread_has_joined_and_that_leaves_is_gone_everywhere(nodes: Cluster) -> None:
    async with (
        with_presence(nodes.node()) as a,
        with_presence(nodes.node()) as b,
        fanwire.connect(a.url) as one,
        fanwire.connect(b.url) as two,
    ):
        await until(lambda: a._running.node.nodes == b._running.node.nodes == 2)
        here = await one.join("seen.x")
        await two.join("seen.x")
        await until(lambda: len(here.members) == 2)
        async with fanwire.connect(b.url):
            third = b.connections[-1]
            thread = threading.Thread(target=third.join, args=("seen.x",))
            thread.start()
            thread.join()
            third.leave("seen.x")
        # Behind what was told of the third.
        async with fanwire.connect(b.url) as four:
            known = await b.presence("seen.x")
            (fourth,) = (await four.join("seen.x")).members.keys() - known.keys()
            await until(lambda: fourth in here.members)
            assert len(here.members) == 3


async def test_a_thread_joins_a_client_to_a_room_that_its_last_member_has_just_left(nodes: Cluster) -> None:
    node = nodes.node()
    node.room("kept.*", history=10)
    async with node as a, fanwire.connect(a.url):
        await until(lambda: a.connections)
        (conn,) = a.connections
        for _ in range(2):
            await asyncio.to_thread(conn.join, "kept.x")
            await until(lambda: conn.rooms)
            await asyncio.to_thread(conn.leave, "kept.x")
        assert not conn.rooms
