"""Publishing on behalf of the application, once for each id. On the loop's thread only."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from fanwire.deduplication.handled_ids import Seen
from fanwire.rooms.node import Fabric
from fanwire.values.checks import check_text

__all__ = ["ID_AGE", "ID_MAX", "Published"]


class Published:
    """Remembers the numbers of messages that were published with an id.

    Args:
        fabric: publishes. Where it stores a message it finds the id as well, at all nodes.
        clock: seconds, never going back.
    """

    def __init__(self, fabric: Fabric, clock: Callable[[], float] = time.monotonic) -> None:
        self._fabric = fabric
        self._clock = clock
        self._seen = Seen(max_ids=IDS, max_owners=1, max_total=IDS)

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        id: str | None = None,
    ) -> int | Awaitable[int]:
        """Publishes, and returns the sequence number, see `Fabric.publish_acked`. A second message with the same id is
        not published, and returns the number of the first.

        Raises:
            ValueError: the id is empty or too long, or as `Engine.publish`.
        """
        if id is None:
            return self._fabric.publish_acked(room, payload, json, key, exclude, delivery)
        size = len(check_text("id", id, empty=True).encode())
        if not 0 < size <= ID_MAX:
            raise ValueError(f"id must have 1 to {ID_MAX} bytes, got {size}")
        name = f"{room}\0{id}"
        now = self._clock()
        known = self._seen.find(None, name)
        if known is not None and now < known[1] + ID_AGE:
            seq: int = known[0]
            return seq
        published = self._fabric.publish_acked(room, payload, json, key, exclude, delivery, id)
        if isinstance(published, int):
            self._seen.note(None, name, (published, now))
        return published


ID_MAX = 200
"""Bytes of an id."""

ID_AGE = 120.0
"""Seconds for which an id is remembered: as long as a backplane does."""

IDS = 100_000
"""Ids that are remembered, at about 300 bytes each. At more than 800 messages a second the oldest are forgotten before
`ID_AGE`; a retry after a failure comes sooner than that."""
