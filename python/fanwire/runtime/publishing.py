"""Publishing for the application with an id: once for each id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from fanwire.deduplication.handled_ids import HandledIds
from fanwire.rooms.node import Node
from fanwire.timing.clock import monotonic
from fanwire.values.checks import check_text

__all__ = ["ID_AGE", "ID_MAX", "IdempotentPublishing"]


class IdempotentPublishing:
    """Publishes, and remembers the numbers of messages with an id. On the loop's thread only.

    Args:
        node: publishes. For rooms with a history the backplane remembers the id as well, for all nodes.
        clock: returns seconds that never go back.
    """

    def __init__(self, node: Node, clock: Callable[[], float] = monotonic) -> None:
        self._node = node
        self._clock = clock
        self._handled_ids = HandledIds(max_ids=IDS, max_owners=1, max_total=IDS)
        # Messages that wait for a tick or for the backplane, which bound their number.
        self._waiting: dict[str, asyncio.Future[int]] = {}

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        id: str | None = None,
        audience: bytes | None = None,
    ) -> int | Awaitable[int]:
        """Publishes, and returns the sequence number, as `Server.publish_acked`. A second message with the same id is
        not published, and returns the number of the first.

        Raises:
            ValueError: the id is empty or longer than 200 bytes, or as `Engine.publish`.
        """
        if id is None:
            return self._node.publish_acked(room, payload, json, key, exclude, delivery, None, audience)
        size = len(check_text("id", id, empty=True).encode())
        if not 0 < size <= ID_MAX:
            raise ValueError(f"id must have 1 to {ID_MAX} bytes, got {size}")
        name = f"{room}\0{id}"
        now = self._clock()
        known = self._handled_ids.find(None, name)
        if known is not None and now < known[1] + ID_AGE:
            seq: int = known[0]
            return seq
        running = self._waiting.get(name)
        if running is None:
            published = self._node.publish_acked(room, payload, json, key, exclude, delivery, id, audience)
            if isinstance(published, int):
                self._handled_ids.note(None, name, (published, now))
            if not isinstance(published, asyncio.Future):
                return published
            running = self._waiting[name] = published
            running.add_done_callback(partial(self._published, name))
        # One caller that no longer waits must not cancel it for the others.
        return asyncio.shield(running)

    def _published(self, name: str, published: asyncio.Future[int]) -> None:
        del self._waiting[name]
        if not published.cancelled() and published.exception() is None:
            self._handled_ids.note(None, name, (published.result(), self._clock()))


ID_MAX = 200
"""The most bytes of an id."""

ID_AGE = 120.0
"""Seconds for which an id is remembered, as in a backplane."""

IDS = 100_000
"""Ids that are remembered, at about 300 bytes each. At more than 800 messages a second the oldest are forgotten before
`ID_AGE`; a retry after a failure comes sooner than that."""
