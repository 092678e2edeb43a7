"""What is ordered on one node and holds on all: who has to go. Kept in a log, so that a node that was cut off for a
while hears of it when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

import msgspec

from fanwire.backplane.base import Backplane, Log, Stored, Unavailable
from fanwire.cluster.append_queue import ORDERS, Appends
from fanwire.cluster.faults import Troubles
from fanwire.timing.deadline import within

__all__ = ["ALL", "LOG", "Order", "Orders"]


ALL = "all"
"""Where orders stand in their log."""


class Order(msgspec.Struct, array_like=True, frozen=True):
    """An order.

    Attributes:
        what: "disconnect_user", "revoke", "reauthorize", "remove" or "forget".
        whom: a subject or the id of a session; of "reauthorize", None: everybody.
        reason: what the client is told.
        node: who gives it.
        keys: what is forgotten: rooms, keys, and when, in microseconds since 1970.
        room: of "remove": the room that a subject has to leave.
    """

    what: str
    whom: str | None
    reason: str = ""
    node: int = 0
    keys: list[tuple[str, str, int]] = []
    room: str = ""


class Orders:
    """See the module's head. On the loop's thread only.

    Args:
        backplane: where the log is.
        appends: the way into it.
        node: this node, whose own orders were done when they were given.
        obey: does what another node has ordered.
        troubles: is told what goes wrong; None: nobody is.
        room: where they stand in the log: as many of each room are kept as of another.
    """

    def __init__(
        self,
        backplane: Backplane,
        appends: Appends,
        node: int,
        obey: Callable[[Order], None],
        troubles: Troubles | None = None,
        room: str = ALL,
    ) -> None:
        self._backplane = backplane
        self._appends = appends
        self._node = node
        self._obey = obey
        self._troubles = troubles or Troubles()
        self._room = room
        self._waiting = 0
        self._seq = 0
        self._epoch = ""
        self._is_catching = False
        self._is_behind = False
        self._caught_up = asyncio.Event()
        self._caught_up.set()

    async def start(self) -> None:
        """Hears of all orders from here on.

        Raises:
            Unavailable: the backplane cannot be reached.
        """
        await self._backplane.declare(LOG)
        self._epoch, self._seq, _ = await self._backplane.follow(LOG, self._room)

    def give(self, order: Order) -> asyncio.Future[None]:
        """Tells all nodes, in a while those that cannot be reached now. While this node is cut off it tries for as long
        as orders are kept. The future is done when the order is stored, or given up."""
        loop = asyncio.get_running_loop()
        given: asyncio.Future[None] = loop.create_future()
        if self._waiting >= MOST:
            self._troubles.note("order", f"more than {MOST} wait to be stored; this one is given up: {order.what}")
            given.set_result(None)
            return given
        self._waiting += 1
        data = msgspec.msgpack.encode(msgspec.structs.replace(order, node=self._node))
        self._put(data, f"{self._room}-{self._node:x}-{time.time_ns():x}", loop.time() + LOG.age, given)
        return given

    def _put(self, data: bytes, id: str, until: float, given: asyncio.Future[None]) -> None:
        stored = self._appends.put(LOG, self._room, data, id, waits=True)
        stored.add_done_callback(partial(self._stored, data, id, until, given))

    def _stored(
        self, data: bytes, id: str, until: float, given: asyncio.Future[None], stored: asyncio.Future[int]
    ) -> None:
        error = None if stored.cancelled() else stored.exception()
        may_try = isinstance(error, Unavailable) and not self._appends.is_closed
        if may_try and asyncio.get_running_loop().time() < until:
            # An order that is obeyed twice does no harm.
            self._put(data, id, until, given)
            return
        self._waiting -= 1
        if not given.done():
            given.set_result(None)

    def fall_behind(self) -> None:
        """The backplane was lost: some may be missed, until `catch_up` has been there."""
        self._caught_up.clear()

    async def caught_up(self) -> None:
        """Waits until nothing is known to be missing, but not for ever: they may be out of reach for long."""
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._caught_up.wait(), PATIENCE)

    async def take(self, message: Stored) -> None:
        """One has come; if others have not, they come first."""
        # One that we had already: the log may have been made anew.
        if self._is_catching or not message.prev <= self._seq < message.seq:
            await self.catch_up()
        else:
            self._do(message)

    async def catch_up(self) -> None:
        """Gets those that were missed, as soon as the backplane lets it."""
        self._is_behind = True
        self._caught_up.clear()
        if self._is_catching:
            return
        self._is_catching = True
        try:
            while self._is_behind:
                self._is_behind = False
                try:
                    await self._read_on()
                except Unavailable as error:
                    self._troubles.note("log_read", f"{error} (orders)")
                    self._is_behind = True
                    await asyncio.sleep(PAUSE)
                else:
                    self._troubles.succeeded("log_read")
            self._caught_up.set()
        finally:
            self._is_catching = False

    async def _read_on(self) -> None:
        await self._backplane.declare(LOG)
        epoch, seq, last = await self._backplane.state(LOG, self._room)
        if epoch != self._epoch or last < self._seq:
            self._epoch, self._seq = epoch, 0
        while self._seq < seq:
            messages, is_whole = await self._backplane.read(LOG, self._room, self._seq)
            if not is_whole and self._seq:
                self._troubles.note(
                    "log_gap", f"orders of other nodes, this one was cut off for more than {LOG.age:g} s"
                )
            if not messages:
                break
            for message in messages:
                self._do(message)

    def _do(self, message: Stored) -> None:
        if message.seq <= self._seq:
            return
        self._seq = message.seq
        try:
            order = msgspec.msgpack.decode(message.data, type=Order)
        except ValueError as error:
            self._troubles.note("malformed", f"{error} (an order)")
            return
        if order.node == self._node:
            return
        try:
            self._obey(order)
        except Exception as error:  # noqa: BLE001 - the orders that follow must not be lost with this one
            self._troubles.note("internal", error)


LOG = Log(ORDERS, 10_000, 16 << 20, 3600.0)
"""An hour: longer than a node is cut off without anybody looking after it."""


MOST = 10_000
"""Orders that wait to be stored: as many as the log keeps."""

PATIENCE = 10.0
"""Seconds for which others wait until missed orders have come."""

PAUSE = 0.5
"""Seconds until missed orders are asked for again."""
