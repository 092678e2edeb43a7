"""Tokens that run out while the application of a client is slow, or away."""

from __future__ import annotations

import itertools
import time
from http import HTTPStatus

import pytest
from helpers.scripted import JOINED, WELCOME, Peer, scripted
from helpers.serving import Book
from helpers.wait import DEADLINE, until, within
from websockets.datastructures import Headers
from websockets.http11 import Response

import fanwire
from fanwire import ConnectionFailed, ConnectionState, connect

CODECS = pytest.mark.parametrize("encoding", ["json", "msgpack"])


class Tokens:
    """A function for tokens NUMBER.SECONDS."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.numbers = itertools.count(1)

    def __call__(self) -> str:
        return f"{next(self.numbers)}.{time.time() + self.seconds}"


def book(notice: float, grace: float, renewals: list[str]) -> Book:
    """A server whose tokens are those of `Tokens`. It notes those that take the place of another one."""

    def authenticate(request: fanwire.Request) -> fanwire.Identity:
        _, _, expires = (request.credential(("header",)) or "").partition(".")
        if not expires or float(expires) < time.time():
            raise fanwire.Refused(401, "expired")
        if request.renewal is not None:
            renewals.append(expires)
        return fanwire.Identity(subject="ann", expires=float(expires))

    server = Book({"token_notice": notice, "token_grace": grace}, authenticate=authenticate)
    server.room("*", history=10_000)
    return server


def brief(seconds: float, grace: float) -> Book:
    """A server that takes every token, for so many seconds from then on."""

    def authenticate(request: fanwire.Request) -> fanwire.Identity:
        return fanwire.Identity(subject="ann", expires=time.time() + seconds)

    server = Book({"token_notice": grace, "token_grace": grace}, authenticate=authenticate)
    server.room("*", history=10_000)
    return server


@CODECS
async def test_renewal_goes_on_while_the_application_takes_no_messages(encoding: str) -> None:
    token, renewals = Tokens(1.0), []
    # With a grace for a busy machine, which may be late.
    server = book(0.4, DEADLINE, renewals)
    async with server, connect(server.url, token=token, encoding=encoding, max_queue=1) as client:
        room = await within(client.join("a"))
        session = client.session
        states: list[ConnectionState] = []
        client.on_state(states.append)
        published = 0
        while len(renewals) < 3:
            # The queue is full, and more waits in the connection than a socket holds.
            for _ in range(20):
                server.publish("a", "x" * 10_000)
            published += 20
            count = len(renewals)
            await until(lambda count=count: len(renewals) > count, "a new token was taken")
        for seq in range(1, published + 1):
            message = await within(anext(room))
            assert (message.seq, message.gap) == (seq, None)
        assert (states, client.session, client.error) == ([], session, None)


async def test_an_expired_token_on_the_way_back_is_a_reason_to_fetch_another() -> None:
    refused = Response(HTTPStatus.UNAUTHORIZED, "Unauthorized", Headers(), b"")
    refusals: list[Response] = []
    tokens = (f"t{number}" for number in itertools.count(1))

    async def first(peer: Peer) -> None:
        assert peer.headers["Authorization"] == "Bearer t1"
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in(seq=3)
        refusals.append(refused)
        payload = {"code": 4501, "reason": "token expired", "reconnect": False}
        await peer.say("closing", payload=payload)
        await peer.socket.close(4501, "token expired")

    async def second(peer: Peer) -> None:
        assert peer.headers["Authorization"] == "Bearer t3"
        await peer.say("welcome", payload={**WELCOME, "session": "T", "reason": "closed"})
        join = await peer.hear()
        assert join["payload"] == {"since": {"epoch": "e", "seq": 3}}
        await peer.say("joined", re=join["id"], room="a", seq=3, payload={**JOINED, "recovered": True})
        await peer.say("message", room="a", seq=4, payload="again")

    async with scripted(first, second, refusals=refusals) as url, connect(url, token=lambda: next(tokens)) as client:
        room = await within(client.join("a"))
        message = await within(anext(room))
        assert (message.data, message.gap) == ("again", None)


async def test_two_tokens_in_a_row_that_are_refused_are_the_end() -> None:
    tokens = (f"t{number}" for number in itertools.count(1))
    refusals: list[Response] = []

    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        refusals.extend(Response(HTTPStatus.UNAUTHORIZED, "Unauthorized", Headers(), b"") for _ in range(2))
        await peer.socket.close(4501, "token expired")

    async with scripted(first, refusals=refusals) as url, connect(url, token=lambda: next(tokens)) as client:
        with pytest.raises(ConnectionFailed, match="401"):
            await within(anext(client.messages()))
    assert next(tokens) == "t4"


async def test_a_token_that_cannot_be_renewed_is_the_end() -> None:
    async with brief(0.3, 0.1) as server, connect(server.url, token="t") as client:
        with pytest.raises(ConnectionFailed, match="4501") as caught:
            await within(anext(client.messages()))
        assert caught.value.code == 4501


async def test_a_function_that_fails_for_longer_than_the_grace_costs_the_connection_and_not_the_client() -> None:
    is_away = False

    def function() -> str:
        if is_away:
            raise RuntimeError("nobody issues tokens")
        return "t"

    async with brief(0.6, 0.2) as server, connect(server.url, token=function, max_attempts=None) as client:
        room = await within(client.join("a"))
        is_away = True
        await server.ended()
        is_away = False
        server.publish("a", 1)
        assert (await within(anext(room))).data == 1
        await until(lambda: client.state is ConnectionState.OPEN)
