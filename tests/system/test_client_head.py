"""Tokens that a request cannot carry, from functions that are called once the client is there."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from helpers.scripted import WELCOME, Peer, idle, no_tasks_left, scripted
from helpers.wait import within

from fanwire import ConnectionFailed, ConnectionState, connect

WRONG = ["a\r\nX-Admin: yes", "a\nb", "a b", "", "\u560a", None, b"t1"]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_a_function_that_returns_no_token_has_failed(
    wrong: Any, is_coroutine: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = iter([wrong, "t1", wrong, "t2"])
    taken = asyncio.Event()

    async def script(peer: Peer) -> None:
        assert peer.headers["Authorization"] == "Bearer t1"
        assert "X-Admin" not in peer.headers
        await peer.say("welcome", payload=WELCOME)
        await peer.say("token_expired", payload={"grace_ms": 10_000})
        token = await peer.hear()
        assert (token["type"], token["payload"]) == ("token", {"token": "t2"})
        await peer.say("reply", re=token["id"], payload={"expires_in_ms": None})
        taken.set()

    def token() -> Any:
        return next(tokens)

    async def later() -> Any:
        return next(tokens)

    caplog.set_level(logging.WARNING, "fanwire.client")
    async with scripted(script) as url, connect(url, token=later if is_coroutine else token):
        await within(taken.wait())
    told = [record.message.split(": ", 1) for record in caplog.records]
    assert [start.split(" ws:")[0] for start, _ in told] == ["cannot connect to", "no new token for"]
    assert all(text.startswith("token must ") and "Admin" not in text for _, text in told)
    no_tasks_left()


async def test_a_client_whose_function_never_returns_a_token_ends_with_the_reason() -> None:
    async with scripted() as url:
        with pytest.raises(ConnectionFailed, match="token must not have the character"):
            await within(connect(url, token=lambda: "a\nb", max_attempts=1).__aenter__())


class Panic(BaseException):
    """What a library of another language raises."""


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), Panic("of another language"), RuntimeError("away")], ids=repr
)
@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_whatever_a_function_raises_is_a_failed_attempt(error: BaseException, is_coroutine: bool) -> None:
    errors = [error, error]
    taken = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        errors.append(error)
        await peer.say("token_expired", payload={"grace_ms": 10_000})
        token = await peer.hear()
        await peer.say("reply", re=token["id"], payload={"expires_in_ms": None})
        taken.set()

    def token() -> str:
        if errors:
            raise errors.pop()
        return "t"

    async def later() -> str:
        return token()

    async with scripted(script) as url, connect(url, token=later if is_coroutine else token):
        await within(taken.wait())
    assert not errors
    no_tasks_left()


@pytest.mark.logs_errors
@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), Panic("of another language"), RuntimeError("away")], ids=repr
)
async def test_whatever_a_callback_raises_harms_nobody(error: BaseException) -> None:
    states: list[ConnectionState] = []

    def failing(state: ConnectionState) -> None:
        states.append(state)
        raise error

    async with scripted(idle) as url:
        client = connect(url)
        client.on_state(failing)
        async with client:
            assert client.state is ConnectionState.OPEN
    assert states == [ConnectionState.OPEN, ConnectionState.CLOSING, ConnectionState.CLOSED]


async def test_headers_are_sent_as_they_were_given() -> None:
    async def script(peer: Peer) -> None:
        assert peer.headers["X-Trace"] == "a; b=c"
        await idle(peer)

    async with scripted(script) as url, connect(url, headers={"X-Trace": "a; b=c"}):
        pass
