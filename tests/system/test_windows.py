"""Droppable messages to sessions that report what their applications have taken: one window for each room."""

from __future__ import annotations

import itertools
import ssl
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from prometheus_client import generate_latest

import fanwire

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
WINDOW = 16 << 10
SIZE = 1000
"""Bytes of a payload; envelopes make a little more of them."""
MOST = WINDOW // SIZE + 1
"""Messages of that size that one window lets out."""
PINGS = {"ping_interval": 25.0, "ping_timeout": 10.0}
KEYS = 200


def book(config: dict[str, Any] | None = None, **options: Any) -> Book:
    server = Book({**PINGS, **(config or {})}, **options)
    server.room("quotes*", delivery="latest")
    server.room("ticks*", delivery="drop-oldest", join=True)
    server.room("orders", join=True)
    return server


async def joined(server: Book, rooms: str, *, codec: str = "json", **options: Any) -> Talk:
    """A session in these rooms that reports, and has taken nothing yet."""
    talk = await Talk.open(server, f"/{rooms}", codec=codec, **options)
    for _ in rooms.split(","):
        await talk.hear("joined")
    await talk.say("received", payload={"count": 0, "taken": {}})
    await settled(talk)
    return talk


async def settled(talk: Talk) -> list[dict[str, Any]]:
    """What comes until no more does. The answer to a ping overtakes what may be dropped, so it is asked once more."""
    got: list[dict[str, Any]] = []
    quiet = 0
    while quiet < 3:
        await talk.say("ping")
        before, is_answered = len(got), False
        while (message := await talk.hear())["type"] != "received" or not is_answered:
            # One without a time was not asked for.
            is_answered |= message["type"] == "pong" and "ts" in message
            if message["type"] not in ("pong", "received"):
                got.append(message)
        quiet = quiet + 1 if len(got) == before else 0
    return got


async def report(talk: Talk, room: str, count: int | None = None, **more: Any) -> None:
    taken = {room: {"count": talk.received if count is None else count, **more}}
    await talk.say("received", payload={"count": talk.received, "taken": taken})


def publish(server: Book, room: str, count: int, first: int = 0) -> None:
    """So many messages, which differ in their keys where the room has keys."""
    for number in range(first, first + count):
        key = f"k{number}" if room.startswith("quotes") else None
        server.publish(room, {"n": number, "x": "x" * SIZE}, key)


def numbers(messages: list[dict[str, Any]], room: str) -> list[int]:
    return [one["payload"]["n"] for one in messages if one["type"] == "message" and one["room"] == room]


def windows(messages: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["room"], one["payload"]["bytes"]) for one in messages if one["type"] == "window"]


async def goes_on(server: Book) -> None:
    """Somebody else is served as ever."""
    async with await joined(server, "quotes.other") as other:
        publish(server, "quotes.other", 5)
        assert numbers(await settled(other), "quotes.other") == [0, 1, 2, 3, 4]


@CODECS
async def test_the_first_window_is_told_and_holds(codec: str) -> None:
    async with book() as server, await joined(server, "quotes", codec=codec) as talk:
        assert talk.welcome["window"] == WINDOW
        publish(server, "quotes", KEYS)
        assert MOST // 2 < len(numbers(await settled(talk), "quotes")) <= MOST


@CODECS
async def test_a_room_that_is_not_taken_holds_up_itself_alone(codec: str) -> None:
    async with book() as server, await joined(server, "quotes,ticks,orders", codec=codec) as talk:
        publish(server, "quotes", KEYS)
        held = numbers(await settled(talk), "quotes")
        assert len(held) <= MOST
        seen: list[int] = []
        for first in range(0, 200, 20):
            publish(server, "ticks", 20, first)
            publish(server, "orders", 20, first)
            got = await settled(talk)
            seen += numbers(got, "ticks")
            assert numbers(got, "orders") == list(range(first, first + 20))
            assert numbers(got, "quotes") == []
            await report(talk, "ticks")
        # A window is made larger where reports come soon. Where they come late the rest needs some more of them.
        while len(seen) < 200 and (late := numbers(await settled(talk), "ticks")):
            seen += late
            await report(talk, "ticks")
        assert seen == list(range(200))


