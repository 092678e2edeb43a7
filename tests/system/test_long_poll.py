"""Sessions whose clients poll."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from helpers.fallback import Fallback, asked, http
from helpers.serving import Book
from helpers.wait import DEADLINE, until, within
from helpers.wire import Peer

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


def shop(**config: Any) -> Book:
    """A server with an open room, which adds numbers."""
    server = Book(config)
    server.room("a", publish=True)
    server.on("add")(lambda conn, payload: sum(payload))
    return server


def client_of(server: Book, codec: str = "json") -> Fallback:
    return Fallback(server.port, "long-poll", codec)


@CODECS
async def test_a_session(codec: str) -> None:
    async with shop() as server, client_of(server, codec) as client:
        await client.open()
        assert client.opening.headers["content-type"] == "text/plain; charset=utf-8"
        assert client.opening.headers["cache-control"] == "no-store"
        await client.say({"type": "join", "id": "1", "room": "a"}, {"type": "add", "id": "2", "payload": [1, 2]})
        assert (await client.hear_type("joined"))["room"] == "a"
        assert (await client.hear_type("reply"))["payload"] == 3
        waiting = asyncio.ensure_future(client.hear_type("message"))
        await asyncio.sleep(0.01)
        server.publish("a", {"n": 1})
        assert (await within(waiting))["payload"] == {"n": 1}
        assert (server.opened[0].transport, server.opened[0].session) == ("long-poll", client.session)


async def test_many_messages_come_once_and_in_order() -> None:
    async with shop() as server, client_of(server) as client:
        await client.open()
        await client.say({"type": "join", "id": "1", "room": "a"})
        await client.hear_type("joined")

        async def publish() -> None:
            for n in range(2000):
                server.publish("a", n)
                if n % 50 == 0:
                    await asyncio.sleep(0)

        publishing = asyncio.ensure_future(publish())
        assert [(await client.hear_type("message"))["payload"] for _ in range(2000)] == [*range(2000)]
        await publishing


async def test_an_answer_that_is_lost_comes_again() -> None:
    async with shop() as server, client_of(server) as client:
        await client.open()
        await client.say({"type": "join", "id": "1", "room": "a"})
        await client.hear_type("joined")
        received = client.received
        server.publish("a", 1)
        first = await client.poll()
        server.publish("a", 2)
        again = await client.poll(received)
        assert again.body.startswith(first.body)
        assert again.body.count(b'"message"') == 2


async def test_a_poll_without_a_message_ends_after_its_time() -> None:
    async with Book({"poll_timeout": 0.05}) as server, client_of(server) as client:
        await client.open()
        answer = await client.poll()
        assert (answer.status, answer.body) == (204, b"")
        await client.say({"type": "ping"})
        assert (await client.hear_type("pong"))["type"] == "pong"


async def test_a_newer_poll_takes_the_place_of_an_older_one() -> None:
    async with Book() as server, client_of(server) as client:
        await client.open()
        old = asyncio.ensure_future(client.poll())
        link = server._running.host.fallbacks.find(client.link)
        assert link is not None
        await until(lambda: link._polls._asked)
        new = asyncio.ensure_future(client.poll())
        assert (await within(old)).status == 204
        await client.say({"type": "ping"})
        assert (await within(new)).status == 200


async def test_a_client_that_leaves_while_it_waits() -> None:
    async with shop() as server, client_of(server) as client:
        await client.open()
        await client.say({"type": "join", "id": "1", "room": "a"})
        await client.hear_type("joined")
        target = f"/?link={client.link}&received={client.received}"
        async with await server.dial() as peer:
            await peer.send(http("GET", target))
            await until(lambda: server._http.connections == 1)
        await until(lambda: server._http.connections == 0)
        server.publish("a", 1)
        server.publish("a", 2)
        assert [(await client.hear())["payload"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("received", [1, 1000, 10**17])
async def test_a_count_that_cannot_be_right(received: int) -> None:
    async with Book() as server, client_of(server) as client:
        await client.open()
        answer = await client.poll(received)
        assert (answer.status, json.loads(answer.body)["code"]) == (410, "bad_count")
        assert (await client.poll(0)).status == 404
        async with await client.resume() as again:
            assert again.welcome["resumed"]


async def test_wrong_requests_of_a_link() -> None:
    async with Book() as server, client_of(server) as client:
        await client.open()
        for query in ("", "received=", "received=-1", "received=x", "received=1&received=1"):
            assert (await client.ask("GET", query)).status == 400
        for query in ("", "number=0", "number=x", "number=" + "9" * 30):
            assert (await client.ask("POST", query)).status == 400
        assert (await client.ask("DELETE", "")).status == 405
        await client.say({"type": "ping"})


async def test_a_stream_is_not_polled() -> None:
    async with Book() as server, Fallback(server.port) as client:
        await client.open()
        assert (await client.poll()).status == 400


async def test_without_a_session_there_is_no_long_poll() -> None:
    async with Book() as server:
        for query in ("transport=long-poll", "transport=long-poll&protocol=fanwire.v1.raw"):
            assert (await asked(server.port, "GET", f"/?{query}")).status == 400
        assert not server.opened


async def test_a_link_that_its_session_has_left_is_told() -> None:
    async with Book() as server, client_of(server) as client:
        await client.open()
        waiting = asyncio.ensure_future(client.closed())
        async with await client.resume(must_resume=1) as again:
            assert again.welcome["resumed"]
            assert (await within(waiting))["code"] == 4503
            await until(lambda: (len(server._running.host.fallbacks)) == 1)
            assert (await client.poll()).status == 404
            await again.say({"type": "ping"})
            assert (await again.hear_type("pong"))["type"] == "pong"


async def test_the_application_closes_a_session_while_no_poll_waits() -> None:
    async with Book() as server, client_of(server) as client:
        await client.open()
        server.opened[0].close(4000, "reconnect")
        assert await client.closed() == {"code": 4000, "reason": "reconnect"}
        await server.ended()


async def test_a_client_that_asks_for_nothing_any_more_is_given_up() -> None:
    config = {"poll_timeout": 0.05, "ping_timeout": 0.05, "ping_interval": 0, "grace": 60.0}
    async with Book(config) as server, client_of(server) as client:
        await client.open()
        await until(lambda: server.opened[0].is_reconnecting)
        assert (await client.poll()).status == 404
        async with await client.resume() as again:
            assert again.welcome["resumed"]


async def test_a_client_that_does_not_answer_pings_is_given_up() -> None:
    config = {"ping_interval": 0.05, "ping_timeout": 0.05, "min_rate": 1 << 40}
    async with Book(config) as server, client_of(server) as client:
        await client.open()
        await until(lambda: server.opened[0].is_reconnecting)


async def test_a_server_that_stops_tells_those_who_wait() -> None:
    async with (
        Book({"drain_spread": 0.0, "close_timeout": 0.2, "drain_timeout": DEADLINE}) as server,
        client_of(server) as client,
    ):
        await client.open()
        waiting = asyncio.ensure_future(client.hear_type("closing"))
        await until(lambda: server._http.connections == 1)
        stopping = asyncio.ensure_future(server.stop())
        assert (await within(waiting))["payload"]["code"] == 1001
        # The close event had to wait for another poll, which the server no longer accepts.
        assert await within(stopping) is True


async def test_one_connection_serves_many_requests() -> None:
    async with Book() as server, client_of(server) as client:
        await client.open()
        async with await server.dial() as peer:
            for number in range(1, 20):
                body = client.body({"type": "ping"})
                await peer.send(http("POST", f"/?link={client.link}&number={number}", body))
                assert (await peer.response()).status == 204
                await peer.send(http("GET", f"/?link={client.link}&received=0"))
                assert b"pong" in (await peer.response()).body
            client.number = number


async def test_thousands_of_polls_of_one_link() -> None:
    # Behind requests that wait the end of a connection is not seen, until the first one is answered.
    config = {"max_http_connections": 20, "http_reserve": 0, "poll_timeout": 0.5, "ping_timeout": 60.0}
    async with Book(config) as server, client_of(server) as client:
        await client.open()
        request = http("GET", f"/?link={client.link}&received=0")
        peers: list[Peer] = []
        try:
            for _ in range(30):
                peers.append(await server.dial())
                await peers[-1].send(request * 100)
            await until(lambda: server._http.connections <= 24)
            # Others are served all the same.
            async with Fallback(server.port) as other:
                await other.open()
                await other.say({"type": "ping"})
                assert (await other.hear_type("pong"))["type"] == "pong"
        finally:
            for peer in peers:
                peer.close()
        await until(lambda: server._http.connections == 0, seconds=3 * DEADLINE)
        await client.say({"type": "ping"})
        assert (await client.hear_type("pong"))["type"] == "pong"
