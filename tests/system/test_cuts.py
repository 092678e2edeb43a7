"""Connections that are cut at any byte, over and over, while messages flow both ways: nothing is lost, doubled or
reordered. The long form (`make soak`) has 1,000 cuts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from typing import Any

import pytest
from helpers.proxy import FIN, RST, Proxy
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire.client import backoff

CUTS = int(os.environ.get("FANWIRE_CUTS", "80"))
CLIENTS = 10
RATE = 2000
TICK = 0.005


class Reader:
    """One client behind the proxy: what it has got, and what it publishes."""

    def __init__(self, number: int, client: fanwire.Client) -> None:
        self.number = number
        self.client = client
        self.got: list[fanwire.Message] = []
        self.gaps: list[fanwire.Gap] = []
        self.published = 0

    async def read(self) -> None:
        room = await self.client.join("feed")
        room.on_gap(self.gaps.append)
        async for message in room:
            self.got.append(message)

    async def publish(self, done: asyncio.Event) -> None:
        """Three at a time, in order."""

        async def one(number: int) -> None:
            assert await self.client.publish("up", [self.number, number]) > 0

        while not done.is_set():
            await asyncio.gather(*(one(self.published + ahead) for ahead in range(3)))
            self.published += 3
            await asyncio.sleep(0.002)


async def run(cuts: int, config: dict[str, Any], rng: random.Random) -> tuple[Book, list[Reader], int, list[Any]]:
    server = Book({"drain_timeout": 5.0, **config})
    server.room("feed", history=1_000_000, history_bytes=1 << 30)
    server.room("up", publish=True)
    taken: list[Any] = []
    done = asyncio.Event()
    count = 0

    async def feed() -> None:
        nonlocal count
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not done.is_set():
            await asyncio.sleep(TICK)
            # By the clock, so that the rate holds however late the loop is; but not all of a long wait at once.
            for _ in range(min(RATE // 10, int((loop.time() - start) * RATE) - count)):
                count += 1
                server.publish("feed", {"n": count, "pad": "x" * rng.randrange(200)})

    async with server, Proxy("127.0.0.1", server.port, rng=rng) as proxy, contextlib.AsyncExitStack() as stack:
        # A member of the server's own, whom nobody cuts, sees what the clients have published.
        watcher = await stack.enter_async_context(fanwire.connect(server.url))
        up = await watcher.join("up")

        async def watch() -> None:
            async for message in up:
                taken.append(message.data)  # noqa: PERF401 - seen while it grows

        url = f"ws://127.0.0.1:{proxy.port}"
        readers = []
        for number in range(CLIENTS):
            client = fanwire.connect(url, max_attempts=None, heartbeat=0.5, encoding=rng.choice(["json", "msgpack"]))
            readers.append(Reader(number, await stack.enter_async_context(client)))
        tasks = [asyncio.ensure_future(watch())]
        tasks += [asyncio.ensure_future(reader.read()) for reader in readers]
        feeding = asyncio.ensure_future(feed())
        publishing = [asyncio.ensure_future(reader.publish(done)) for reader in readers]
        try:
            made = 0
            while made < cuts:
                await asyncio.sleep(rng.uniform(0, 0.05))
                links = list(proxy.links)
                if links:
                    link = rng.choice(links)
                    line = rng.choice([link.down, link.up])
                    if rng.random() < 0.03:
                        # Silent, and open on both sides: only the heartbeat can tell.
                        line.change(held=True)
                    else:
                        count_to_cut = rng.randrange(20_000 if line is link.down else 500)
                        line.cut_after(count_to_cut, rng.choice([FIN, RST]), from_now=True)
                    made += 1
            done.set()
            await within(asyncio.gather(feeding, *publishing), 60)
            # By the number of the last: whoever joined late has fewer, and from there on all.
            await until(
                lambda: all(reader.got and reader.got[-1].seq >= count for reader in readers), "all have it", 60
            )
            total = sum(reader.published for reader in readers)
            await until(lambda: len(taken) >= total, "all that was published has come", 60)
            # Whatever would come twice comes now.
            await asyncio.sleep(0.1)
        finally:
            done.set()
            for task in [*tasks, feeding, *publishing]:
                task.cancel()
            await asyncio.gather(*tasks, feeding, *publishing, return_exceptions=True)
    return server, readers, count, taken


def check(readers: list[Reader], count: int, taken: list[Any]) -> None:
    for reader in readers:
        assert reader.gaps == []
        assert [message.seq for message in reader.got] == list(range(reader.got[0].seq, count + 1))
        assert all(message.data["n"] == message.seq for message in reader.got)
        assert [number for who, number in taken if who == reader.number] == list(range(reader.published))


@pytest.fixture(autouse=True)
def _every_loss_is_a_new_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise clients that are cut ten times in ten seconds would wait for minutes, as they should elsewhere."""
    monkeypatch.setattr(backoff, "SETTLED", 0.0)


@pytest.mark.usefixtures("eager_clients")
@pytest.mark.timeout(60 + CUTS)
async def test_random_cuts_lose_double_and_reorder_nothing() -> None:
    _, readers, count, taken = await run(CUTS, {}, random.Random())
    check(readers, count, taken)


@pytest.mark.usefixtures("eager_clients")
@pytest.mark.timeout(60 + CUTS)
async def test_neither_do_they_when_the_servers_limits_are_hit_now_and_then() -> None:
    config = {"connection_bytes": 24 << 10, "replay_bytes": 24 << 10, "unsent_bytes": 4096}
    server, readers, count, taken = await run(CUTS, config, random.Random())
    check(readers, count, taken)
    assert any(conn._session is not None and conn._session.ended == "overflow" for conn in server.closed)
