"""Messages on their way into logs: in order for each room, tried again while the backplane is away, bounded."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from fanwire.backplane.base import Backplane, Log, Unavailable
from fanwire.cluster.faults import Troubles

__all__ = ["Appends"]

logger = logging.getLogger("fanwire.cluster")


class Item(NamedTuple):
    """A message on its way.

    Attributes:
        log: the room's.
        data: what is appended.
        id: its name, by which it is stored once.
        waits: whether it is tried again while the backplane is away.
        deadline: until when, by the loop's clock.
        done: gets its number, or the error.
    """

    log: Log
    data: bytes
    id: str
    waits: bool
    deadline: float
    done: asyncio.Future[int]


class Appends:
    """See the module's head. On the loop's thread only.

    Args:
        backplane: where they go.
        timeout: seconds for which a message is tried. Less than the time for which ids are remembered: so that no
            attempt can store what another has stored.
        spawn: runs a coroutine in a task.
        troubles: is told what is not stored; None: nobody is.
    """

    def __init__(
        self,
        backplane: Backplane,
        timeout: float,
        spawn: Callable[..., object],
        troubles: Troubles | None = None,
    ) -> None:
        self._backplane = backplane
        self._timeout = timeout
        self._spawn = spawn
        self._troubles = troubles or Troubles()
        self._rooms: dict[str, deque[Item]] = {}
        self._is_closed = False

    def put(self, log: Log, room: str, data: bytes, id: str, *, waits: bool) -> asyncio.Future[int]:
        """Takes a message; the future gets its number, or `Unavailable` or `ValueError`."""
        loop = asyncio.get_running_loop()
        # Ids are not remembered for longer than messages.
        deadline = loop.time() + min(self._timeout, log.age / 2)
        item = Item(log, data, id, waits, deadline, loop.create_future())
        # Nobody may care.
        item.done.add_done_callback(_look)
        if self._is_closed:
            self._troubles.note("append", f"the node has stopped (room {room!r})")
            item.done.set_exception(Unavailable("the node has stopped"))
        elif room in self._rooms:
            self._rooms[room].append(item)
        else:
            self._rooms[room] = deque([item])
            self._spawn(self._work(room))
        return item.done

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more."""
        return self._is_closed

    async def close(self, timeout: float) -> None:
        """Waits for what is on its way, and takes no more."""
        end = asyncio.get_running_loop().time() + timeout
        while self._rooms and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)
        self._is_closed = True
        for room, items in self._rooms.items():
            self._troubles.note("append", f"the node stops (room {room!r})", len(items))
            for item in items:
                _fail(item, Unavailable("the node has stopped"))

    async def _work(self, room: str) -> None:
        # One after the other: of two on the way at once, the second could be stored before the first is tried again.
        items = self._rooms[room]
        try:
            while items and not self._is_closed:
                await self._store(room, items[0])
                items.popleft()
        finally:
            del self._rooms[room]
            for item in items:
                _fail(item, Unavailable("the node has stopped"))

    async def _store(self, room: str, item: Item) -> None:
        pause = FIRST_PAUSE
        has_declared = False
        while True:
            try:
                seq = await self._backplane.append(item.log, room, item.data, item.id)
            except Unavailable as error:  # noqa: PERF203 - that is what it is for
                self._troubles.note("append_wait", f"{error} (room {room!r})")
                may_wait = item.waits and asyncio.get_running_loop().time() < item.deadline
                if not may_wait and (has_declared or not self._backplane.is_up):
                    self._troubles.note(_kind(item.log), f"{error} (room {room!r})")
                    _fail(item, error)
                    return
                # A log that is not there, or no longer, looks like a backplane that does not answer.
                await self._declare(item.log)
                has_declared = True
                if may_wait:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LAST_PAUSE)
                if self._is_closed:
                    return
            except Exception as error:  # noqa: BLE001 - the next message must not pay for this one
                if not isinstance(error, ValueError):
                    self._troubles.note("internal", error)
                    self._troubles.note(_kind(item.log), f"{error!r} (room {room!r})")
                _fail(item, error)
                return
            else:
                self._troubles.succeeded("append_wait")
                self._troubles.succeeded(_kind(item.log))
                if not item.done.done():
                    item.done.set_result(seq)
                return

    async def _declare(self, log: Log) -> None:
        # A server that kept its logs in memory has lost them with its end.
        try:
            if self._backplane.is_up:
                await self._backplane.declare(log)
        except Unavailable as error:
            logger.debug("log %r: %s", log.name, error)


def _kind(log: Log) -> str:
    return "order" if log.name == ORDERS else "append"


def _fail(item: Item, error: Exception) -> None:
    if not item.done.done():
        item.done.set_exception(error)


def _look(done: asyncio.Future[int]) -> None:
    if not done.cancelled():
        done.exception()


ORDERS = "orders"
"""The name of the log of orders, see `fanwire.cluster.revocations`."""

FIRST_PAUSE = 0.02
"""Seconds until the second attempt."""

LAST_PAUSE = 0.5
"""Seconds between attempts at most."""
