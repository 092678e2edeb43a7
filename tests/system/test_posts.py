"""The client's messages by POST: numbers, limits, backpressure, and what clients should not send."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from helpers.fallback import Fallback, asked, http
from helpers.serving import Book
from helpers.wait import until, within

import fanwire

PAD = "x" * 2000
"""A shard reads some ten kilobytes before it looks how many messages wait."""

TRANSPORTS = pytest.mark.parametrize("transport", ["sse", "long-poll"])


class Counting(Book):
    """Notes the payloads of messages of the type `note`."""

    def __init__(self, config: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.noted: list[Any] = []
        self.on("note")(self._note)

    def _note(self, conn: fanwire.Connection, payload: Any) -> None:
        self.noted.append(payload)


def note(value: object) -> dict[str, Any]:
    return {"type": "note", "payload": value}


@TRANSPORTS
async def test_posts_are_taken_in_order_and_once(transport: str) -> None:
    async with Counting() as server, Fallback(server.port, transport) as client:
        await client.open()
        assert (await client.post(note(3), number=3)).status == 409
        await client.say(note("first"))
        assert (await client.post(note("again"), number=1)).status == 204
        assert (await client.post(note(3), number=3)).status == 409
        assert (await client.post(note(2), note(3), number=2)).status == 204
        assert (await client.post(note("old"), number=1)).status == 204
        await until(lambda: len(server.noted) == 3)
        assert server.noted == ["first", 2, 3]


@TRANSPORTS
@pytest.mark.parametrize(("code", "left"), [(1000, 0), (4700, 0), (4000, 1), (1001, 1)])
async def test_a_post_may_close_behind_its_messages(transport: str, code: int, left: int) -> None:
    async with Counting() as server, Fallback(server.port, transport) as client:
        await client.open()
        assert (await client.ask("POST", f"number=1&close={code}", client.body(note(1)))).status == 204
        assert (await client.closed())["code"] == code
        await until(lambda: len(server.connections) == left)
        assert server.noted == [1]
        assert [conn.close_code for conn in server.closed] == [code] * (1 - left)


@TRANSPORTS
@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 2999, 5000, 1 << 20, "", "x"])
async def test_a_code_that_nothing_may_close_with(transport: str, code: object) -> None:
    async with Counting() as server, Fallback(server.port, transport) as client:
        await client.open()
        assert (await client.ask("POST", f"number=1&close={code}", client.body(note(1)))).status == 400
        await client.say(note(2))
        await until(lambda: server.noted)
        assert server.noted == [2]


@TRANSPORTS
async def test_two_posts_with_one_number_at_once(transport: str) -> None:
    async with Counting() as server, Fallback(server.port, transport) as client:
        await client.open()
        answers = await asyncio.gather(*[client.post(note(1), number=1) for _ in range(4)])
        assert [answer.status for answer in answers] == [204] * 4
        await until(lambda: server.noted)
        assert server.noted == [1]


async def test_a_post_without_messages_and_with_empty_lines() -> None:
    async with Counting() as server, Fallback(server.port) as client:
        await client.open()
        await client.say()
        client.number += 1
        body = b"\n\r\n" + json.dumps(note(1)).encode() + b"\r\n\n" + json.dumps(note(2)).encode() + b"\n"
        assert (await client.ask("POST", "number=2", body)).status == 204
        await until(lambda: len(server.noted) == 2)
        assert server.noted == [1, 2]


async def test_a_chunked_body() -> None:
    async with Counting() as server, Fallback(server.port) as client, await server.dial() as peer:
        await client.open()
        head = f"POST /?link={client.link}&number=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = json.dumps(note(1)).encode()
        await peer.send(head.encode(), b"3\r\n" + body[:3] + b"\r\n")
        await peer.send(b"%x\r\n" % len(body[3:]) + body[3:] + b"\r\n0\r\n\r\n")
        assert (await peer.response()).status == 204
        await until(lambda: server.noted == [1])


@pytest.mark.parametrize(
    ("codec", "body"), [("json", b'{"type":"note"}\n\xff'), ("msgpack", b"no base64!"), ("msgpack", b"gaR0eXBl\nAB")]
)
async def test_a_body_that_cannot_be_read_is_not_taken(codec: str, body: bytes) -> None:
    async with Counting() as server, Fallback(server.port, codec=codec) as client:
        await client.open()
        assert (await client.ask("POST", "number=1", body)).status == 400
        await client.say(note(1))
        await until(lambda: server.noted)
        assert server.noted == [1]


async def test_a_line_that_is_no_envelope_is_answered_like_any_message() -> None:
    async with Counting() as server, Fallback(server.port) as client:
        await client.open()
        assert (await client.ask("POST", "number=1", b"no json\n" + client.body(note(1)))).status == 204
        assert (await client.hear_type("error"))["payload"]["code"] == "bad_message"
        assert server.noted == [1]


async def test_a_body_that_is_too_large() -> None:
    async with Counting({"max_message": 3000}) as server, Fallback(server.port) as client:
        await client.open()
        large = note("x" * 2900)
        await client.say(large)
        answer = await client.post(*[large] * 2)
        assert (answer.status, json.loads(answer.body)["code"]) == (413, "too_large")
        # Nothing of it was taken, and its number is free.
        client.number -= 1
        await client.say(note(2))
        await until(lambda: len(server.noted) == 2)


async def test_a_message_that_is_too_large_ends_the_session_as_on_a_websocket() -> None:
    async with Counting({"max_message": 3000}) as server, Fallback(server.port) as client:
        await client.open()
        await client.post(note("x" * 3500))
        assert (await client.closed())["code"] == 1009
        await server.ended()


async def test_a_body_that_does_not_come() -> None:
    async with Counting({"http_body_timeout": 0.1}) as server, Fallback(server.port) as client:
        await client.open()
        async with await server.dial() as peer:
            head = f"POST /?link={client.link}&number=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
            await peer.send(head.encode(), b'{"type":')
            assert (await peer.response()).status == 408
        await client.say(note(1))


async def test_unknown_links_and_links_of_others() -> None:
    async with Counting() as server, Fallback(server.port) as one, Fallback(server.port) as two:
        await one.open()
        await two.open()
        own = one.link
        for link in (
            "",
            "x",
            own[:-1],
            own + "x",
            own.upper(),
            "0." + "x" * 32,
            own.partition(".")[0] + "." + "x" * 32,
        ):
            answer = await asked(server.port, "POST", f"/?link={link}&number=1", b"")
            assert (answer.status, json.loads(answer.body)["code"]) == (404, "unknown_link")
        await two.say(note("of two"))
        await until(lambda: server.noted == ["of two"])
        assert [conn.received_messages for conn in server.opened] == [0, 1]


async def test_a_session_over_a_websocket_takes_no_posts() -> None:
    async with Counting() as server, Fallback(server.port) as client:
        await client.open()
        async with server.client(f"/?session={client.session}&received=0", subprotocols=["fanwire.v1.json"]) as socket:
            welcome = json.loads(await within(socket.recv()))["payload"]
            assert welcome["resumed"]
            assert "link" not in welcome
            assert (await client.closed())["code"] == 4503
            assert (await client.post(note(1))).status == 404
            await within(socket.send(json.dumps(note(2))))
            await until(lambda: server.noted == [2])
            assert server.opened[0].transport == "websocket"


@TRANSPORTS
async def test_a_slow_application_delays_the_answer(transport: str) -> None:
    is_free = asyncio.Event()
    handled: list[int] = []

    async def slow(conn: fanwire.Connection, payload: list[Any]) -> None:
        await is_free.wait()
        handled.append(payload[0])

    config = {"inbox_messages": 4, "poll_timeout": 0.2}
    book = Book(config)
    book.on("slow")(slow)
    async with book as server, Fallback(server.port, transport) as client:
        await client.open()
        await client.say({"type": "slow", "payload": [0]})
        body = [{"type": "slow", "payload": [n, PAD]} for n in range(1, 200)]
        first = asyncio.ensure_future(client.post(*body, number=2))
        link = server._running.host.fallbacks.find(client.link)
        assert link is not None
        await until(lambda: link._posts._last == 2)
        # The client has lost its connection, and repeats.
        again = asyncio.ensure_future(client.post(*body, number=2))
        await until(lambda: link._running >= 2)
        assert not first.done()
        is_free.set()
        assert (await within(first)).status == (await within(again)).status == 204
        await until(lambda: len(handled) == 200)
        assert handled == [*range(200)]


async def test_requests_of_one_link_at_once_have_a_limit() -> None:
    is_free = asyncio.Event()

    async def slow(conn: fanwire.Connection, payload: str) -> None:
        await is_free.wait()

    book = Book({"inbox_messages": 2})
    book.on("slow")(slow)
    async with book as server, Fallback(server.port) as client:
        await client.open()
        body = [{"type": "slow", "payload": PAD} for n in range(100)]
        posts = [asyncio.ensure_future(client.post(*body, number=1)) for _ in range(6)]
        done, _ = await within(asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED))
        answer = done.pop().result()
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        # The others are taken or refused before one of them is done.
        await until(lambda: sum(post.done() for post in posts) == 2)
        is_free.set()
        assert sorted([(await within(post)).status for post in posts]) == [204] * 4 + [429] * 2


@TRANSPORTS
async def test_a_client_that_is_too_fast_is_told(transport: str) -> None:
    async with (
        Counting({"message_rate": 1.0, "message_burst": 5}) as server,
        Fallback(server.port, transport) as client,
    ):
        await client.open()
        await client.say(*[{**note(n), "id": str(n)} for n in range(10)])
        assert (await client.hear_type("error"))["payload"]["code"] == "rate_limited"
        await until(lambda: len(server.noted) >= 5)
        assert server.noted[:5] == [*range(5)]


async def test_a_token_is_renewed_by_post() -> None:
    def identify(request: fanwire.Request) -> fanwire.Identity:
        return fanwire.Identity(subject=request.credential(["header", "query"]) or "guest", expires=4e9)

    async with Counting(authenticate=identify) as server, Fallback(server.port) as client:
        client.headers["Authorization"] = "Bearer ann"
        await client.open()
        assert server.opened[0].identity.subject == "ann"
        await client.say({"type": "token", "id": "1", "payload": {"token": "ann"}})
        assert (await client.hear_type("reply"))["re"] == "1"


async def test_requests_that_count_and_those_of_links() -> None:
    config = {"max_http_connections": 2, "http_reserve": 0, "http_keepalive": 60.0}
    async with Counting(config) as server, Fallback(server.port) as client:
        await client.open()
        peers = [await server.dial() for _ in range(2)]
        for peer in peers:
            await peer.send(http("GET", "/healthz"))
            assert (await peer.response()).status == 200
        # All places are taken, and a link needs none.
        for n in range(5):
            await client.say(note(n))
        answer = await asked(server.port, "POST", "/?link=0.x&number=1", Origin="https://a.example")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        for peer in peers:
            peer.close()


async def test_base64_of_a_large_message_fits() -> None:
    async with Counting({"max_message": 3000}) as server, Fallback(server.port, codec="msgpack") as client:
        await client.open()
        await client.say(note("x" * 2900))
        await until(lambda: server.noted)
        assert len(base64.b64encode(b"x" * 2900)) > 3000
