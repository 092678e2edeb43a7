"""Whatever a function of the application raises that decides about clients: the others go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic
import pytest
from helpers.raising import ERRORS, Panic, is_ready, raising
from helpers.serving import Book
from helpers.talk import Talk

import fanwire
from fanwire.sessions.store import MemoryStore, Record

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
pytestmark = pytest.mark.logs_errors


@CODECS
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt, Panic])
@pytest.mark.parametrize("where", ["authorize", "rule", "snapshot", "schema"])
async def test_what_is_asked_before_a_message_is_done_may_raise_anything(
    where: str, error: type[BaseException], is_async: bool, codec: str
) -> None:
    fail = raising(error, is_async and where in ("authorize", "snapshot"))

    def maybe(*args: Any) -> Any:
        return fail() if "bad" in args else True

    def check(value: Any) -> Any:
        if value == "bad":
            raise error
        return value

    class Model(pydantic.BaseModel):
        text: str

        _check = pydantic.field_validator("text")(check)

    server = Book(**({"authorize": maybe} if where == "authorize" else {}))
    rule = (lambda conn, room: maybe(room)) if where == "rule" else True
    server.room("good", join=rule, publish=True)
    server.room(
        "bad", join=rule, publish=True, history=10 if where == "snapshot" else 0,
        snapshot=(lambda room: fail()) if where == "snapshot" else None,
    )  # fmt: skip
    server.on("checked", Model)(lambda conn, model: model.text)
    async with server, await Talk.open(server, codec=codec) as talk:
        if where == "schema":
            answer = await talk.ask("checked", payload={"text": "bad"})
        else:
            answer = await talk.ask("join", room="bad")
        assert answer["type"] == "error"
        assert answer["payload"]["code"] == "internal"
        assert (await talk.ask("join", room="good"))["type"] == "joined"
        assert (await talk.ask("checked", payload={"text": "fine"}))["payload"] == "fine"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", ERRORS)
async def test_authenticate_may_raise_anything(error: type[BaseException], is_async: bool) -> None:
    fail = raising(error, is_async)

    def authenticate(request: fanwire.Request) -> Any:
        return fail() if request.path == "/bad" else fanwire.Identity(subject="somebody")

    async with Book(authenticate=authenticate) as server:
        for _ in range(3):
            async with await server.dial() as peer:
                await peer.send(
                    b"GET /bad HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                assert b" 500 " in await peer.end()
        async with server.client("/good"):
            pass
        assert server.metrics.get_sample_value("fanwire_handler_errors_total", {"handler": "authenticate"}) == 3


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("what", ["__bool__", "subject"])
async def test_an_identity_may_raise_anything_when_it_is_looked_at(
    what: str, error: type[BaseException], is_async: bool
) -> None:
    def fail(identity: object) -> Any:
        raise error

    bad = type("Bad", (), {"__bool__": fail} if what == "__bool__" else {"subject": property(fail)})

    def authenticate(request: fanwire.Request) -> Any:
        return bad() if request.path == "/bad" else fanwire.Identity(subject="somebody")

    async def authenticate_later(request: fanwire.Request) -> Any:
        return authenticate(request)

    async with Book(authenticate=authenticate_later if is_async else authenticate) as server:
        for _ in range(2):
            async with await server.dial() as peer:
                await peer.send(
                    b"GET /bad HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                assert b" 500 " in await peer.end()
        async with server.client("/good"):
            pass
        assert await is_ready(server)


@CODECS
@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, Panic])
async def test_a_right_whose_renewal_raises_is_withdrawn(error: type[BaseException], codec: str) -> None:
    is_bad = False

    async def authorize(identity: Any, action: str, room: str) -> bool:
        await asyncio.sleep(0)
        if is_bad:
            raise error
        return True

    server = Book(authorize=authorize)
    server.room("r", join=True)
    async with server, await Talk.open(server, codec=codec) as talk:
        await talk.ask("join", room="r")
        is_bad = True
        server.reauthorize()
        left = await talk.hear("left")
        assert (left["room"], left["payload"]) == ("r", {"reason": "internal"})


@CODECS
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, OSError, Panic])
async def test_a_store_of_sessions_may_raise_anything(error: type[BaseException], is_async: bool, codec: str) -> None:
    fail = raising(error, is_async)

    class Store(MemoryStore):
        def save(self, record: Record, ttl: float) -> Any:
            return fail()

        def load(self, id: str) -> Any:
            return fail()

    async with Book(sessions=Store()) as server:
        async with await Talk.open(server, "/?session=x&received=0", codec=codec) as talk:
            assert talk.welcome["reason"] == "unknown"
            talk.cut()
            async with await Talk.open(server, after=talk, codec=codec) as back:
                assert back.welcome["resumed"]
                await back.close()
        ended = await server.ended(1)
        assert ended.close_code == 1000


@CODECS
@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, Panic])
async def test_a_new_token_whose_check_raises_is_answered(error: type[BaseException], codec: str) -> None:
    async def authenticate(request: fanwire.Request) -> Any:
        await asyncio.sleep(0)
        if request.bearer == "bad":
            raise error
        return fanwire.Identity(subject="somebody")

    async with Book(authenticate=authenticate) as server, await Talk.open(server, codec=codec) as talk:
        answer = await talk.ask("token", payload={"token": "bad"})
        assert answer["payload"]["code"] == "internal"
        assert (await talk.ask("token", payload={"token": "good"}))["type"] == "reply"
