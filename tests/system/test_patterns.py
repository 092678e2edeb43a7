"""Clients that join all rooms of a pattern: what exists, what comes to exist, and what they miss meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from helpers.nodes import Cluster, cluster
from helpers.scripted import JOINED, WELCOME, Peer, scripted
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire.client import feed, membership
from fanwire.client.calls import Calls
from fanwire.client.pattern import RoomPattern
from fanwire.testing import FaultProxy

TRANSPORTS = ("websocket", "sse", "long-poll")
forms = [(transport, encoding) for transport in TRANSPORTS for encoding in ("json", "msgpack")]
each = pytest.mark.parametrize(("transport", "encoding"), forms)


def book(config: dict[str, Any] | None = None, **options: Any) -> Book:
    server = Book(config, **options)
    server.room("quotes.*", publish=True)
    server.room("log.*", history=1000, publish=True)
    server.room("values.*", delivery="latest")
    server.room("states.*", history=100, snapshot=lambda room: fanwire.Snapshot({"of": room}, 0))
    server.room("secret.*", join=False)
    server.room("rated.*", delivery="latest", interest=True)
    for priority in ("low", "high"):
        server.room(f"{priority}.*", priority=priority, history=1000)
    return server


async def take(pattern: RoomPattern, count: int) -> dict[str, list[Any]]:
    """The data of the next messages, by room."""
    found: dict[str, list[Any]] = {}
    for _ in range(count):
        message = await within(anext(pattern))
        assert message.gap is None, message
        assert message.room is not None
        found.setdefault(message.room, []).append(message.data)
    return found


@each
async def test_rooms_that_exist_and_rooms_that_come(transport: str, encoding: str) -> None:
    async with book() as server:
        server.publish("quotes.old", 1)
        options: dict[str, Any] = {"transports": (transport,), "encoding": encoding}
        async with fanwire.connect(server.url, **options) as client:
            quotes = await within(client.join_pattern("quotes.*"))
            assert (quotes.name, list(quotes.rooms), quotes.ended) == ("quotes.*", ["quotes.old"], None)
            for number in range(5):
                server.publish("quotes.new", number)
                server.publish("quotes.old", number)
                server.publish("other", number)
            assert await take(quotes, 10) == {"quotes.new": list(range(5)), "quotes.old": list(range(5))}
            assert quotes.rooms["quotes.new"].seq == 5
            # Its messages come to the pattern, so nothing else may take them.
            with pytest.raises(RuntimeError, match=r"room 'quotes.new' come to the pattern 'quotes.\*'"):
                await within(anext(quotes.rooms["quotes.new"]))
            await within(client.publish("quotes.mine", "own"))
            assert await take(quotes, 1) == {"quotes.mine": ["own"]}
            await within(quotes.leave())
            assert quotes.ended is not None
            with pytest.raises(StopAsyncIteration):
                await within(anext(quotes))
            assert client.rooms == {}
            await until(lambda: set(server.rooms().values()) == {0})


async def test_nothing_of_a_new_room_is_lost_whoever_publishes() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        quotes = await within(client.join_pattern("quotes.*"))

        def publish(writer: int) -> None:
            for number in range(300):
                server.publish(f"quotes.{writer}.{number % 10}", number)

        threads = [threading.Thread(target=publish, args=(writer,)) for writer in range(3)]
        for thread in threads:
            thread.start()
        found = await take(quotes, 900)
        for thread in threads:
            thread.join()
        assert found == {
            f"quotes.{writer}.{last}": list(range(last, 300, 10)) for writer in range(3) for last in range(10)
        }


async def test_a_slow_authorize_loses_nothing() -> None:
    release = asyncio.Event()

    async def authorize(identity: Any, action: str, room: str) -> bool:
        await release.wait()
        return room != "quotes.no"

    async with book(authorize=authorize) as server, fanwire.connect(server.url) as client:
        quotes = await within(client.join_pattern("quotes.*"))
        for number in range(200):
            server.publish("quotes.a", number)
            server.publish("quotes.no", number)
        release.set()
        assert await take(quotes, 200) == {"quotes.a": list(range(200))}
        assert list(quotes.rooms) == ["quotes.a"]
        # It keeps what its rule says, as soon as it has been joined.
        await until(lambda: not server._engine.history("quotes.a", None, 1)[1])


async def test_more_first_messages_than_are_kept_are_told() -> None:
    release = asyncio.Event()

    async def authorize(identity: Any, action: str, room: str) -> bool:
        await release.wait()
        return True

    async with book(authorize=authorize) as server, fanwire.connect(server.url) as client:
        quotes = await within(client.join_pattern("quotes.*"))
        for number in range(1500):
            server.publish("quotes.a", number)
        release.set()
        await until(lambda: "quotes.a" in quotes.rooms)
        server.publish("quotes.a", "last")
        message = await within(anext(quotes))
        assert (message.data, message.gap) == ("last", fanwire.Gap("history", 0, 1500))


async def test_a_failing_authorize_concerns_its_room_only() -> None:
    def authorize(identity: Any, action: str, room: str) -> bool:
        if room == "quotes.bad":
            raise ZeroDivisionError
        return True

    async with book(authorize=authorize) as server, fanwire.connect(server.url) as client:
        server.publish("quotes.bad", 1)
        server.publish("quotes.good", 1)
        quotes = await within(client.join_pattern("quotes.*"))
        assert list(quotes.rooms) == ["quotes.good"]
        server.publish("quotes.new", 2)
        assert await take(quotes, 1) == {"quotes.new": [2]}


async def test_each_room_is_as_if_joined_alone() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        everything = await within(client.join_pattern("*"))
        server.publish("values.a", 1, key="x")
        server.publish("values.a", 2, key="y")
        server.publish("states.a", 1)
        server.publish("log.a", 1)
        server.publish("secret.a", 1)
        found = await take(everything, 4)
        assert found == {"values.a": [1, 2], "states.a": [1], "log.a": [1]}
        assert everything.rooms["states.a"].snapshot == {"of": "states.a"}
        assert everything.rooms["values.a"].delivery == "latest"
        server.remove("log.a", server.opened[0])
        await until(lambda: "log.a" not in everything.rooms)
        assert everything.ended is None


async def test_the_last_messages_of_the_rooms_that_exist() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        for number in range(9):
            server.publish("log.a", number)
            server.publish("quotes.a", number)
        pattern = await within(client.join_pattern("*", last=2))
        assert await take(pattern, 2) == {"log.a": [7, 8]}
        assert set(pattern.rooms) == {"log.a", "quotes.a"}


async def test_limits_and_wrong_patterns() -> None:
    async with book({"max_rooms_per_connection": 2}) as server, fanwire.connect(server.url) as client:
        for number in range(5):
            server.publish(f"quotes.{number}", number)
        quotes = await within(client.join_pattern("quotes.*"))
        assert len(quotes.rooms) == 5
        # They do not count for the limit of single rooms.
        for room in ("log.a", "log.b"):
            await within(client.join(room))
        with pytest.raises(fanwire.RequestFailed) as refused:
            await within(client.join("log.c"))
        assert refused.value.code == "room_limit"
        for number in range(15):
            await within(client.join_pattern(f"p{number}.*"))
        with pytest.raises(fanwire.RequestFailed) as refused:
            await within(client.join_pattern("one.too.many.*"))
        assert refused.value.code == "room_limit"
        with pytest.raises(fanwire.RequestFailed) as refused:
            await within(client.join_pattern("a b*"))
        assert refused.value.code == "bad_room"
        for wrong in ("quotes.*", "quotes"):
            with pytest.raises(ValueError, match="pattern"):
                await client.join_pattern(wrong)
        with pytest.raises(ValueError, match="join_pattern"):
            await client.join("quotes.*")
        with pytest.raises(ValueError, match="leave that first"):
            await client.join("quotes.1")


@each
async def test_a_lost_session_and_a_resumed_one_lose_nothing(transport: str, encoding: str) -> None:
    async with book() as server, FaultProxy(server) as proxy:
        options: dict[str, Any] = {"transports": (transport,), "encoding": encoding}
        async with fanwire.connect(proxy.url, **options) as client:
            pattern = await within(client.join_pattern("log.*"))
            server.publish("log.a", 0)
            server.publish("log.b", 0)
            assert await take(pattern, 2) == {"log.a": [0], "log.b": [0]}
            for is_lost in (False, True):
                session = client.session
                if is_lost:
                    # Its client comes back, to a new session.
                    server.connections[0].close(4000)
                else:
                    proxy.cut()
                for number in (1, 2):
                    server.publish("log.a", number)
                    server.publish("log.b", number)
                assert await take(pattern, 4) == {"log.a": [1, 2], "log.b": [1, 2]}
                assert (client.session != session) is is_lost
                assert pattern.ended is None
            server.publish("log.c", 3)
            assert await take(pattern, 1) == {"log.c": [3]}


@pytest_asyncio.fixture(params=["memory", "nats"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(request.param, tmp_path) as made:
        yield made


async def test_rooms_of_other_nodes(nodes: Cluster) -> None:
    async with nodes.node() as one, nodes.node() as other:
        await within(one.publish_acked("log.old", "before"))
        one.publish("live.old", "before")
        async with fanwire.connect(other.url) as client:
            live = await within(client.join_pattern("live.*"))
            log = await within(client.join_pattern("log.*", last="all"))
            assert await take(log, 1) == {"log.old": ["before"]}
            await until(lambda: "live.old" in live.rooms)
            for number in range(50):
                one.publish("live.new", number)
                one.publish("live.old", number)
                one.publish("log.new", number)
                other.publish("log.here", number)
            assert await take(live, 100) == {"live.new": list(range(50)), "live.old": list(range(50))}
            assert await take(log, 100) == {"log.new": list(range(50)), "log.here": list(range(50))}
            await within(live.leave())
            await within(log.leave())


async def test_a_room_of_a_pattern_has_options_and_the_pattern_has_none() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        server.publish("rated.a", 0, key="x")
        rated = await within(client.join_pattern("rated.*"))
        assert await take(rated, 1) == {"rated.a": [0]}
        room = rated.rooms["rated.a"]
        await within(room.configure(max_rate=1000, filter={"symbol": "eur"}))
        assert (room.max_rate, room.filter) == (1000, {"symbol": "eur"})
        server.publish("rated.a", 1, key="x", tags={"symbol": "usd"})
        server.publish("rated.a", 2, key="y", tags={"symbol": "eur"})
        assert await take(rated, 1) == {"rated.a": [2]}


@pytest.mark.parametrize("priority", ["low", "high"])
async def test_rooms_of_another_priority_are_there_and_lose_nothing_with_the_session(priority: str) -> None:
    names = [f"{priority}.{number}" for number in range(20)]
    async with book() as server, FaultProxy(server) as proxy:
        for name in names:
            server.publish(name, "before")
        async with fanwire.connect(proxy.url) as client:
            pattern = await within(client.join_pattern(f"{priority}.*"))
            assert sorted(pattern.rooms) == sorted(names)
            ends: list[str] = []
            for room in pattern.rooms.values():
                room.on_end(lambda error: ends.append(str(error)))
            for number in range(2):
                session = client.session
                # The one before may not have ended yet.
                await until(lambda: len(server.connections) == 1)
                server.connections[0].close(4000)
                for name in names:
                    server.publish(name, number)
                assert await take(pattern, 20) == {name: [number] for name in names}
                assert client.session != session
            assert ends == []


async def begin(peer: Peer, **rooms: str) -> None:
    """Lets a client into a pattern with rooms of these classes."""
    await peer.say("welcome", payload={**WELCOME, "window": 4000, "ack_frames": 1000})
    while (join := await peer.hear())["type"] != "join":
        pass
    for name, delivery in rooms.items():
        payload = {**JOINED, "delivery": delivery, "pattern": "q.*"}
        await peer.say("joined", room=f"q.{name}", seq=0, payload=payload)
    await peer.say("reply", re=join["id"], room="q.*", payload={"rooms": [f"q.{name}" for name in rooms]})


async def has_waiting(pattern: RoomPattern, **rooms: int) -> None:
    """Waits until so many messages of each room wait."""
    await until(lambda: all(len(pattern.rooms[f"q.{name}"]._feed.queue) == count for name, count in rooms.items()))


async def test_a_room_whose_values_come_again_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (feed, membership):
        monkeypatch.setattr(module, "STALE", 0.0)

    async def script(peer: Peer) -> None:
        await begin(peer, a="latest", b="reliable")
        await peer.say("message", room="q.a", seq=1, key="k", payload="old")
        await peer.say("message", room="q.b", seq=1, payload=1)

    async with scripted(script) as url, fanwire.connect(url) as client:
        pattern = await within(client.join_pattern("q.*"))
        await has_waiting(pattern, a=1, b=1)
        assert await take(pattern, 1) == {"q.b": [1]}


async def test_a_room_that_ends_while_its_values_come_again_ends_no_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (feed, membership):
        monkeypatch.setattr(module, "STALE", 0.0)

    async def script(peer: Peer) -> None:
        await begin(peer, a="latest", b="reliable")
        await peer.say("message", room="q.a", seq=1, key="k", payload="old")
        while (join := await peer.hear())["type"] != "join":
            pass
        assert join["room"] == "q.a"
        await peer.say("left", room="q.a", payload={"reason": "removed"})
        await peer.say("message", room="q.b", seq=1, payload=1)

    async with scripted(script) as url, fanwire.connect(url) as client:
        pattern = await within(client.join_pattern("q.*"))
        await has_waiting(pattern, a=1)
        assert await take(pattern, 1) == {"q.b": [1]}
        assert list(pattern.rooms) == ["q.b"]


async def test_what_waits_is_still_there_after_a_wait_that_was_cancelled() -> None:
    async def script(peer: Peer) -> None:
        await begin(peer, a="reliable")
        for seq in (1, 2):
            await peer.say("message", room="q.a", seq=seq, payload=seq)

    async with scripted(script) as url, fanwire.connect(url) as client:
        pattern = await within(client.join_pattern("q.*"))
        await has_waiting(pattern, a=2)
        waiting = asyncio.ensure_future(anext(pattern))
        # It gives way to the connection first.
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await take(pattern, 2) == {"q.a": [1, 2]}


async def test_a_join_that_is_cancelled_when_its_answer_is_there_leaves_the_pattern(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        server.publish("quotes.a", 1)
        joining = asyncio.ensure_future(client.join_pattern("quotes.*"))
        resolve = Calls.resolve

        def resolve_and_cancel(calls: Calls, key: str, value: Any) -> None:
            resolve(calls, key, value)
            joining.cancel()

        with monkeypatch.context() as patch:
            patch.setattr(Calls, "resolve", resolve_and_cancel)
            with pytest.raises(asyncio.CancelledError):
                await within(joining)
        await until(lambda: set(server.rooms().values()) == {0})
        assert client.rooms == {}
        # It can be joined again.
        quotes = await within(client.join_pattern("quotes.*"))
        server.publish("quotes.a", 2)
        assert await take(quotes, 1) == {"quotes.a": [2]}
