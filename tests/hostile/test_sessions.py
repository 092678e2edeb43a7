"""Sessions that are guessed, stolen, replayed and asked for in all wrong ways: the right client loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import TEXT, frame
from hostile.arena import Arena
from hostile.sessions import RESUMES, Resume
from websockets.exceptions import ConnectionClosed, InvalidMessage

import fanwire

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    server = Book({"grace": 20}, authenticate=lambda request: fanwire.Identity(subject=request.bearer or "nobody"))
    server.room("*", publish=True, history=100)
    async with Arena.of(server, additional_headers={"Authorization": "Bearer bystander"}) as arena:
        yield arena


async def enter(server: Book, user: str, path: str = "/", codec: str = "json", after: Talk | None = None) -> Talk:
    headers = {"Authorization": f"Bearer {user}"}
    return await Talk.open(server, path, codec=codec, after=after, additional_headers=headers)


async def begin(server: Book, user: str = "alice") -> Talk:
    """A session with a room and three messages."""
    talk = await enter(server, user)
    await talk.ask("join", room="own")
    for number in range(3):
        server.publish("own", number)
        await talk.hear("message")
    return talk


async def park(server: Book, talk: Talk) -> fanwire.Connection:
    """Loses its connection, and misses a message."""
    conn = next(conn for conn in server.connections if conn.session == talk.session)
    talk.cut()
    await until(lambda: conn.is_reconnecting)
    server.publish("own", "missed")
    return conn


async def is_whole(server: Book, talk: Talk) -> bool:
    """Whether a session goes on, with what was missed and nothing else."""
    async with await enter(server, "alice", after=talk) as again:
        if not again.welcome["resumed"]:
            return False
        assert (await again.hear("message"))["payload"] == "missed"
        await again.ask("leave", room="own")
        await again.close()
    return True


@pytest.mark.parametrize("row", RESUMES, ids=repr)
async def test_resuming(arena: Arena, row: Resume) -> None:
    async with arena.watched() as server:
        talk = await begin(server)
        await park(server, talk)
        name, last = talk.session, "A" if talk.session[-1] != "A" else "B"
        query = row.query.replace("SHORT!", name[:-1] + last).replace("SHORT", name[:-1])
        query = query.replace("%ID", "".join(f"%{ord(char):02x}" for char in name)).replace("SWAPPED", name.swapcase())
        query = query.replace("ID", name).replace("COUNT", str(talk.received))
        async with await enter(server, row.user, f"/?{query}", codec=row.codec) as other:
            assert other.welcome["resumed"] is (row.reason == "")
            assert other.welcome.get("reason") == {"": None, "none": None}.get(row.reason, row.reason)
            if row.reason:
                # It is one like any other, and nothing of Alice's comes with it.
                assert other.session != name
                assert (await other.ask("join", room="else"))["type"] == "joined"
                await other.close()
            else:
                assert (await other.hear("message"))["payload"] == "missed"
                await other.ask("leave", room="own")
        if row.reason:
            assert await is_whole(server, talk) is row.survives


async def by_violation(server: Book, talk: Talk) -> None:
    talk.socket.transport.write(frame(TEXT, b"x", rsv=4))
    await within(talk.socket.wait_closed())


async def by_revocation(server: Book, talk: Talk) -> None:
    server.revoke(talk.session)
    await within(talk.socket.wait_closed())


async def by_revocation_while_parked(server: Book, talk: Talk) -> None:
    await park(server, talk)
    server.revoke(talk.session)


async def by_its_user(server: Book, talk: Talk) -> None:
    await park(server, talk)
    server.disconnect_user("alice")


async def by_the_application(server: Book, talk: Talk) -> None:
    next(conn for conn in server.connections if conn.session == talk.session).close(4000)
    await within(talk.socket.wait_closed())


ENDS = {
    "a violation": by_violation,
    "a revocation": by_revocation,
    "a revocation while it waits": by_revocation_while_parked,
    "its user's end": by_its_user,
    "the application": by_the_application,
    **{f"close code {code}": code for code in (1000, 1011, 3000, 4500, 4999)},
}


@pytest.mark.parametrize("how", ENDS)
async def test_an_ended_session_is_not_resumed(arena: Arena, how: str) -> None:
    async with arena.watched() as server:
        talk = await begin(server)
        end = ENDS[how]
        await (talk.close(end) if isinstance(end, int) else end(server, talk))
        async with await enter(server, "alice", after=talk) as again:
            assert (again.welcome["resumed"], again.welcome["reason"]) == (False, "closed")
        async with await enter(server, "bob", after=talk) as other:
            # Nobody else is told that there was one.
            assert (other.welcome["resumed"], other.welcome["reason"]) == (False, "unknown")


@pytest.mark.parametrize("code", [4000, 4008, 4499])
async def test_who_says_that_it_comes_back_may(arena: Arena, code: int) -> None:
    async with arena.watched() as server:
        talk = await begin(server)
        conn = server.opened[-1]
        await talk.close(code)
        await until(lambda: conn.is_reconnecting)
        server.publish("own", "missed")
        assert await is_whole(server, talk)


async def test_a_session_asked_for_by_many_at_once_has_one_client(arena: Arena) -> None:
    async with arena.watched() as server:
        talk = await begin(server)
        await park(server, talk)
        tries = await asyncio.gather(*[enter(server, "alice", after=talk) for _ in range(20)], return_exceptions=True)
        talks = [one for one in tries if isinstance(one, Talk)]
        # One that is overtaken before its welcome is just cut off.
        overtaken = (InvalidMessage, ConnectionClosed, ConnectionError)
        assert all(isinstance(one, (Talk, *overtaken)) for one in tries), tries
        assert {one.session for one in talks if one.welcome["resumed"]} == {talk.session}
        await until(lambda: sum(one.socket.close_code is None for one in talks if one.welcome["resumed"]) == 1)
        last = next(one for one in talks if one.welcome["resumed"] and one.socket.close_code is None)
        assert (await last.hear("message"))["payload"] == "missed"
        server.publish("own", "next")
        assert (await last.hear("message"))["payload"] == "next"
        for one in talks:
            await one.close()


async def test_a_replayed_resume_takes_the_session_only_from_itself(arena: Arena) -> None:
    async with arena.watched() as server:
        talk = await begin(server)
        async with await enter(server, "alice", after=talk) as second:
            assert second.welcome["resumed"]
            # The first has lost its connection by it, and nothing that it still says counts.
            await within(talk.socket.wait_closed())
            server.publish("own", "for the second")
            assert (await second.hear("message"))["payload"] == "for the second"
            # The same request once more, as somebody may have it from a log: what was not acknowledged comes again.
            async with await enter(server, "alice", after=talk) as third:
                assert third.welcome["resumed"]
                assert (await third.hear("message"))["payload"] == "for the second"
                await within(second.socket.wait_closed())
                await third.close()
