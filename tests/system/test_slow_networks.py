"""Slow links: a large message arrives, however long it takes, either way; who is dead is noticed all the same."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from helpers.serving import Book
from helpers.wait import until, within
from helpers.wire import BINARY, CONT, TEXT, Peer, frame

import fanwire
from fanwire.client import Client, connect
from fanwire.state import ConnectionState
from fanwire.testing.tcp_proxy import TcpProxy

PINGS = {"ping_interval": 0.3, "ping_timeout": 0.7}
"""Some pings fall into each of the transfers below, and would end them. A busy machine has time for the other pongs."""
RATE = 45_000
"""Bytes a second of the slow direction."""
LARGE = 72_000
"""Bytes of a message that takes more than twice as long as a ping may."""
HEARTBEAT = 0.7
"""Seconds for the clients' own pings, with the same."""
CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


def slow_link(server: Book) -> TcpProxy:
    """A link that holds nothing on the way."""
    return TcpProxy("127.0.0.1", server.port, limit=4096, rcvbuf=4096)


def buffered_link(server: Book) -> TcpProxy:
    """A proxy that takes a megabyte at once, and forwards it slowly."""
    return TcpProxy("127.0.0.1", server.port)


def noted(client: Client) -> list[ConnectionState]:
    states: list[ConnectionState] = []
    client.on_state(states.append)
    return states


def talkative(config: dict[str, Any] | None = None, **options: Any) -> Book:
    server = Book({**PINGS, **(config or {})}, **options)
    server.room("a", join=True, publish=True, history=10)
    return server


@CODECS
@pytest.mark.parametrize("link", [slow_link, buffered_link])
async def test_a_large_message_from_a_client_arrives(codec: str, link: Any) -> None:
    async with talkative() as server, link(server) as proxy:
        proxy.up.change(bandwidth=RATE)
        async with connect(f"ws://127.0.0.1:{proxy.port}", encoding=codec) as client:
            states = noted(client)
            assert await within(client.publish("a", "x" * LARGE)) == 1
            assert states == []


@CODECS
@pytest.mark.parametrize("link", [slow_link, buffered_link])
async def test_a_large_message_to_a_client_arrives(codec: str, link: Any) -> None:
    async with talkative() as server, link(server) as proxy:
        proxy.down.change(bandwidth=RATE)
        async with connect(f"ws://127.0.0.1:{proxy.port}", encoding=codec) as client:
            states = noted(client)
            room = await within(client.join("a"))
            server.publish("a", "x" * LARGE)
            assert (await within(anext(room))).data == "x" * LARGE
            assert states == []


async def test_many_messages_to_a_client_arrive() -> None:
    async with talkative() as server, slow_link(server) as proxy:
        proxy.down.change(bandwidth=RATE)
        async with connect(f"ws://127.0.0.1:{proxy.port}") as client:
            states = noted(client)
            room = await within(client.join("a"))
            for number in range(20):
                server.publish("a", {"number": number, "x": "x" * 6_000})
            assert [(await within(anext(room))).data["number"] for _ in range(20)] == list(range(20))
            assert states == []


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_large_message_over_tls_arrives(way: str, tls: tuple[fanwire.TLS, ssl.SSLContext]) -> None:
    server_tls, trusting = tls
    async with talkative(tls=server_tls) as server, slow_link(server) as proxy:
        getattr(proxy, way).change(bandwidth=RATE)
        async with connect(f"wss://127.0.0.1:{proxy.port}", ssl=trusting) as client:
            states = noted(client)
            room = await within(client.join("a"))
            if way == "up":
                assert await within(client.publish("a", "x" * LARGE)) == 1
            else:
                server.publish("a", "x" * LARGE)
            assert (await within(anext(room))).data == "x" * LARGE
            assert states == []


async def test_a_raw_client_sends_a_large_message() -> None:
    async with talkative().listens() as server, slow_link(server) as proxy:
        proxy.up.change(bandwidth=RATE)
        async with await Peer.dial("127.0.0.1", proxy.port) as peer:
            await peer.upgrade()
            peer.writer.write(frame(BINARY, bytes(LARGE)))
            # It answers no ping: the pongs would come behind the message.
            await until(lambda: server.heard == [bytes(LARGE)])


async def test_a_raw_client_gets_a_large_message() -> None:
    async with talkative() as server, slow_link(server) as proxy:
        proxy.down.change(bandwidth=RATE)
        async with await Peer.dial("127.0.0.1", proxy.port) as peer:
            await peer.upgrade("/a")
            server.publish("a", bytes(LARGE))
            assert await peer.message() == bytes(LARGE)


