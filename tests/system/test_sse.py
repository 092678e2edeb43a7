"""Event streams: raw rooms for `curl -N` and EventSource, and sessions with POSTs."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from typing import Any

import pytest
from helpers.fallback import Event, Fallback, asked, events_of, http
from helpers.serving import Book
from helpers.wait import until, within
from helpers.wire import Peer

import fanwire

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


def shop(**config: Any) -> Book:
    """A server with an open room, which adds numbers."""
    server = Book(config)
    server.room("a", publish=True)
    server.on("add")(lambda conn, payload: sum(payload))
    return server


async def stream(server: Book, target: str, **headers: str) -> Peer:
    """An open stream."""
    peer = await server.dial()
    await peer.send(http("GET", target, **headers))
    answer = await peer.response()
    assert answer.status == 200, (answer.status, answer.body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store, no-transform"
    assert (answer.headers["x-accel-buffering"], answer.headers["connection"]) == ("no", "close")
    return peer


async def take(peer: Peer, count: int) -> list[Event]:
    found: list[Event] = []
    while len(found) < count:
        found += events_of(await within(peer.reader.readuntil(b"\n\n")))
    return found


class Rooms(Book):
    """A server where a path `/rooms/NAME` joins that room, as in `fanwire serve`."""

    def _note_opened(self, conn: fanwire.Connection) -> None:
        self.opened.append(conn)
        if conn.request.path.startswith("/rooms/"):
            conn.join(conn.request.path.removeprefix("/rooms/"))


@pytest.mark.parametrize("data", [b"\0" * 1_000_000, "x" * 1_000_000, "\n" * 400_000], ids=["bytes", "text", "lines"])
async def test_a_message_of_the_largest_size_reaches_a_raw_reader(data: bytes | str) -> None:
    async with Rooms() as server, await stream(server, "/rooms/a") as peer:
        await until(lambda: server.opened)
        server.publish("a", data)
        text = b""
        while not text.endswith(b"\n\n"):
            text += await within(peer.reader.read(1 << 20))
        (event,) = events_of(text)
        if isinstance(data, bytes):
            assert (event.kind, base64.b64decode(event.data)) == ("binary", data)
        else:
            assert (event.kind, event.data) == ("message", data)


@pytest.mark.parametrize("headers", [{"Accept": "*/*"}, {"Accept": "text/event-stream"}, {}])
async def test_a_raw_room(headers: dict[str, str]) -> None:
    async with Rooms() as server, await stream(server, "/rooms/a", **headers) as peer:
        await until(lambda: server.opened)
        assert (server.opened[0].transport, server.opened[0].session) == ("sse", None)
        server.publish("a", {"n": 1})
        server.publish("a", "two\nlines")
        server.publish("a", b"\x00\xff")
        first, second, third = await take(peer, 3)
        epoch, position = server._engine.position("a")
        assert first == Event('{"n":1}', id=f"{epoch}-1")
        assert second == Event("two\nlines", id=f"{epoch}-2")
        assert third == Event("AP8=", "binary", f"{epoch}-{position}")


async def test_a_browser_that_opens_the_address_of_a_room_is_told_how() -> None:
    async with Rooms() as server:
        answer = await asked(server.port, "GET", "/rooms/a", Accept="text/html,*/*;q=0.8")
        assert (answer.status, json.loads(answer.body)["code"]) == (426, "upgrade_required")
        assert b"text/event-stream" in answer.body
        assert not server.opened


async def test_a_client_that_comes_back_gets_what_it_has_missed() -> None:
    async with Rooms() as server:
        server.room("a", history=100)
        async with await stream(server, "/rooms/a") as peer:
            await until(lambda: server.opened)
            server.publish("a", "1")
            (event,) = await take(peer, 1)
        await server.ended()
        for text in ("2", "3"):
            server.publish("a", text)
        assert event.id is not None
        async with await stream(server, "/rooms/a", Last_Event_ID=event.id) as peer:
            assert [event.data for event in await take(peer, 2)] == ["2", "3"]
            server.publish("a", "4")
            assert [event.data for event in await take(peer, 1)] == ["4"]


@pytest.mark.parametrize("last", ["", "x", "1", "-", "0-1", "ffffffffffffffff-9223372036854775807", "1-" + "9" * 19])
async def test_a_last_event_that_cannot_be_right_is_nothing(last: str) -> None:
    async with Rooms() as server:
        server.room("a", history=100)
        server.publish("a", "1")
        async with await stream(server, "/rooms/a", Last_Event_ID=last) as peer:
            await until(lambda: server.opened)
            server.publish("a", "2")
            assert [event.data for event in await take(peer, 1)] == ["2"]


async def test_a_client_that_leaves_is_noticed() -> None:
    async with Rooms() as server:
        async with await stream(server, "/rooms/a"):
            await until(lambda: server.opened)
        closed = await server.ended()
        assert (closed.close_code, closed.closed_by) == (1006, "network")


async def test_the_application_closes_a_stream() -> None:
    async with Rooms() as server, await stream(server, "/rooms/a") as peer:
        await until(lambda: server.opened)
        server.publish("a", "1")
        server.opened[0].close(4000, "reconnect")
        first, last = events_of(await peer.end())
        assert (first.data, last) == ("1", Event('{"code":4000,"reason":"reconnect"}', "close"))
        assert (await server.ended()).closed_by == "server"


async def test_what_comes_behind_the_request_is_dropped() -> None:
    async with Rooms() as server, await server.dial() as peer:
        await peer.send(http("GET", "/rooms/a"), http("GET", "/healthz"), b"\x81\x02hi")
        assert (await peer.response()).status == 200
        await until(lambda: server.opened)
        server.publish("a", "1")
        assert [event.data for event in await take(peer, 1)] == ["1"]
        assert server.heard == []


async def test_a_stream_behind_other_requests_of_its_connection() -> None:
    async with Rooms() as server, await server.dial() as peer:
        await peer.send(
            http("GET", "/healthz"), http("GET", "/nothing"), http("GET", "/rooms/a"), http("GET", "/healthz")
        )
        assert [(await peer.response()).status for _ in range(3)] == [200, 404, 200]
        await until(lambda: server.opened)
        server.publish("a", "1")
        assert [event.data for event in await take(peer, 1)] == ["1"]
        assert server._http.connections == 0


# Sessions.


@CODECS
async def test_a_session(codec: str) -> None:
    async with shop() as server, Fallback(server.port, codec=codec) as client:
        await client.open()
        await client.say({"type": "join", "id": "1", "room": "a"}, {"type": "add", "id": "2", "payload": [1, 2]})
        assert (await client.hear_type("joined"))["room"] == "a"
        assert (await client.hear_type("reply"))["payload"] == 3
        server.publish("a", {"n": 1})
        assert (await client.hear_type("message"))["payload"] == {"n": 1}
        conn = server.opened[0]
        assert (conn.transport, conn.session) == ("sse", client.session)
        assert conn.received_messages == 2


@CODECS
async def test_a_session_is_resumed_without_a_loss(codec: str) -> None:
    async with shop() as server, Fallback(server.port, codec=codec) as client:
        await client.open()
        await client.say({"type": "join", "id": "1", "room": "a"})
        await client.hear_type("joined")
        server.publish("a", 1)
        assert (await client.hear())["payload"] == 1
        client.cut()
        await until(lambda: server.opened[0].is_reconnecting)
        assert (await client.post({"type": "ping"})).status == 404
        server.publish("a", 2)
        async with await client.resume() as again:
            assert (again.welcome["resumed"], again.welcome["received"]) == (True, 1)
            assert again.link != client.link
            assert (await again.hear())["payload"] == 2
            await again.say({"type": "ping"})
            assert (await again.hear_type("pong"))["type"] == "pong"
            assert len(server.opened) == 1


@pytest.mark.parametrize("transport", ["sse", "long-poll"])
async def test_a_session_that_is_not_there_is_a_409_if_the_client_wants_no_other(transport: str) -> None:
    async with Book() as server:
        query = f"?transport={transport}&protocol=fanwire.v1.json&session=x&received=0"
        answer = await asked(server.port, "GET", f"/{query}&must_resume=1", Origin="https://a.example")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (409, "*")
        assert not server.opened
        async with Fallback(server.port, transport) as client:
            await client.open(session="x", received=0, must_resume=0)
            assert (client.welcome["resumed"], client.welcome["reason"]) == (False, "unknown")


async def test_a_stream_moves_to_another_one() -> None:
    async with Book() as server, Fallback(server.port) as client:
        await client.open()
        async with await client.resume(must_resume=1) as again:
            assert again.welcome["resumed"]
            assert await client.closed() == {"code": 4503, "reason": "another connection uses this session"}
            await again.say({"type": "ping"})


async def test_a_revoked_session_is_told() -> None:
    async with Book() as server, Fallback(server.port) as client:
        await client.open()
        server.revoke(client.session, reason="enough")
        assert (await client.closed())["code"] == 4502
        await server.ended()
        await until(lambda: not len(server._running.host.fallbacks))
        assert (await client.post()).status == 404


async def test_a_server_that_stops_tells_its_streams() -> None:
    async with Book({"drain_spread": 0.0}) as server, Fallback(server.port) as client:
        await client.open()
        stopping = asyncio.ensure_future(server.stop())
        assert (await client.closed())["code"] == 1001
        assert (await client.hear_type("closing"))["payload"]["reconnect"] is True
        assert await within(stopping) is True


async def test_links_are_counted_by_transport() -> None:
    def links(server: Book, transport: str) -> float:
        found = [
            server.metrics.get_sample_value("fanwire_links", {"transport": transport, "codec": codec})
            for codec in ("json", "msgpack", "raw")
        ]
        return sum(value or 0.0 for value in found)

    async with Book() as server, Fallback(server.port) as one, Fallback(server.port, "long-poll") as two:
        await one.open()
        await two.open()
        async with server.client():
            await until(lambda: [links(server, name) for name in ("websocket", "sse", "long-poll")] == [1, 1, 1])
        one.cut()
        await until(lambda: links(server, "sse") == 0)
        assert links(server, "long-poll") == 1


# Over TLS.


@pytest.mark.parametrize("transport", ["sse", "long-poll"])
async def test_a_session_over_tls(transport: str, tls: tuple[fanwire.TLS, ssl.SSLContext]) -> None:
    server = Book(tls=tls[0])
    server.room("a", publish=True)
    async with server, Fallback(server.port, transport, context=tls[1]) as client:
        await client.open()
        await client.say({"type": "join", "id": "1", "room": "a"})
        await client.hear_type("joined")
        for n in range(3):
            server.publish("a", n)
            assert (await client.hear_type("message"))["payload"] == n
        await client.say(*[{"type": "ping", "payload": "x" * 1000} for _ in range(100)])
        assert server.opened[0].request.is_secure
        client.cut()
        async with await client.resume() as again:
            assert again.welcome["resumed"]
            await again.say({"type": "ping"})
            assert (await again.hear_type("pong"))["type"] == "pong"
            server.opened[0].close(4000, "reconnect")
            assert (await again.closed())["code"] == 4000


async def test_a_stream_over_tls_behind_other_requests_of_its_connection(
    tls: tuple[fanwire.TLS, ssl.SSLContext],
) -> None:
    async with Rooms(tls=tls[0]) as server, await server.dial(context=tls[1]) as peer:
        await peer.send(
            http("GET", "/healthz"), http("GET", "/nothing"), http("GET", "/rooms/a"), http("GET", "/healthz")
        )
        assert [(await peer.response()).status for _ in range(3)] == [200, 404, 200]
        await until(lambda: server.opened)
        assert server.opened[0].request.tls is not None
        server.publish("a", "1")
        assert [event.data for event in await take(peer, 1)] == ["1"]
        assert server._http.connections == 0
