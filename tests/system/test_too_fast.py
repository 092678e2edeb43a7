"""Sessions that send more than their rate allows: the engine refuses what is too much, and it counts in its place."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, until_sync, within
from helpers.wire import BINARY, TEXT, frame
from websockets.exceptions import ConnectionClosed

from fanwire.runtime.dispatcher import Dispatcher

BURST = 10
#: So slow that no second message is let through while a test runs.
SLOW = {"message_rate": 0.0001, "message_burst": BURST}
CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


def book(config: dict[str, Any] | None = None) -> Book:
    server = Book({**SLOW, **(config or {})})
    server.on("echo")(lambda conn, payload: payload)
    server.room("*", publish=True)
    return server


async def say(talk: Talk, **fields: Any) -> None:
    """Sends a message as it stands, with an id or without."""
    data = encoded(talk, **fields)
    await within(talk.socket.send(data.decode() if talk.codec == "json" else data))


def encoded(talk: Talk, **fields: Any) -> bytes:
    return json.dumps(fields).encode() if talk.codec == "json" else msgspec.msgpack.encode(fields)


async def errors(talk: Talk, count: int) -> list[dict[str, Any]]:
    """The next errors; other answers are passed over."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = await talk.hear()
        if message["type"] == "error":
            found.append(message)
    return found


async def is_cut(server: Book, talk: Talk) -> None:
    """Cuts the link. The host has then counted all that came over it."""
    talk.cut()
    await until(lambda: server.opened[0].is_reconnecting)


def session_of(server: Book, talk: Talk) -> Any:
    return next(conn._session for conn in server.connections if conn.session == talk.session)


@CODECS
async def test_the_interpreter_sees_only_what_is_within_the_rate(codec: str) -> None:
    async with book() as server:
        arrived = Dispatcher.arrived
        with patch.object(Dispatcher, "arrived", autospec=True, side_effect=arrived) as seen:
            async with await Talk.open(server, codec=codec) as talk:
                for number in range(BURST + 200):
                    await say(talk, type="echo", id=f"c{number}", room="r", payload={"deep": [[[]]]})
                answers = await errors(talk, 200)
                assert seen.call_count == BURST
        assert [answer["re"] for answer in answers] == [f"c{number}" for number in range(BURST, BURST + 200)]
        assert len({answer["id"] for answer in answers}) == 200
        first = answers[0]
        assert list(first) == ["type", "id", "ts", "re", "room", "payload"]
        assert first["room"] == "r"
        payload = first["payload"]
        assert list(payload) == ["code", "text", "retry", "retry_after_ms"]
        assert (payload["code"], payload["retry"]) == ("rate_limited", True)
        assert payload["retry_after_ms"] > 0
        assert server.stats()["limits"]["message_rate"] == 200
        conn = server.opened[0]
        await until(lambda: conn.received_messages == BURST + 200, "all are counted")


@CODECS
async def test_counts_agree_when_the_session_goes_on(codec: str) -> None:
    async with book() as server:
        talk = await Talk.open(server, codec=codec)
        for number in range(BURST + 7):
            await say(talk, type="echo", id=f"c{number}")
        await errors(talk, 7)
        await is_cut(server, talk)
        async with await Talk.open(server, codec=codec, after=talk) as again:
            assert (again.welcome["resumed"], again.welcome["received"]) == (True, BURST + 7)


@CODECS
async def test_counts_agree_when_another_connection_takes_the_session(codec: str) -> None:
    async with book() as server:
        talk = await Talk.open(server, codec=codec)
        for number in range(BURST + 7):
            await say(talk, type="echo", id=f"c{number}")
        # What the host has not answered, it may not have counted. Of the few that the engine has refused it learns
        # before the next connection.
        heard: Counter[str] = Counter()
        while heard["reply"] < BURST or heard["error"] < 7:
            heard[(await talk.hear())["type"]] += 1
        async with await Talk.open(server, codec=codec, after=talk) as again:
            assert (again.welcome["resumed"], again.welcome["received"]) == (True, BURST + 7)
        talk.cut()


@CODECS
async def test_what_was_refused_and_not_heard_is_told_after_the_session_has_gone_on(codec: str) -> None:
    async with book() as server:
        talk = await Talk.open(server, codec=codec)
        for number in range(BURST + 7):
            await say(talk, type="echo", id=f"c{number}")
        await until(lambda: server.stats()["limits"]["message_rate"] == 7)
        await is_cut(server, talk)
        async with await Talk.open(server, codec=codec, after=talk) as again:
            assert again.welcome["received"] == BURST + 7
            answers = await errors(again, 7)
            assert {answer["re"] for answer in answers} == {f"c{number}" for number in range(BURST, BURST + 7)}


