"""Presence in rooms that have more members than a list: the count is right, and what is left out can be had."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
MEMBERS = 5


@pytest.fixture
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of five instead of a thousand."""
    monkeypatch.setattr("fanwire.rooms.roster.LISTED", MEMBERS)


def serving() -> Book:
    server = Book()
    server.room("p.*", join=True, publish=True, presence=True)
    return server


def id_of(conn: fanwire.Connection) -> str:
    return f"{conn.id:x}"


@CODECS
@pytest.mark.usefixtures("short_lists")
async def test_a_newcomer_is_in_the_list_and_the_count_says_how_many_are_not(codec: str) -> None:
    async with serving() as server:
        talks = [await Talk.open(server, codec=codec) for _ in range(8)]
        for number, talk in enumerate(talks, 1):
            joined = await talk.ask("join", room="p.a")
            listed = [member["id"] for member in joined["payload"]["members"]]
            assert joined["payload"]["count"] == number
            assert len(listed) == min(number, MEMBERS)
            assert listed[-1] == id_of(server.opened[number - 1])
        for talk in talks:
            talk.cut()


@CODECS
@pytest.mark.usefixtures("short_lists")
async def test_the_clients_count_stays_right_also_for_those_it_does_not_know(codec: Any) -> None:
    async with serving() as server:
        talks = [await Talk.open(server) for _ in range(8)]
        for talk in talks:
            await talk.ask("join", room="p.a")
        async with fanwire.connect(server.url, encoding=codec) as client:
            room = await client.join("p.a")
            me = id_of(server.opened[-1])
            assert (room.count, len(room.members or ()), room.is_complete) == (9, MEMBERS, False)
            assert me in (room.members or ())
            # The last of those before was not listed; it leaves.
            assert id_of(server.opened[7]) not in (room.members or ())
            await talks[7].say("leave", room="p.a")
            await until(lambda: room.count == 8, "it is counted out")
            assert len(room.members or ()) == MEMBERS
            # One that was listed.
            await talks[0].say("leave", room="p.a")
            await until(lambda: room.count == 7, "it is counted out")
            assert len(room.members or ()) == MEMBERS - 1
            await talks[0].say("join", room="p.a")
            await until(lambda: room.count == 8 and len(room.members or ()) == MEMBERS, "it is back")
            for talk in talks[1:7]:
                await talk.say("leave", room="p.a")
            await until(lambda: room.count == 2, "two are left")
            assert (set(room.members or ()), room.is_complete) == ({me, id_of(server.opened[0])}, True)
        for talk in talks:
            talk.cut()


@CODECS
@pytest.mark.usefixtures("short_lists")
async def test_a_client_reads_all_members_page_by_page(codec: Any) -> None:
    async with serving() as server:
        talks = [await Talk.open(server, "/p.a") for _ in range(12)]
        await until(lambda: server.count("p.a") == 12)
        async with fanwire.connect(server.url, encoding=codec) as client:
            members = await client.presence("p.a")
            assert list(members) == [id_of(conn) for conn in server.opened[:12]]
            assert members == await server.presence("p.a")
            assert list(await client.presence("p.a", limit=7)) == list(members)[:7]
            assert await client.count("p.a") == 12
            with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
                await client.presence("p.a", limit=0)
        for talk in talks:
            talk.cut()


@pytest.mark.parametrize(("payload", "path"), [({"after": "elsewhere.3"}, "$.after"), ({"limit": 0}, "$.limit")])
async def test_a_page_that_cannot_be_is_refused(payload: dict[str, Any], path: str) -> None:
    async with serving() as server, await Talk.open(server, "/p.a") as talk:
        await talk.hear("joined")
        answer = await talk.ask("presence", room="p.a", payload=payload)
        assert (answer["type"], answer["payload"]["code"], answer["payload"]["path"]) == (
            "error",
            "invalid_payload",
            path,
        )


async def test_a_room_without_presence_has_no_count() -> None:
    server = Book()
    server.room("n", join=True)
    async with server, fanwire.connect(server.url) as client:
        room = await client.join("n")
        assert (room.count, room.members, room.is_complete) == (None, None, False)


async def test_the_list_is_right_again_after_a_reconnect_in_which_others_came_and_left() -> None:
    server = Book({"grace": 0})
    server.room("p.*", join=True, presence=True)
    async with server, fanwire.connect(server.url) as client:
        room = await client.join("p.a")
        talk = await Talk.open(server, "/p.a")
        await until(lambda: room.count == 2)
        next(iter(server._host.registry.links.values())).abort()
        await until(lambda: len(server.closed) == 1, "the session is over")
        await talk.say("leave", room="p.a")
        await until(lambda: room.count == 1 and room.is_complete, "it knows itself alone", 30)
        assert set(room.members or ()) == {id_of(conn) for conn in server.connections if "p.a" in conn.rooms}
        talk.cut()


@CODECS
async def test_what_a_client_sends_in_a_row_is_done_in_that_order(codec: str) -> None:
    async with serving() as server, await Talk.open(server, codec=codec) as talk:
        for _ in range(5):
            names = [
                await talk.say("join", room="p.a"),
                await talk.say("presence", room="p.a"),
                await talk.say("publish", room="p.a", payload=1),
                await talk.say("leave", room="p.a"),
                await talk.say("presence", room="p.a"),
            ]
            heard: list[dict[str, Any]] = []
            while len(heard) < 6:
                message = await talk.hear()
                if message["type"] != "received":
                    heard.append(message)
            assert [message["re"] for message in heard if "re" in message] == names
            payloads = [message.get("payload") for message in heard]
            assert [told["count"] for told in payloads if isinstance(told, dict)] == [1, 1, 0]


@pytest.mark.logs_errors
async def test_what_is_told_of_a_member_is_bounded_and_the_error_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server:
        async with await Talk.open(server) as large:
            await until(lambda: server.opened)
            server.opened[0].info = "x" * 5000
            assert (await large.ask("join", room="p.a"))["payload"]["code"] == "internal"
            assert "Connection.info must be at most 4096 bytes of JSON, got 5002" in caplog.text
            assert server.count("p.a") == 0
        async with await Talk.open(server) as fits:
            await until(lambda: len(server.opened) == 2)
            server.opened[1].info = "x" * 4000
            assert (await fits.ask("join", room="p.a"))["payload"]["count"] == 1


async def test_a_client_that_is_back_while_its_expiry_waits_for_its_turn_keeps_its_session() -> None:
    async with Book() as server:
        talk = await Talk.open(server, "/a")
        await talk.hear("joined")
        talk.cut()
        conn = server.opened[0]
        await until(lambda: conn.is_reconnecting)
        host = server._host
        assert host is not None
        assert conn._session is not None
        host.registry._give_up(conn, "expired")
        host.registry.sessions.resume(conn._session)
        host.slices.finish()
        assert server.closed == []
        assert host.registry.sessions.park(conn, conn._session)
        host.registry._give_up(conn, "expired")
        await server.ended()


async def test_members_that_leave_all_at_once_are_counted_out() -> None:
    async with serving() as server:
        talks = [await Talk.open(server, "/p.a") for _ in range(30)]
        async with fanwire.connect(server.url) as client:
            room = await client.join("p.a")
            await until(lambda: room.count == 31)
            await within(asyncio.gather(*(talk.close() for talk in talks)))
            await until(lambda: room.count == 1 and room.is_complete)
