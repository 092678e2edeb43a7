"""The client over each transport, and what it does where proxies block the better ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from helpers.middlebox import HANG, PASS, REFUSE, RESET, Middlebox
from helpers.serving import Book
from helpers.wait import DEADLINE, until, within

import fanwire
from fanwire.client import chooser
from fanwire.state import ConnectionState

FALLBACKS = ("sse", "long-poll")
ALL = ("websocket", *FALLBACKS)

each = pytest.mark.parametrize("transport", ALL)
encodings = pytest.mark.parametrize("encoding", ["json", "msgpack"])


@contextlib.asynccontextmanager
async def serving(config: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Book]:
    server = Book(config, **options)
    server.room("feed", history=100_000, history_bytes=1 << 28)
    server.room("chat", publish=True, presence=True)

    @server.on("sum")
    async def sums(connection: fanwire.Connection, payload: list[int]) -> int:
        return sum(payload)

    async with server:
        yield server


async def numbers(room: fanwire.Room, count: int) -> list[int]:
    """The numbers of the next messages."""
    found = []
    for _ in range(count):
        message = await within(anext(room))
        assert message.gap is None
        assert message.seq is not None
        found.append(message.seq)
    return found


@each
@encodings
async def test_all_that_a_client_does(transport: str, encoding: str) -> None:
    async with serving() as server:
        client = fanwire.connect(server.url, encoding=encoding, transports=(transport,))
        assert client.transport is None
        async with client:
            assert client.transport == transport
            feed = await within(client.join("feed"))
            for number in range(20):
                server.publish("feed", {"n": number, "text": "\r\n\u2028\u00e4\n", "bytes": "x" * number})
            messages = [await within(anext(feed)) for _ in range(20)]
            assert [message.data["n"] for message in messages] == list(range(20))
            assert messages[3].data["text"] == "\r\n\u2028\u00e4\n"
            server.publish("feed", b"\x00\xff")
            assert (await within(anext(feed))).data == b"\x00\xff"
            chat = await within(client.join("chat"))
            assert chat.count == 1
            assert [await within(client.publish("chat", number)) for number in range(3)] == [1, 2, 3]
            assert await numbers(chat, 3) == [1, 2, 3]
            assert await within(client.request("sum", [1, 2, 3])) == 6
            together = await within(asyncio.gather(*(client.request("sum", [number]) for number in range(300))))
            assert together == list(range(300))
            with pytest.raises(fanwire.RequestFailed):
                await within(client.publish("feed", 1))
            await within(chat.leave())
            await until(lambda: server.count("chat") == 0)
        assert client.transport is None


@pytest.mark.parametrize("transport", FALLBACKS)
async def test_a_lost_link_is_resumed(transport: str) -> None:
    async with (
        serving() as server,
        Middlebox(server.port) as box,
        fanwire.connect(box.url, transports=(transport,)) as client,
    ):
        session = client.session
        feed = await within(client.join("feed"))
        seen: list[int] = []
        for start in (0, 10, 20):
            for number in range(start, start + 10):
                server.publish("feed", number)
                if number == start + 5:
                    box.cut()
            seen += await numbers(feed, 10)
        assert seen == list(range(1, 31))
        assert (client.session, client.transport) == (session, transport)


@pytest.mark.parametrize("upgrades", [REFUSE, HANG, RESET])
async def test_where_upgrades_are_blocked_messages_come_by_an_event_stream(upgrades: str) -> None:
    async with (
        serving() as server,
        Middlebox(server.port, upgrades=upgrades) as box,
        fanwire.connect(box.url) as client,
    ):
        assert client.transport == "sse"
        feed = await within(client.join("feed"))
        server.publish("feed", 1)
        assert await numbers(feed, 1) == [1]
        # What worked is tried first the next time.
        count = len(box.requests)
        states: list[ConnectionState] = []
        client.on_state(states.append)
        box.cut()
        await until(lambda: states[-1:] == [ConnectionState.OPEN])
        assert "transport=sse" in box.requests[count]


async def test_where_responses_are_held_messages_come_by_polls() -> None:
    async with (
        serving() as server,
        Middlebox(server.port, upgrades=REFUSE, holds=True) as box,
        fanwire.connect(box.url) as client,
    ):
        assert client.transport == "long-poll"
        feed = await within(client.join("feed"))
        for number in range(10):
            server.publish("feed", number)
        assert await numbers(feed, 10) == list(range(1, 11))
        assert await within(client.request("sum", [1, 2])) == 3


async def test_where_there_is_no_server_no_other_transport_is_tried() -> None:
    async with serving() as server:
        url = server.url
    with pytest.raises(fanwire.ConnectionFailed, match="given up after 1 attempt"):
        await within(fanwire.connect(url, first_attempts=1).__aenter__())


@pytest.fixture
def eager_upgrades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chooser, "FIRST_UPGRADE", 0.1)
    monkeypatch.setattr(chooser, "UPGRADE_EVERY", 0.1)


@contextlib.asynccontextmanager
async def feeding(server: Book) -> AsyncIterator[list[int]]:
    """A thousand messages a second; the list has the number of the last."""
    count = [0]

    async def feed() -> None:
        while True:
            await asyncio.sleep(0.005)
            for _ in range(5):
                count[0] += 1
                server.publish("feed", count[0])

    task = asyncio.ensure_future(feed())
    try:
        yield count
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("eager_upgrades")
@pytest.mark.parametrize("holds", [False, True])
@pytest.mark.parametrize("upgrades", [REFUSE, HANG])
async def test_a_websocket_that_becomes_possible_is_taken_without_a_loss(
    holds: bool, upgrades: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(chooser.LIMITS, "websocket", 0.5)
    # What gets through has all the time that it needs.
    monkeypatch.setitem(chooser.LIMITS, "sse", 0.5 if holds else DEADLINE)
    async with (
        serving() as server,
        Middlebox(server.port, upgrades=upgrades, holds=holds) as box,
        fanwire.connect(box.url) as client,
    ):
        assert client.transport == ("long-poll" if holds else "sse")
        states: list[ConnectionState] = []
        client.on_state(states.append)
        session = client.session
        feed = await within(client.join("feed"))
        async with feeding(server) as count:
            seen = await numbers(feed, 500)
            box.upgrades = PASS
            monkeypatch.setitem(chooser.LIMITS, "websocket", DEADLINE)
            while client.transport != "websocket":
                seen += await numbers(feed, 1)
            seen += await numbers(feed, 500)
            requests = [client.request("sum", [number]) for number in range(50)]
            assert await within(asyncio.gather(*requests)) == list(range(50))
        seen += await numbers(feed, count[0] - len(seen))
        assert seen == list(range(1, count[0] + 1))
        assert (states, client.session) == ([], session)


async def transport_of(url: str, transports: Sequence[str]) -> str | None:
    async with fanwire.connect(url, transports=transports) as client:
        return client.transport


@pytest.mark.usefixtures("eager_upgrades")
async def test_a_close_does_not_wait_for_a_link_that_was_lost_while_a_better_one_is_tried() -> None:
    async with serving() as server, Middlebox(server.port, upgrades=RESET) as box:
        client = fanwire.connect(box.url, transports=("websocket", "long-poll"), close_timeout=600)
        await within(client.__aenter__())
        box.upgrades = HANG
        driver = client._runtime.driver
        await until(lambda: not driver._upgrades._is_settled.is_set(), "the better one is tried")
        assert driver._link is not None
        driver._link._lost()
        assert client.state is ConnectionState.OPEN
        await within(client.close())
        assert client.state is ConnectionState.CLOSED


async def test_the_application_says_which_transports_and_in_which_order() -> None:
    async with serving() as server:
        assert await transport_of(server.url, ("long-poll", "websocket")) == "long-poll"
        assert await transport_of(server.url, ["sse"]) == "sse"


@pytest.mark.parametrize("transports", [(), ("sse", "sse"), ("carrier-pigeon",)])
def test_transports_that_are_none(transports: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="transports"):
        fanwire.connect("ws://localhost", transports=transports)


def test_transports_are_no_text() -> None:
    wrong: Any = "sse"
    with pytest.raises(TypeError, match="transports"):
        fanwire.connect("ws://localhost", transports=wrong)