@CODECS
async def test_a_report_lets_more_out_until_all_has_come_and_the_window_grows(codec: str) -> None:
    async with book() as server, await joined(server, "quotes", codec=codec) as talk:
        publish(server, "quotes", KEYS)
        got = await settled(talk)
        for _ in range(50):
            if len(numbers(got, "quotes")) == KEYS:
                break
            await report(talk, "quotes")
            got += await settled(talk)
        assert sorted(numbers(got, "quotes")) == list(range(KEYS))
        told = windows(got)
        # It was in the way, and was taken at once.
        assert told
        # First that there is one, then that it has grown by a half or shrunk by a quarter.
        assert told[0] == ("quotes", WINDOW)
        assert all(room == "quotes" for room, _ in told)
        for (_, before), (_, after) in itertools.pairwise(told):
            assert after >= 1.5 * before - 1 or after <= 0.75 * before


async def test_what_waits_behind_the_window_is_replaced_by_what_is_newer() -> None:
    async with book() as server, await joined(server, "quotes") as talk:
        for lap in range(5):
            publish(server, "quotes", KEYS)
            server.publish("quotes", {"n": -1, "lap": lap}, "last")
        got = await settled(talk)
        while not any(one["payload"].get("lap") == 4 for one in got if one["type"] == "message"):
            await report(talk, "quotes")
            got += await settled(talk)
        count = len(numbers(got, "quotes"))
        # Each key once, and those that had left before.
        assert KEYS + 1 <= count <= KEYS + 1 + 2 * MOST
        assert [one["payload"]["lap"] for one in got if one["type"] == "message" and one["payload"]["n"] == -1] == [4]


async def test_what_may_not_be_dropped_has_no_window() -> None:
    async with book({"connection_bytes": 8 << 20}) as server, await joined(server, "orders") as talk:
        publish(server, "orders", 1000)
        assert numbers(await settled(talk), "orders") == list(range(1000))


async def test_a_message_larger_than_the_window_comes_and_holds_the_next() -> None:
    async with book() as server, await joined(server, "ticks") as talk:
        for number in range(3):
            server.publish("ticks", {"n": number, "x": "x" * 2 * WINDOW})
        for number in range(3):
            assert numbers(await settled(talk), "ticks") == [number]
            await report(talk, "ticks")


async def test_a_window_of_tls_is_the_same(tls: tuple[fanwire.TLS, ssl.SSLContext]) -> None:
    context, trusting = tls
    async with book(tls=context) as server, await joined(server, "quotes,ticks", ssl=trusting) as talk:
        publish(server, "quotes", KEYS)
        assert len(numbers(await settled(talk), "quotes")) <= MOST
        publish(server, "ticks", 5)
        assert numbers(await settled(talk), "ticks") == [0, 1, 2, 3, 4]
        await report(talk, "quotes")
        assert numbers(await settled(talk), "quotes")


@pytest.mark.parametrize("lie", [(1 << 63) - 1, 1_000_000])
async def test_more_than_has_come_cannot_be_taken(lie: int) -> None:
    async with book() as server, await joined(server, "quotes,ticks") as talk:
        publish(server, "quotes", KEYS)
        publish(server, "ticks", KEYS)
        await settled(talk)
        await talk.say("received", payload={"count": lie, "taken": {"quotes": {"count": lie}}})
        # It may have more of that room, as if it had taken what came. Nothing else has changed.
        got = await settled(talk)
        assert len(numbers(got, "quotes")) <= 2 * MOST
        assert numbers(got, "ticks") == []
        assert talk.socket.close_code is None
        await goes_on(server)


async def test_a_count_that_goes_back_says_nothing() -> None:
    async with book() as server, await joined(server, "quotes") as talk:
        publish(server, "quotes", KEYS)
        await settled(talk)
        await report(talk, "quotes")
        assert numbers(await settled(talk), "quotes")
        for count in (0, 1, 5):
            await report(talk, "quotes", count)
        assert numbers(await settled(talk), "quotes") == []
        await report(talk, "quotes")
        assert numbers(await settled(talk), "quotes")


