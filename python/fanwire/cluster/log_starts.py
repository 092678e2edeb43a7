"""Positions of logs, some seconds old: before the first message of a room that is found by its first message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from fanwire.backplane.base import Backplane, Log, Unavailable
from fanwire.cluster.room_logs import RoomLogs

__all__ = ["LogStarts"]


class LogStarts:
    """Remembers where each log has ended lately. All rooms of a log share its numbers. On the loop's thread only.

    Args:
        backplane: has the logs.
        logs: declares them.
    """

    def __init__(self, backplane: Backplane, logs: RoomLogs) -> None:
        self._backplane = backplane
        self._logs = logs
        # Bounded: by the policies, and by `KEPT`.
        self._ends: dict[str, deque[tuple[str, int]]] = {}

    def before(self, log: Log, begin: tuple[str, int] | None) -> tuple[str, int] | None:
        """A position in a log from some seconds ago, but not before `begin`; None: it is not known."""
        ends = self._ends.get(log.name)
        if not ends:
            return begin
        epoch, seq = ends[0]
        return (epoch, max(seq, begin[1])) if begin is not None and begin[0] == epoch else (epoch, seq)

    async def note(self, logs: Iterable[Log]) -> dict[str, tuple[str, int]]:
        """Notes where logs end now, and returns it by their names.

        Raises:
            Unavailable: the backplane is away.
        """
        found: dict[str, tuple[str, int]] = {}
        for log in logs:
            await self._logs.declare(log)
            # Of any room: this one has no message.
            state = await self._backplane.state(log, "\0")
            ends = self._ends.setdefault(log.name, deque(maxlen=KEPT))
            if ends and ends[-1][0] != state.epoch:
                ends.clear()
            ends.append((state.epoch, state.last))
            found[log.name] = (state.epoch, state.last)
        return found

    async def keep_noting(self, logs: list[Log]) -> None:
        """Notes them again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self.note(logs)
            except Unavailable:
                # What is known stays: it is only older.
                continue


KEPT = 3
"""Positions that are remembered: the oldest is 10 to 15 seconds old."""

PAUSE = 5.0
"""Seconds between two positions. An announcement of a room takes some milliseconds."""
