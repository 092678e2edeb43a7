"""Messages of sessions of all kinds: each is answered for what it is, and the session goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.talk import Talk
from hostile.arena import Arena
from hostile.envelopes import JSON, MSGPACK, Envelope

import fanwire

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Strict(msgspec.Struct):
    n: Annotated[int, msgspec.Meta(ge=0)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    server = Book({"message_rate": 0}).listens()
    server.room("all", publish=False)
    server.room("open", publish=True, history=10)
    server.room("typed", publish=True, schema=Strict)
    server.room("latest", publish=True, delivery="latest", max_keys=1000)
    server.on("echo")(lambda conn, payload: payload)
    server.on("strict", Strict)(lambda conn, payload: payload.n)

    @server.on("boom")
    def boom(conn: fanwire.Connection, payload: Any) -> None:
        raise RuntimeError("secret detail")

    async with Arena.of(server) as arena:
        yield arena


def rows() -> list[Any]:
    every = [*(("json", row) for row in JSON), *(("msgpack", row) for row in MSGPACK)]
    # Only one's own failures are errors of the log: a client cannot make any.
    marks = {"internal": [pytest.mark.logs_errors]}
    return [pytest.param(codec, row, marks=marks.get(row.answer, ())) for codec, row in every]


@pytest.mark.parametrize(("codec", "row"), rows(), ids=lambda value: value if isinstance(value, str) else repr(value))
async def test_messages(arena: Arena, codec: str, row: Envelope) -> None:
    async with arena.watched() as server, await Talk.open(server, codec=codec) as talk:
        witnesses = [await Talk.open(server, codec=name) for name in ("json", "msgpack")]
        for witness in witnesses:
            await witness.ask("join", room="open")
        await talk.socket.send(row.frame)
        end = await talk.say("echo", payload="end")
        answers = []
        while (message := await hear(talk)).get("re") != end:
            answers.append(message)
        assert message["payload"] == "end"
        kinds = [answer["payload"]["code"] if answer["type"] == "error" else answer["type"] for answer in answers]
        assert kinds == ([row.answer] if row.answer else [])
        assert "secret" not in str(answers)
        # Who gets what was published can read it, whatever it is.
        server.publish("open", "end")
        heard: list[list[Any]] = []
        for witness in witnesses:
            heard.append([])
            while (message := await hear(witness))["payload"] != "end":
                heard[-1].append(message["payload"])
            witness.cut()
        is_published = row.answer == "reply" and row.name.startswith("publish") and "latest" not in str(row.frame)
        assert [len(messages) for messages in heard] == [is_published] * 2


async def hear(talk: Talk) -> dict[str, Any]:
    """The next message that is not about counts."""
    while (message := await talk.hear())["type"] == "received":
        pass
    return message