async def test_a_count_above_that_of_the_message_is_no_more_than_that() -> None:
    async with book() as server, await joined(server, "quotes") as talk:
        publish(server, "quotes", KEYS)
        await settled(talk)
        await talk.say("received", payload={"count": 2, "taken": {"quotes": {"count": talk.received}}})
        # Only what is within the first two, which is `joined` and one message.
        assert len(numbers(await settled(talk), "quotes")) <= 2


async def test_rooms_that_it_is_not_in_are_ignored() -> None:
    async with book() as server, await joined(server, "quotes") as talk:
        publish(server, "quotes", KEYS)
        await settled(talk)
        taken = {
            name: {"count": talk.received, "ts": 0} for name in ("nope", "quotes.other", "\u00e9" * 200, "a b", "*")
        }
        await talk.say("received", payload={"count": talk.received, "taken": taken})
        assert await settled(talk) == []
        assert server.stats()["taken_age"] == {}
        await goes_on(server)


@CODECS
@pytest.mark.parametrize("taken", [1, [1], {"quotes": 1}, {"quotes": {"count": "1"}}, {"quotes": {"count": -1}}])
async def test_a_report_of_another_type_is_refused_and_the_session_goes_on(codec: str, taken: Any) -> None:
    async with book() as server, await joined(server, "quotes", codec=codec) as talk:
        await talk.say("received", payload={"count": 1, "taken": taken})
        error = await talk.hear("error")
        assert error["payload"]["code"] == "invalid_payload"
        assert error["payload"]["path"].startswith("$.taken")
        publish(server, "quotes", 1)
        assert numbers(await settled(talk), "quotes") == [0]


@CODECS
async def test_a_resumed_session_loses_nothing_and_has_a_window_still(codec: str) -> None:
    async with book() as server:
        first = await joined(server, "ticks,orders", codec=codec)
        publish(server, "ticks", 100)
        publish(server, "orders", 3)
        got = await settled(first)
        assert 0 < len(numbers(got, "ticks")) <= MOST
        # Of what has come some was not counted, as if it had been on its way.
        first.received -= 5
        first.cut()
        publish(server, "orders", 3, first=3)
        async with await Talk.open(server, after=first, codec=codec) as talk:
            assert talk.welcome["resumed"]
            await talk.say("received", payload={"count": talk.received, "taken": {}})
            again = await settled(talk)
            counted = [[one["id"] for one in messages if one["type"] != "window"] for messages in (got, again)]
            assert counted[1][:5] == counted[0][-5:]
            # Until it says that it reports, pings tell what it has read, so some may have come by these.
            publish(server, "ticks", 100, first=100)
            more = await settled(talk)
            assert len(numbers(more, "ticks")) <= MOST
            seen = got + again + more
            while len(set(numbers(seen, "ticks"))) < 200:
                await report(talk, "ticks")
                more = await settled(talk)
                assert numbers(more, "ticks")
                seen += more
        assert sorted(set(numbers(seen, "ticks"))) == list(range(200))
        assert sorted(set(numbers(seen, "orders"))) == list(range(6))


async def test_nothing_of_a_room_comes_after_it_was_left() -> None:
    async with book() as server, await joined(server, "quotes,ticks") as talk:
        publish(server, "quotes", KEYS)
        publish(server, "ticks", KEYS)
        await settled(talk)
        await talk.say("leave", room="quotes")
        while (await talk.hear())["type"] != "left":
            pass
        await report(talk, "quotes")
        assert await settled(talk) == []
        await report(talk, "ticks")
        assert numbers(await settled(talk), "ticks")


async def test_who_comes_back_into_a_room_has_a_window_as_at_first() -> None:
    async with book() as server, await joined(server, "quotes") as talk:
        publish(server, "quotes", KEYS)
        await settled(talk)
        await talk.say("leave", room="quotes")
        while (await talk.hear())["type"] != "left":
            pass
        await talk.say("join", room="quotes")
        # The values of all keys, as far as the window lets them.
        assert 0 < len(numbers(await settled(talk), "quotes")) <= MOST
        await report(talk, "quotes")
        assert numbers(await settled(talk), "quotes")


