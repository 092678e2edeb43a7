"""How long clients may stay: tokens that expire and are renewed, users who are sent away, connections that grow old."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import request
from websockets.exceptions import ConnectionClosed

import fanwire
from fanwire.codes import CloseCode


def book(config: dict[str, Any] | None = None, **options: Any) -> Book:
    """A server whose tokens are SUBJECT.SECONDS: whose they are, and for how long from now they are good."""

    async def authenticate(request: fanwire.Request) -> fanwire.Identity:
        token = request.credential(("header", "query"))
        subject, _, seconds = (token or "").partition(".")
        if not subject or subject == "nobody":
            raise fanwire.Refused(401, "nobody")
        expires = time.time() + float(seconds) if seconds else None
        return fanwire.Identity(subject=subject, expires=expires)

    server = Book({"token_notice": 0.3, "token_grace": 0.3, **(config or {})}, authenticate=authenticate, **options)
    server.room("*", history=1000, publish=True)
    return server


async def enter(server: Book, token: str, after: Talk | None = None) -> Talk:
    """A session of a token's holder."""
    return await Talk.open(server, after=after, additional_headers={"Authorization": f"Bearer {token}"})


async def close_code(talk: Talk) -> int:
    """Hears to the end."""
    await within(talk.socket.wait_closed())
    assert talk.socket.close_code is not None
    return talk.socket.close_code


async def test_an_expired_token_ends_the_connection_for_good() -> None:
    times = {"token_notice": 1.0, "token_grace": 1.0}
    async with book(times) as server, await enter(server, "alice.1.2") as talk:
        notice = await talk.hear("token_expiring")
        assert 0 < notice["payload"]["expires_in_ms"] <= 1000
        assert (await talk.hear("token_expired"))["payload"] == {"grace_ms": 1000}
        # Until the end of the grace it is served.
        assert (await talk.ask("join", room="a"))["type"] == "joined"
        assert await close_code(talk) == CloseCode.TOKEN_EXPIRED
        assert (await server.ended()).close_code == CloseCode.TOKEN_EXPIRED
        async with await enter(server, "alice.60", after=talk) as again:
            assert (again.welcome["resumed"], again.welcome["reason"]) == (False, "closed")


async def test_a_client_without_a_session_is_closed_too() -> None:
    async with book() as server:
        async with server.client("/a?token=alice.1.0") as client:
            with pytest.raises(ConnectionClosed) as closed:
                await within(client.recv())
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == CloseCode.TOKEN_EXPIRED
        assert "token" not in server.opened[0].request.query_string


async def test_a_new_token_in_place() -> None:
    async with book({"token_notice": 1.3}) as server, await enter(server, "alice.1.5") as talk:
        await talk.ask("join", room="a")
        await talk.hear("token_expiring")
        reply = await talk.ask("token", payload={"token": "alice.60"})
        assert 30_000 < reply["payload"]["expires_in_ms"] <= 60_000
        # Past the end of the first one, with the same connection and all that belongs to it.
        await asyncio.sleep(2.0)
        server.publish("a", 1)
        assert (await talk.hear("message"))["payload"] == 1
        assert server.opened[0].identity.expires > time.time() + 50
        assert not server.closed
        # One that never expires.
        reply = await talk.ask("token", payload={"token": "alice"})
        assert reply["payload"] == {"expires_in_ms": None}


@pytest.mark.parametrize("token", ["bob.60", "nobody.60", "alice.-60", "", "x" * 9000, 7, "\u00fc.60", "a\r\nb"])
async def test_another_token_changes_nothing(token: Any) -> None:
    async with book() as server, await enter(server, "alice.60") as talk:
        identity = server.opened[0].identity
        error = await talk.ask("token", payload={"token": token})
        assert error["type"] == "error"
        assert error["payload"]["code"] in ("unauthorized", "invalid_payload")
        assert server.opened[0].identity is identity
        assert (await talk.ask("join", room="a"))["type"] == "joined"


async def test_tokens_cannot_be_tried_one_after_the_other() -> None:
    async with book() as server, await enter(server, "alice.60") as talk:
        codes = [(await talk.ask("token", payload={"token": "bob.1"}))["payload"]["code"] for _ in range(15)]
        assert codes[:10] == ["unauthorized"] * 10
        assert "rate_limited" in codes


