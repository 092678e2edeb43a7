"""A row of a limit, and what it is tried on: a server whose clients are whom they say they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until
from helpers.wire import Peer, request
from hostile.arena import Arena

import fanwire

BYSTANDERS = 3

BYSTANDER = {"Authorization": "Bearer bystander"}

Act = Callable[[Book], Awaitable[str]]
"""Passes a limit, once; returns how that is answered."""


class Limit(NamedTuple):
    """A row: a field of `Config`, a small value of it, how to pass it, and the answer, also in a dry run."""

    limit: str
    config: dict[str, Any]
    act: Act
    answer: str
    dry: str

    def __repr__(self) -> str:
        return f"{self.limit} {self.act.__name__}"


def book(config: dict[str, Any]) -> Book:
    """A server with an echo, whose clients are whom they say they are."""

    async def authenticate(request: fanwire.Request) -> str | None:
        if request.bearer == "slow":
            await asyncio.Event().wait()
        return request.bearer

    server = Book(config, authenticate=authenticate)
    server.room("latest", publish=True, delivery="latest", max_keys=5)
    server.room("drops", delivery="drop-newest")
    server.room("*", publish=True, history=10, max_members=50)
    server.on("echo")(lambda conn, payload: payload)
    server.on_message(lambda conn, message: conn.send(message))
    return server


@contextlib.asynccontextmanager
async def arena_of(config: dict[str, Any]) -> AsyncIterator[Arena]:
    async with Arena.of(book({"close_timeout": 0.5, **config}), additional_headers=BYSTANDER) as arena:
        yield arena


def upgrade(user: str = "mallory") -> bytes:
    return request("/", {"Authorization": f"Bearer {user}"})


async def raw(server: Book) -> Peer:
    return await (await server.dial()).upgrade("/", {"Authorization": "Bearer mallory"})


async def session(server: Book, path: str = "/") -> Talk:
    return await Talk.open(server, path, additional_headers={"Authorization": "Bearer mallory"})


async def answer_of(talk: Talk, kind: str, **fields: Any) -> str:
    answer = await talk.ask(kind, **fields)
    if answer["type"] != "error":
        return str(answer["type"])
    assert answer["payload"]["code"] != "rate_limited" or answer["payload"]["retry_after_ms"] > 0
    return str(answer["payload"]["code"])


async def park(server: Book, talk: Talk) -> fanwire.Connection:
    """Cuts a session's connection; the session waits, or ends."""
    conn = next(conn for conn in server.connections if conn.session == talk.session)
    talk.cut()
    await until(lambda: conn.is_reconnecting or conn.close_code)
    return conn