async def test_what_was_left_out_is_told_of_one_room_while_another_is_held() -> None:
    async with book() as server, await joined(server, "quotes,ticks") as talk:
        publish(server, "quotes", KEYS)
        await settled(talk)
        server.publish("ticks", {"n": 0}, exclude=server.opened[0])
        server.publish("ticks", {"n": 1})
        got = await settled(talk)
        skipped = [
            (one["room"], one["payload"]["first"], one["payload"]["last"]) for one in got if one["type"] == "skipped"
        ]
        assert skipped == [("ticks", 1, 1)]
        assert numbers(got, "ticks") == [1]


async def test_a_close_brings_what_waited() -> None:
    async with book() as server, await joined(server, "ticks") as talk:
        publish(server, "ticks", 100)
        got = await settled(talk)
        assert len(numbers(got, "ticks")) <= MOST
        server.opened[0].close(1000, "done")
        got += [await talk.hear() for _ in range(100 - len(numbers(got, "ticks")))]
        assert numbers(got, "ticks") == list(range(100))


async def test_how_old_messages_are_is_measured_by_the_pattern_of_their_room() -> None:
    async with book() as server, await joined(server, "quotes.a,quotes.b,orders") as talk:
        for room in ("quotes.a", "quotes.b", "orders"):
            publish(server, room, 1)
        got = {one["room"]: one for one in await settled(talk) if one["type"] == "message"}
        taken = {room: {"count": talk.received, "ts": one["ts"]} for room, one in got.items()}
        # One says that it is from the future, and one that it is from long ago.
        taken["quotes.b"]["ts"] += 1_000_000
        taken["orders"]["ts"] = 0
        await talk.say("received", payload={"count": talk.received, "taken": taken})
        await settled(talk)
        ages = server.stats()["taken_age"]
        assert {pattern: stats["count"] for pattern, stats in ages.items()} == {"quotes*": 2, "orders": 1}
        assert 0.0 <= ages["quotes*"]["sum"] < 20.0
        assert ages["orders"]["sum"] == 3600.0
        text = generate_latest(server.metrics).decode()
        assert 'fanwire_taken_age_seconds_count{pattern="quotes*"} 2.0' in text
        assert 'fanwire_taken_age_seconds_bucket{le="60.0",pattern="orders"} 0.0' in text


@CODECS
async def test_the_answer_to_a_ping_has_the_time_by_the_clock_that_dates_messages(codec: str) -> None:
    async with book() as server, await joined(server, "orders", codec=codec) as talk:
        publish(server, "orders", 1)
        before = await talk.hear("message")
        await talk.say("ping")
        pong = await talk.hear("pong")
        assert set(pong) == {"type", "ts"}
        publish(server, "orders", 1)
        await talk.hear("received")
        after = await talk.hear("message")
        assert before["ts"] <= pong["ts"] <= after["ts"]


async def test_who_sends_many_reports_is_not_refused_and_slows_down_nobody() -> None:
    config = {"message_rate": 500.0, "message_burst": 50, "max_refused": 5}
    async with book(config) as server, await joined(server, "quotes") as talk:
        publish(server, "quotes", KEYS)
        await settled(talk)
        for _ in range(400):
            await talk.say("received", payload={"count": 1, "taken": {"quotes": {"count": 1}}})
        await goes_on(server)
        # Its messages have a rate of their own, and the last report counts like the first.
        await talk.say("nonsense")
        errors = [one["payload"]["code"] for one in await settled(talk) if one["type"] == "error"]
        assert errors == ["unknown_type"]
        await report(talk, "quotes")
        assert numbers(await settled(talk), "quotes")
        assert talk.socket.close_code is None
        await until(lambda: not server.closed)


async def test_reports_of_more_rooms_than_there_may_be_are_refused() -> None:
    async with book() as server, await joined(server, "quotes") as talk:
        for count, is_refused in ((1024, False), (1025, True)):
            taken = {f"room{number}": {"count": 1, "ts": 1} for number in range(count)}
            await talk.say("received", payload={"count": 1, "taken": taken})
            errors = [one["payload"]["path"] for one in await settled(talk) if one["type"] == "error"]
            assert errors == (["$.taken"] if is_refused else [])
        for name in ("x" * 256, "x" * 100_000, ""):
            await talk.say("received", payload={"count": 1, "taken": {name: {"count": 1}}})
            errors = [one["payload"]["path"] for one in await settled(talk) if one["type"] == "error"]
            assert errors == ["$.taken"]
        await within(goes_on(server))
