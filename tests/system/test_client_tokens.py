"""Tokens of the client over real sockets, against a server that follows a script."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from helpers.scripted import WELCOME, Peer, idle, no_tasks_left, scripted
from helpers.wait import until, within

from fanwire.client import ConnectionFailed, connect
from fanwire.state import ConnectionState

UNAUTHORIZED = {"code": "unauthorized", "text": "no", "retry": False}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_a_token_that_runs_out_is_renewed_and_the_connection_goes_on(encoding: str, is_coroutine: bool) -> None:
    numbers = itertools.count(1)
    taken = asyncio.Event()
    states: list[ConnectionState] = []

    async def script(peer: Peer) -> None:
        assert peer.headers["Authorization"] == "Bearer t1"
        await peer.say("welcome", payload=WELCOME)
        await peer.say("token_expiring", payload={"expires_in_ms": 60_000})
        token = await peer.hear()
        assert token == {"type": "token", "id": token["id"], "payload": {"token": "t2"}}
        await peer.say("error", re=token["id"], payload=UNAUTHORIZED)
        # What was refused is tried again, and the grace is short.
        await peer.say("token_expired", payload={"grace_ms": 10_000})
        token = await peer.hear()
        assert (token["type"], token["payload"]) == ("token", {"token": "t3"})
        await peer.say("reply", re=token["id"], payload={"expires_in_ms": None})
        taken.set()
        await peer.let_in()

    def token() -> str:
        return f"t{next(numbers)}"

    async def later() -> str:
        await asyncio.sleep(0)
        return token()

    function = later if is_coroutine else token
    async with scripted(script) as url, connect(url, encoding=encoding, token=function) as client:
        client.on_state(states.append)
        await within(taken.wait())
        # Nobody is harmed by it.
        await within(client.join("r"))
    assert next(numbers) == 4
    assert states == [ConnectionState.CLOSING, ConnectionState.CLOSED]
    no_tasks_left()


async def test_a_function_that_fails_or_hangs_is_called_again_one_call_at_a_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    running = 0
    is_connected = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await within(is_connected.wait())
        for _ in range(3):
            await peer.say("token_expiring", payload={"expires_in_ms": 60_000})
        token = await peer.hear()
        assert (token["type"], token["payload"]) == ("token", {"token": "at-last"})
        await peer.say("reply", re=token["id"], payload={"expires_in_ms": None})
        calls.append("taken")

    async def token() -> str:
        nonlocal running
        running += 1
        assert running == 1
        try:
            calls.append("called")
            if len(calls) == 2:
                raise RuntimeError("nobody there")
            if len(calls) == 3:
                await asyncio.sleep(3600)
        finally:
            running -= 1
        return "at-last"

    async with scripted(script) as url, connect(url, token=token) as client:
        # Not for the connection itself.
        client._runtime.driver._open_timeout = 0.5
        is_connected.set()
        await until(lambda: "taken" in calls)
    assert calls == ["called"] * 4 + ["taken"]
    told = [record.message for record in caplog.records if record.message.startswith("no new token")]
    late = "the token function did not return within 0.5 seconds (open_timeout)"
    assert [message.split(": ", 1)[1] for message in told] == ["nobody there", late]
    no_tasks_left()


async def test_a_function_that_hangs_is_left_with_the_client() -> None:
    is_left = asyncio.Event()
    hangs = asyncio.Event()

    async def script(peer: Peer) -> None:
        await idle(peer)
        await peer.say("token_expired", payload={"grace_ms": 10_000})

    async def token() -> str:
        if not hangs.is_set():
            hangs.set()
            return "t1"
        try:
            hangs.clear()
            await asyncio.sleep(3600)
        finally:
            is_left.set()
        raise AssertionError("it has slept for an hour")

    async with scripted(script) as url, connect(url, token=token):
        await until(lambda: not hangs.is_set())
    assert is_left.is_set()
    no_tasks_left()


async def test_a_connection_lost_during_a_renewal_shows_the_next_token_at_the_upgrade() -> None:
    numbers = itertools.count(1)
    is_cut = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.say("token_expiring", payload={"expires_in_ms": 60_000})
        assert (await peer.hear())["payload"] == {"token": "t2"}
        publish = await peer.hear()
        assert publish["type"] == "publish"
        peer.cut()
        is_cut.set()

    async def second(peer: Peer) -> None:
        assert peer.headers["Authorization"] == "Bearer t3"
        # It has got neither.
        await peer.say("welcome", payload={**WELCOME, "resumed": True})
        publish = await peer.hear()
        assert publish["type"] == "publish"
        await peer.say("error", re="nobody's", payload=UNAUTHORIZED)
        await peer.say("reply", re=publish["id"], room="r", seq=1)

    sent = asyncio.Event()

    async def token() -> str:
        if (number := next(numbers)) == 2:
            sent.set()
        return f"t{number}"

    async with scripted(first, second) as url, connect(url, token=token) as client:
        await within(sent.wait())
        await asyncio.sleep(0)
        assert await within(client.publish("r", 1)) == 1
        assert is_cut.is_set()


@pytest.mark.parametrize("token", ["secret", None])
async def test_a_token_that_is_no_function_cannot_be_renewed(
    token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.say("token_expiring", payload={"expires_in_ms": 60_000})
        await peer.say("token_expired", payload={"grace_ms": 10_000})
        # It has heard both.
        await peer.say("ping")
        assert (await peer.hear())["type"] == "pong"
        await peer.socket.close(4501)

    async with scripted(script) as url, connect(f"{url}&token=secret", token=token) as client:
        with pytest.raises(ConnectionFailed, match="4501 the token has expired") as caught:
            await within(anext(client.messages()))
        assert caught.value.code == 4501
    told = [record.message for record in caplog.records if "asks for a new token" in record.message]
    assert len(told) == 1
    assert "secret" not in caplog.text
