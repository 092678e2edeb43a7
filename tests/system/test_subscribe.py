"""`Server.subscribe`: the messages of rooms for the server's own program."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire
from fanwire import Gap, Message, Position


async def some(messages: AsyncIterator[Message], count: int) -> list[Message]:
    """The next messages."""
    return [await within(anext(messages)) for _ in range(count)]


def shop(config: dict[str, Any] | None = None) -> Book:
    """A server with rooms of some kinds."""
    server = Book(config)
    server.room("orders.*", publish=True, history=100)
    server.room("live.*", publish=True)
    server.room("short.*", history=2)
    server.room("prices.*", delivery="latest")
    return server


async def test_messages_of_a_room_whoever_publishes_them() -> None:
    async with shop() as server, server.subscribe("live.a") as messages, await Talk.open(server) as talk:
        server.publish("live.a", {"x": 1})
        await asyncio.to_thread(server.publish, "live.a", b"\x00")
        assert (await talk.ask("publish", room="live.a", payload="from a client"))["seq"] == 3
        server.publish("live.b", "another room")
        server.broadcast("to all")
        found = await some(messages, 3)
        assert [(one.data, one.room, one.seq, one.gap) for one in found] == [
            ({"x": 1}, "live.a", 1, None), (b"\x00", "live.a", 2, None), ("from a client", "live.a", 3, None),
        ]  # fmt: skip
        assert messages.positions == {"live.a": Position(server._engine.position("live.a")[0], 3)}


async def test_a_pattern_reads_rooms_from_their_first_message_on() -> None:
    async with shop() as server:
        server.publish("orders.old", 0)
        async with server.subscribe("orders.*") as messages:
            server.publish("orders.old", 1)
            server.publish("orders.new", 2)
            await asyncio.to_thread(server.publish, "orders.thread", 3)
            await server.publish_acked("orders.acked", 4)
            assert [(one.room, one.data) for one in await some(messages, 4)] == [
                ("orders.old", 1), ("orders.new", 2), ("orders.thread", 3), ("orders.acked", 4),
            ]  # fmt: skip


async def test_threads_that_publish_to_new_rooms_lose_nothing_and_keep_their_order() -> None:
    async with shop() as server, server.subscribe("live.*", limit=10_000) as messages:

        def publish(thread: int) -> None:
            for number in range(300):
                server.publish(f"live.{number % 30}", (thread, number))

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        found = await some(messages, 1200)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert all(one.gap is None for one in found)
        for room in {one.room for one in found}:
            assert [one.seq for one in found if one.room == room] == list(range(1, 41))
        for thread in range(4):
            assert sorted(one.data[1] for one in found if one.data[0] == thread) == list(range(300))


async def test_history_and_positions_begin_earlier() -> None:
    async with shop() as server:
        for number in range(10):
            server.publish("orders.a", number)
            server.publish("live.a", number)
        async with server.subscribe("*", history=3) as messages:
            assert [one.data for one in await some(messages, 3)] == [7, 8, 9]
            position = messages.positions["orders.a"]
        server.publish("orders.a", 10)
        async with server.subscribe("orders.a", since=position) as messages:
            (one,) = await some(messages, 1)
            assert (one.data, one.gap) == (10, None)
        async with server.subscribe("orders.*", since={"orders.a": Position(position.epoch, 5)}) as messages:
            assert [one.data for one in await some(messages, 6)] == [5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("position", "reason"), [((None, 1), "history"), (("1", 1), "epoch"), ((None, 99), "position")]
)
async def test_what_the_history_does_not_have_is_a_gap(position: tuple[str | None, int], reason: str) -> None:
    async with shop() as server:
        for number in range(10):
            server.publish("short.a", number)
        epoch = position[0] or server._engine.position("short.a")[0]
        async with server.subscribe("short.a", since=Position(epoch, position[1])) as messages:
            server.publish("short.a", "next")
            (one,) = await some(messages, 1)
            assert (one.data, one.gap) == ("next", Gap(reason, position[1], 10))


async def test_a_slow_reader_loses_the_oldest_and_is_told() -> None:
    async with shop() as server, server.subscribe("live.*", limit=10) as messages:
        for number in range(1, 101):
            server.publish("live.a", number)
        server.publish("live.b", "b")
        await until(lambda: messages.dropped == 91, "91 were dropped")
        found = await some(messages, 10)
        assert [one.data for one in found] == [*range(92, 101), "b"]
        assert [one.gap for one in found] == [Gap("slow", 0, 91), *[None] * 9]


async def test_a_long_history_waits_for_a_slow_reader() -> None:
    server = shop()
    server.room("long.*", history=5000)
    async with server:
        for number in range(1, 3001):
            server.publish(f"long.{number % 3}", number)
        async with server.subscribe("long.*", history=1000, limit=20) as messages:
            found = []
            for _ in range(3000):
                found += await some(messages, 1)
                if len(found) % 50 == 0:
                    await asyncio.sleep(0.001)
            assert messages.dropped == 0
            assert all(one.gap is None for one in found)
            for room in range(3):
                own = [one.data for one in found if one.room == f"long.{room}"]
                assert own == [number for number in range(1, 3001) if number % 3 == room]


async def test_a_reader_that_keeps_up_loses_nothing_of_a_burst() -> None:
    async with shop() as server, server.subscribe("live.*", limit=128) as messages:

        async def read() -> list[Any]:
            found: list[Any] = []
            async for message in messages:
                found.append(message.data)
                if message.data == 1999:
                    break
            return found

        reader = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        # All at once, within `connection_bytes`, and far more than may wait for the reader.
        for number in range(2000):
            server.publish("live.a", number)
        assert await within(reader) == list(range(2000))
        assert messages.dropped == 0


async def test_an_idle_subscription_answers_pings() -> None:
    # A ping follows the pong to the one before, when `ping_timeout` is over.
    async with shop({"ping_interval": 0.2, "ping_timeout": 1.5}) as server, server.subscribe("live.a") as messages:
        await server.has_stat("pings", 2)
        assert server.stats()["closed_unanswered"] == 0
        server.publish("live.a", 1)
        assert [(one.data, one.gap) for one in await some(messages, 1)] == [(1, None)]


async def test_a_slow_reader_may_be_ended_instead() -> None:
    async with shop() as server:
        messages = server.subscribe("live.a", limit=3, overflow="close")
        await messages.__aenter__()
        for number in range(5):
            server.publish("live.a", number)
        await until(lambda: server.count("live.a") == 0 and not server._running.host.subscribers.open, "it has ended")
        assert [one.data for one in await some(messages, 3)] == [0, 1, 2]
        with pytest.raises(fanwire.Overloaded, match="more than 3 messages"):
            await within(anext(messages))
        with pytest.raises(StopAsyncIteration):
            await within(anext(messages))


async def test_a_blocked_event_loop_heals_from_the_history() -> None:
    settings = {"connection_bytes": 20_000, "queue_items": 100_000}
    async with shop(settings) as server, server.subscribe("*.a", limit=100_000) as messages:
        server.publish("orders.a", 0)
        server.publish("live.a", 0)
        await some(messages, 2)
        # No turn of the loop in between: the engine closes the member as it would a slow client.
        for number in range(1, 2001):
            server.publish("live.a", "x" * 1000)
            if number % 100 == 0:
                server.publish("orders.a", number)
        first = await some(messages, 1)
        live = [one for one in first if one.room == "live.a"]
        orders = [one for one in first if one.room == "orders.a"]
        while len(orders) < 20:
            (one,) = await some(messages, 1)
            (orders if one.room == "orders.a" else live).append(one)
        assert [one.data for one in orders] == list(range(100, 2001, 100))
        assert all(one.gap is None for one in orders)
        server.publish("live.a", "last")
        while live[-1:] == [] or live[-1].data != "last":
            live += [one for one in await some(messages, 1) if one.room == "live.a"]
        seen = {one.seq for one in live}
        missing = {n for one in live if one.gap for n in range((one.gap.after or 0) + 1, (one.gap.upto or 0) + 1)}
        assert seen | missing == set(range(2, 2003))
        assert not seen & missing
        assert missing


async def test_values_of_keys_come_first_and_forgotten_keys_are_told() -> None:
    async with shop() as server:
        server.publish("prices.a", 1, "EUR")
        server.publish("prices.a", 2, "EUR")
        async with server.subscribe("prices.*") as messages:
            server.publish("prices.a", 3, "USD")
            found = await some(messages, 2)
            server.forget("prices.a", "EUR")
            found += await some(messages, 1)
            assert [(one.key, one.data, one.forgotten, one.gap) for one in found] == [
                ("EUR", 2, False, None), ("USD", 3, False, None), ("EUR", None, True, None),
            ]  # fmt: skip


async def test_a_subscription_is_no_member() -> None:
    server = shop()
    server.room("here.*", presence=True)
    async with server, server.client("/live.a"), server.subscribe("*"):
        server.publish("live.a", 1)
        server.publish("here.a", 1)
        assert (server.count("live.a"), server.count("here.a"), server.count("no")) == (1, 0, 0)
        assert server.rooms() == {"live.a": 1, "here.a": 0}
        assert await server.presence("here.a") == {}


async def test_several_readers_get_the_same_and_end_alone() -> None:
    async with shop() as server:
        one, two = server.subscribe("live.*"), server.subscribe("live.a")
        await one.__aenter__()
        await two.__aenter__()
        server.publish("live.a", 1)
        assert [[each.data for each in await some(reader, 1)] for reader in (one, two)] == [[1], [1]]
        await one.close()
        server.publish("live.a", 2)
        assert [each.data for each in await some(two, 1)] == [2]
        assert [each async for each in one] == []
        await two.close()
        assert not server._running.host.subscribers.open
        assert server._running.node.about_to_publish is None


async def test_the_stop_of_the_server_ends_the_iteration() -> None:
    async with shop() as server:
        messages = server.subscribe("live.*")
        await messages.__aenter__()
        reader = asyncio.ensure_future(_all(messages))
        server.publish("live.a", 1)
        await until(lambda: bool(messages.positions), "the first has come")
        server.publish("live.a", 2)
    assert await within(reader) == [1, 2]
    with pytest.raises(fanwire.Closed):
        await anext(server.subscribe("live.*"))


async def _all(messages: fanwire.ServerSubscription) -> list[Any]:
    return [message.data async for message in messages]


async def test_a_cancelled_reader_loses_no_message() -> None:
    async with shop() as server, server.subscribe("live.a") as messages:
        reader = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task already waits"):
            await anext(messages)
        reader.cancel()
        await asyncio.wait([reader])
        server.publish("live.a", 1)
        assert [one.data for one in await some(messages, 1)] == [1]


async def test_a_forgotten_subscription_is_closed() -> None:
    async with shop() as server:
        messages = server.subscribe("live.a")
        await messages.__aenter__()
        del messages
        gc.collect()
        await until(lambda: not server._running.host.subscribers.open, "it was closed")
        await until(lambda: server.stats()["connections"] == 0, "the engine has ended it")


async def test_a_second_loop_may_run_the_server_but_not_read_it() -> None:
    server = shop()
    async with server, server.subscribe("live.a"):

        def elsewhere() -> None:
            asyncio.run(_all(server.subscribe("live.a")))

        with pytest.raises(RuntimeError, match="in the event loop in which the server runs"):
            await asyncio.to_thread(elsewhere)

    def again() -> None:
        async def run() -> None:
            async with server, server.subscribe("live.a") as messages:
                server.publish("live.a", 1)
                assert [one.data for one in await some(messages, 1)] == [1]

        asyncio.run(run())

    await asyncio.to_thread(again)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"rooms": ""}, ValueError),
        ({"rooms": "a.*", "since": Position("1", 1)}, ValueError),
        ({"rooms": "a", "since": {"b": 1}}, TypeError),
        ({"rooms": "a", "history": -1}, ValueError),
        ({"rooms": "a", "limit": 0}, ValueError),
        ({"rooms": "a", "overflow": "wait"}, ValueError),
        ({"rooms": "a", "max_rooms": 0}, ValueError),
    ],
)
def test_mistakes_are_told_at_once(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        shop().subscribe(**wrong)


async def test_a_subscription_begins_once() -> None:
    async with shop() as server:
        async with server.subscribe("live.*") as messages:
            with pytest.raises(RuntimeError, match="only once"):
                await messages.__aenter__()
            server.publish("live.a", 1)
            assert [one.data for one in await some(messages, 1)] == [1]
        with pytest.raises(RuntimeError, match="only once"):
            await messages.__aenter__()
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        assert not server._running.host.subscribers.open


async def test_closing_a_subscription_that_is_beginning_leaves_nothing() -> None:
    async with shop() as server:
        node = server._running.node
        asked, release = asyncio.Event(), asyncio.Event()
        ends = node.ends

        async def slow_ends() -> Any:
            asked.set()
            await release.wait()
            return await ends()

        node.ends = slow_ends  # type: ignore[method-assign]  # a log that answers late
        messages = server.subscribe("live.*")
        beginning = asyncio.ensure_future(messages.__aenter__())
        await within(asked.wait())
        await messages.close()
        release.set()
        await within(beginning)
        assert node.about_to_publish is None
        assert not server._running.host.subscribers.open
        with pytest.raises(StopAsyncIteration):
            await anext(messages)


async def test_beginning_to_read_many_rooms_does_not_stop_the_event_loop() -> None:
    async with shop() as server:
        for number in range(1000):
            server.publish(f"live.{number}", number)
        read: list[int] = []
        is_read = asyncio.Event()

        async def look() -> None:
            while not is_read.is_set():
                read.append(sum(map(len, server._running.host.subscribers.open.values())))
                await asyncio.sleep(0)

        looking = asyncio.ensure_future(look())
        await asyncio.sleep(0)
        async with server.subscribe("live.*"):
            is_read.set()
            await within(looking)
        # The loop had its turns while some of the rooms were joined, and others were not.
        assert len({count for count in read if 0 < count < 1000}) >= 5
