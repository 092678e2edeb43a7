"""Rooms of a client that end: the application sees why, and what may pass ends none."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

import pytest
from helpers.scripted import WELCOME, Peer, scripted
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire import ConnectionFailed, Room, RoomEnded, connect
from fanwire.cli.failure import CommandFailed
from fanwire.cli.subscribe import subscribe

CODECS = pytest.mark.parametrize("encoding", ["json", "msgpack"])


async def end_of(room: Room) -> RoomEnded:
    """Iterates to the end, which is not the application's own."""
    with pytest.raises(RoomEnded) as caught:
        await within(drain(room))
    assert room.ended is caught.value
    with pytest.raises(RoomEnded):
        await within(anext(room))
    return caught.value


async def drain(room: Room) -> list[Any]:
    return [message.data async for message in room]


@CODECS
async def test_a_name_that_no_room_may_have_is_refused_with_the_name_and_the_setting(encoding: str) -> None:
    server = Book(insecure=True)
    server.room("*", publish=True)
    async with server, connect(server.url, encoding=encoding) as client:
        for call in (client.join("a b"), client.publish("a b", 1)):
            with pytest.raises(fanwire.RequestFailed) as caught:
                await within(call)
            assert caught.value.code == "bad_room"
            assert caught.value.text == "room must be a name that Config.room_name allows, got 'a b'"


@CODECS
async def test_a_right_that_is_withdrawn_ends_the_room_with_its_reason(encoding: str) -> None:
    allowed = {"a", "b"}
    server = Book(authenticate=lambda request: "ann", authorize=lambda identity, action, room: room in allowed)
    server.room("*")
    told: list[RoomEnded] = []
    async with server, connect(server.url, encoding=encoding) as client:
        a, b = await within(client.join("a")), await within(client.join("b"))
        a.on_end(told.append)
        # One iteration waits, another begins later.
        waiting = asyncio.ensure_future(drain(a))
        await asyncio.sleep(0)
        allowed.remove("a")
        server.reauthorize("ann")
        with pytest.raises(RoomEnded):
            await within(waiting)
        end = await end_of(a)
        assert (end.room, end.code, told) == ("a", "forbidden", [end])
        late: list[RoomEnded] = []
        a.on_end(late.append)
        assert late == [end]
        assert (b.ended, list(client.rooms)) == (None, ["b"])
        # It is over for the room, and not for the client: it may come again.
        allowed.add("a")
        server.reauthorize("ann")
        assert await within(client.join("a")) is not a


@CODECS
@pytest.mark.logs_errors
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_right_that_could_not_be_asked_for_is_asked_for_again(encoding: str, is_async: bool) -> None:
    failing = False

    def authorize(identity: Any, action: str, room: str) -> bool:
        if failing:
            raise ConnectionError("the database is away")
        return True

    async def authorize_later(identity: Any, action: str, room: str) -> bool:
        return authorize(identity, action, room)

    server = Book(authenticate=lambda request: "ann", authorize=authorize_later if is_async else authorize)
    server.room("a", history=10)
    async with server, connect(server.url, encoding=encoding) as client:
        room = await within(client.join("a"))
        ends: list[RoomEnded] = []
        room.on_end(ends.append)
        failing = True
        server.reauthorize("ann")
        # Nobody stays by an error.
        await until(lambda: server.count("a") == 0)
        server.publish("a", 1)
        failing = False
        await until(lambda: server.count("a") == 1)
        message = await within(anext(room))
        assert (message.data, message.gap) == (1, None)
        assert (room.ended, ends) == (None, [])


@CODECS
async def test_a_room_that_the_server_takes_the_client_out_of_says_so(encoding: str) -> None:
    server = Book()
    server.room("*")
    async with server, connect(server.url, encoding=encoding) as client:
        room = await within(client.join("a"))
        server.publish("a", "before")
        server.opened[0].leave("a")
        # What came before is still handed out.
        assert (await within(anext(room))).data == "before"
        end = await end_of(room)
        assert end.code == "removed"
        assert isinstance(end, fanwire.FanwireError)


