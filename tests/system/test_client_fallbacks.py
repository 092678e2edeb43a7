"""The transports SSE and long-poll of the client over real sockets, against a server that a test plays."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from helpers.scripted import WELCOME, no_tasks_left
from helpers.scripted_http import Asked, event, scripted_http
from helpers.wait import until, within

from fanwire.client import ConnectionFailed, chooser, connect, post_queue
from fanwire.state import ConnectionState

SSE, POLL = ("sse",), ("long-poll",)
SELDOM = {"ack_frames": 1000, "ack_bytes": 1 << 20}
"""A client acknowledges nothing of itself."""


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_queue, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr("fanwire.client.long_poll_link.PAUSE", 0.01)


async def test_what_an_event_stream_asks_for_and_what_its_posts_say() -> None:
    opened: list[Asked] = []
    posts: list[Asked] = []

    async def script(asked: Asked) -> None:
        if asked.method == "GET":
            opened.append(asked)
            asked.welcome()
            return
        posts.append(asked)
        asked.answer(204)
        for message in asked.messages:
            opened[0].say("reply", re=message["id"], payload=message["type"])

    async with (
        scripted_http(script) as url,
        connect(url, token="t", headers={"X-Mine": "1"}, transports=SSE) as client,
    ):
        assert await within(client.request("one")) == "one"
        assert await within(client.request("two")) == "two"
    (asked,) = opened
    assert (asked.path, asked.query) == (
        "/path",
        {"a": "1", "batch": "1", "delta": "1", "transport": "sse", "protocol": "fanwire.v1.json"},
    )
    assert asked.headers["accept"] == "text/event-stream"
    assert (asked.headers["authorization"], asked.headers["x-mine"]) == ("Bearer t", "1")
    assert [(post.query["link"], post.query["number"], post.query.get("close")) for post in posts] == [
        ("L", "1", None), ("L", "2", None), ("L", "3", "1000")
    ]  # fmt: skip
    assert {post.headers["content-type"] for post in posts} == {"text/plain"}
    no_tasks_left()


async def test_a_post_without_an_answer_is_sent_again_with_its_number() -> None:
    posts: list[tuple[str, bytes]] = []
    stream: list[Asked] = []

    async def script(asked: Asked) -> None:
        if asked.method == "GET":
            stream.append(asked)
            asked.welcome()
            return
        posts.append((asked.query["number"], asked.body))
        if len(posts) == 1:
            asked.cut()
        elif len(posts) == 2:
            asked.answer(503)
        else:
            asked.answer(204)
            for message in asked.messages:
                stream[0].say("reply", re=message["id"])

    async with scripted_http(script) as url, connect(url, transports=SSE) as client:
        await within(client.request("one"))
        assert posts[0] == posts[1] == posts[2]
        assert len(stream) == 1


async def test_a_link_that_the_server_does_not_know_any_more_is_replaced() -> None:
    streams: list[Asked] = []

    async def script(asked: Asked) -> None:
        if asked.method == "GET":
            streams.append(asked)
            asked.welcome(f"L{len(streams)}", resumed=len(streams) > 1)
            if len(streams) == 1:
                asked.say("message", payload=1)
        elif asked.query["link"] == "L1":
            asked.answer(404)
        else:
            asked.answer(204)
            for message in asked.messages:
                streams[-1].say("reply", re=message["id"], payload=message["type"])

    async with scripted_http(script) as url, connect(url, transports=SSE) as client:
        assert await within(client.request("one")) == "one"
        assert client.transport == "sse"
    assert (streams[1].query["session"], streams[1].query["received"]) == ("S", "1")


@pytest.mark.parametrize("transport", ["sse", "long-poll"])
async def test_a_server_that_wants_a_new_connection_is_asked_again_at_once(transport: str) -> None:
    count = 0

    async def script(asked: Asked) -> None:
        nonlocal count
        if asked.method != "GET" or "link" in asked.query:
            asked.answer(204)
            return
        count += 1
        if count == 1:
            asked.answer(421, headers={"Connection": "close"})
        elif transport == "sse":
            asked.welcome()
        else:
            asked.answer(200, event("welcome", payload={**WELCOME, "link": "L"}))

    async with scripted_http(script) as url, connect(url, transports=(transport,), first_attempts=1) as client:
        assert client.transport == transport


async def test_what_polls_ask_for_and_say() -> None:
    polls: list[dict[str, str]] = []
    seen = asyncio.Event()

    async def script(asked: Asked) -> None:
        if asked.method == "POST":
            asked.answer(204)
        elif "link" not in asked.query:
            assert asked.query == {
                "a": "1",
                "batch": "1",
                "delta": "1",
                "transport": "long-poll",
                "protocol": "fanwire.v1.json",
            }
            asked.answer(200, event("welcome", payload={**WELCOME, "link": "L"}))
        else:
            polls.append(asked.query)
            if len(polls) == 1:
                asked.answer(200, b":\n\n" + event("message", payload=1) + event("message", payload=2))
            elif len(polls) == 2:
                asked.answer(204)
            elif len(polls) == 3:
                asked.cut()
            elif len(polls) == 4:
                asked.answer(200, event("message", payload=3))
            else:
                seen.set()
                await asyncio.sleep(3600)

    async with scripted_http(script) as url, connect(url, transports=POLL) as client:
        messages = client.messages()
        assert [(await within(anext(messages))).data for _ in range(3)] == [1, 2, 3]
        await within(seen.wait())
    assert [poll["received"] for poll in polls] == ["0", "2", "2", "2", "3"]
    assert {poll["link"] for poll in polls} == {"L"}
    no_tasks_left()


@pytest.mark.parametrize("status", [404, 410])
async def test_polls_that_are_refused_lead_to_a_new_link(status: int) -> None:
    opened: list[dict[str, str]] = []

    async def script(asked: Asked) -> None:
        if "link" not in asked.query:
            opened.append(asked.query)
            payload = {**WELCOME, "link": f"L{len(opened)}", "resumed": len(opened) > 1}
            asked.answer(200, event("welcome", payload=payload))
        elif asked.query["link"] == "L1":
            asked.answer(status)
        else:
            await asyncio.sleep(3600)

    async with scripted_http(script) as url, connect(url, transports=POLL, close_timeout=0.1):
        await until(lambda: len(opened) == 2)
    assert opened[1]["session"] == "S"


async def test_what_a_poll_has_reported_is_where_a_session_goes_on_after_a_failed_upgrade(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chooser, "FIRST_UPGRADE", 0.01)
    upgrades: list[dict[str, str]] = []
    opened: list[dict[str, str]] = []

    async def script(asked: Asked) -> None:
        if asked.is_upgrade:
            asked.answer(404)
            if "must_resume" in asked.query:
                upgrades.append(asked.query)
        elif "link" not in asked.query:
            opened.append(asked.query)
            welcome = {**WELCOME, "link": f"L{len(opened)}", "resumed": len(opened) > 1, **SELDOM}
            asked.answer(200, event("welcome", payload=welcome))
        elif asked.method == "POST" or (asked.query["link"] == "L1" and not upgrades):
            asked.answer(204)
        elif asked.query["link"] == "L1":
            # The poll that reports the message finds its link gone.
            is_reported = asked.query["received"] == "1"
            asked.answer(404 if is_reported else 200, b"" if is_reported else event("message", payload=1))
        else:
            await asyncio.sleep(3600)

    transports = ("websocket", "long-poll")
    async with scripted_http(script) as url, connect(url, transports=transports, close_timeout=0.1):
        await until(lambda: len(opened) == 2)
    assert upgrades[0]["received"] == "0"
    assert (opened[1]["session"], opened[1]["received"]) == ("S", "1")


@pytest.mark.parametrize(
    "wrong",
    [
        b"data: {\n\n",
        b"data: \xff\n\n",
        b"event: binary\ndata: !\n\n",
        b"event: close\ndata: 7\n\n",
        b'event: close\ndata: {"code":"x"}\n\n',
    ],
)
async def test_what_no_server_may_send_ends_the_session(wrong: bytes) -> None:
    opened: list[dict[str, str]] = []
    closes: list[str] = []

    async def script(asked: Asked) -> None:
        if asked.method == "GET":
            opened.append(asked.query)
            asked.welcome(f"L{len(opened)}")
            if len(opened) == 1:
                asked.raw(wrong)
        else:
            if asked.query["link"] == "L1":
                closes.append(asked.query["close"])
            asked.answer(204)

    async with scripted_http(script) as url, connect(url, transports=SSE):
        await until(lambda: len(opened) == 2 and closes)
    assert "session" not in opened[1]
    # The server is told, so that it does not keep the session.
    assert closes in (["1002"], ["1007"])


async def test_a_welcome_without_the_name_of_the_link() -> None:
    async def script(asked: Asked) -> None:
        asked.stream()
        asked.say("welcome", payload=WELCOME)

    async with scripted_http(script) as url:
        with pytest.raises(ConnectionFailed, match="no name"):
            await within(connect(url, transports=SSE, first_attempts=1).__aenter__())


@pytest.mark.parametrize(("code", "end"), [(4008, ConnectionState.OPEN), (4500, ConnectionState.CLOSED)])
async def test_the_close_event_has_the_code_of_a_close_frame(code: int, end: ConnectionState) -> None:
    states: list[ConnectionState] = []
    opened: list[Asked] = []

    async def script(asked: Asked) -> None:
        if asked.method == "GET":
            opened.append(asked)
            asked.welcome(resumed=len(opened) > 1)
        else:
            asked.answer(204)

    async with scripted_http(script) as url, connect(url, transports=SSE) as client:
        client.on_state(states.append)
        opened[0].raw(b"event: close\ndata: " + json.dumps({"code": code, "reason": "why"}).encode() + b"\n\n")
        await until(lambda: end in states)
        if end is ConnectionState.CLOSED:
            assert isinstance(client.error, ConnectionFailed)
            assert client.error.code == code


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>Log in", b"nonsense\r\n\r\n"]
)
async def test_what_is_no_event_stream_leads_to_the_next_transport(answer: bytes) -> None:
    async def script(asked: Asked) -> None:
        if asked.query.get("transport") == "sse":
            asked.raw(answer)
            asked.cut()
        elif asked.is_upgrade:
            asked.answer(403)
        elif "link" in asked.query:
            await asyncio.sleep(3600)
        else:
            asked.answer(200, event("welcome", payload={**WELCOME, "link": "L"}))

    async with scripted_http(script) as url, connect(url, close_timeout=0.1) as client:
        assert client.transport == "long-poll"


async def test_a_server_without_fallbacks_is_told_by_its_refusal_of_the_upgrade() -> None:
    statuses: list[int] = []

    async def script(asked: Asked) -> None:
        status = 404 if asked.is_upgrade else 426
        statuses.append(status)
        asked.answer(status)

    async with scripted_http(script) as url:
        with pytest.raises(ConnectionFailed) as failed:
            await within(connect(url, first_attempts=1).__aenter__())
    assert (failed.value.status, statuses) == (404, [404, 426, 426])


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_what_the_server_itself_refuses_is_not_asked_again_in_another_way(status: int) -> None:
    count = 0

    async def script(asked: Asked) -> None:
        nonlocal count
        count += 1
        asked.answer(status)

    async with scripted_http(script) as url:
        with pytest.raises(ConnectionFailed):
            await within(connect(url, first_attempts=1).__aenter__())
    assert count == 1


async def test_a_client_that_is_cancelled_while_it_tries_leaves_nothing_behind() -> None:
    asked_for: list[Any] = []

    async def script(asked: Asked) -> None:
        asked_for.append(asked)
        await asyncio.sleep(3600)

    async with scripted_http(script) as url:
        entering = asyncio.ensure_future(connect(url, transports=("sse", "long-poll")).__aenter__())
        await until(lambda: asked_for)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        no_tasks_left()
