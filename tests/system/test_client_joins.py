"""Joins of the client that are given up, or made twice, or made while a room comes or goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.giving_up import CODECS, WAYS, GiveUp, by_wait_for
from helpers.scripted import JOINED, WELCOME, Peer, scripted
from helpers.serving import Book
from helpers.wait import until, within

from fanwire import Closed, RequestFailed, Room, connect
from fanwire.client import Gap, Position
from fanwire.client.feed import MAX_UNCLAIMED


@CODECS
async def test_those_who_join_at_once_get_one_room_and_one_membership(encoding: str) -> None:
    joins = 0

    async def authorize(identity: Any, action: str, room: str) -> bool:
        nonlocal joins
        joins += action == "join"
        await asyncio.sleep(0.05)
        return True

    server = Book(authorize=authorize)
    server.room("*")
    async with server, connect(server.url, encoding=encoding) as client:
        cancelled = asyncio.ensure_future(client.join("a"))
        tasks = [asyncio.ensure_future(client.join("a")) for _ in range(5)]
        await asyncio.sleep(0.01)
        cancelled.cancel()
        rooms = await within(asyncio.gather(*tasks))
        assert all(room is rooms[0] for room in rooms)
        assert await within(client.join("a")) is rooms[0]
        assert (joins, server.count("a"), client.rooms) == (1, 1, {"a": rooms[0]})
        server.publish("a", 1)
        assert (await within(anext(rooms[0]))).data == 1
        assert await within(client.join("a", since=rooms[0].position)) is rooms[0]
        with pytest.raises(ValueError, match="since must be None: room 'a' is joined"):
            await client.join("a", since=Position("e", 1))


@CODECS
@WAYS
async def test_a_room_can_be_joined_after_a_join_that_was_given_up(encoding: str, give_up: GiveUp) -> None:
    go_on = asyncio.Event()

    async def authorize(identity: Any, action: str, room: str) -> bool:
        await go_on.wait()
        return True

    server = Book(authorize=authorize)
    server.room("*")
    told: list[Room] = []
    async with server, connect(server.url, encoding=encoding) as client:
        client.on_room(told.append)
        await give_up(client.join("a"))
        assert client.rooms == {}
        joining = asyncio.ensure_future(client.join("a"))
        await asyncio.sleep(0.01)
        go_on.set()
        room = await within(joining)
        server.publish("a", 1)
        assert (await within(anext(room))).data == 1
        assert (server.count("a"), told) == (1, [])


async def test_a_join_that_was_given_up_leaves_no_member_behind() -> None:
    go_on = asyncio.Event()

    async def authorize(identity: Any, action: str, room: str) -> bool:
        await go_on.wait()
        return True

    server = Book(authorize=authorize)
    server.room("*")
    server.on("ping me")(lambda conn, payload: "here")
    async with server, connect(server.url) as client:
        for _ in range(3):
            await by_wait_for(client.join("a"))
        go_on.set()
        assert await within(client.request("ping me")) == "here"
        assert (server.count("a"), client.rooms) == (0, {})


@CODECS
@pytest.mark.parametrize("is_allowed", [True, False])
async def test_a_room_that_the_server_has_joined_is_returned(encoding: str, is_allowed: bool) -> None:
    server = Book()
    server.room("*", join=is_allowed, presence=True)
    async with server, connect(f"{server.url}/a", encoding=encoding) as client:
        # One that joins before it has heard of the server's join gets what follows the answer to its own.
        await until(lambda: client._runtime.rooms._unclaimed)
        for number in range(3):
            server.publish("a", number)
        room = await within(client.join("a"))
        assert [(await within(anext(room))).data for _ in range(3)] == [0, 1, 2]
        assert (room.delivery, len(room.members or ())) == ("reliable", 1)
        assert await within(client.join("a")) is room
        assert server.count("a") == 1
        await within(room.leave())
        assert server.count("a") == 0


async def test_a_room_that_the_server_joins_at_the_same_time_is_returned() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        join = await peer.hear()
        await peer.say("joined", room="a", seq=4, payload=JOINED)
        await peer.say("message", room="a", seq=5, payload=5)
        await peer.say("error", re=join["id"], payload={"code": "forbidden", "text": "", "retry": False})
        await peer.say("message", room="a", seq=6, payload=6)

    async with scripted(script) as url, connect(url) as client:
        room = await within(client.join("a"))
        assert [(await within(anext(room))).seq for _ in range(2)] == [5, 6]


async def test_a_room_that_the_server_has_joined_is_returned_to_those_who_wait_for_such_rooms() -> None:
    server = Book()
    server.room("*")
    early: list[Room] = []
    late: list[Room] = []
    async with server:
        client = connect(f"{server.url}/a")
        client.on_room(early.append)
        async with client:
            await until(lambda: bool(early))
            assert await within(client.join("a")) is early[0]
        async with connect(f"{server.url}/a") as client:
            await until(lambda: client._runtime.rooms._unclaimed)
            client.on_room(late.append)
            assert await within(client.join("a")) is late[0]


async def test_of_a_room_that_nobody_asked_for_the_newest_messages_are_kept() -> None:
    server = Book()
    server.room("*")
    async with server, connect(f"{server.url}/a", max_queue=16) as client:
        await until(lambda: server.count("a") == 1)
        for number in range(2 * MAX_UNCLAIMED):
            server.publish("a", number)
        server.opened[0].send("all of them have come")
        await within(anext(client.messages()))
        room = await within(client.join("a"))
        message = await within(anext(room))
        assert message.gap is not None
        assert (message.seq, message.gap.after, message.gap.upto) == (MAX_UNCLAIMED + 1, 0, MAX_UNCLAIMED)


async def test_a_room_that_the_server_has_joined_can_be_had_from_a_position() -> None:
    server = Book()
    server.room("*", history=10)
    async with server:
        async with connect(f"{server.url}/a") as client:
            room = await within(client.join("a"))
            position = room.position
        for number in range(3):
            server.publish("a", number)
        async with connect(f"{server.url}/a") as client:
            room = await within(client.join("a", since=position))
            assert [(await within(anext(room))).data for _ in range(3)] == [0, 1, 2]


@CODECS
async def test_a_room_is_joined_again_while_and_after_it_is_left(encoding: str) -> None:
    server = Book()
    server.room("*")
    async with server, connect(server.url, encoding=encoding) as client:
        first = await within(client.join("a"))
        leaving = asyncio.ensure_future(first.leave())
        await asyncio.sleep(0)
        second = await within(client.join("a"))
        await within(leaving)
        assert second is not first
        with pytest.raises(StopAsyncIteration):
            await within(anext(first))
        # Of a room that has ended nothing is left to leave.
        await within(first.leave())
        server.publish("a", 1)
        assert (await within(anext(second))).data == 1
        assert (server.count("a"), client.rooms) == (1, {"a": second})
        await within(asyncio.gather(second.leave(), second.leave(), client.leave("a")))
        assert server.count("a") == 0
        third = await within(client.join("a"))
        server.publish("a", 2)
        assert (await within(anext(third))).data == 2


async def test_a_room_that_the_server_has_ended_is_joined_anew() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in()
        await peer.say("left", room="a", payload={"reason": "forbidden"})
        await peer.let_in(seq=7)

    async with scripted(script) as url, connect(url) as client:
        ended = asyncio.Event()
        first = await within(client.join("a"))
        first.on_end(lambda end: ended.set())
        await within(ended.wait())
        assert first.ended is not None
        second = await within(client.join("a"))
        assert (second.seq, second.ended) == (7, None)


async def test_leaving_a_room_that_is_not_joined_does_nothing() -> None:
    server = Book()
    async with server, connect(server.url) as client:
        await within(client.leave("a"))
    with pytest.raises(Closed):
        await within(client.leave("a"))


async def test_a_join_that_is_refused_is_refused_to_all_who_wait() -> None:
    server = Book()
    server.room("*", join=False)
    async with server, connect(server.url) as client:
        answers = await within(asyncio.gather(*(client.join("a") for _ in range(3)), return_exceptions=True))
        assert [getattr(answer, "code", answer) for answer in answers] == ["forbidden"] * 3
        assert all(isinstance(answer, RequestFailed) for answer in answers)
        assert client.rooms == {}


async def test_a_joined_room_is_not_returned_to_those_who_want_it_otherwise() -> None:
    server = Book()
    server.room("*", history=10)
    async with server, connect(server.url) as client:
        for number in range(5):
            server.publish("a", number)
        joining = asyncio.gather(
            client.join("a", last=3, repair="snapshot"), client.join("a", last=2), client.join("a", last=3),
            return_exceptions=True,
        )  # fmt: skip
        room, other, same = await within(joining)
        assert isinstance(other, ValueError)
        assert same is room
        for wishes in ({"last": 2}, {"repair": "replay"}, {"last": "all", "repair": "snapshot"}):
            with pytest.raises(ValueError, match="joined with another `last` or `repair`"):
                await within(client.join("a", **wishes))
        assert await within(client.join("a", last=3)) is room
        assert await within(client.join("a", repair="snapshot")) is room
        assert room.replayed == 3


async def test_a_room_that_the_server_has_joined_begins_with_the_last_messages() -> None:
    server = Book()
    server.room("*", history=10)
    async with server, connect(server.url + "/a") as client:
        for number in range(5):
            server.publish("a", number)
        await until(lambda: server.count("a") == 1)
        room = await within(client.join("a", last=3))
        assert room.replayed == 3
        assert [(await within(anext(room))).data for _ in range(3)] == [2, 3, 4]


async def test_a_gap_at_the_join_itself_is_told_to_the_first_who_listens() -> None:
    server = Book()
    server.room("*", history=2)
    async with server:
        async with connect(server.url) as client:
            since = (await within(client.join("a"))).position
        for number in range(5):
            server.publish("a", number)
        for is_late in (False, True):
            async with connect(server.url) as client:
                room = await within(client.join("a", since=since))
                gaps: list[Gap] = []
                others: list[Gap] = []
                if is_late:
                    server.publish("a", 6)
                    assert (await within(anext(room))).gap == Gap("history", 0, 6)
                room.on_gap(gaps.append)
                room.on_gap(others.append)
                assert (gaps, others) == ([] if is_late else [Gap("history", 0, 5)], [])
                if not is_late:
                    # The message behind it has it, too, and later gaps come to all.
                    server.publish("a", 5)
                    assert (await within(anext(room))).gap == gaps[0]


async def test_a_room_says_whether_numbers_may_be_of_messages_for_others() -> None:
    server = Book()
    server.room("whole")
    server.room("interest", interest=True)
    server.room("latest", delivery="latest")
    async with server, connect(server.url) as client:
        rooms = [await within(client.join(name)) for name in ("whole", "interest", "latest")]
        assert [room.is_filtered for room in rooms] == [False, True, False]
        await within(rooms[2].configure(max_rate=4))
        assert rooms[2].is_filtered
        await within(rooms[2].configure(max_rate=None, max_bytes=1000))
        assert rooms[2].is_filtered
        await within(rooms[2].configure(max_bytes=None))
        assert not rooms[2].is_filtered
