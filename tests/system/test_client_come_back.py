"""A client that is asked to come back, or to join its rooms later, by a server that follows a script."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import pytest
from helpers.scripted import WELCOME, Peer, no_tasks_left, scripted
from helpers.wait import until, within

from fanwire.client import connect
from fanwire.state import ConnectionState


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_who_is_asked_to_come_back_closes_resumes_and_misses_nothing(
    encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    states: list[ConnectionState] = []
    is_gone = asyncio.Event()
    times = 2

    async def leaves(peer: Peer, received: int) -> None:
        """Asks it to come back, and goes on sending: it is not heard any more, and comes again."""
        payload = {"code": 4000, "reason": "please reconnect", "reconnect": True, "after_ms": 0}
        await peer.say("closing", payload=payload)
        for seq in range(100, 200):
            await peer.say("message", room="r", seq=seq, payload=seq)
        await within(peer.socket.wait_closed())
        assert peer.socket.close_code == 4000
        is_gone.set()

    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in()
        assert (await peer.hear())["type"] == "publish"
        await peer.say("message", room="r", seq=1, payload=1)
        await leaves(peer, 3)

    async def again(peer: Peer, number: int) -> None:
        # Of `joined`, and of a message and `closing` each time.
        received = 1 + 2 * number
        assert peer.query == {"a": "1", "batch": "1", "delta": "1", "session": "S", "received": str(received)}
        await peer.say("welcome", payload={**WELCOME, "resumed": True, "received": 1})
        publish = await peer.hear()
        assert publish["type"] == "publish"
        await peer.say("message", room="r", seq=1 + number, payload=1 + number)
        if number < times:
            await leaves(peer, received)
        else:
            await peer.say("reply", re=publish["id"], room="r", seq=9)

    scripts = [first, *(partial(again, number=number) for number in range(1, times + 1))]
    async with scripted(*scripts) as url, connect(url, encoding=encoding, max_attempts=1) as client:
        client.on_state(states.append)
        room = await within(client.join("r"))
        publish = asyncio.ensure_future(client.publish("r", "mine"))
        for seq in range(1, times + 2):
            message = await within(anext(room))
            assert (message.seq, message.gap) == (seq, None)
        assert await within(publish) == 9
        assert states == [ConnectionState.RECONNECTING, ConnectionState.OPEN] * times
        assert client.session == "S"
    assert is_gone.is_set()
    # Nothing is wrong with it.
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    no_tasks_left()


async def test_who_is_asked_to_come_back_waits_as_long_as_the_server_says() -> None:
    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        payload = {"code": 4000, "reason": "", "reconnect": True, "after_ms": 300}
        await peer.say("closing", payload=payload)
        await within(peer.socket.wait_closed())
        left.append(asyncio.get_running_loop().time())

    async def second(peer: Peer) -> None:
        left.append(asyncio.get_running_loop().time())
        await peer.say("welcome", payload={**WELCOME, "resumed": True})
        await peer.say("message", payload="again")

    left: list[float] = []
    async with scripted(first, second) as url, connect(url) as client:
        assert (await within(anext(client.messages()))).data == "again"
    assert len(left) == 2


async def test_rooms_that_are_refused_for_the_rate_are_joined_again() -> None:
    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        for _ in range(2):
            await peer.let_in()
        peer.cut()

    async def second(peer: Peer) -> None:
        await peer.say("welcome", payload={**WELCOME, "session": "T", "reason": "expired"})
        for _ in range(2):
            join = await peer.hear()
            error = {"code": "rate_limited", "text": "", "retry": True, "retry_after_ms": 10}
            await peer.say("error", re=join["id"], payload=error)
        rooms = [(await peer.let_in())["room"] for _ in range(2)]
        for room in rooms:
            await peer.say("message", room=room, seq=1, payload=1)

    async with scripted(first, second) as url, connect(url) as client:
        rooms = [await within(client.join(name)) for name in ("a", "b")]
        for room in rooms:
            assert (await within(anext(room))).seq == 1
        assert sorted(client.rooms) == ["a", "b"]


async def test_an_attempt_of_a_round_that_has_failed_may_overtake_the_next_link() -> None:
    is_last = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        peer.cut()

    async def failed(peer: Peer) -> None:
        """A proxy gives up, and has passed the request on."""
        assert peer.query["session"] == "S"
        peer.cut()

    async def overtaken(peer: Peer) -> None:
        await peer.say("welcome", payload={**WELCOME, "resumed": True})
        await peer.socket.close(4503, "another connection uses this session")

    async def last(peer: Peer) -> None:
        assert peer.query["session"] == "S"
        await peer.say("welcome", payload={**WELCOME, "resumed": True})
        is_last.set()

    async with scripted(first, failed, overtaken, last) as url, connect(url) as client:
        await until(lambda: is_last.is_set() or client.state is ConnectionState.CLOSED)
        await until(lambda: client.state is not ConnectionState.RECONNECTING)
        assert (client.state, client.session) == (ConnectionState.OPEN, "S")
