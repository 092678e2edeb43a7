"""Credentials of all kinds, by every way: who is refused learns nothing, and what was shown is in no log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.talk import Talk
from helpers.tokens import SECRET
from helpers.wait import until, within
from helpers.wire import Peer, Response, request
from hostile.arena import Arena
from hostile.credentials import GOOD, PAGES, TOKENS, WAYS, Page, Token, fresh

import fanwire
from fanwire.auth import JWT, Chain, CookieSession, Keys

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    sources = ["header", "subprotocol", "query", "cookie:sid"]
    users = JWT(Keys.secret(SECRET), algorithms=["HS256"], audience="fanwire", credentials=sources)
    site = CookieSession("site", {"known": {"sub": "alice"}}.get)
    server = Book(authenticate=Chain(users, site), hosts=["localhost", "127.0.0.1"])
    server.room("*", publish=True, history=10)
    async with Arena.of(
        server, additional_headers={"Authorization": f"Bearer {fresh(exp=time.time() + 3600)}"}
    ) as arena:
        yield arena


async def show(peer: Peer, path: str, headers: dict[str, str]) -> Response:
    await peer.send(request(path, headers))
    return await peer.response()


def assert_unlogged(caplog: pytest.LogCaptureFixture, shown: str) -> None:
    """Nothing that somebody could come in with is in a log, whoever wrote it: the clients here are the tests' own."""
    parts = {shown, *(part for part in shown.split(".") if len(part) > 20)}
    for record in caplog.records:
        if not record.name.startswith("websockets"):
            text = record.getMessage() + str(record.exc_info or "")
            assert not any(part in text for part in parts if len(part) > 3), text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", TOKENS, ids=repr)
async def test_who_is_not_let_in(arena: Arena, row: Token, way: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = row.make()
    async with arena.watched() as server, await server.dial() as peer:
        opened = len(server.opened)
        path, headers = WAYS[way](shown)
        response = await show(peer, path, headers)
        # One answer for all: which of the reasons it is, is the operator's to know.
        assert (response.status, response.body) == (401, b"Unauthorized\n")
        assert set(response.headers) == {"content-type", "content-length", "connection", "www-authenticate"}
        assert response.headers["www-authenticate"] == "Bearer"
        assert await peer.end() == b""
        assert len(server.opened) == opened
    assert_unlogged(caplog, shown)


@pytest.mark.parametrize("row", TOKENS, ids=repr)
async def test_who_is_in_shows_it_in_vain(arena: Arena, row: Token, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = row.make()
    headers = {"Authorization": f"Bearer {fresh()}"}
    async with arena.watched() as server, await Talk.open(server, additional_headers=headers) as talk:
        identity = server.opened[-1].identity
        error = await talk.ask("token", payload={"token": shown})
        assert error["type"] == "error"
        assert error["payload"]["code"] in ("unauthorized", "invalid_payload")
        assert len(shown) < 4 or shown not in str(error)
        assert server.opened[-1].identity is identity
        assert (await talk.ask("join", room="own"))["type"] == "joined"
        await talk.close()
    assert_unlogged(caplog, shown)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", GOOD, ids=repr)
async def test_who_is_let_in(arena: Arena, row: Token, way: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = row.make()
    async with arena.watched() as server, await server.dial() as peer:
        response = await show(peer, *WAYS[way](shown))
        assert response.status == 101
        assert shown not in str(response.headers)
        conn = server.opened[-1]
        assert conn.identity.subject == "alice"
        assert shown not in repr(conn) + conn.request.query_string + repr(conn.request)
    assert_unlogged(caplog, shown)


@pytest.mark.parametrize("row", PAGES, ids=repr)
@pytest.mark.parametrize("cookie", ["sid", "site"])
async def test_pages_that_cookies_come_from(arena: Arena, row: Page, cookie: str) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        value = fresh() if cookie == "sid" else "known"
        response = await show(peer, "/", {"Cookie": f"{cookie}={value}", **row.headers})
        assert response.status == row.status
        if row.status == 403:
            assert response.body == b"Forbidden\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": ""},
        {"Authorization": "Basic YWxpY2U6"},
        {"Authorization": "Digest x"},
        {"Authorization": "bearer\tx"},
        {"Proxy-Authorization": "Bearer x"},
        {"Cookie": "sid=", "Origin": "http://localhost"},
        {"Cookie": "sid"},
        {"Cookie": "SID=x"},
        {"Cookie": ";;;"},
        {"Sec-WebSocket-Protocol": "fanwire.token."},
        {"Sec-WebSocket-Protocol": "fanwire.token"},
        {"X-Token": "x"},
        {"X-Forwarded-User": "alice"},
        {"X-Real-IP": "127.0.0.1"},
        {"Origin": "http://localhost", "Cookie": "site=unknown"},
        {"Origin": "http://localhost", "Cookie": 'site="known'},
        {"Origin": "http://localhost", "Cookie": "site=known\\"},
        {"Origin": "http://localhost", "Cookie": "a=site=known"},
        {"Origin": "http://localhost", "Cookie": "site.x=known; site =; =known"},
    ],
    ids=lambda headers: str(headers)[:60],
)
async def test_what_is_no_credential(arena: Arena, headers: dict[str, str]) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        response = await show(peer, "/", headers)
        assert (response.status, response.body) == (401, b"Unauthorized\n")


