"""Droppable messages to those who report nothing: pings behind them tell what was read."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wire import BINARY, FIN, PING, PONG, TEXT, Peer, frame

import fanwire

SIZE = 1000
MOST = (16 << 10) // SIZE + 1
COUNT = 200


def book(ping_interval: float = 25.0, **options: Any) -> Book:
    config = {"ping_interval": ping_interval, "ping_timeout": 10.0, "connection_bytes": 8 << 20}
    server = Book(config, **options)
    server.on_message(lambda conn, message: conn.send(message))
    server.room("quotes*", delivery="latest")
    server.room("ticks", delivery="drop-oldest")
    server.room("orders")
    return server


class Reader:
    """A raw client that answers pings when it is told to."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.pings: list[bytes] = []

    async def settled(self) -> list[bytes]:
        """What comes until no more does: an echo overtakes what may be dropped, so it is asked again."""
        got: list[bytes] = []
        quiet = 0
        while quiet < 3:
            await self.peer.send(frame(TEXT, b"echo"))
            before = len(got)
            while (message := await self.frame()) != b"echo":
                got.append(message)
            quiet = quiet + 1 if len(got) == before else 0
        return got

    async def frame(self) -> bytes:
        while True:
            first, payload = await self.peer.frame()
            if first == FIN | PING:
                self.pings.append(payload)
                continue
            assert first in (FIN | TEXT, FIN | BINARY)
            return payload

    async def answer(self) -> None:
        """Answers all pings so far."""
        pings, self.pings = self.pings, []
        await self.peer.send(*(frame(PONG, payload) for payload in pings))


def publish(server: Book, room: str, count: int = COUNT) -> None:
    for number in range(count):
        payload = f"{room} {number} ".encode().ljust(SIZE, b"x")
        server.publish(room, payload, f"k{number}" if room.startswith("quotes") else None)


def of(messages: list[bytes], room: str) -> list[int]:
    return [int(one.split()[1]) for one in messages if one.startswith(f"{room} ".encode())]


async def test_pings_come_behind_droppable_messages_and_unanswered_they_hold_the_rest() -> None:
    async with book() as server, await server.peer("/quotes,orders") as peer:
        reader = Reader(peer)
        publish(server, "quotes")
        got = await reader.settled()
        assert MOST // 2 < len(of(got, "quotes")) <= MOST
        assert reader.pings
        assert all(len(payload) == 8 for payload in reader.pings)
        # What may not be dropped comes all the same.
        publish(server, "orders")
        got += await reader.settled()
        assert of(got, "orders") == list(range(COUNT))
        assert len(of(got, "quotes")) <= MOST


async def test_an_answer_lets_more_out_until_all_has_come() -> None:
    async with book() as server, await server.peer("/ticks") as peer:
        reader = Reader(peer)
        publish(server, "ticks")
        got = await reader.settled()
        for _ in range(COUNT):
            if len(got) == COUNT:
                break
            await reader.answer()
            got += await reader.settled()
        assert of(got, "ticks") == list(range(COUNT))


async def test_what_waits_for_an_answer_is_replaced_by_what_is_newer() -> None:
    async with book() as server, await server.peer("/quotes") as peer:
        reader = Reader(peer)
        for _ in range(5):
            publish(server, "quotes")
        got = await reader.settled()
        for _ in range(COUNT):
            await reader.answer()
            more = await reader.settled()
            got += more
            if not more:
                break
        assert COUNT <= len(got) <= COUNT + 2 * MOST
        assert set(of(got, "quotes")) == set(range(COUNT))


@pytest.mark.parametrize("answer", [b"", b"x", b"\xff" * 8, bytes(8), bytes(9), b"y" * 125])
async def test_an_answer_that_no_ping_has_asked_for_changes_nothing(answer: bytes) -> None:
    async with book() as server, await server.peer("/quotes") as peer:
        reader = Reader(peer)
        publish(server, "quotes")
        await reader.settled()
        reader.pings = [answer]
        await reader.answer()
        assert await reader.settled() == []
        async with server.client("/ticks") as other:
            publish(server, "ticks", 5)
            assert len(await take(other, 5)) == 5
        assert server.opened[0] not in server.closed


async def test_a_library_that_reads_gets_everything() -> None:
    async with book() as server, server.client("/ticks") as client:
        await client.send("echo")
        await take(client, 1)
        publish(server, "ticks", 1000)
        got = [one for one in await take(client, 1000) if isinstance(one, bytes)]
        assert of(got, "ticks") == list(range(1000))


async def test_a_library_that_reads_over_tls_gets_everything(tls: tuple[fanwire.TLS, ssl.SSLContext]) -> None:
    context, trusting = tls
    async with book(tls=context) as server, server.client("/ticks", ssl=trusting) as client:
        await client.send("echo")
        await take(client, 1)
        publish(server, "ticks", 1000)
        got = [one for one in await take(client, 1000) if isinstance(one, bytes)]
        assert of(got, "ticks") == list(range(1000))


async def test_without_pings_nothing_is_held() -> None:
    async with book(ping_interval=0) as server, await server.peer("/quotes") as peer:
        reader = Reader(peer)
        publish(server, "quotes")
        assert of(await reader.settled(), "quotes") == list(range(COUNT))
        assert reader.pings == []


async def test_a_session_that_does_not_report_is_served_by_pings() -> None:
    async with book() as server, await Talk.open(server, "/ticks") as talk:
        await talk.hear("joined")
        for number in range(500):
            server.publish("ticks", {"n": number, "x": "x" * SIZE})
        # The library answers pings.
        assert [(await talk.hear("message"))["payload"]["n"] for _ in range(500)] == list(range(500))
        assert server.stats()["taken_age"] == {}


async def test_who_answers_a_ping_again_and_again_gets_no_more_for_it_and_keeps_nobody_waiting() -> None:
    async with book() as server, await server.peer("/quotes") as peer:
        reader = Reader(peer)
        publish(server, "quotes")
        await reader.settled()
        first = reader.pings[0]
        await reader.answer()
        assert await reader.settled()
        # From the second on it is a pong that nobody has asked for, and has their rate.
        await peer.send(*(frame(PONG, first) for _ in range(500)))
        assert await reader.settled() == []
        async with server.client("/ticks") as other:
            publish(server, "ticks", 5)
            assert len(await take(other, 5)) == 5
        assert server.opened[0] not in server.closed
