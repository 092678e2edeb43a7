"""The feeds of the demo, at a server that is overloaded for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from helpers.wait import until

from fanwire.demo.feeds import feed_quotes, feed_readings, feed_ticks
from fanwire.errors import Overloaded


class Overloads:
    """A server whose queues are full at first."""

    def __init__(self) -> None:
        self.refused = self.published = 0

    def publish(self, *_: object, **__: object) -> None:
        if not self.refused:
            self.refused += 1
            raise Overloaded("a queue is full")
        self.published += 1

    def count(self, room: str) -> int:
        return 0

    def stats(self) -> dict[str, Any]:
        return {**dict.fromkeys(STATS, 0), "latency_us": [], "drops": {}}


STATS = (
    "connections", "rooms", "published", "refused", "delivered", "bytes", "writes", "blocked", "closed_slow",
    "waiting_bytes", "waiting_bytes_limit",
)  # fmt: skip


@pytest.mark.parametrize("feed", [feed_quotes, feed_ticks, feed_readings])
async def test_a_feed_goes_on_after_an_overload(feed: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    server = Overloads()
    feeding = asyncio.ensure_future(feed(server))
    await until(lambda: feeding.done() or server.published >= 3, "it goes on")
    assert (server.refused, feeding.done()) == (1, False)
    feeding.cancel()
    await asyncio.wait([feeding])