async def test_a_session_goes_on_with_a_large_message_that_was_cut_off() -> None:
    async with talkative() as server, slow_link(server) as proxy:
        proxy.down.change(bandwidth=RATE)
        async with connect(f"ws://127.0.0.1:{proxy.port}") as client:
            states = noted(client)
            room = await within(client.join("a"))
            server.publish("a", "x" * LARGE)
            await until(lambda: proxy.links and proxy.links[0].down.passed > LARGE / 3)
            proxy.cut()
            message = await within(anext(room))
            assert (message.data, message.gap) == ("x" * LARGE, None)
            assert states == [ConnectionState.RECONNECTING, ConnectionState.OPEN]


async def test_a_client_without_pings_from_the_server_waits_for_what_comes() -> None:
    async with talkative({"ping_interval": 0}) as server, slow_link(server) as proxy:
        proxy.down.change(bandwidth=RATE)
        async with connect(f"ws://127.0.0.1:{proxy.port}", heartbeat=HEARTBEAT) as client:
            states = noted(client)
            room = await within(client.join("a"))
            server.publish("a", "x" * LARGE)
            assert (await within(anext(room))).data == "x" * LARGE
            assert states == []


async def test_a_client_without_pings_from_the_server_waits_while_its_own_message_leaves() -> None:
    async with talkative({"ping_interval": 0}) as server, slow_link(server) as proxy:
        proxy.up.change(bandwidth=RATE)
        async with connect(f"ws://127.0.0.1:{proxy.port}", heartbeat=HEARTBEAT) as client:
            states = noted(client)
            assert await within(client.publish("a", "x" * LARGE)) == 1
            assert states == []


async def test_a_message_in_parts_has_the_time_that_it_takes() -> None:
    # Each part is worth two seconds more.
    config = {"ping_interval": 0, "message_timeout": 1.0, "min_rate": 100}
    async with talkative(config).listens() as server, await server.peer() as peer:
        await peer.send(frame(TEXT, b"x" * 200, fin=False))
        for _ in range(20):
            await peer.send(frame(CONT, b"x" * 200, fin=False))
            await asyncio.sleep(0.06)
        await peer.send(frame(CONT, b""))
        await until(lambda: server.heard == ["x" * 4200])


async def test_a_close_waits_for_what_is_on_its_way() -> None:
    async with talkative({"close_timeout": 1.4}) as server, slow_link(server) as proxy:
        proxy.down.change(bandwidth=RATE)
        async with await Peer.dial("127.0.0.1", proxy.port) as peer:
            await peer.upgrade("/a")
            await until(lambda: server.opened)
            server.publish("a", bytes(LARGE))
            server.opened[0].close(4500, "done")
            assert await peer.message() == bytes(LARGE)
            assert await peer.closed() == (4500, "done")


async def test_a_body_by_http_has_the_time_that_it_takes() -> None:
    async with (
        # Each part is worth two seconds more.
        talkative({"http_body_timeout": 1.0, "min_rate": 1000}, api_keys=["key"]) as server,
        await server.dial() as peer,
    ):
        head = "POST /rooms/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Length: 22000\r\n\r\n"
        await peer.send(head.encode() + bytes(2000))
        for _ in range(10):
            await peer.send(bytes(2000))
            await asyncio.sleep(0.12)
        assert (await peer.response()).status == 200


@pytest.mark.parametrize("is_busy", [False, True])
async def test_a_peer_that_is_gone_is_noticed_in_the_time_of_a_ping(is_busy: bool) -> None:
    # Long enough for everything else.
    async with (
        talkative({"write_timeout": 60.0}) as server,
        TcpProxy("127.0.0.1", server.port) as proxy,
        await Peer.dial("127.0.0.1", proxy.port) as peer,
    ):
        await peer.upgrade("/a")
        if is_busy:
            server.publish("a", bytes(LARGE))
            await peer.message()
        proxy.up.change(held=True)
        proxy.down.change(held=True)
        ended = await within(server.ended())
        assert ended.close_code == 1006
        # The socket's end may be seen before the event that says why.
        assert ended.close_reason in ("", "no pong within ping_timeout")
        assert server.stats()["closed_unanswered"] == 1


async def test_a_client_notices_a_server_that_is_gone() -> None:
    async with (
        talkative() as server,
        TcpProxy("127.0.0.1", server.port) as proxy,
        connect(f"ws://127.0.0.1:{proxy.port}", heartbeat=0.2) as client,
    ):
        proxy.up.change(held=True)
        proxy.down.change(held=True)
        await until(lambda: client.state is ConnectionState.RECONNECTING)


async def test_a_peer_that_takes_nothing_is_cut_off_by_write_timeout() -> None:
    async with (
        talkative({"write_timeout": 0.5, "connection_bytes": 8 << 20}) as server,
        await server.dial(rcvbuf=4096) as peer,
    ):
        await peer.upgrade("/a")
        peer.stall()
        server.publish("a", bytes(1 << 20))
        assert (await within(server.ended())).close_code == 1006
