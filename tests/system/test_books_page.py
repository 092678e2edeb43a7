"""The order book of docs/books.md, as the page has it: followed through cut connections and lost sessions."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from helpers.pages import BLOCK
from helpers.wait import until

import fanwire
from fanwire.testing import FaultProxy

PAGE = Path(__file__).parents[2] / "docs" / "books.md"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[dict[str, ModuleType]]:
    """The modules of the page, by name."""
    found: dict[str, ModuleType] = {}
    for block in BLOCK.finditer(PAGE.read_text()):
        if block[3] is None:
            continue
        path = tmp_path / block[3]
        path.write_text(block[4].replace("port=8000", "port=0"))
        spec = importlib.util.spec_from_file_location(f"books_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        found[path.stem] = module
    yield found
    for module in found.values():
        del sys.modules[module.__name__]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll"])
async def test_the_books_are_the_same(files: dict[str, ModuleType], transport: str, encoding: str) -> None:
    market: Any = files["market"]
    follower = files["follower"].Follower()
    random = Random(1)
    async with market.server as server, FaultProxy(server) as proxy:
        for price in range(20):
            market.change(str(price), price + 1)
        options: dict[str, Any] = {"transports": (transport,), "encoding": encoding}
        async with fanwire.connect(proxy.url, **options) as client:
            following = asyncio.ensure_future(follower.follow(client))
            await until(lambda: client.rooms)
            for cut in range(6):
                for _ in range(5 if cut % 3 else 1200):
                    market.change(str(random.randrange(40)), random.choice([0, 1, 7, 99]))
                if cut % 2:
                    proxy.cut()
                elif server.connections:
                    # Its session ends, too: the client joins again.
                    server.connections[0].close(4000)
                for _ in range(random.randrange(200)):
                    market.change(str(random.randrange(40)), random.choice([0, 1, 7, 99]))
                for attempt in range(1, 100):
                    # A snapshot comes with the next message, whenever the client is back.
                    market.change("last", attempt)
                    with contextlib.suppress(AssertionError):
                        await until(lambda: client.rooms and client.rooms["book"].seq == market.last, seconds=1)
                        break
                assert follower.levels == market.levels
            following.cancel()
        found = follower.checker.report()
        assert (found.highest, found.missing, found.lost, found.skipped) == (market.last, 0, {}, {})
        assert found.received + found.restored + found.absent == found.highest - found.start
        assert found.is_complete


@pytest.mark.parametrize("missed", [0, 1, 2000])
async def test_a_stored_book_goes_on_where_it_was(files: dict[str, ModuleType], missed: int) -> None:
    market: Any = files["market"]
    async with market.server as server:
        for price in range(20):
            market.change(str(price), price + 1)
        async with fanwire.connect(server.url) as client:
            stored = (await client.join("book")).position
        follower = files["follower"].Follower()
        follower.levels = dict(market.levels)
        for number in range(missed):
            market.change(str(number % 7), number + 2)
        async with fanwire.connect(server.url) as client:
            following = asyncio.ensure_future(follower.follow(client, since=stored))
            await until(lambda: client.rooms)
            # No message is needed for the state that came with the join.
            await until(lambda: follower.levels == market.levels)
            assert follower.snapshots == (missed > 1000)
            market.change("new", 1)
            await until(lambda: follower.levels == market.levels)
            found = follower.checker.report()
            assert (found.is_complete, found.start, found.highest) == (True, stored.seq, market.last)
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
