"""Requests are handled once: what runs is shared, what was answered is answered again, and a failure is not kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanwire.protocol.envelopes import Incoming
from fanwire.protocol.session import Session
from fanwire.runtime.requests import Requests


class Codec:
    """As much of a codec as is used."""

    def __init__(self, name: str) -> None:
        self.name = name


JSON: Any = Codec("json")
OTHER: Any = Codec("msgpack")
CONN: Any = object()


def encode(session: Session, incoming: Incoming, result: Any) -> bytes:
    if result is encode:
        raise TypeError("it cannot be encoded")
    return f"{session.codec.name} {incoming.id} {result}".encode()


class Handler:
    """Returns the number of its call."""

    def __init__(self) -> None:
        self.calls = 0

    def now(self, conn: Any, payload: Any) -> int:
        self.calls += 1
        return self.calls

    async def later(self, conn: Any, payload: Any) -> int:
        await asyncio.sleep(0)
        return self.now(conn, payload)


def request(id: str | None = "a", type: str = "order") -> Incoming:
    return Incoming(type=type, id=id)


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_answer_belongs_to_the_lineage_the_type_and_the_id(is_async: bool) -> None:
    requests, handler, session = Requests(encode), Handler(), Session("alice", JSON)

    async def handled(session: Session, incoming: Incoming) -> Any:
        result = requests.handle(CONN, session, incoming, handler.later if is_async else handler.now, None)
        return await result if is_async else result

    assert requests.answer(session, request()) is None
    assert await handled(session, request()) == b"json a 1"
    assert requests.answer(session, request()) == b"json a 1"
    successor = Session("alice", JSON, session.lineage)
    assert requests.answer(successor, request()) == b"json a 1"
    others = [
        (successor, request("b")),
        (successor, request(type="sale")),
        (Session("alice", JSON), request()),
        (Session("bob", JSON, session.lineage), request()),
        (Session("alice", OTHER, session.lineage), request()),
    ]
    for number, (one, incoming) in enumerate(others, 2):
        assert requests.answer(one, incoming) is None
        assert await handled(one, incoming) == f"{one.codec.name} {incoming.id} {number}".encode()


async def test_without_an_id_the_result_is_not_kept() -> None:
    requests, handler, session = Requests(encode), Handler(), Session("alice", JSON)
    assert [requests.handle(CONN, session, request(None), handler.now, None) for _ in range(2)] == [1, 2]
    assert requests.answer(session, request(None)) is None


async def test_one_that_runs_is_shared_and_each_gets_its_own_encoding() -> None:
    requests, handler, session = Requests(encode), Handler(), Session("alice", JSON)
    first = requests.handle(CONN, session, request(), handler.later, None)
    second = requests.handle(CONN, Session("alice", OTHER, session.lineage), request(), handler.later, None)
    assert await asyncio.gather(first, second) == [b"json a 1", b"msgpack a 1"]
    assert handler.calls == 1


async def test_what_fails_is_handled_again() -> None:
    requests, session = Requests(encode), Session("alice", JSON)

    async def fails(conn: Any, payload: Any) -> None:
        raise KeyError("x")

    async def handled(handler: Any) -> None:
        await requests.handle(CONN, session, request(), handler, None)

    for handler in (fails, lambda conn, payload: {}[0], lambda conn, payload: encode):
        with pytest.raises((KeyError, TypeError)):
            await handled(handler)
        assert requests.answer(session, request()) is None
    assert requests.handle(CONN, session, request(), Handler().now, None) == b"json a 1"
