"""Calls of the client that are given up, or made twice, or made while a room comes or goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from helpers.scripted import JOINED, WELCOME, Peer, no_tasks_left, scripted
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire import Closed, ConnectionState, RequestFailed, Room, connect
from fanwire.client import Position
from fanwire.client.feed import MAX_UNCLAIMED
from fanwire.client.session import MAX_FRAMES

CODECS = pytest.mark.parametrize("encoding", ["json", "msgpack"])


def cut_all(server: Book) -> None:
    """Loses every connection, as a network does."""
    assert server._host is not None
    for carrier in list(server._host.registry.links.values()):
        carrier.abort()


async def by_cancel(call: Awaitable[Any]) -> None:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_wait_for(call: Awaitable[Any]) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(call, 0.01)


WAYS = pytest.mark.parametrize("give_up", [by_cancel, by_wait_for])
GiveUp = Callable[[Awaitable[Any]], Awaitable[None]]


# Calls that are given up.


@CODECS
@WAYS
@pytest.mark.parametrize("grace", [0.0, 30.0])
async def test_what_is_given_up_while_offline_is_not_done_later(encoding: str, give_up: GiveUp, grace: float) -> None:
    """With a grace the session is resumed, without one it is not."""
    is_open = True
    orders: list[Any] = []

    def authenticate(request: fanwire.Request) -> str:
        if not is_open:
            raise fanwire.Refused(503, retry_after=0)
        return "ann"

    server = Book({"grace": grace}, authenticate=authenticate)
    server.room("*", publish=True, presence=True, history=10)
    server.on("order")(lambda conn, payload: orders.append(payload))
    async with server, connect(server.url, encoding=encoding, max_attempts=None) as client:
        room = await within(client.join("joined"))
        is_open = False
        cut_all(server)
        await until(lambda: client.state is ConnectionState.RECONNECTING)
        calls = [
            client.request("order", "late"),
            client.publish("a", "late"),
            client.presence("a"),
            client.join("a"),
            room.leave(),
        ]
        for call in calls:
            await give_up(call)
        is_open = True
        await within(client.request("order", "in time"))
        assert orders == ["in time"]
        assert await within(client.publish("a", "in time")) == 1
        assert (server.count("a"), list(client.rooms)) == (0, ["joined"])
        server.publish("joined", 1)
        assert (await within(anext(room))).data == 1


@CODECS
async def test_what_was_sent_and_given_up_is_not_sent_again(encoding: str) -> None:
    is_cancelled = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        assert (await peer.hear())["payload"] == "given up"
        assert (await peer.hear())["payload"] == "wanted"
        await within(is_cancelled.wait())
        peer.cut()

    async def second(peer: Peer) -> None:
        # It has received neither.
        await peer.say("welcome", payload={**WELCOME, "resumed": True, "received": 0})
        wanted = await peer.hear()
        assert wanted["payload"] == "wanted"
        await peer.say("received", payload={"count": 1})
        await peer.say("reply", re=wanted["id"], payload="done")

    async with scripted(first, second) as url, connect(url, encoding=encoding) as client:
        given_up = asyncio.ensure_future(client.request("order", "given up"))
        wanted = asyncio.ensure_future(client.request("order", "wanted"))
        await asyncio.sleep(0.01)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        is_cancelled.set()
        assert await within(wanted) == "done"


async def test_a_late_reply_is_ignored_and_others_get_theirs() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        late, other = await peer.hear(), await peer.hear()
        await peer.say("reply", re=late["id"], payload="late")
        await peer.say("error", re=late["id"], payload={"code": "internal"})
        await peer.say("reply", re=other["id"], payload="other")

    async with scripted(script) as url, connect(url) as client:
        await by_wait_for(client.request("order"))
        assert await within(client.request("order")) == "other"


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_more_calls_that_timed_out_than_the_table_holds_block_no_other(acknowledges: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        heard = 0
        while (message := await peer.hear())["payload"] != "last":
            heard += 1
            if acknowledges and heard % 32 == 0:
                await peer.say("received", payload={"count": heard})
        await peer.say("reply", re=message["id"], payload="answered")

    async with scripted(script) as url, connect(url) as client:
        calls = [asyncio.wait_for(client.request("order", number), 0.2) for number in range(MAX_FRAMES + 76)]
        answers = await within(asyncio.gather(*calls, return_exceptions=True))
        assert all(isinstance(answer, asyncio.TimeoutError) for answer in answers)
        assert await within(client.request("order", "last")) == "answered"


async def test_calls_that_timed_out_while_offline_block_no_other() -> None:
    is_open = True

    def authenticate(request: fanwire.Request) -> str:
        if not is_open:
            raise fanwire.Refused(503, retry_after=0)
        return "ann"

    server = Book(authenticate=authenticate)
    orders: list[Any] = []
    server.on("order")(lambda conn, payload: orders.append(payload))
    async with server, connect(server.url, max_attempts=None) as client:
        is_open = False
        cut_all(server)
        await until(lambda: client.state is ConnectionState.RECONNECTING)
        calls = [asyncio.wait_for(client.request("order", n), 0.05) for n in range(MAX_FRAMES + 76)]
        answers = await within(asyncio.gather(*calls, return_exceptions=True))
        assert all(isinstance(answer, asyncio.TimeoutError) for answer in answers)
        is_open = True
        await within(client.request("order", "last"))
        assert orders == ["last"]


async def test_closing_ends_every_call_that_waits() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        async for _ in peer.socket:
            pass

    async with scripted(script) as url:
        client = connect(url)
        await client.__aenter__()
        # The last ones wait until they may be sent.
        calls = [asyncio.ensure_future(client.request("order")) for _ in range(MAX_FRAMES + 10)]
        others = [client.publish("r", 1), client.presence("r"), client.join("r"), client.join("r"), client.leave("s")]
        calls += [asyncio.ensure_future(call) for call in others]
        await asyncio.sleep(0.05)
        await within(client.close())
        answers = await within(asyncio.gather(*calls, return_exceptions=True))
        assert all(isinstance(answer, Closed) for answer in answers), answers
        with pytest.raises(Closed):
            await within(client.request("order"))
    no_tasks_left()


# Joining.


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
        await until(lambda: server.count("a") == 1)
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


Call = Callable[[fanwire.Client], Awaitable[Any]]


@CODECS
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda client: client.request(""), ValueError, "kind must not be empty"),
        (lambda client: client.request("ü" * 33), ValueError, "kind must have at most 64 bytes of UTF-8, got 66"),
        (lambda client: client.request(1), TypeError, "kind must be a str, got 1"),
        (lambda client: client.request("\ud800"), ValueError, "surrogates"),
        (lambda client: client.request("join"), ValueError, "a type of the protocol"),
        (lambda client: client.publish("a", 1, key=""), ValueError, "key must not be empty"),
        (
            lambda client: client.publish("a", 1, key="k" * 256),
            ValueError,
            "key must have at most 255 characters, got 256",
        ),
        (lambda client: client.publish("a", 1, key=3), TypeError, "key must be a str, got 3"),
        (lambda client: client.publish(None, 1), TypeError, "room must be a str, got None"),
        (lambda client: client.presence(None), TypeError, "room must be a str, got None"),
        (lambda client: client.presence("\ud800"), ValueError, "surrogates"),
        (lambda client: client.join(3), TypeError, "room must be a str, got 3"),
        (lambda client: client.join(""), ValueError, "room must not be empty"),
        (lambda client: client.join("ü" * 128), ValueError, "room must have at most 255 bytes of UTF-8, got 256"),
        (lambda client: client.leave(b"a"), TypeError, "room must be a str, got b'a'"),
        (lambda client: client.join("a", since="e"), TypeError, "since must be a Position or a pair"),
        (lambda client: client.join("a", since=("e", "1")), TypeError, "the seq of since must be a whole number"),
        (lambda client: client.join("a", since=("e", -1)), ValueError, "the seq of since must be at least 0"),
        (lambda client: client.join("a", since=("e", 1 << 63)), ValueError, "the seq of since must be at most"),
    ],
)
async def test_an_argument_that_no_message_can_have_is_an_error_at_once(
    call: Call, error: type[Exception], match: str, encoding: str
) -> None:
    server = Book()
    server.room("*", publish=True, presence=True)
    server.on("echo")(lambda conn, payload: payload)
    async with server, connect(server.url, encoding=encoding) as client:
        with pytest.raises(error, match=match):
            await within(call(client))
        # Nothing of it is left.
        assert await within(client.request("echo", "here")) == "here"
        assert client.rooms == {}


async def test_the_error_of_a_client_that_has_ended_does_not_grow_with_each_call() -> None:
    def depth(error: BaseException) -> int:
        trace, count = error.__traceback__, 0
        while trace is not None:
            trace, count = trace.tb_next, count + 1
        return count

    async with Book() as server, connect(server.url, max_attempts=1) as client:
        server.opened[0].close(4502)
        await until(lambda: client.error is not None)
        depths = set()
        for _ in range(5):
            for call in (client.join("a"), client.publish("a", 1), client.request("a"), client.presence("a")):
                with pytest.raises(fanwire.FanwireError) as ended:
                    await within(call)
                depths.add(depth(ended.value))
        assert max(depths) < 20
