"""Who is not let in: whatever `authenticate` does, a client that it has not named gets an answer and no connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import request

import fanwire
from fanwire.identity.identity import ANONYMOUS
from fanwire.sessions.store import Record

pytestmark = pytest.mark.parametrize("is_async", [False, True])

PROTOCOLS = [None, "fanwire.v1.json", "fanwire.v1.msgpack"]


def asking(answer: Any, is_async: bool) -> Callable[[fanwire.Request], Any]:
    """An `authenticate` that returns this, or raises it."""

    def plain(asked: fanwire.Request) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def later(asked: fanwire.Request) -> Any:
        await asyncio.sleep(0)
        return plain(asked)

    return later if is_async else plain


async def status_of(server: Book, subprotocol: str | None = None, path: str = "/") -> int:
    """What a client is answered that asks for a connection."""
    async with await server.dial() as peer:
        await peer.send(request(path, {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else None))
        response = await peer.response()
        if response.status != 101:
            assert await peer.end() == b""
        return response.status


async def is_empty(server: Book) -> None:
    """Waits until nothing is held of those that have come."""
    await until(lambda: server._gauges()["handshaking_connections"] == 0)


@pytest.mark.parametrize("subprotocol", PROTOCOLS)
@pytest.mark.parametrize("answer", [None, False, "", 0, {}, [], {"sub": ""}])
async def test_a_missing_or_false_answer_is_401(answer: Any, subprotocol: str | None, is_async: bool) -> None:
    server = Book(authenticate=asking(answer, is_async))
    server.room("*", join="identified")
    async with server:
        assert await status_of(server, subprotocol) == 401
        await is_empty(server)
        assert not server.opened


@pytest.mark.logs_errors
@pytest.mark.parametrize("answer", [True, fanwire.Refused, ValueError("no"), object()])
async def test_what_can_be_no_identity_is_500(answer: Any, is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def later(asked: fanwire.Request) -> Any:
        return answer

    async with Book(authenticate=later if is_async else lambda asked: answer) as server:
        assert await status_of(server) == 500
        await is_empty(server)
        assert not server.opened
    assert "must" in caplog.text


@pytest.mark.parametrize("subprotocol", PROTOCOLS)
async def test_anonymous_lets_a_client_in_without_an_identity(subprotocol: str | None, is_async: bool) -> None:
    server = Book(authenticate=asking(ANONYMOUS, is_async))
    async with server:
        assert await status_of(server, subprotocol) == 101
        await until(lambda: server.opened)
        assert server.opened[0].identity is None


@pytest.mark.parametrize("answer", [None, False, "", {}])
async def test_a_new_token_that_names_nobody_is_unauthorized(answer: Any, is_async: bool) -> None:
    def who(asked: fanwire.Request) -> Any:
        return "ann" if asked.renewal is None else answer

    async def who_later(asked: fanwire.Request) -> Any:
        return who(asked)

    async with Book(authenticate=who_later if is_async else who) as server, await Talk.open(server) as talk:
        error = await talk.ask("token", payload={"token": "x"})
        assert (error["type"], error["payload"]["code"]) == ("error", "unauthorized")
        assert server.opened[0].identity == "ann"


class PanicException(BaseException):
    """As a library in Rust raises one through PyO3."""


ODD = [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), PanicException("x"), asyncio.CancelledError()]


@pytest.mark.logs_errors
@pytest.mark.parametrize("error", ODD)
async def test_whatever_is_raised_is_answered_and_leaves_nothing(
    error: BaseException, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with Book({"max_connections": 1}, authenticate=asking(error, is_async)) as server:
        for _ in range(3):
            # One place for all of them: each has to give it back.
            assert await status_of(server) == 500
            await is_empty(server)
        assert server.connections == []
    assert type(error).__name__ in caplog.text


@pytest.mark.logs_errors
@pytest.mark.parametrize("error", [*ODD, KeyError("x")])
async def test_a_new_token_whatever_is_raised_is_answered(error: BaseException, is_async: bool) -> None:
    def who(asked: fanwire.Request) -> Any:
        if asked.renewal is not None:
            raise error
        return "ann"

    async def who_later(asked: fanwire.Request) -> Any:
        return who(asked)

    async with Book(authenticate=who_later if is_async else who) as server, await Talk.open(server) as talk:
        answer = await talk.ask("token", payload={"token": "x"})
        assert (answer["type"], answer["payload"]["code"]) == ("error", "internal")
        # The session goes on.
        await talk.say("ping")
        await talk.hear("pong")


class BrokenStore:
    """A session store that raises what is no `Exception`."""

    def __init__(self, error: BaseException, is_async: bool) -> None:
        self._error = error
        self._is_async = is_async

    def save(self, record: Record, ttl: float) -> None:
        """Keeps nothing."""

    def load(self, id: str) -> Awaitable[Record | None] | Record | None:
        if self._is_async:
            return self._load()
        raise self._error

    async def _load(self) -> Record | None:
        await asyncio.sleep(0)
        raise self._error

    def delete(self, id: str) -> None:
        """There is nothing."""


@pytest.mark.logs_errors
@pytest.mark.parametrize("error", [*ODD, KeyError("x")])
async def test_a_store_that_fails_keeps_nobody_out(error: BaseException, is_async: bool) -> None:
    async with Book(authenticate=lambda asked: "ann", sessions=BrokenStore(error, is_async)) as server:
        path = "/?session=q0W8xV1kR3uY5tZ7&received=0"
        assert await status_of(server, "fanwire.v1.json", path) == 101
        await until(lambda: server.opened)
        await is_empty(server)


@pytest.mark.logs_errors
async def test_one_that_does_not_end_when_it_is_cancelled_holds_no_place(is_async: bool) -> None:
    gate = asyncio.Event()

    async def stubborn(asked: fanwire.Request) -> str:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:  # noqa: PERF203 - it is what is tested
                continue
        return "ann"

    authenticate = stubborn if is_async else lambda asked: stubborn(asked)
    # Long enough for the one who is let in, also on a busy machine.
    async with Book({"handshake_timeout": 1.0}, authenticate=authenticate) as server:
        assert await status_of(server) == 503
        await is_empty(server)
        gate.set()
        # What it says now comes too late.
        await within(asyncio.sleep(0))
        assert await status_of(server) == 101
        await until(lambda: len(server.opened) == 1)
