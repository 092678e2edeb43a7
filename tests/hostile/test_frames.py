"""Frames that break the rules: whoever sends them is failed with the right code, and nobody else notices."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.wire import TEXT, close_frame, frame
from hostile.arena import Arena
from hostile.frames import ENDINGS, MAX_FRAGMENTS, MAX_MESSAGE, VIOLATIONS, Endings, Frames

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUBPROTOCOLS = {"raw": None, "session": {"Sec-WebSocket-Protocol": "fanwire.v1.json"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    server = Book({"max_message": MAX_MESSAGE, "max_fragments": MAX_FRAGMENTS}).listens()
    async with Arena.of(server) as arena:
        yield arena


@pytest.mark.parametrize("row", VIOLATIONS, ids=lambda row: row.name)
@pytest.mark.parametrize("speaks", SUBPROTOCOLS)
async def test_violations(arena: Arena, row: Frames, speaks: str) -> None:
    async with arena.watched() as server:
        ended = len(server.closed)
        counted = row.limit and arena.count(row.limit)
        async with await server.dial() as peer:
            await peer.upgrade("/", SUBPROTOCOLS[speaks])
            await peer.send(row.data)
            assert (await peer.closed())[0] == row.code
            # What it still sends is read by nobody; it may come too late for the connection.
            with contextlib.suppress(ConnectionError):
                await peer.send(frame(TEXT, b"after the violation"), close_frame(1000))
            assert await peer.end() == b""
        assert (await server.ended(ended + 1)).close_code == row.code
        assert "after the violation" not in server.heard
        if row.limit:
            assert arena.count(row.limit) == counted + 1


@pytest.mark.parametrize("row", ENDINGS, ids=lambda row: row.name)
async def test_endings(arena: Arena, row: Endings) -> None:
    async with arena.watched() as server:
        ended = len(server.closed)
        async with await server.peer() as peer:
            await peer.send(row.data)
            assert (await peer.closed())[0] == row.answer
            assert await peer.end() == b""
        assert (await server.ended(ended + 1)).close_code == row.noted
        assert "late" not in server.heard
