"""The subscription of a node to one room, because the room has members here."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from fanwire.backplane.base import Log, Stored

__all__ = ["Subscription"]


class Subscription:
    """The state of a subscription.

    Attributes:
        room: the name of the room.
        log: the log of its messages; None: it is a live room.
        refs: the number of members, and of clients that are joining.
        started: done when the room is heard; its exception says why it is not.
        since_ms: since when the room is heard, in milliseconds since 1970.
        is_on: whether messages go to the engine.
        is_behind: whether messages may have been lost on the way since reading has begun last.
        is_over: whether the subscription has ended.
        epoch: the epoch that clients are told: that of the log, unless the log has lost messages.
        source: the epoch of the log.
        seq: the number up to which everything was delivered to the engine, was skipped, or does not exist.
        newest: the number of the last message of them, as far as it is known; it is never too low.
        synced: when nothing was missing last, in seconds of the monotonic clock.
        waiting: messages that cannot be delivered yet.
        is_reached: whether the log was read into the engine back to its oldest message.
        catch_up_task: reads what is missing; None: nothing is known to be missing.
        end: ends the subscription some time after the last member has left; None: the room has members.
    """

    __slots__ = (
        "catch_up_task", "end", "epoch", "is_behind", "is_on", "is_over", "is_reached", "log", "newest", "refs",
        "room", "seq", "since_ms", "source", "started", "synced", "waiting",
    )  # fmt: skip

    def __init__(self, room: str, log: Log | None) -> None:
        self.room = room
        self.log = log
        self.refs = 0
        self.started: asyncio.Future[None] | None = None
        self.since_ms = time.time_ns() // 1_000_000
        self.is_behind = False
        self.is_on = False
        self.is_over = False
        self.is_reached = False
        self.epoch = self.source = ""
        self.seq = self.newest = 0
        self.synced = 0.0
        self.waiting: deque[Stored] = deque(maxlen=WAITING)
        self.catch_up_task: asyncio.Future[None] | None = None
        self.end: asyncio.TimerHandle | None = None

    def cancel_end(self) -> None:
        """Keeps the subscription: the room has a member again, or it ends now."""
        if self.end is not None:
            self.end.cancel()
            self.end = None


WAITING = 1024
"""Messages that wait while earlier ones are read. Beyond it the oldest are dropped: they are read from the log, too."""
