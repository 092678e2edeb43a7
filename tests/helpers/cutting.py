"""Clients behind a proxy that is cut over and over, while messages flow both ways; and what they must have at the end:
all, once, and in order."""

from __future__ import annotations

import asyncio
import contextlib
import random
from functools import partial
from typing import Any

import fanwire
from fanwire.testing.tcp_proxy import FIN, RST, TcpProxy
from helpers.middlebox import HANG, PASS, REFUSE, RESET, Middlebox
from helpers.serving import Book
from helpers.wait import until, within

CLIENTS = 10
RATE = 2000
BOXED_RATE = 300
"""Less: each message passes two proxies of this process, and its clients are as many."""
TICK = 0.005
HEARTBEAT = 1.0
"""Seconds: a pong passes the loop three times, and that is as busy as it can be."""

WEBSOCKET, FALLBACK, POLLS = {"websocket"}, {"sse", "long-poll"}, {"long-poll"}
PHASES = [
    (PASS, False, WEBSOCKET), (REFUSE, False, FALLBACK), (PASS, False, WEBSOCKET), (HANG, True, POLLS),
    (PASS, False, WEBSOCKET), (RESET, False, FALLBACK), (REFUSE, True, POLLS),
]  # fmt: skip
"""What the proxy before the server does with upgrades, whether it holds responses, and what gets through. A client that
polls goes on with that until a WebSocket gets through."""


class Reader:
    """One client behind the proxy: what it has got, and what it publishes."""

    def __init__(self, number: int, client: fanwire.Client) -> None:
        self.number = number
        self.client = client
        self.got: list[fanwire.Message] = []
        self.gaps: list[fanwire.Gap] = []
        self.published = 0
        self.has_joined = False

    async def read(self) -> None:
        room = await self.client.join("feed")
        self.has_joined = True
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


def _all_use(readers: list[Reader], transports: set[str]) -> bool:
    return all(reader.client.transport in transports for reader in readers)


async def run(
    cuts: int, config: dict[str, Any], rng: random.Random, *, is_boxed: bool = False
) -> tuple[Book, list[Reader], int, list[Any]]:
    """Cuts connections so many times.

    Args:
        cuts: how often.
        config: of the server.
        rng: decides where, when and how.
        is_boxed: whether a proxy before the server blocks upgrades, and holds responses, in phases of equal length.
    """
    rate = BOXED_RATE if is_boxed else RATE
    server = Book({"drain_timeout": 5.0, **config})
    server.room("feed", history=1_000_000, history_bytes=1 << 30)
    server.room("up", publish=True)
    taken: list[Any] = []
    done = asyncio.Event()
    count = 0

    def publish() -> None:
        nonlocal count
        count += 1
        server.publish("feed", {"n": count, "pad": "x" * rng.randrange(200)})

    async def feed() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not done.is_set():
            await asyncio.sleep(TICK)
            # By the clock, so that the rate holds however late the loop is; but not all of a long wait at once, and no
            # more than twice what a fast machine has: a slow one would never be done with it.
            due = min(int((loop.time() - start) * rate), rate * cuts // 20)
            for _ in range(min(rate // 10, due - count)):
                publish()
        # Also for a reader that has joined behind all others.
        publish()

    async with server, contextlib.AsyncExitStack() as stack:
        box = await stack.enter_async_context(Middlebox(server.port)) if is_boxed else None
        behind = server.port if box is None else box.port
        proxy = await stack.enter_async_context(TcpProxy("127.0.0.1", behind, rng=rng))
        # A client whose connection is never cut sees what the others have published.
        watcher = await stack.enter_async_context(fanwire.connect(server.url))
        up = await watcher.join("up")

        async def watch() -> None:
            async for message in up:
                taken.append(message.data)  # noqa: PERF401 - seen while it grows

        url = f"ws://127.0.0.1:{proxy.port}"
        readers = []
        for number in range(CLIENTS):
            client = fanwire.connect(
                url, max_attempts=None, heartbeat=HEARTBEAT, encoding=rng.choice(["json", "msgpack"])
            )
            readers.append(Reader(number, await stack.enter_async_context(client)))
        tasks = [asyncio.ensure_future(watch())]
        tasks += [asyncio.ensure_future(reader.read()) for reader in readers]
        feeding = asyncio.ensure_future(feed())
        publishing = [asyncio.ensure_future(reader.publish(done)) for reader in readers]
        try:
            made = phases = 0
            while made < cuts:
                await asyncio.sleep(rng.uniform(0, 0.05))
                if box is not None and made >= phases * max(1, cuts // len(PHASES)):
                    box.upgrades, box.holds, transports = PHASES[phases % len(PHASES)]
                    phases += 1
                    box.cut()
                    await until(partial(_all_use, readers, transports), f"all use {transports}", 60)
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
            if box is not None:
                box.upgrades, box.holds = PASS, False
            await until(lambda: all(reader.has_joined for reader in readers), "all have joined", 60)
            done.set()
            await within(asyncio.gather(feeding, *publishing), 60)
            # A reader that joined late has fewer messages, and all from its first one on. So the last number counts.
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
