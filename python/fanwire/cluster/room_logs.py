"""The logs of rooms with a history: one for each policy, declared before its first use."""

from __future__ import annotations

import asyncio

from fanwire.backplane.base import Backplane, Log, Unavailable
from fanwire.cluster.tasks import Tasks
from fanwire.rooms.rules import RoomPolicy

__all__ = ["RoomLogs"]


class RoomLogs:
    """Declares each log once. On the loop's thread only.

    Args:
        backplane: has the logs.
        max_bytes: the most bytes of each log, `history_bytes`.
        tasks: runs declaring, which goes on when its caller is cancelled.
    """

    def __init__(self, backplane: Backplane, max_bytes: int, tasks: Tasks) -> None:
        self._backplane = backplane
        self._max_bytes = max_bytes
        self._tasks = tasks
        self._declared: dict[str, asyncio.Future[None]] = {}
        # By the names of logs, so bounded by the policies.
        self._epochs: dict[str, str] = {}

    def of(self, policy: RoomPolicy) -> Log:
        """The log of a policy's rooms."""
        return Log(NAME + policy.pattern, policy.history, self._max_bytes, policy.history_age)

    async def declare(self, log: Log) -> None:
        """Declares a log, unless it was declared before.

        Raises:
            Unavailable: the backplane cannot be reached.
        """
        declared = self._declared.get(log.name)
        if declared is None or (declared.done() and (declared.cancelled() or declared.exception() is not None)):
            declared = self._declared[log.name] = self._tasks.spawn(self._backplane.declare(log))
        await asyncio.shield(declared)

    async def epoch(self, log: Log, room: str) -> str | None:
        """The epoch of a log; None: the backplane is away. It is asked for once, and again after a reconnect."""
        known = self._epochs.get(log.name)
        if known is None:
            try:
                await self.declare(log)
                known = self._epochs[log.name] = (await self._backplane.state(log, room)).epoch
            except Unavailable:
                return None
        return known

    def forget(self) -> None:
        """Has each log declared again: the backplane was away, and may have lost them."""
        self._declared.clear()
        self._epochs.clear()


NAME = "rooms "
"""The prefix of the names of these logs."""
