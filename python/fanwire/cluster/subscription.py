"""One room that a node hears from others, because it has members for it."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from fanwire.backplane.base import Log, Stored

__all__ = ["Followed"]


class Followed:
    """See the module's head.

    Attributes:
        room: its name.
        log: where its messages are kept; None of a live room.
        refs: members, and those who are about to be.
        started: done when it is heard; its exception says why it is not.
        since_ms: when it began to be heard, in milliseconds since 1970.
        is_on: whether what comes goes to the engine.
        is_over: nobody here is interested any more.
        epoch: names the numbering to clients: that of the log, unless the log has lost messages.
        source: the epoch of the log.
        seq: the last number that went to the engine, or was skipped.
        synced: when all that there was had come, by the monotonic clock.
        waiting: what has come and cannot be delivered yet.
        catching: the task that gets what is missing.
        end: when nobody was in it for a while.
    """

    __slots__ = (
        "catching", "end", "epoch", "is_on", "is_over", "log", "refs", "room", "seq", "since_ms",
        "source", "started", "synced", "waiting",
    )  # fmt: skip

    def __init__(self, room: str, log: Log | None) -> None:
        self.room = room
        self.log = log
        self.refs = 0
        self.started: asyncio.Future[None] | None = None
        self.since_ms = time.time_ns() // 1_000_000
        self.is_on = False
        self.is_over = False
        self.epoch = self.source = ""
        self.seq = 0
        self.synced = 0.0
        self.waiting: deque[Stored] = deque(maxlen=WAITING)
        self.catching: asyncio.Future[None] | None = None
        self.end: asyncio.TimerHandle | None = None

    def cancel_end(self) -> None:
        """Somebody is in it again."""
        if self.end is not None:
            self.end.cancel()
            self.end = None


WAITING = 1024
"""Messages that wait while earlier ones are fetched. The oldest go first: they are fetched, too."""