async def test_another_ones_token_is_not_taken_over(arena: Arena) -> None:
    headers = {"Authorization": f"Bearer {fresh()}"}
    async with arena.watched() as server, await Talk.open(server, additional_headers=headers) as talk:
        for subject in ("bob", "Alice", "alice ", "alic", "alicea", "\u0430lice"):
            error = await talk.ask("token", payload={"token": fresh(sub=subject)})
            assert error["payload"]["code"] == "unauthorized"
        assert server.opened[-1].identity.subject == "alice"
        await talk.close()


async def test_a_flood_of_tokens_is_told_to_wait(arena: Arena) -> None:
    headers = {"Authorization": f"Bearer {fresh()}"}
    async with arena.watched() as server, await Talk.open(server, additional_headers=headers) as talk:
        bad = fresh("x" * 64)
        for _ in range(100):
            await talk.say("token", payload={"token": bad})
        answers: list[dict[str, Any]] = []
        while len(answers) < 100:
            if (answer := await talk.hear())["type"] != "received":
                answers.append(answer)
        codes = [answer["payload"]["code"] for answer in answers]
        assert codes.count("unauthorized") < 50
        assert set(codes) == {"unauthorized", "rate_limited"}
        assert (await talk.ask("join", room="own"))["type"] == "joined"
        await talk.close()


async def test_a_flood_of_requests_with_bad_tokens_keeps_nobody_out(arena: Arena) -> None:
    async with arena.watched() as server:

        async def attack() -> int:
            async with await server.dial() as peer:
                return (await show(peer, *WAYS["header"](fresh("x" * 64)))).status

        attacks = [asyncio.ensure_future(attack()) for _ in range(300)]
        async with await Talk.open(server, additional_headers={"Authorization": f"Bearer {fresh()}"}) as talk:
            assert (await talk.ask("join", room="own"))["type"] == "joined"
            await talk.close()
        assert set(await within(asyncio.gather(*attacks))) == {401}


# Authenticators and rules that fail.


def raising(error: Exception) -> Any:
    def fail(*args: Any) -> Any:
        raise error

    return fail


def later(answer: Any) -> Any:
    async def wait(*args: Any) -> Any:
        await asyncio.sleep(0)
        return answer(*args)

    return wait


