"""What the demo publishes by itself. Each feed is a coroutine that ends with the server. The page shows the regions of
this file beside its panels."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Any

from fanwire.demo.market import Market
from fanwire.demo.readings import Readings
from fanwire.demo.rooms import ROOMS
from fanwire.demo.statistics import Statistics
from fanwire.errors import Overloaded
from fanwire.server import Server

__all__ = ["feed_quotes", "feed_readings", "feed_ticks"]

logger = logging.getLogger("fanwire.demo")


async def feed_quotes(server: Server) -> None:
    """Publishes the price of every symbol, 20 times a second."""
    market = Market(Random())  # noqa: S311 - no secret is made of these numbers
    # region quotes
    async for _ in every(1 / 20):
        with unless_overloaded("quotes"):
            for symbol, quote in market.move().items():
                server.publish("quotes", quote, key=symbol)
    # endregion


async def feed_ticks(server: Server) -> None:
    """Publishes a number, ten times a second."""
    # region ticks
    async for n in every(1 / 10):
        with unless_overloaded("ticks"):
            server.publish("ticks", {"n": n})
    # endregion


async def feed_readings(server: Server) -> None:
    """Publishes the readings of this machine, 20 times a second, and those of the engine, twice a second."""
    readings, statistics = Readings(), Statistics()
    async for tick in every(1 / RATE):
        # region readings
        for room, key, data in readings.sample():
            publish(server, room, key, data)
        # endregion
        if tick % (RATE // STATS_RATE) == 0:
            for room in ROOMS:
                publish(server, "machine.rooms", room, {"room": room, "members": server.count(room)})
            publish(server, "engine.stats", "engine", statistics.of(time.monotonic(), server.stats()))


def publish(server: Server, room: str, key: str, data: dict[str, Any]) -> None:
    """Publishes a reading with its time: the page has the same clock, and measures latency with it."""
    with unless_overloaded(room):
        server.publish(room, {"t": time.time() * 1e3, **data}, key=key)


@contextmanager
def unless_overloaded(room: str) -> Iterator[None]:
    """Leaves out what an overloaded server refuses: the next message comes soon."""
    try:
        yield
    except Overloaded as error:
        logger.warning("a message of %s is left out: %s", room, error)


async def every(seconds: float) -> AsyncIterator[int]:
    """Yields 0, 1, 2... at fixed times. Missed times, as of a laptop that slept, are not made up for."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    for tick in count():
        yield tick
        due = max(due + seconds, loop.time())
        await asyncio.sleep(due - loop.time())


RATE = 20
"""Readings a second."""

STATS_RATE = 2
"""Readings of the engine a second."""
