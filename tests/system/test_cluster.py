"""Several nodes, one room: real clients, the engine of each node, and a backplane between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from helpers.nodes import Cluster, cluster
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire.backplane import Unavailable


@pytest_asyncio.fixture(params=["memory", "nats"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(request.param, tmp_path) as made:
        yield made


async def take(room: fanwire.Room, count: int) -> list[fanwire.Message]:
    return [await within(anext(room)) for _ in range(count)]


def lose_all(server: Book) -> None:
    assert server._hub is not None
    for carrier in list(server._hub.carriers.values()):
        carrier.abort()


async def test_a_live_room_is_one_room(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(a.url) as one, fanwire.connect(b.url) as two:
        here, there = await one.join("live.x"), await two.join("live.x")
        for n in range(50):
            a.publish("live.x", {"n": n})
        b.publish("live.x", b"\x00")
        await one.publish("live.x", "from a client")
        # What comes from two nodes has no common order.
        for room in (here, there):
            got = [message.data for message in await take(room, 52)]
            assert [data for data in got if isinstance(data, dict)] == [{"n": n} for n in range(50)]
            assert b"\x00" in got
            assert "from a client" in got


async def test_only_nodes_with_members_hear_a_room(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("live.x")
        a.publish("live.y", 1)
        a.publish("log.y", 1)
        a.publish("live.x", 2)
        assert [message.data for message in await take(room, 1)] == [2]
        assert b.stats()["published"] == 1
        assert "live.y" not in b._running.fabric._following.rooms


async def test_a_room_with_history_has_one_order_and_one_numbering(nodes: Cluster) -> None:
    async with (
        nodes.node() as a,
        nodes.node() as b,
        nodes.node() as c,
        fanwire.connect(a.url) as one,
        fanwire.connect(b.url, encoding="msgpack") as two,
    ):
        here, there = await one.join("log.x"), await two.join("log.x")
        assert here.epoch == there.epoch

        async def publish(server: Book, name: str) -> None:
            for n in range(100):
                # Another room in the same log makes holes in the numbers of this one.
                server.publish("log.other", n)
                assert await server.publish_acked("log.x", [name, n]) > 0

        await asyncio.gather(*(publish(server, name) for server, name in ((a, "a"), (b, "b"), (c, "c"))))
        first, second = await take(here, 300), await take(there, 300)
        assert [(m.seq, m.data) for m in first] == [(m.seq, m.data) for m in second]
        assert [m.id for m in first] == [m.id for m in second]
        for name in "abc":
            assert [m.data for m in first if m.data[0] == name] == [[name, n] for n in range(100)]
        assert not [m.gap for m in first + second if m.gap]


async def test_clients_publish_to_it_and_are_answered_with_its_numbers(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(a.url) as one, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        seqs = [await within(one.publish("log.x", n)) for n in range(20)]
        assert [(m.seq, m.data) for m in await take(room, 20)] == list(zip(seqs, range(20), strict=True))


async def test_a_client_goes_on_at_another_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b:
        async with fanwire.connect(a.url) as one:
            room = await one.join("log.x")
            for n in range(10):
                await a.publish_acked("log.x", n)
                await a.publish_acked("log.other", n)
            last = (await take(room, 10))[-1]
            since = fanwire.client.Position(room.epoch, last.seq)
        for n in range(10, 200):
            await a.publish_acked("log.x", n)
            a.publish("log.other", n)
        # Nobody was there on b: it has nothing of its own.
        async with fanwire.connect(b.url) as two:
            room = await two.join("log.x", since=since)
            assert [m.data for m in await take(room, 190)] == list(range(10, 200))
            # From the ring.
            async with fanwire.connect(b.url) as three:
                again = await three.join("log.x", since=since)
                assert [m.data for m in await take(again, 190)] == list(range(10, 200))
            a.publish("log.x", 200)
            message = (await take(room, 1))[0]
            assert (message.data, message.gap) == (200, None)


async def test_what_is_no_longer_kept_is_said(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b:
        async with fanwire.connect(a.url) as one:
            room = await one.join("short.x")
            await a.publish_acked("short.x", 0)
            since = fanwire.client.Position(room.epoch, (await take(room, 1))[0].seq)
        for n in range(20):
            await a.publish_acked("short.x", n)
        async with fanwire.connect(b.url) as two:
            room = await two.join("short.x", since=since)
            a.publish("short.x", "next")
            message = (await take(room, 1))[0]
            assert message.data == "next"
            assert message.gap is not None
            assert message.gap.reason == "history"


async def test_exclude(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(a.url) as one, fanwire.connect(b.url) as two:
        for name in ("log.x", "live.x"):
            here, there = await one.join(name), await two.join(name)
            conn = a.opened[0]
            a.publish(name, "not for one", exclude=conn)
            a.publish(name, "for all")
            assert [m.data for m in await take(there, 2)] == ["not for one", "for all"]
            assert [m.data for m in await take(here, 1)] == ["for all"]


async def test_the_application_joins_a_client_to_a_cold_room(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b:
        peer = await b.peer("/log.x,live.x")
        await until(lambda: b.count("log.x") == b.count("live.x") == 1)
        await asyncio.sleep(0.05)
        a.publish("log.x", b"1")
        assert (await peer.message()) == b"1"
        a.publish("live.x", b"2")
        assert (await peer.message()) == b"2"
        peer.close()


async def test_who_leaves_a_cold_room_before_it_is_ready_is_not_in_it(nodes: Cluster) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        await one.join("live.x")
        conn = a.opened[0]
        conn.join("log.x")
        conn.join("log.y")
        conn.leave("log.x")
        await until(lambda: a.count("log.y") == 1)
        # Both were under way together; a third comes after them.
        conn.join("log.z")
        await until(lambda: a.count("log.z") == 1)
        assert a.count("log.x") == 0
        assert conn.join("log.x") == 0
        await until(lambda: a.count("log.x") == 1)


async def test_the_newest_values_are_there_for_whoever_comes_first_at_a_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b:
        for n in range(3):
            a.publish("values.x", n, key=f"k{n % 2}")
        a.publish("values.x", b"bytes", key="bin")
        # Nobody is in the room anywhere; its values are where they were published.
        async with fanwire.connect(b.url) as two:
            messages = await take(await two.join("values.x"), 3)
            assert {m.key: m.data for m in messages} == {"k0": 2, "k1": 1, "bin": b"bytes"}
            a.publish("values.x", 7, key="k1")
            b.publish("values.x", 8, key="k2")
        async with nodes.node() as c, fanwire.connect(c.url) as three:
            room = await three.join("values.x")
            values: dict[str | None, Any] = {}
            async for message in room:
                values[message.key] = message.data
                if values == {"k0": 2, "k1": 7, "bin": b"bytes", "k2": 8}:
                    break


async def test_values_from_before_a_room_was_left_are_not_the_newest(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.cluster.following.LINGER", 0.05)
    async with nodes.node() as a, nodes.node() as b:
        for value in ("old", "new"):
            a.publish("values.x", value, key="k")
            a.publish("values.x", "same", key="same")
            async with fanwire.connect(b.url) as two:
                room = await two.join("values.x")
                messages = await take(room, 2)
                assert {m.key: m.data for m in messages} == {"k": value, "same": "same"}
                await room.leave()
                await until(lambda: "values.x" not in b._running.fabric._following.rooms)


async def test_values_that_changed_while_the_backplane_was_away(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        a.publish("values.x", 1, key="k")
        room = await two.join("values.x")
        assert [m.data for m in await take(room, 1)] == [1]
        await nodes.take_away()
        await until(lambda: not (a._is_ready() or b._is_ready()))
        a.publish("values.x", 2, key="k")
        await nodes.bring_back()
        assert [m.data for m in await take(room, 1)] == [2]


async def test_many_values_come_in_portions(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        for n in range(3000):
            a.publish("values.x", [n, "x" * 200], key=f"k{n}")
        messages = await take(await two.join("values.x"), 3000)
        assert sorted(m.data[0] for m in messages) == list(range(3000))


async def test_an_id_is_published_once_on_whatever_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        seq = await a.publish_acked("log.x", 1, id="once")
        assert await b.publish_acked("log.x", 1, id="once") == seq
        last = await b.publish_acked("log.x", 2)
        assert [m.seq for m in await take(room, 2)] == [seq, last]


async def test_while_the_backplane_is_away(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(a.url) as one, fanwire.connect(b.url) as two:
        live, log = await one.join("live.x"), await one.join("log.x")
        far_live, far_log = await two.join("live.x"), await two.join("log.x")
        for server in (a, b):
            server.publish("live.x", "before")
        await take(live, 2)
        await take(far_live, 2)
        assert a._is_ready()
        gaps: list[fanwire.Gap] = []
        far_live.on_gap(gaps.append)
        await nodes.take_away()
        await until(lambda: not a._is_ready() and not b._is_ready())
        # Members here are served, and publishing does not fail.
        for n in range(3):
            a.publish("live.x", n)
        assert [m.data for m in await take(live, 3)] == [0, 1, 2]
        a.publish("log.x", "waits")
        with pytest.raises(Unavailable):
            await a.publish_acked("fail.x", 1)
        # A room that nobody here was in cannot be joined.
        with pytest.raises(fanwire.RequestFailed, match="unavailable"):
            await within(one.join("log.cold"))
        await nodes.bring_back()
        await until(lambda: a._is_ready() and b._is_ready())
        assert [m.data for m in await take(log, 1)] == ["waits"]
        assert [m.data for m in await take(far_log, 1)] == ["waits"]
        # Nobody wonders where the three are: they are told without another message.
        await until(lambda: gaps, "the gap is told")
        a.publish("live.x", "after")
        message = (await take(far_live, 1))[0]
        assert message.data == "after"
        assert message.gap is not None
        assert message.gap.reason == "backplane"
        assert message.gap.upto - message.gap.after == 3


async def test_a_node_that_was_cut_off_catches_up(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        for n in range(5):
            await a.publish_acked("log.x", n)
        await take(room, 5)
        backplane = b._backplane
        assert backplane is not None
        # As if its subscriptions had been lost: it is connected, and deaf.
        policy = b._policies.of("log.x")
        fabric = b._running.fabric
        assert isinstance(fabric, fanwire.cluster.Cluster)
        backplane.unfollow(fabric._logs.of(policy), "log.x")
        await asyncio.sleep(0.05)
        for n in range(5, 10):
            await a.publish_acked("log.x", n)
        await backplane.follow(fabric._logs.of(policy), "log.x")
        await a.publish_acked("log.x", 10)
        messages = await take(room, 6)
        assert [m.data for m in messages] == list(range(5, 11))
        assert not [m.gap for m in messages if m.gap]


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.logs_errors
async def test_a_deaf_node_finds_out_and_heals(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        fabric = b._running.fabric
        assert isinstance(fabric, fanwire.cluster.Cluster)
        heard, fabric.told = fabric.told, lambda data: None  # type: ignore[method-assign]
        stored, fabric.stored = fabric.stored, lambda log, room, message: None  # type: ignore[method-assign]
        for n in range(3):
            await a.publish_acked("log.x", n)
        await until(lambda: not b._is_ready(), "it notices that it is deaf")
        fabric.told, fabric.stored = heard, stored  # type: ignore[method-assign]
        assert [m.data for m in await take(room, 3)] == [0, 1, 2]
        await until(b._is_ready)


@pytest.mark.parametrize("nodes", ["nats"], indirect=True)
async def test_a_log_that_was_lost_is_told(nodes: Cluster, tmp_path: Path) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        room = await one.join("log.x")
        await a.publish_acked("log.x", 0)
        await take(room, 1)
        fabric = a._running.fabric
        assert isinstance(fabric, fanwire.cluster.Cluster)
        backplane: Any = a._backplane
        stream = backplane._stream(fabric._logs.of(a._policies.of("log.x")))
        await backplane._jetstream._ask(f"$JS.API.STREAM.DELETE.{stream}", b"{}")
        assert nodes.nats is not None
        nodes.nats.kill()
        await until(lambda: not a._is_ready())
        await until(a._is_ready)
        for n in range(3):
            await within(a.publish_acked("log.x", f"new {n}"))
        messages = await take(room, 3)
        assert [m.data for m in messages] == ["new 0", "new 1", "new 2"]
        assert messages[0].gap is not None
        assert messages[0].gap.reason == "epoch"


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_no_backplane_no_server(tmp_path: Path) -> None:
    from fanwire.backplane.nats import NATS

    server = Book(backplane=NATS("nats://127.0.0.1:1"))
    with pytest.raises(Unavailable, match="no NATS server"):
        await server.start()
    with contextlib.suppress(fanwire.Closed):
        await server.stop()


async def test_losing_connections_at_one_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        for n in range(30):
            await a.publish_acked("log.x", n)
            if n % 10 == 5:
                lose_all(b)
        assert [m.data for m in await take(room, 30)] == list(range(30))


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
        await asyncio.sleep(0.1)
        for server in (a, b, c):
            server.send_to_user("ann", {"to": "ann"})
        server.send_to_user("bob", "to bob")
        for client in (one, two):
            client_messages = client.messages()
            assert [(await within(anext(client_messages))).data for _ in range(3)] == [{"to": "ann"}] * 3
        assert (await within(anext(three.messages()))).data == "to bob"


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
        await until(lambda: a._running.fabric.nodes == b._running.fabric.nodes == 2)
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


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.logs_errors
async def test_who_was_at_a_node_that_is_gone_is_gone(nodes: Cluster) -> None:
    async with (
        with_presence(nodes.node()) as a,
        with_presence(nodes.node()) as b,
        fanwire.connect(a.url) as one,
        fanwire.connect(b.url) as two,
    ):
        await until(lambda: a._running.fabric.nodes == 2)
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
        await until(lambda: b._running.fabric.nodes == 2)
        await asyncio.sleep(0.7)
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
        assert await b.presence("seen.x") == {}
        _, third = await hello(b, f"/?session={welcome['session']}&received=0")
        assert third["reason"] in ("other node", "unknown")
        _, stranger = await hello(b, "/?session=nobodys&received=0")
        assert stranger["reason"] == "unknown"
        assert "rooms" not in stranger


async def test_values_of_a_room_with_history_are_there_for_the_first_at_a_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        for server in (a, b):
            server.room("values.*", delivery="latest", history=100)
        for n in range(60):
            await a.publish_acked("values.x", n, key=f"k{n % 3}")
        room = await two.join("values.x")
        assert sorted([(m.key, m.data) for m in await take(room, 3)]) == [("k0", 57), ("k1", 58), ("k2", 59)]
        a.publish("values.x", 60, key="k0")
        assert [m.data for m in await take(room, 1)] == [60]


@pytest.mark.logs_errors
@pytest.mark.parametrize("nodes", ["memory"], indirect=True)
async def test_a_log_that_has_lost_messages_is_told(nodes: Cluster) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        room = await one.join("log.x")
        for n in range(10):
            await a.publish_acked("log.x", n)
        await take(room, 10)
        assert nodes.bus is not None
        nodes.bus.set_up(False)
        await until(lambda: not a._is_ready())
        log = next(log for name, log in nodes.bus.logs.items() if name == "rooms log.*")
        for _ in range(4):
            log.rooms["log.x"].pop()
        log.seq -= 4
        nodes.bus.set_up(True)
        await until(lambda: a._engine.position("log.x")[0] != room.epoch)
        for n in range(3):
            await a.publish_acked("log.x", f"new {n}")
        messages = await take(room, 3)
        assert [m.data for m in messages] == ["new 0", "new 1", "new 2"]
        assert messages[0].gap is not None
        assert messages[0].gap.reason == "epoch"


async def test_a_node_that_was_stopped_starts_again(nodes: Cluster) -> None:
    async with nodes.node() as a:
        b = nodes.node()
        for n in range(2):
            async with b, fanwire.connect(b.url) as two:
                live, log = await two.join("live.x"), await two.join("log.x")
                a.publish("live.x", n)
                a.publish("log.x", n)
                assert [m.data for m in await take(live, 1) + await take(log, 1)] == [n, n]


async def test_presence_after_everybody_had_left_one_node(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.cluster.following.LINGER", 0.05)
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
            await until(lambda: "seen.x" not in b._running.fabric._following.rooms)


@pytest.mark.parametrize("nodes", ["nats"], indirect=True)
async def test_what_comes_too_fast_is_told_or_read_again(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # Hardly more than one message at a time.
    monkeypatch.setattr("fanwire.backplane.nats_client.PENDING", 500)
    rooms = [f"log.{n}" for n in range(10)]
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        live, logs = await two.join("live.x"), [await two.join(room) for room in rooms]
        told: list[Any] = []
        got: list[Any] = []
        live.on_skipped(told.append)

        async def read() -> None:
            async for message in live:
                got.append(message.data)  # noqa: PERF401 - as they come

        reading = asyncio.ensure_future(read())
        for n in range(500):
            a.publish("live.x", n)
        await asyncio.gather(*(a.publish_acked(room, n) for n in range(50) for room in rooms))
        for log in logs:
            messages = await take(log, 50)
            assert [m.data for m in messages] == list(range(50))
            assert not [m.gap for m in messages if m.gap]
        await until(lambda: sum(skip.count for skip in told) + len(got) == 500, "all that did not come is told")
        assert told
        assert got == sorted(got)
        reading.cancel()


async def test_a_client_that_is_ahead_of_its_new_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(a.url) as one, fanwire.connect(b.url) as two:
        here, there = await one.join("log.x"), await two.join("log.x")
        # What is stored does not get to b, for a while.
        fabric: Any = b._running.fabric
        stored, fabric.stored = fabric.stored, lambda log, room, message: None
        for n in range(5):
            await a.publish_acked("log.x", n)
        last = (await take(here, 5))[-1]
        async with fanwire.connect(b.url) as three:
            room = await three.join("log.x", since=fanwire.client.Position(here.epoch, last.seq))
            fabric.stored = stored
            await a.publish_acked("log.x", 5)
            message = (await take(room, 1))[0]
            assert (message.data, message.gap) == (5, None)
        assert [m.data for m in await take(there, 6)] == list(range(6))


async def test_what_ends_with_a_node_does_not_reach_its_next_life(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.cluster.following.LINGER", 0.2)
    async with nodes.node() as a:
        b = nodes.node()
        async with b, fanwire.connect(b.url) as two:
            await two.join("log.x")
            await two.join("live.x")
        async with b, fanwire.connect(b.url) as two:
            live, log = await two.join("live.x"), await two.join("log.x")
            await asyncio.sleep(0.4)
            a.publish("live.x", 1)
            a.publish("log.x", 1)
            assert [m.data for m in await take(live, 1) + await take(log, 1)] == [1, 1]


async def test_one_key_too_many_is_told_and_does_not_stop_the_room(nodes: Cluster) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        a.room("few.*", delivery="latest", history=100, max_keys=2)
        room = await one.join("few.x")
        told: list[Any] = []
        room.on_skipped(told.append)
        for key in ("a", "b", "c", "a"):
            last = await a.publish_acked("few.x", key, key=key)
        await until(lambda: told)
        # A newer value may take the place of one that waits.
        while (await take(room, 1))[0].seq != last:
            pass
        assert sum(skip.count for skip in told if skip.reason == "backplane") == 1


async def test_ids_of_one_room_are_not_those_of_another(nodes: Cluster) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        x, y = await one.join("log.x"), await one.join("log.y")
        assert await a.publish_acked("log.x", "x", id="same") != await a.publish_acked("log.y", "y", id="same")
        assert [m.data for m in await take(x, 1) + await take(y, 1)] == ["x", "y"]
        for wrong in ("", "x" * 201):
            with pytest.raises(ValueError, match="id must have 1 to 200 bytes"):
                await a.publish_acked("log.x", 1, id=wrong)


async def test_a_room_that_the_engine_has_forgotten_is_where_it_was(nodes: Cluster) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        await a.publish_acked("log.x", 0)
        room = await one.join("log.x")
        epoch, seq = room.epoch, room.seq
        await room.leave()
        await until(lambda: a.count("log.x") == 0)
        # As it does with empty rooms when there are too many: asked again, it makes one with another numbering.
        a._engine.place("log.x", "abc", 0)
        again = await one.join("log.x", since=fanwire.client.Position(epoch, seq))
        assert again.epoch == epoch
        await a.publish_acked("log.x", 1)
        message = (await take(again, 1))[0]
        assert (message.data, message.gap) == (1, None)