async def test_what_the_application_wants_is_no_error() -> None:
    server = Book()
    server.room("*")
    told: list[RoomEnded] = []
    async with server, connect(server.url) as client:
        a, b = await within(client.join("a")), await within(client.join("b"))
        for room in (a, b):
            room.on_end(told.append)
        assert a.ended is None
        iterations = [asyncio.ensure_future(drain(room)) for room in (a, b)]
        await within(a.leave())
        assert await within(iterations[0]) == []
        await within(client.close())
        assert await within(iterations[1]) == []
        assert [(end.room, end.code) for end in told] == [("a", "left"), ("b", "closed")]
        assert (client.error, a.ended, b.ended) == (None, told[0], told[1])
        assert [message async for message in client.messages()] == []


async def test_a_client_that_gives_up_ends_its_rooms_with_the_reason() -> None:
    server = Book(authenticate=lambda request: "ann")
    server.room("*")
    async with server, connect(server.url) as client:
        room = await within(client.join("a"))
        iterations = [asyncio.ensure_future(drain(room)), asyncio.ensure_future(anext(client.messages()))]
        await asyncio.sleep(0)
        server.disconnect_user("ann", reason="no more")
        for iteration in iterations:
            with pytest.raises(ConnectionFailed, match="4502 no more"):
                await within(iteration)
        assert room.ended is not None
        assert (room.ended.code, room.ended.text) == ("connection_failed", "4502 no more")
        assert isinstance(client.error, ConnectionFailed)
        assert client.error.code == 4502


@CODECS
@pytest.mark.parametrize("code", ["forbidden", "bad_room", "room_limit", "room_full"])
async def test_a_room_that_cannot_be_joined_again_ends_with_the_reason(encoding: str, code: str) -> None:
    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        for _ in range(2):
            await peer.let_in()
        peer.cut()

    async def second(peer: Peer) -> None:
        await peer.say("welcome", payload={**WELCOME, "session": "T", "reason": "expired"})
        for _ in range(2):
            join = await peer.hear()
            if join["room"] == "a":
                await peer.say("error", re=join["id"], room="a", payload={"code": code, "text": "no", "retry": False})
            else:
                await peer.say("joined", re=join["id"], room="b", seq=0, payload={"epoch": "e", "recovered": True})
        await peer.say("message", room="b", seq=1, payload=1)

    async with scripted(first, second) as url, connect(url, encoding=encoding) as client:
        a, b = await within(client.join("a")), await within(client.join("b"))
        end = await end_of(a)
        assert (end.room, end.code, end.text, end.retry) == ("a", code, "no", False)
        assert (await within(anext(b))).data == 1
        assert list(client.rooms) == ["b"]


@pytest.mark.logs_errors
@CODECS
@pytest.mark.parametrize("failure", ["raises", "hangs"])
async def test_a_failure_that_passes_ends_no_room(encoding: str, failure: str) -> None:
    """Sessions have no grace: each loss means to join again."""
    is_failing = False
    asked = asyncio.Event()

    async def authorize(identity: Any, action: str, room: str) -> bool:
        if room == "a" and is_failing:
            asked.set()
            if failure == "raises":
                raise RuntimeError("the database is away")
            if failure == "hangs":
                await asyncio.sleep(3600)
        return True

    server = Book({"grace": 0.0, "handshake_timeout": 1.0}, authorize=authorize)
    server.room("*")
    async with server, connect(server.url, encoding=encoding) as client:
        a, b = await within(client.join("a")), await within(client.join("b"))
        is_failing = True
        server.cut_all()
        await server.ended()
        await within(asked.wait())
        is_failing = False
        await until(lambda: server.count("a") == 1)
        server.publish("a", "again")
        while (message := await within(anext(a))).data != "again":
            pass
        assert message.data == "again"
        server.publish("b", "too")
        assert (await within(anext(b))).data == "too"


async def test_a_command_that_subscribes_says_why_the_room_has_ended() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in()
        await peer.say("message", room="a", seq=1, payload="line")
        await peer.say("left", room="a", payload={"reason": "forbidden"})

    out = BytesIO()
    async with scripted(script) as url:
        with pytest.raises(CommandFailed, match="a: the room has ended: forbidden"):
            await within(subscribe(url, "a", out, missed=print))
    assert out.getvalue() == b"line\n"