async def test_a_resumed_session_has_the_new_identity() -> None:
    async with book() as server, await enter(server, "alice.60") as talk:
        await talk.ask("join", room="a")
        talk.cut()
        await until(lambda: server.connections[0].is_reconnecting)
        server.publish("a", "missed")
        async with await enter(server, "alice.7000", after=talk) as again:
            assert again.welcome["resumed"]
            assert (await again.hear("message"))["payload"] == "missed"
            await until(lambda: server.opened[0].identity.expires > time.time() + 6000)
        # Another's it never is.
        async with await enter(server, "bob.60", after=talk) as other:
            assert (other.welcome["resumed"], other.welcome["reason"]) == (False, "unknown")


async def test_disconnect_user_ends_all_of_one_user() -> None:
    async with book() as server, await enter(server, "alice") as first, await enter(server, "alice") as parked:
        other = await enter(server, "bob")
        async with other:
            parked.cut()
            await until(lambda: sum(conn.is_reconnecting for conn in server.connections) == 1)
            # From another thread, as an application may.
            await asyncio.to_thread(server.disconnect_user, "alice", reason="fraud")
            with pytest.raises(ConnectionClosed) as closed:
                await first.hear()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (CloseCode.REVOKED, "fraud")
            await server.ended(2)
            assert [conn.identity.subject for conn in server.connections] == ["bob"]
            assert (await other.ask("join", room="a"))["type"] == "joined"
            for talk in (first, parked):
                async with await enter(server, "alice", after=talk) as again:
                    assert (again.welcome["resumed"], again.welcome["reason"]) == (False, "closed")


async def test_a_user_on_the_way_in_is_turned_away() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def authenticate(request: fanwire.Request) -> str:
        asked.set()
        await go.wait()
        return "alice"

    async with Book(authenticate=authenticate) as server, await server.dial() as peer:
        await peer.send(request())
        await within(asked.wait())
        server.disconnect_user("alice")
        go.set()
        assert (await peer.response()).status == 401
        async with await server.peer():
            await until(lambda: len(server.opened) == 1)


async def test_revoke_ends_one_session() -> None:
    async with book() as server, await enter(server, "alice") as one, await enter(server, "alice") as two:
        server.revoke(one.session)
        assert await close_code(one) == CloseCode.REVOKED
        server.revoke(server.opened[1])
        assert await close_code(two) == CloseCode.REVOKED
        # One that is not there, or not any more, is nothing to complain of.
        server.revoke("no such session")
        server.revoke(one.session)
        await server.ended(2)


async def test_revoke_drops_what_waits() -> None:
    server = Book({"unsent_bytes": 4096})
    async with server, await server.peer("/a", rcvbuf=4096) as stalled:
        for _ in range(100):
            server.publish("a", bytes(4000))
        await server.has_stat("blocked", 1)
        server.revoke(server.opened[0])
        stalled.resume()
        frames = 0
        while (frame := await stalled.frame())[0] & 15 != 8:
            frames += 1
        assert frame[1][:2] == int(CloseCode.REVOKED).to_bytes(2, "big")
        assert frames < 100


async def test_an_old_connection_is_made_anew_without_loss() -> None:
    async with book({"max_age": 0.3}) as server:
        async with fanwire.connect(server.url, token="alice") as client:
            room = await client.join("a")
            sessions = {client.session}
            got: list[int] = []

            async def read() -> None:
                async for message in room:
                    assert message.gap is None
                    got.append(message.data)

            reading = asyncio.ensure_future(read())
            links: set[int] = set()
            numbers = itertools.count()

            def goes_on() -> bool:
                server.publish("a", next(numbers))
                links.update(conn._link for conn in server.connections)
                sessions.add(client.session)
                return len(links) > 3

            await until(goes_on, "it has had four connections")
            published = next(numbers)
            await until(lambda: len(got) == published)
            reading.cancel()
            assert got == list(range(published))
            assert len(sessions) == 1
        await server.ended()
        assert len(server.opened) == 1


async def test_one_that_does_not_go_is_parked() -> None:
    async with book({"max_age": 1.0, "close_timeout": 0.2}) as server, await enter(server, "alice") as talk:
        await talk.ask("join", room="a")
        closing = await talk.hear("closing")
        assert closing["payload"] == {"code": 4000, "reason": "please reconnect", "reconnect": True, "after_ms": 0}
        with pytest.raises(ConnectionClosed):
            await talk.hear()
        server.publish("a", "missed")
        async with await enter(server, "alice", after=talk) as again:
            assert again.welcome["resumed"]
            assert (await again.hear("message"))["payload"] == "missed"


async def test_one_without_a_session_is_closed_to_reconnect() -> None:
    async with book({"max_age": 0.1}) as server, server.client("/a?token=alice") as client:
        with pytest.raises(ConnectionClosed) as closed:
            await within(client.recv())
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CloseCode.RECONNECT
