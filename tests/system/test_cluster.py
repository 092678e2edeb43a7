"""Several nodes, one room: real clients, the engine of each node, and a backplane between them."""

from __future__ import annotations

import asyncio

import pytest
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire


async def take(room: fanwire.Room, count: int) -> list[fanwire.Message]:
    return [await within(anext(room)) for _ in range(count)]


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
        assert await b.has_stat("published", 1) == 1
        assert "live.y" not in b._running.node._parts.subscriptions.rooms


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


async def test_a_client_goes_on_at_a_node_that_has_begun_the_quiet_room_later(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        since, checkers = room.position, [fanwire.SequenceChecker(room.position)]
        for n in range(5):
            await a.publish_acked("log.other", n)
        # The room has no messages, so a begins with the last number of the log.
        async with await Talk.open(a) as talk, fanwire.connect(a.url) as one:
            payload = {"since": {"epoch": since.epoch, "seq": since.seq}}
            await talk.say("join", room="log.x", payload=payload)
            joined = await talk.hear("joined")
            assert (joined["payload"]["recovered"], joined["seq"] > since.seq) == (True, True)
            there = await one.join("log.x", since=since)
            checkers.append(fanwire.SequenceChecker(since))
            for n in range(2):
                await a.publish_acked("log.x", n)
                await a.publish_acked("log.other", n)
            for seen, checker in zip((room, there), checkers, strict=True):
                for message in await take(seen, 2):
                    assert message.gap is None
                    checker.message(message)
                assert checker.report().is_complete
            # What the client had is not below `prev`: nothing is missing for it.
            assert (await talk.hear("message"))["prev"] == since.seq


async def test_a_client_goes_on_at_a_node_that_has_begun_the_quiet_room_earlier(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        early = await two.join("log.x")
        for n in range(5):
            await a.publish_acked("log.other", n)
        async with fanwire.connect(a.url) as one:
            since = (await one.join("log.x")).position
        assert since.seq > early.seq
        async with fanwire.connect(b.url) as three:
            room = await within(three.join("log.x", since=since))
            assert (room.position, room.seq) == (since, since.seq)
            seq = await a.publish_acked("log.x", "next")
            for seen in (early, room):
                message = (await take(seen, 1))[0]
                assert (message.seq, message.data, message.gap) == (seq, "next", None)


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


async def test_an_id_is_published_once_on_whatever_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        seq = await a.publish_acked("log.x", 1, id="once")
        assert await b.publish_acked("log.x", 1, id="once") == seq
        last = await b.publish_acked("log.x", 2)
        assert [m.seq for m in await take(room, 2)] == [seq, last]


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


async def test_a_room_is_heard_until_a_client_has_joined_that_waits_for_its_state(nodes: Cluster) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def state(room: str) -> fanwire.Snapshot:
        asked.set()
        await gate.wait()
        return fanwire.Snapshot("state", seq=0)

    server = nodes.node()
    server.room("state.*", history=10, snapshot=state)
    async with server, fanwire.connect(server.url) as one, fanwire.connect(server.url) as two:
        gate.set()
        await (await one.join("state.x")).leave()
        subscriptions = server._running.node._parts.subscriptions.rooms
        await until(lambda: subscriptions["state.x"].end is not None, "it is to end")
        before = subscriptions["state.x"].end
        asked.clear()
        gate.clear()
        joining = asyncio.ensure_future(two.join("state.x"))
        await within(asked.wait())
        assert before is not None
        assert before.cancelled(), "the time begins anew"
        assert subscriptions["state.x"].end is not None
        gate.set()
        await within(joining)
        assert subscriptions["state.x"].end is None
