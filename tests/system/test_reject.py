"""A handler says no by `Reject`: its client gets the error, nothing is logged, and the connection goes on."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pydantic
import pytest
from helpers.rejecting import no
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from websockets.exceptions import ConnectionClosed, InvalidStatus

import fanwire
from fanwire import Reject

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
NO = {"code": "out_of_stock", "text": "3 are left", "retry": True, "retry_after_ms": 1500, "data": {"left": 3}}


def raises(*args: Any) -> Any:
    raise no()


async def raises_later(*args: Any) -> Any:
    await asyncio.sleep(0)
    raise no()


HANDLERS = pytest.mark.parametrize("handler", [raises, raises_later])


def quiet(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether nothing above debug was logged."""
    return not [record for record in caplog.records if record.levelno > logging.INFO]


def counted(server: Book, handler: str) -> float | None:
    return server.metrics.get_sample_value("fanwire_rejected_total", {"handler": handler})


@CODECS
@HANDLERS
async def test_a_rejection_is_the_answer(
    codec: str, handler: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = Book()
    server.on("order")(handler)
    server.on_message(handler)
    async with server, await Talk.open(server, codec=codec) as talk:
        for kind in ("order", "message"):
            answer = await talk.ask(kind, payload=1)
            assert (answer["type"], answer["payload"]) == ("error", NO)
            assert counted(server, kind) == 1
        # Also of a message that wants no answer.
        await talk.say("order", id=None) if codec == "msgpack" else await talk.socket.send('{"type":"order"}')
        assert (await talk.hear("error"))["payload"]["code"] in ("out_of_stock", "bad_message")
    assert quiet(caplog)


@CODECS
@HANDLERS
async def test_it_is_the_exception_of_the_clients_call(codec: str, handler: Callable[..., Any]) -> None:
    server = Book()
    server.on("order")(handler)
    async with server, fanwire.connect(server.url, encoding=codec) as client:
        with pytest.raises(fanwire.RequestFailed) as failed:
            await within(client.request("order", 5))
        error = failed.value
        assert (error.code, error.text, error.data) == ("out_of_stock", "3 are left", {"left": 3})
        assert (error.retry, error.retry_after_ms, error.path) == (True, 1500, None)


@pytest.mark.parametrize("rule", ["join", "publish", "see_members"])
async def test_a_rule_of_a_room_may_reject(rule: str, caplog: pytest.LogCaptureFixture) -> None:
    server = Book()
    server.room("a", presence=True, **{"publish": True, rule: raises})
    async with server, await Talk.open(server) as talk:
        kind = {"join": "join", "publish": "publish", "see_members": "presence"}[rule]
        answer = await talk.ask(kind, room="a", payload=None)
        assert (answer["type"], answer["payload"], answer["room"]) == ("error", NO, "a")
        assert counted(server, kind) == 1
        # What a join can do without is left out.
        joined = await talk.ask("join", room="a")
        assert joined["type"] == ("error" if rule == "join" else "joined")
        assert ("members" in joined["payload"]) == (rule == "publish")
    assert quiet(caplog)


@HANDLERS
async def test_authorize_may_reject(handler: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    refused: set[str] = set()

    def authorize(identity: Any, action: str, room: str) -> Any:
        return handler() if action in refused else True

    server = Book(authorize=authorize)
    server.room("a", presence=True, history=3)
    async with server, await Talk.open(server) as talk:
        await until(lambda: server.opened)
        refused.update(("join", "publish"))
        for kind in ("join", "publish"):
            answer = await talk.ask(kind, room="a", payload=None)
            assert (answer["type"], answer["payload"]) == ("error", NO)
        assert not await server.opened[0].may("join", "a")
        refused.clear()
        refused.update(("presence", "history"))
        joined = await talk.ask("join", room="a", payload={"since": {"epoch": "0", "seq": 0}})
        assert (joined["type"], joined["payload"].get("reason")) == ("joined", "forbidden"), joined
        # Of a member that is asked about again a rejection is a no.
        refused.add("join")
        server.reauthorize()
        assert (await talk.hear("left"))["payload"]["reason"] == "forbidden"
    assert quiet(caplog)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_rejection_that_is_returned_by_authorize_is_a_no(is_async: bool) -> None:
    async def later() -> Any:
        return no()

    server = Book(authorize=lambda identity, action, room: later() if is_async else no())
    server.room("a")
    async with server, await Talk.open(server) as talk:
        assert (await talk.ask("join", room="a"))["payload"] == NO
        await until(lambda: server.opened)
        assert not await server.opened[0].may("join", "a")


@pytest.mark.logs_errors
async def test_a_rule_that_returns_a_coroutine_lets_nobody_in() -> None:
    async def rule(conn: fanwire.Connection, room: str) -> bool:
        return False

    server = Book()
    # A coroutine function is refused where it is given; this is one in disguise.
    server.room("a", join=lambda conn, room: rule(conn, room))
    async with server, await Talk.open(server) as talk:
        assert (await talk.ask("join", room="a"))["payload"]["code"] == "internal"
        assert server.count("a") == 0


@HANDLERS
async def test_a_snapshot_may_reject(handler: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    server = Book()
    server.room("a", history=3, snapshot=handler)
    async with server, await Talk.open(server) as talk:
        assert (await talk.ask("join", room="a"))["payload"] == NO
    assert quiet(caplog)


class Plain(Reject):
    """A rejection, and nothing that a validator expects."""


class Both(Reject, ValueError):
    """One that a validator takes for its own."""


@pytest.mark.parametrize("kind", [Plain, Both])
@pytest.mark.parametrize("library", ["msgspec", "pydantic"])
@CODECS
async def test_a_schemas_validator_may_reject(kind: type[Reject], library: str, codec: str) -> None:
    def check() -> None:
        raise kind("too_late", "the market is closed", path="$.at")

    class Struct(msgspec.Struct):
        at: int

        def __post_init__(self) -> None:
            check()

    class Model(pydantic.BaseModel):
        at: int

        @pydantic.field_validator("at")
        @classmethod
        def is_open(cls, at: int) -> int:
            check()
            return at

    schema = Struct if library == "msgspec" else Model
    server = Book()
    server.on("order", schema)(lambda conn, order: None)
    server.room("a", publish=True, schema=schema)
    async with server, await Talk.open(server, codec=codec) as talk:
        for answer in (
            await talk.ask("order", payload={"at": 5}),
            await talk.ask("publish", room="a", payload={"at": 5}),
        ):
            payload = answer["payload"]
            assert (payload["code"], payload["path"]) == ("too_late", "$.at"), payload


@HANDLERS
@pytest.mark.parametrize("retry", [False, True])
async def test_on_connect_that_rejects_closes_and_says_why(
    handler: Callable[..., Any], retry: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def connected(conn: fanwire.Connection) -> Any:
        return handler() if retry else later() if handler is raises_later else refuse()

    def refuse() -> None:
        raise Reject("banned", "you were banned")

    async def later() -> None:
        refuse()

    server = fanwire.Server(port=0, insecure=True, config=fanwire.Config(ping_interval=0))
    server.on_connect(connected)
    async with server:
        async with Book.client(server) as client:
            with pytest.raises(ConnectionClosed) as closed:
                await within(client.recv())
            assert closed.value.rcvd is not None
            expected = (1013, "3 are left") if retry else (1008, "you were banned")
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == expected
        assert server.metrics.get_sample_value("fanwire_rejected_total", {"handler": "on_connect"}) == 1
    assert quiet(caplog)


@HANDLERS
async def test_a_message_of_a_raw_client_that_is_rejected_closes_it(
    handler: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = Book()
    server.on_message(handler)
    async with server, server.client() as client:
        await client.send("x")
        with pytest.raises(ConnectionClosed) as closed:
            await within(client.recv())
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "3 are left")
        assert counted(server, "on_message") == 1
    assert quiet(caplog)


@HANDLERS
async def test_on_join_that_rejects_takes_the_join_back(
    handler: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = Book()
    server.room("a")
    server.on_join(handler)
    server.on_leave(handler)
    async with server, await Talk.open(server) as talk:
        await talk.say("join", room="a")
        # Which of the two comes first depends on whether the handler is asynchronous.
        kinds = {(await talk.hear())["type"], (await talk.hear())["type"]}
        assert kinds == {"joined", "left"}
        assert server.count("a") == 0
        await until(lambda: counted(server, "on_leave") == 1)
        assert (await talk.ask("leave", room="a"))["payload"]["code"] == "not_joined"
    assert quiet(caplog)


@HANDLERS
@pytest.mark.parametrize("retry", [False, True])
async def test_authenticate_that_rejects_turns_the_peer_away(
    handler: Callable[..., Any], retry: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def banned(request: fanwire.Request) -> Any:
        raise Reject("banned", "you were banned")

    def returns(request: fanwire.Request) -> Any:
        return Reject("banned")

    server = Book(authenticate=handler if retry else returns if handler is raises else banned)
    async with server:
        with pytest.raises(InvalidStatus) as refused:
            await within(server.client())
        response = refused.value.response
        assert response.status_code == (503 if retry else 403)
        assert response.headers.get("Retry-After") == ("2" if retry else None)
    assert quiet(caplog)


async def test_a_new_token_may_be_rejected() -> None:
    def authenticate(request: fanwire.Request) -> str:
        if request.renewal:
            raise no()
        return "alice"

    server = Book(authenticate=authenticate)
    async with server, await Talk.open(server) as talk:
        assert (await talk.ask("token", payload={"token": "x"}))["payload"] == NO


@CODECS
@pytest.mark.parametrize("what", ["data", "size", "text"])
async def test_what_cannot_be_sent_does_not_break_the_answer(codec: str, what: str) -> None:
    def order(conn: fanwire.Connection, payload: Any) -> None:
        text = "\ud800" if what == "text" else "why"
        raise Reject("no", text, data=object() if what == "data" else "x" * (2 << 20) if what == "size" else None)

    server = Book()
    server.on("order")(order)
    async with server, await Talk.open(server, codec=codec) as talk:
        answer = await talk.ask("order")
        assert (answer["type"], answer["payload"]["code"]) == ("error", "no")
        assert "data" not in answer["payload"]
        assert (await talk.ask("order"))["type"] == "error"


async def test_a_long_text_is_cut_off() -> None:
    def order(conn: fanwire.Connection, payload: Any) -> None:
        raise Reject("no", "x" * 5000)

    server = Book()
    server.on("order")(order)
    async with server, await Talk.open(server) as talk:
        assert (await talk.ask("order"))["payload"]["text"] == "x" * 1000


async def test_data_of_each_kind_reaches_a_client_of_each_codec() -> None:
    def order(conn: fanwire.Connection, payload: Any) -> None:
        raise Reject("no", data=payload)

    server = Book()
    server.on("order")(order)
    async with server:
        for encoding in ("json", "msgpack"):
            async with fanwire.connect(server.url, encoding=encoding) as client:
                for data in ({"a": [1, 2.5, None]}, "text", 0, False, []):
                    with pytest.raises(fanwire.RequestFailed) as failed:
                        await within(client.request("order", data))
                    assert failed.value.data == data
                    assert type(failed.value.data) is type(data)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="task groups came with Python 3.11")
async def test_a_rejection_out_of_a_group_of_tasks_is_one(caplog: pytest.LogCaptureFixture) -> None:
    async def order(conn: fanwire.Connection, payload: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(raises_later())

    server = Book()
    server.on("order")(order)
    async with server, await Talk.open(server) as talk:
        assert (await talk.ask("order"))["payload"] == NO
    assert quiet(caplog)