class Unpleasant:
    """An identity that raises wherever it is looked at."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError("secret detail")


FAILURES = {
    "an exception": (raising(RuntimeError("secret detail")), 500),
    "an exception later": (later(raising(RuntimeError("secret detail"))), 500),
    "an exit": (raising(SystemError("secret detail")), 500),
    "recursion": (raising(RecursionError("secret detail")), 500),
    "a timeout of its own": (later(raising(asyncio.TimeoutError("secret detail"))), 500),
    "an error that looks like a peer's": (raising(ConnectionResetError("secret detail")), 500),
    "an identity that raises": (lambda request: Unpleasant(), 500),
    "an identity whose end is no time": (lambda request: {"sub": "x", "exp": "soon"}, 500),
    "an identity that has expired": (lambda request: {"sub": "x", "exp": 1}, 401),
    "a refusal that is returned": (lambda request: fanwire.Refused(403, "secret detail"), 403),
    "a refusal later": (later(raising(fanwire.Refused(429, "secret detail", retry_after=3))), 429),
}


@pytest.mark.logs_errors
@pytest.mark.parametrize("how", FAILURES)
async def test_authenticators_that_fail_let_nobody_in(how: str) -> None:
    fail, status = FAILURES[how]

    def authenticate(request: fanwire.Request) -> Any:
        return "bystander" if request.query_string == "bystander" else fail(request)

    server = Book(authenticate=authenticate)
    async with Arena.of(server, additional_headers={}) as arena, arena.watched(), await server.dial() as peer:
        response = await show(peer, "/", {})
        assert response.status == status
        assert b"secret" not in response.body
        assert await peer.end() == b""
        assert len(server.opened) == 3


async def test_an_authenticator_that_hangs_keeps_nobody_else_waiting() -> None:
    async def authenticate(request: fanwire.Request) -> str:
        if request.path == "/slow":
            await asyncio.Event().wait()
        return "somebody"

    server = Book({"handshake_timeout": 3.0}, authenticate=authenticate)
    async with Arena.of(server, additional_headers={}) as arena, arena.watched():
        slow = []
        for _ in range(200):
            slow.append(await server.dial())
            await slow[-1].send(request("/slow"))
        async with await server.peer("/quick"):
            pass
        answers = await asyncio.gather(*[peer.response() for peer in slow])
        assert {(answer.status, answer.headers["retry-after"]) for answer in answers} == {(503, "1")}
        for peer in slow:
            peer.close()


@pytest.mark.parametrize("when", ["before", "while", "after"])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_user_who_is_sent_away_on_the_way_in(when: str, is_async: bool) -> None:
    gate = asyncio.Event()

    def authenticate(request: fanwire.Request) -> Any:
        if request.path != "/":
            return "bystander"
        if when == "while":
            server.disconnect_user("alice")
        return wait() if is_async else "alice"

    async def wait() -> str:
        await gate.wait()
        return "alice"

    server = Book(authenticate=authenticate)
    async with Arena.of(server, additional_headers={}) as arena, arena.watched(), await server.dial() as peer:
        if when == "before":
            server.disconnect_user("alice")
        await peer.send(request())
        await asyncio.sleep(0.05)
        gate.set()
        if when == "while":
            assert (await peer.response()).status == 401
            assert len(server.opened) == 3
            return
        assert (await peer.response()).status == 101
        if when == "after":
            await until(lambda: len(server.opened) == 4)
            server.disconnect_user("alice", reason="gone")
            assert await peer.closed() == (4502, "gone")


ANSWERS = {
    "no": (lambda *args: False, "forbidden"),
    "nothing": (lambda *args: None, "forbidden"),
    "no, later": (later(lambda *args: False), "forbidden"),
    "a refusal": (raising(fanwire.Refused(403, "secret detail")), "forbidden"),
    "a refusal later": (later(raising(fanwire.Refused(401, "secret detail"))), "forbidden"),
    "a refusal that is returned": (lambda *args: fanwire.Refused(403, "secret detail"), "forbidden"),
    "a refusal that is returned later": (later(lambda *args: fanwire.Refused(403)), "forbidden"),
    "an exception": (raising(RuntimeError("secret detail")), "internal"),
    "an exception later": (later(raising(KeyError("secret detail"))), "internal"),
    "nothing, ever": (lambda *args: asyncio.Event().wait(), "overloaded"),
}


@pytest.mark.logs_errors
@pytest.mark.parametrize("action", ["join", "publish", "presence"])
@pytest.mark.parametrize("how", ANSWERS)
async def test_whoever_is_not_allowed_is_told_and_nothing_is_done(how: str, action: str) -> None:
    answer, code = ANSWERS[how]
    # Everybody else has to come in, and to be answered, within this time.
    config = {"handshake_timeout": 1.5} if code == "overloaded" else {}
    server = Book(config, authenticate=lambda request: "somebody", authorize=answer)
    server.room("*", presence=True)
    async with Arena.of(server, additional_headers={}) as arena, arena.watched(), await Talk.open(server) as talk:
        for _ in range(2):
            error = await talk.ask(action, room="hall", payload=None)
            assert error["type"] == "error"
            assert error["payload"]["code"] == code
            assert "secret" not in str(error)
        assert server.count("hall") == 0
        await talk.close()
