"""Names of rooms of all kinds, in everything that takes one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.talk import Talk
from hostile.arena import Arena
from hostile.names import NAMES, Name

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    server = Book({"message_rate": 0})
    server.room("open", publish=True, presence=True, history=10)
    server.room("all", publish=False)
    # Such a pattern makes a room of any of these, were they names.
    server.room("w*", publish=True, presence=True)
    async with Arena.of(server) as arena:
        yield arena


BY_PATTERN = {"join": "invalid_payload", "leave": "not_joined"}
"""The answers to a pattern, which these two take: it has no position, and the client has not joined it."""


@pytest.mark.parametrize("row", NAMES, ids=repr)
async def test_names(arena: Arena, row: Name) -> None:
    async with arena.watched() as server, await Talk.open(server) as talk:
        rooms, counted = server.stats()["rooms"], arena.count("room_name")
        is_pattern = "*" in row.room and server.config.is_room_name(row.room.replace("*", "a"))
        for kind in ("join", "publish", "presence", "leave"):
            name = await talk.say(kind, room=row.room, payload={"since": {"epoch": "x", "seq": 1}})
            while (error := await talk.hear())["type"] == "received":
                pass
            assert error["type"] == "error"
            # Of what is no envelope nothing is known, its id neither.
            assert error.get("re") == (None if row.code == "bad_message" else name)
            code = "not_joined" if (kind, row.code) == ("leave", "forbidden") else row.code
            if is_pattern and kind in BY_PATTERN:
                code = BY_PATTERN[kind]
            assert error["payload"]["code"] == code
            # It is not sent back at ten times its size.
            assert len(error["payload"]["text"]) < 3 * 255
        assert (await talk.ask("join", room="open"))["type"] == "joined"
        assert server.stats()["rooms"] <= rooms + 1
        names = 2 if is_pattern else 4
        assert arena.count("room_name") - counted == (names if row.code == "bad_room" else 0)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(
    "room", ["wx", "w.x", "w\u00e9\u00e8", "w\u65e5\u672c", "w:1/2@3", "w" + "\u00e9" * 127, "w" * 255]
)
async def test_names_that_are_some(arena: Arena, codec: str, room: str) -> None:
    async with arena.watched() as server, await Talk.open(server, codec=codec) as talk:
        assert (await talk.ask("join", room=room))["room"] == room
        assert (await talk.ask("leave", room=room))["room"] == room
