"""Calls of the client that are given up, and arguments that no message can have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from helpers.door import Door
from helpers.giving_up import CODECS, WAYS, GiveUp, by_wait_for
from helpers.scripted import WELCOME, Peer, no_tasks_left, scripted
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire import Closed, ConnectionState, connect
from fanwire.client.session import MAX_FRAMES

# Calls that are given up.


@CODECS
@WAYS
@pytest.mark.parametrize("grace", [0.0, 30.0])
async def test_what_is_given_up_while_offline_is_not_done_later(encoding: str, give_up: GiveUp, grace: float) -> None:
    """With a grace the session is resumed, without one it is not."""
    door = Door()
    orders: list[Any] = []
    server = Book({"grace": grace}, authenticate=door)
    server.room("*", publish=True, presence=True, history=10)
    server.on("order")(lambda conn, payload: orders.append(payload))
    async with server, connect(server.url, encoding=encoding, max_attempts=None) as client:
        room = await within(client.join("joined"))
        door.shut(server)
        await until(lambda: client.state is ConnectionState.RECONNECTING)
        calls = [
            client.request("order", "late"),
            client.publish("a", "late"),
            client.presence("a"),
            client.join("a"),
            room.leave(),
        ]
        for call in calls:
            await give_up(call)
        door.open()
        await within(client.request("order", "in time"))
        assert orders == ["in time"]
        assert await within(client.publish("a", "in time")) == 1
        assert (server.count("a"), list(client.rooms)) == (0, ["joined"])
        server.publish("joined", 1)
        assert (await within(anext(room))).data == 1


@CODECS
async def test_what_was_sent_and_given_up_is_not_sent_again(encoding: str) -> None:
    are_sent, is_cancelled = asyncio.Event(), asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        assert (await peer.hear())["payload"] == "given up"
        assert (await peer.hear())["payload"] == "wanted"
        are_sent.set()
        await within(is_cancelled.wait())
        peer.cut()

    async def second(peer: Peer) -> None:
        # It has received neither.
        await peer.say("welcome", payload={**WELCOME, "resumed": True, "received": 0})
        wanted = await peer.hear()
        assert wanted["payload"] == "wanted"
        await peer.say("received", payload={"count": 1})
        await peer.say("reply", re=wanted["id"], payload="done")

    async with scripted(first, second) as url, connect(url, encoding=encoding) as client:
        given_up = asyncio.ensure_future(client.request("order", "given up"))
        wanted = asyncio.ensure_future(client.request("order", "wanted"))
        await within(are_sent.wait())
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        is_cancelled.set()
        assert await within(wanted) == "done"


async def test_a_late_reply_is_ignored_and_others_get_theirs() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        late, other = await peer.hear(), await peer.hear()
        await peer.say("reply", re=late["id"], payload="late")
        await peer.say("error", re=late["id"], payload={"code": "internal"})
        await peer.say("reply", re=other["id"], payload="other")

    async with scripted(script) as url, connect(url) as client:
        await by_wait_for(client.request("order"))
        assert await within(client.request("order")) == "other"


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_more_calls_that_timed_out_than_the_table_holds_block_no_other(acknowledges: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        heard = 0
        while (message := await peer.hear())["payload"] != "last":
            heard += 1
            if acknowledges and heard % 32 == 0:
                await peer.say("received", payload={"count": heard})
        await peer.say("reply", re=message["id"], payload="answered")

    async with scripted(script) as url, connect(url) as client:
        calls = [asyncio.wait_for(client.request("order", number), 0.2) for number in range(MAX_FRAMES + 76)]
        answers = await within(asyncio.gather(*calls, return_exceptions=True))
        assert all(isinstance(answer, asyncio.TimeoutError) for answer in answers)
        assert await within(client.request("order", "last")) == "answered"


async def test_calls_that_timed_out_while_offline_block_no_other() -> None:
    door = Door()
    server = Book(authenticate=door)
    orders: list[Any] = []
    server.on("order")(lambda conn, payload: orders.append(payload))
    async with server, connect(server.url, max_attempts=None) as client:
        door.shut(server)
        await until(lambda: client.state is ConnectionState.RECONNECTING)
        calls = [asyncio.wait_for(client.request("order", n), 0.05) for n in range(MAX_FRAMES + 76)]
        answers = await within(asyncio.gather(*calls, return_exceptions=True))
        assert all(isinstance(answer, asyncio.TimeoutError) for answer in answers)
        door.open()
        await within(client.request("order", "last"))
        assert orders == ["last"]


async def test_closing_ends_every_call_that_waits() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        async for _ in peer.socket:
            pass

    async with scripted(script) as url:
        client = connect(url)
        await client.__aenter__()
        # The last ones wait until they may be sent.
        calls = [asyncio.ensure_future(client.request("order")) for _ in range(MAX_FRAMES + 10)]
        others = [client.publish("r", 1), client.presence("r"), client.join("r"), client.join("r"), client.leave("s")]
        calls += [asyncio.ensure_future(call) for call in others]
        await asyncio.sleep(0.05)
        await within(client.close())
        answers = await within(asyncio.gather(*calls, return_exceptions=True))
        assert all(isinstance(answer, Closed) for answer in answers), answers
        with pytest.raises(Closed):
            await within(client.request("order"))
    no_tasks_left()


Call = Callable[[fanwire.Client], Awaitable[Any]]


@CODECS
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda client: client.request(""), ValueError, "kind must not be empty"),
        (lambda client: client.request("ü" * 33), ValueError, "kind must have at most 64 bytes of UTF-8, got 66"),
        (lambda client: client.request(1), TypeError, "kind must be a str, got 1"),
        (lambda client: client.request("\ud800"), ValueError, "surrogates"),
        (lambda client: client.request("join"), ValueError, "a type of the protocol"),
        (lambda client: client.publish("a", 1, key=""), ValueError, "key must not be empty"),
        (
            lambda client: client.publish("a", 1, key="k" * 256),
            ValueError,
            "key must have at most 255 characters, got 256",
        ),
        (lambda client: client.publish("a", 1, key=3), TypeError, "key must be a str, got 3"),
        (lambda client: client.publish(None, 1), TypeError, "room must be a str, got None"),
        (lambda client: client.presence(None), TypeError, "room must be a str, got None"),
        (lambda client: client.presence("\ud800"), ValueError, "surrogates"),
        (lambda client: client.join(3), TypeError, "room must be a str, got 3"),
        (lambda client: client.join(""), ValueError, "room must not be empty"),
        (lambda client: client.join("ü" * 128), ValueError, "room must have at most 255 bytes of UTF-8, got 256"),
        (lambda client: client.leave(b"a"), TypeError, "room must be a str, got b'a'"),
        (lambda client: client.join("a", since="e"), TypeError, "since must be a Position or a pair"),
        (lambda client: client.join("a", since=("e", "1")), TypeError, "the seq of since must be a whole number"),
        (lambda client: client.join("a", since=("e", -1)), ValueError, "the seq of since must be at least 0"),
        (lambda client: client.join("a", since=("e", 1 << 63)), ValueError, "the seq of since must be at most"),
    ],
)
async def test_an_argument_that_no_message_can_have_is_an_error_at_once(
    call: Call, error: type[Exception], match: str, encoding: str
) -> None:
    server = Book()
    server.room("*", publish=True, presence=True)
    server.on("echo")(lambda conn, payload: payload)
    async with server, connect(server.url, encoding=encoding) as client:
        with pytest.raises(error, match=match):
            await within(call(client))
        # Nothing of it is left.
        assert await within(client.request("echo", "here")) == "here"
        assert client.rooms == {}


async def test_the_error_of_a_client_that_has_ended_does_not_grow_with_each_call() -> None:
    def depth(error: BaseException) -> int:
        trace, count = error.__traceback__, 0
        while trace is not None:
            trace, count = trace.tb_next, count + 1
        return count

    async with Book() as server, connect(server.url, max_attempts=1) as client:
        server.opened[0].close(4502)
        await until(lambda: client.error is not None)
        depths = set()
        for _ in range(5):
            for call in (client.join("a"), client.publish("a", 1), client.request("a"), client.presence("a")):
                with pytest.raises(fanwire.FanwireError) as ended:
                    await within(call)
                depths.add(depth(ended.value))
        assert max(depths) < 20
