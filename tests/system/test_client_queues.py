"""What the client keeps for an application that is slow or does not read, and what it tells the server of it."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Any

import pytest
from helpers.scripted import JOINED, WELCOME, Peer, scripted
from helpers.wait import until, within

from fanwire.client import Client, ConnectionFailed, Room, connect
from fanwire.client.dial import RECEIVE_WINDOW
from fanwire.client.membership import STALE
from fanwire.client.message import Gap
from fanwire.state import ConnectionState

SELDOM = {**WELCOME, "ack_frames": 1_000_000, "ack_bytes": 1 << 40}
WINDOWS = {**SELDOM, "window": 4000}
CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


async def say(peer: Peer, *seqs: int, room: str = "r", **fields: Any) -> None:
    for seq in seqs:
        await peer.say("message", room=room, seq=seq, ts=1_700_000_000_000 + seq, **{"payload": seq, **fields})


async def let_in(peer: Peer, seq: int = 0, **payload: Any) -> dict[str, Any]:
    """Answers the next join; returns it."""
    while (join := await peer.hear())["type"] != "join":
        pass
    await peer.say("joined", re=join["id"], room=join["room"], seq=seq, payload={**JOINED, **payload})
    return join


async def report(peer: Peer) -> dict[str, Any]:
    """The next that says what was taken."""
    while True:
        said = await peer.hear()
        if said["type"] == "received" and said["payload"].get("taken"):
            taken: dict[str, Any] = said["payload"]["taken"]
            return taken


async def has_come(client: Client, count: int) -> None:
    await until(lambda: client._runtime.machine.session.received >= count)


async def taken(room: Room, count: int) -> list[int]:
    return [(await within(anext(room))).seq for _ in range(count)]


def warnings_of(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    found = (
        record for record in caplog.records if record.name == "fanwire.client" and record.levelno >= logging.WARNING
    )
    return [record.message for record in found if text in record.message]


@CODECS
async def test_a_room_that_is_not_read_holds_up_no_other(codec: str, caplog: pytest.LogCaptureFixture) -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await let_in(peer)
        await let_in(peer)
        await within(joined.wait())
        for seq in range(1, 301):
            await say(peer, seq, room="unread", payload="x" * 1000)
            await say(peer, seq, room="busy")
            await until(lambda seq=seq: busy.seq > seq - 10)

    joined = asyncio.Event()
    async with scripted(script) as url, connect(url, max_queue=20, encoding=codec) as client:
        states: list[ConnectionState] = []
        client.on_state(states.append)
        unread = await within(client.join("unread"))
        busy = await within(client.join("busy"))
        joined.set()
        behind: list[Room] = []
        unread.on_behind(behind.append)
        assert await taken(busy, 300) == list(range(1, 301))
        assert (behind, unread.is_behind, busy.is_behind, states) == ([unread], True, False, [])
        assert warnings_of(caplog, "'unread'") == [
            "room 'unread' is read too slowly: its queue is full, and what comes is not kept"
        ]
        # What it has is the oldest, without a hole.
        assert await taken(unread, 21) == list(range(1, 22))


@CODECS
async def test_a_reader_that_falls_behind_catches_up_each_time(codec: str, caplog: pytest.LogCaptureFixture) -> None:
    since: list[int] = []
    ready, again = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await let_in(peer)
        await within(ready.wait())
        for upto in (50, 150):
            await say(peer, *range(upto - 49, upto + 1))
            since.append((await let_in(peer, upto, recovered=True))["payload"]["since"]["seq"])
            await say(peer, *range(since[-1] + 1, upto + 51))
            await within(again.wait())

    async with scripted(script) as url, connect(url, max_queue=10, encoding=codec) as client:
        room = await within(client.join("r"))
        times: list[Room] = []
        room.on_behind(times.append)
        ready.set()
        await has_come(client, 51)
        assert room.is_behind
        # It takes what it has asked for, though it is more than the limit, and one of what comes then.
        assert await taken(room, 6) == list(range(1, 7))
        await until(lambda: len(times) == 2)
        assert (len(room._feed.queue), since) == (51 - 6, [11])
        again.set()
        assert await taken(room, 51 - 6) == list(range(7, 52))
        assert since == [11, 51]
        assert await taken(room, 100) == list(range(52, 152))
        assert warnings_of(caplog, "read too slowly") == [
            "room 'r' is read too slowly: its queue is full, and what comes is not kept"
        ]


async def test_what_a_slow_reader_cannot_be_sent_again_is_a_gap() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await let_in(peer)
        await say(peer, *range(1, 51))
        await let_in(peer, 50, reason="history")
        await say(peer, 51)

    async with scripted(script) as url, connect(url, max_queue=10) as client:
        room = await within(client.join("r"))
        gaps: list[Gap] = []
        room.on_gap(gaps.append)
        await has_come(client, 51)
        assert await taken(room, 11) == list(range(1, 12))
        message = await within(anext(room))
        assert (message.seq, message.gap) == (51, Gap("slow", 11, 50))
        assert gaps == [Gap("slow", 11, 50)]


async def test_what_comes_from_the_history_is_bounded_too() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await let_in(peer, 1000, recovered=True)
        await say(peer, *range(1, 1001))

    async with scripted(script) as url, connect(url, max_queue=4) as client:
        room = await within(client.join("r", since=("e", 0)))
        await has_come(client, 1001)
        assert room.is_behind
        assert len(room._feed.queue) == 4 * 16 + 1


@CODECS
async def test_of_latest_values_the_newest_of_each_key_waits(codec: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await let_in(peer, delivery="latest")
        for seq in range(1, 101):
            await say(peer, seq, key=f"k{seq % 3}")
        await peer.say("forgotten", room="r", seq=101, key="k2")

    async with scripted(script) as url, connect(url, max_queue=10, encoding=codec) as client:
        room = await within(client.join("r"))
        await has_come(client, 102)
        found = [await within(anext(room)) for _ in range(3)]
        assert [(message.key, message.seq) for message in found] == [("k1", 100), ("k2", 101), ("k0", 99)]
        assert found[1].forgotten
        assert not room.is_behind


async def test_newest_values_that_have_waited_are_dropped_and_asked_for_anew() -> None:
    joins: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WINDOWS)
        await let_in(peer, delivery="latest")
        await say(peer, 1, key="a")
        await say(peer, 2, key="b")
        await peer.say("forgotten", room="r", seq=3, key="c")
        joins.append(await let_in(peer, 5, delivery="latest"))
        await say(peer, 5, key="b")

    async with scripted(script) as url, connect(url) as client:
        room = await within(client.join("r"))
        await has_come(client, 4)
        await asyncio.sleep(1.1 * STALE)
        found = [await within(anext(room)) for _ in range(2)]
        assert [(message.key, message.seq, message.gap) for message in found] == [("c", 3, None), ("b", 5, None)]
        assert len(joins) == 1
        assert "payload" not in joins[0]


@pytest.mark.parametrize(("delivery", "left"), [("drop-oldest", [91, 100]), ("drop-newest", [1, 10])])
async def test_rooms_that_drop_drop_at_the_client_too(delivery: str, left: list[int]) -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await let_in(peer, delivery=delivery)
        await say(peer, *range(1, 101))

    async with scripted(script) as url, connect(url, max_queue=10) as client:
        room = await within(client.join("r"))
        await has_come(client, 101)
        first, last = left
        assert await taken(room, 10) == list(range(first, last + 1))
        assert not room.is_behind


@CODECS
async def test_the_server_is_told_what_was_taken_once_the_next_is_asked_for(codec: str) -> None:
    reports: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WINDOWS)
        assert (await peer.hear())["payload"] == {"count": 0, "taken": {}}
        await let_in(peer, delivery="latest")
        await say(peer, 1, 2, 3, payload="x" * 1000)
        reports.append(await report(peer))
        reports.append(await report(peer))
        # With a small window each one is told.
        await peer.say("window", room="r", payload={"bytes": 1})
        await say(peer, 4, 5)
        reports.append(await report(peer))

    async with scripted(script) as url, connect(url, encoding=codec) as client:
        room = await within(client.join("r"))
        await has_come(client, 4)
        assert await taken(room, 1) == [1]
        await asyncio.sleep(0.05)
        assert reports == []
        assert await taken(room, 1) == [2]
        await until(lambda: reports)
        assert reports[0]["r"]["count"] == 2
        assert reports[0]["r"]["ts"] >= 1_700_000_000_001
        assert await taken(room, 1) == [3]
        await until(lambda: len(reports) == 2)
        assert await taken(room, 1) == [4]
        assert await taken(room, 1) == [5]
        await until(lambda: len(reports) == 3)
        assert reports[2]["r"]["count"] in (4, 5)


async def test_messages_to_the_client_alone_that_are_not_taken_are_dropped_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    acked: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        for number in range(10):
            await peer.say("message", id=f"m{number}", ts=1, ack=True, payload=number)
        while len(acked) < 3:
            said = await peer.hear()
            if said["type"] == "ack":
                acked.append(said["re"])
        await peer.say("message", id="m0", ts=1, ack=True, payload="again")

    async with scripted(script) as url, connect(url, max_queue=4) as client:
        await has_come(client, 10)
        messages = client.messages()
        found = [await within(anext(messages)) for _ in range(4)]
        assert [message.data for message in found] == [6, 7, 8, 9]
        assert [message.gap for message in found] == [Gap("slow", None, None, count=6), None, None, None]
        # One that was dropped was not acknowledged, and is new when the server sends it again.
        assert (await within(anext(messages))).data == "again"
        assert acked == ["m6", "m7", "m8"]
        assert len(warnings_of(caplog, "messages to this client are dropped")) == 1


@pytest.mark.parametrize("is_reading", [True, False])
async def test_an_application_that_is_slow_hears_of_a_close_at_once(is_reading: bool) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WINDOWS)
        await let_in(peer)
        await say(peer, *range(1, 101), payload="x" * 20_000)
        await within(go_on.wait())
        await peer.socket.close(4500, "banned")

    async with scripted(script) as url, connect(url, max_queue=10) as client:
        states: list[ConnectionState] = []
        client.on_state(states.append)
        room = await within(client.join("r"))
        call = asyncio.ensure_future(client.request("work", 1))

        async def work() -> None:
            async for _ in room:
                await asyncio.Event().wait()

        worker = asyncio.ensure_future(work()) if is_reading else None
        go_on.set()
        # Nothing is taken meanwhile.
        await until(lambda: states == [ConnectionState.CLOSED])
        with pytest.raises(ConnectionFailed, match="4500 banned"):
            await within(call)
        with pytest.raises(ConnectionFailed, match="4500 banned"):
            await within(client.publish("r", 1))
        if worker is not None:
            worker.cancel()


async def test_an_application_that_is_slow_hears_of_a_lost_connection_at_once() -> None:
    go_on = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WINDOWS)
        await let_in(peer)
        await say(peer, *range(1, 101), payload="x" * 20_000)
        await within(go_on.wait())
        peer.cut()

    async def second(peer: Peer) -> None:
        assert peer.query == {"a": "1", "batch": "1", "delta": "1", "session": "S", "received": "101"}
        await peer.say("welcome", payload={**WINDOWS, "resumed": True, "received": 1})

    async with scripted(first, second) as url, connect(url, max_queue=10) as client:
        states: list[ConnectionState] = []
        client.on_state(states.append)
        room = await within(client.join("r"))
        await has_come(client, 101)
        go_on.set()
        await until(lambda: states == [ConnectionState.RECONNECTING, ConnectionState.OPEN])
        assert room.is_behind
        assert await taken(room, 11) == list(range(1, 12))


async def test_an_application_that_never_waits_does_not_keep_the_client_from_answering() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await let_in(peer)
        await say(peer, *range(1, 401))
        await peer.say("ping")
        while (await peer.hear())["type"] != "pong":
            pass
        answered.set()

    answered = asyncio.Event()
    async with scripted(script) as url, connect(url) as client:
        room = await within(client.join("r"))
        await has_come(client, 100)
        count = 0
        async for _ in room:
            count += 1
            if answered.is_set():
                break
            time.sleep(0.002)  # noqa: ASYNC251 - that is what such an application does
        assert count < 400


@pytest.mark.skipif(not hasattr(socket, "TCP_WINDOW_CLAMP"), reason="only Linux has it")
async def test_what_the_kernel_takes_for_the_client_is_bounded() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)

    async with scripted(script) as url, connect(url) as client:
        link: Any = client._runtime.driver._link
        assert link._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP) == RECEIVE_WINDOW


@CODECS
async def test_the_age_of_a_message_is_known_by_the_servers_clock(codec: str) -> None:
    # Far from the client's, as clocks are that nobody sets.
    server_ms = 5_000_000

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WINDOWS)
        while (await peer.hear())["type"] != "ping":
            pass
        await let_in(peer)
        await peer.say("message", room="r", seq=1, ts=server_ms - 60_000, payload=1)
        await peer.say("pong", ts=server_ms)
        await peer.say("message", room="r", seq=2, payload=2)

    async with scripted(script) as url, connect(url, encoding=codec) as client:
        room = await within(client.join("r"))
        await has_come(client, 3)
        first, second = await within(anext(room)), await within(anext(room))
        assert first.age is not None
        assert first.age >= 59
        assert second.age is None
