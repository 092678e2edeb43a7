"""Messages that wait to be appended to logs: in order for each room, retried while the backplane is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from fanwire.backplane.base import Backplane, Log, Unavailable
from fanwire.cluster.faults import Faults

__all__ = ["AppendQueue"]

logger = logging.getLogger("fanwire.cluster")


class QueuedAppend(NamedTuple):
    """A message in the queue.

    Attributes:
        log: the log of the room.
        data: the bytes to append.
        id: the message is stored once for each id.
        deadline: the end of retrying, by the loop's clock in seconds; when it was queued, if it is not retried.
        done: gets the number of the message, or the error.
        begun: when it was queued, by `time.perf_counter`.
    """

    log: Log
    data: bytes
    id: str
    deadline: float
    done: asyncio.Future[int]
    begun: float


class FailedAppend(NamedTuple):
    """The backplane has stored nothing in the last attempt.

    Attributes:
        error: why.
        begun: when the attempt began, by the loop's clock in seconds.
    """

    error: Unavailable
    begun: float


class AppendQueue:
    """Appends messages to logs, one at a time for each room. On the loop's thread only.

    Bounded by its callers: `LoggedPublishing` by `append_items` and `append_bytes`, `Revocations` by 10,000.

    Args:
        backplane: has the logs.
        timeout: seconds for which a message is retried. It must be less than the time for which the backplane remembers
            ids, so that no attempt stores a message a second time.
        spawn: runs a coroutine in a task.
        faults: counts and logs messages that are not stored; None: a new one.
        took: gets the seconds that a message waited for its answer, and "stored" or "failed".

    Attributes:
        trouble: why the last message could not be stored, until one is stored; None: the last one was.
    """

    def __init__(
        self,
        backplane: Backplane,
        timeout: float,
        spawn: Callable[..., object],
        faults: Faults | None = None,
        took: Callable[[float, str], object] = lambda seconds, result: None,
    ) -> None:
        self._backplane = backplane
        self._timeout = timeout
        self._spawn = spawn
        self._faults = faults or Faults()
        self._took = took
        self._rooms: dict[str, deque[QueuedAppend]] = {}
        self._is_closed = False
        self.trouble: str | None = None

    def put(self, log: Log, room: str, data: bytes, id: str, *, waits: bool) -> asyncio.Future[int]:
        """Queues a message. The future gets its number, or raises `Unavailable` or `ValueError` (too large).

        Args:
            log: the log of the room.
            room: the room.
            data: the bytes to append.
            id: the message is stored once for each id.
            waits: whether it is retried while the backplane is away. Otherwise it is tried once, or shares the fate of
                an attempt that began after it was queued.
        """
        loop = asyncio.get_running_loop()
        # The backplane forgets an id when it forgets the message.
        deadline = loop.time() + (min(self._timeout, log.age / 2) if waits else 0.0)
        item = QueuedAppend(log, data, id, deadline, loop.create_future(), time.perf_counter())
        # The caller may drop the future: asyncio must not log an error as never retrieved.
        item.done.add_done_callback(_look)
        if self._is_closed:
            self._faults.note("append", f"the node has stopped (room {room!r})")
            item.done.set_exception(Unavailable("the node has stopped"))
        elif room in self._rooms:
            self._rooms[room].append(item)
        else:
            self._rooms[room] = deque([item])
            self._spawn(self._work(room))
        return item.done

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more messages."""
        return self._is_closed

    async def close(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for the queued messages, fails the rest, and takes no more."""
        end = asyncio.get_running_loop().time() + timeout
        while self._rooms and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)
        self._is_closed = True
        for room, items in self._rooms.items():
            self._faults.note("append", f"the node stops (room {room!r})", len(items))
            for item in items:
                _fail(item, Unavailable("the node has stopped"))

    async def _work(self, room: str) -> None:
        # One at a time: otherwise the second message could be stored before the first is retried.
        items = self._rooms[room]
        try:
            while items and not self._is_closed:
                failure = await self._store(room, items[0])
                self._note(items.popleft())
                # Whose time was over when the last attempt began would fail as well, one after the other.
                while failure is not None and items and items[0].deadline <= failure.begun:
                    self._give_up(room, items[0], failure.error)
                    self._note(items.popleft())
        finally:
            del self._rooms[room]
            for item in items:
                _fail(item, Unavailable("the node has stopped"))

    def _note(self, item: QueuedAppend) -> None:
        has_failed = item.done.cancelled() or not item.done.done() or item.done.exception() is not None
        self._took(time.perf_counter() - item.begun, "failed" if has_failed else "stored")

    def _give_up(self, room: str, item: QueuedAppend, error: Unavailable) -> None:
        self._faults.note(_kind(item.log), f"{self.trouble} (room {room!r})")
        _fail(item, error)

    async def _store(self, room: str, item: QueuedAppend) -> FailedAppend | None:
        pause = FIRST_PAUSE
        has_declared, hint = False, ""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                seq = await self._backplane.append(item.log, room, item.data, item.id)
            except Unavailable as error:
                self.trouble = f"{error}{hint}"
                self._faults.note("append_wait", f"{self.trouble} (room {room!r})")
                may_wait = loop.time() < item.deadline
                if not may_wait and (has_declared or not self._backplane.is_up):
                    self._give_up(room, item, error)
                    return FailedAppend(error, begun)
                # A log that does not exist looks like a backplane that does not answer.
                hint = await self._declare(item.log)
                has_declared = True
                if may_wait:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LAST_PAUSE)
                if self._is_closed:
                    return None
            except Exception as error:  # noqa: BLE001 - the next messages have to be stored, whatever this one raises
                if not isinstance(error, ValueError):
                    self._faults.note("internal", error)
                    self._faults.note(_kind(item.log), f"{error!r} (room {room!r})")
                _fail(item, error)
                return None
            else:
                self.trouble = None
                self._faults.succeeded("append_wait")
                self._faults.succeeded(_kind(item.log))
                if not item.done.done():
                    item.done.set_result(seq)
                return None

    async def _declare(self, log: Log) -> str:
        """Makes a log if it is not there. Returns what that tells about the next message that is not stored."""
        # A backplane that keeps its logs in memory has lost them when it was restarted.
        try:
            if not self._backplane.is_up:
                return ""
            await self._backplane.declare(log)
        except Unavailable as error:
            logger.debug("log %r: %s", log.name, error)
            return f"; {error}"
        return STORES_NOTHING


def _kind(log: Log) -> str:
    return "revocation" if log.name == REVOCATIONS else "append"


def _fail(item: QueuedAppend, error: Exception) -> None:
    if not item.done.done():
        item.done.set_exception(error)


def _look(done: asyncio.Future[int]) -> None:
    if not done.cancelled():
        done.exception()


REVOCATIONS = "revocations"
"""The name of the log of revocations, see `fanwire.cluster.revocations`."""

STORES_NOTHING = "; its log is there, but takes no messages: the disk may be full, the NATS server logs the reason"
"""What is said besides the error if the backplane answers other requests: NATS with a full disk does not answer one to
store a message, and writes the reason to its log."""

FIRST_PAUSE = 0.02
"""Seconds from the first attempt to the second; then twice as long each time."""

LAST_PAUSE = 0.5
"""The most seconds between two attempts."""