@CODECS
async def test_a_message_that_is_sent_again_has_one_answer(codec: str) -> None:
    total = 400
    async with book({"message_burst": total // 2, "max_refused": total, "inbox_messages": 2 * total}) as server:
        talk = await Talk.open(server, codec=codec)
        opcode = TEXT if codec == "json" else BINARY
        frames = [frame(opcode, encoded(talk, type="echo", id=f"c{number}")) for number in range(total)]
        talk.socket.transport.write(b"".join(frames))
        # The event loop is busy, so it hears of few of them before the next connection comes.
        until_sync(lambda: server.stats()["limits"]["message_rate"] == total // 2)
        async with await Talk.open(server, codec=codec, after=talk) as again:
            for number in range(again.welcome["received"], total):
                await say(again, type="echo", id=f"c{number}")
            # The answer to the last one comes behind all others when the event loop has done with those. Of the last
            # few refusals it may hear later, see QUIET in events.rs.
            await until(lambda: session_of(server, again).received > total - 16)
            await say(again, type="echo", id="end")
            answers: Counter[str] = Counter()
            while "end" not in answers:
                message = await again.hear()
                if message["type"] in ("reply", "error"):
                    answers[message["re"]] += 1
            assert answers == {**{f"c{number}": 1 for number in range(total)}, "end": 1}
        talk.cut()


@CODECS
async def test_the_client_is_told_how_many_have_come(codec: str) -> None:
    async with book() as server, await Talk.open(server, codec=codec) as talk:
        for number in range(BURST + 100):
            await say(talk, type="echo", id=f"c{number}")
        count, refused = 0, 0
        # Of the last few it may hear later, see QUIET in events.rs.
        while count < BURST + 100 - 48 or refused < 100:
            message = await talk.hear()
            refused += message["type"] == "error"
            count = max(count, message["payload"]["count"]) if message["type"] == "received" else count
        assert count <= BURST + 100


@CODECS
async def test_what_is_wrong_or_about_the_link_is_not_counted_twice(codec: str) -> None:
    async with book() as server, await Talk.open(server, codec=codec) as talk:
        for number in range(BURST):
            await say(talk, type="echo", id=f"c{number}")
        await say(talk, type="ping")
        await say(talk, type="pong")
        await say(talk, type="echo", id=7)
        await talk.socket.send("{" if codec == "json" else b"\x81")
        await say(talk, type="ack", re="nothing")
        await say(talk, type="token", id="t", payload={"token": "x"})
        await say(talk, type="received", id="end", payload={"count": -1})
        answers = {(answer.get("re"), answer["payload"]["code"]) for answer in await errors(talk, 5)}
        assert answers == {
            (None, "bad_message"), (None, "rate_limited"), ("t", "rate_limited"), ("end", "invalid_payload"),
        }  # fmt: skip
        await is_cut(server, talk)
        # Ten, two that are wrong, and two that were refused.
        assert session_of(server, talk).received == BURST + 4


@CODECS
async def test_who_goes_on_is_closed_after_its_answers(codec: str) -> None:
    async with book({"max_refused": 50}) as server, await Talk.open(server, codec=codec) as talk:
        with contextlib.suppress(ConnectionClosed):
            for number in range(1000):
                await say(talk, type="echo", id=f"c{number}")
        heard: list[str] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append((await talk.hear())["type"])
        assert (talk.socket.close_code, talk.socket.close_reason) == (1008, "the client sends too fast")
        # Some are forgiven while it takes.
        assert heard.count("error") >= 51
        assert heard.count("reply") == BURST
        assert server.stats()["limits"]["max_refused"] == 1


@CODECS
async def test_what_was_refused_may_be_sent_again_with_its_id(codec: str) -> None:
    config = {"message_rate": 100.0, "message_burst": 1}
    async with book(config) as server, await Talk.open(server, codec=codec) as talk:
        await say(talk, type="publish", id="p1", room="r", payload=1)
        await say(talk, type="publish", id="p2", room="r", payload=2)
        while (answer := await talk.hear()).get("re") != "p2":
            pass
        if answer["type"] == "error":
            assert answer["payload"]["code"] == "rate_limited"
        for _ in range(1000):
            await say(talk, type="publish", id="p2", room="r", payload=2)
            while (answer := await talk.hear()).get("re") != "p2":
                pass
            if answer["type"] == "reply":
                break
        assert (answer["type"], answer["seq"]) == ("reply", 2)


@CODECS
async def test_in_a_dry_run_nothing_is_refused(codec: str) -> None:
    async with book({"dry_run": True}) as server, await Talk.open(server, codec=codec) as talk:
        for number in range(3 * BURST):
            assert (await talk.ask("echo", payload=number))["type"] == "reply"
        assert server.stats()["limits"]["message_rate"] == 2 * BURST
