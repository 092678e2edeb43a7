"""Sessions whose connection is lost again in the moment in which it is resumed: they are parked like any other."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any

import pytest
from helpers.held import hold, release
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until
from helpers.wire import Peer, request

import fanwire

Tls = tuple[fanwire.TLS, ssl.SSLContext]
OVER = pytest.mark.parametrize("over", ["plain", "tls"])


class Place:
    """A server, and one client's session that is parked there with one message read and one waiting."""

    def __init__(self, server: Book, over: str, tls: Tls) -> None:
        self.server = server
        self.options: dict[str, Any] = {"ssl": tls[1]} if over == "tls" else {}
        self.context = tls[1] if over == "tls" else None
        self.talk: Talk

    async def park(self) -> None:
        self.talk = await Talk.open(self.server, "/a", **self.options)
        await self.talk.hear("joined")
        self.server.publish("a", "one")
        assert await self.talk.seqs(1) == [1]
        self.talk.cut()
        await until(lambda: self.connection.is_reconnecting, "the session is parked")
        self.server.publish("a", "two")

    @property
    def connection(self) -> fanwire.Connection:
        return self.server.opened[0]

    async def ask(self, received: int | None = None) -> Peer:
        """Somebody who asks for the session, and hears nothing yet."""
        peer = await self.server.dial(context=self.context)
        received = self.talk.received if received is None else received
        link = self.connection._link
        head = {"Sec-WebSocket-Protocol": "fanwire.v1.json"}
        await peer.send(request(f"/?session={self.talk.session}&received={received}", head))
        await until(lambda: self.connection._link != link, "the engine was asked")
        return peer

    def lose(self, peer: Peer) -> None:
        """Resets the newest transport, at both ends: the loop hears nothing of a socket that is not read yet."""
        peer.reset()
        list(self.host.registry.links.values())[-1].abort()

    @property
    def host(self) -> Any:
        return self.server._host

    async def is_whole(self) -> None:
        """The session waits, and its client gets what it missed."""
        await until(lambda: self.connection.is_reconnecting, "the session is parked again")
        async with await Talk.open(self.server, after=self.talk, **self.options) as last:
            assert last.welcome["resumed"]
            assert await last.seqs(1) == [2]
            self.server.publish("a", "three")
            assert await last.seqs(1) == [3]
            assert (self.server.closed, self.server.count("a")) == ([], 1)
            await until(lambda: len(self.host.registry.links) == 1, "nothing is left of the transports before")


@OVER
@pytest.mark.parametrize("told", ["before the loss", "after it"])
async def test_a_session_that_is_lost_while_it_is_resumed_waits_again(told: str, over: str, tls: Tls) -> None:
    async with Book({"grace": 30.0}, tls=tls[0] if over == "tls" else None) as server:
        place = Place(server, over, tls)
        await place.park()
        engine = hold(server)
        peer = await place.ask()
        await until(lambda: "resumed" in engine.kinds(), "the engine has decided")
        if told == "before the loss":
            release(server)
            place.lose(peer)
        else:
            place.lose(peer)
            await until(lambda: "parked" in engine.kinds(), "the loss was seen")
            release(server)
        await place.is_whole()


@OVER
async def test_one_that_is_lost_and_asked_for_again_before_the_engine_has_decided(over: str, tls: Tls) -> None:
    async with Book({"grace": 30.0}, tls=tls[0] if over == "tls" else None) as server:
        place = Place(server, over, tls)
        await place.park()
        engine = hold(server)
        first = await place.ask()
        place.lose(first)
        second = await place.ask()
        third = await place.ask()
        await until(lambda: engine.kinds().count("resumed") == 3, "the engine has decided")
        release(server)
        if over == "plain":
            assert (await second.response()).status == 101
        third.reset()
        second.close()
        await place.is_whole()


@OVER
@pytest.mark.parametrize("when", ["before", "after"])
async def test_one_that_is_refused_and_lost_leaves_nothing(when: str, over: str, tls: Tls) -> None:
    async with Book({"grace": 30.0}, tls=tls[0] if over == "tls" else None) as server:
        place = Place(server, over, tls)
        await place.park()
        engine = hold(server)
        peer = await place.ask(received=999)
        await until(lambda: "refused" in engine.kinds(), "the engine has decided")
        if when == "after":
            release(server)
        place.lose(peer)
        await until(lambda: not place.host.slices and peer.writer.is_closing(), "the loss was looked at")
        release(server)
        # The session is over, as it was before; what took its place waits or is gone, and nothing else is left.
        await server.ended()
        await until(lambda: not place.host.registry.links, "no transport is left")
        await until(lambda: server.stats()["connections"] == sum(conn.is_reconnecting for conn in server.connections))


@OVER
async def test_double_cuts_at_any_moment_lose_no_session(over: str, tls: Tls) -> None:
    rng = random.Random(11)
    async with Book({"grace": 30.0}, tls=tls[0] if over == "tls" else None) as server:
        places = []
        for _ in range(8):
            place = Place(server, over, tls)
            place.talk = await Talk.open(server, "/a", **place.options)
            places.append(place)

        async def cuts(place: Place) -> None:
            for _ in range(6):
                place.talk.cut()
                path = f"/?session={place.talk.session}&received={place.talk.received}"
                peer = await server.dial(context=place.context)
                await peer.send(request(path, {"Sec-WebSocket-Protocol": "fanwire.v1.json"}))
                await asyncio.sleep(rng.choice([0, 0, 0.001, 0.003]))
                peer.reset()
                talk = await Talk.open(server, after=place.talk, **place.options)
                assert talk.welcome["resumed"], talk.welcome
                place.talk = talk

        await asyncio.gather(*map(cuts, places))
        assert (len(server.opened), server.closed) == (8, [])
        for place in places:
            place.talk.cut()
