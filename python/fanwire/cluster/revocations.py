"""Revocations on all nodes: of connections, rights, and values of keys.

They are kept in a log for an hour, so that a node that was cut off reads them when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

import msgspec

from fanwire.backplane.base import Backplane, Log, Stored, Unavailable
from fanwire.cluster.append_queue import REVOCATIONS, AppendQueue
from fanwire.cluster.faults import Faults
from fanwire.timing.deadline import within

__all__ = ["ALL", "LOG", "ClusterRevocation", "Revocations"]


ALL = "all"
"""The room of the log for revocations of connections and rights."""


class ClusterRevocation(msgspec.Struct, array_like=True, frozen=True):
    """Something that is revoked on all nodes.

    Attributes:
        what: "disconnect_user", "revoke", "reauthorize", "remove" or "forget".
        whom: a subject, or the id of a session for "revoke"; None: all clients ("reauthorize").
        reason: is told to the client.
        node: the id of the node that has sent it.
        keys: for "forget": room, key and time (microseconds since 1970) of each forgotten key.
        room: of "remove": the room that a subject has to leave.
    """

    what: str
    whom: str | None
    reason: str = ""
    node: int = 0
    keys: list[tuple[str, str, int]] = []
    room: str = ""


class Revocations:
    """Sends revocations to other nodes, and applies theirs, each once and in order. On the loop's thread only.

    Args:
        backplane: has the log.
        append_queue: appends to it.
        node: the id of this node, which has applied its own revocations already.
        apply: applies a revocation of another node.
        faults: counts and logs what fails; None: a new one.
        room: the room of the log. The log keeps 10,000 of each room.
    """

    def __init__(
        self,
        backplane: Backplane,
        append_queue: AppendQueue,
        node: int,
        apply: Callable[[ClusterRevocation], None],
        faults: Faults | None = None,
        room: str = ALL,
    ) -> None:
        self._backplane = backplane
        self._append_queue = append_queue
        self._node = node
        self._apply = apply
        self._faults = faults or Faults()
        self._room = room
        self._waiting = 0
        self._seq = 0
        self._epoch = ""
        self._is_catching = False
        self._is_behind = False
        self._caught_up = asyncio.Event()
        self._caught_up.set()

    async def start(self) -> None:
        """Begins to receive revocations.

        Raises:
            Unavailable: the backplane cannot be reached.
        """
        await self._backplane.declare(LOG)
        state = await self._backplane.follow(LOG, self._room)
        self._epoch, self._seq = state.epoch, state.seq

    def give(self, revocation: ClusterRevocation) -> asyncio.Future[None]:
        """Sends a revocation to all nodes. While this node is cut off it is retried for an hour, as long as revocations
        are kept. The future is done when the revocation is stored or given up; it raises nothing."""
        loop = asyncio.get_running_loop()
        given: asyncio.Future[None] = loop.create_future()
        if self._waiting >= MOST:
            self._faults.note(
                "revocation", f"{MOST} wait to be stored already; this one is given up: {revocation.what}"
            )
            given.set_result(None)
            return given
        self._waiting += 1
        data = msgspec.msgpack.encode(msgspec.structs.replace(revocation, node=self._node))
        self._put(data, f"{self._room}-{self._node:x}-{time.time_ns():x}", loop.time() + LOG.age, given)
        return given

    def _put(self, data: bytes, id: str, until: float, given: asyncio.Future[None]) -> None:
        stored = self._append_queue.put(LOG, self._room, data, id, waits=True)
        stored.add_done_callback(partial(self._stored, data, id, until, given))

    def _stored(
        self, data: bytes, id: str, until: float, given: asyncio.Future[None], stored: asyncio.Future[int]
    ) -> None:
        error = None if stored.cancelled() else stored.exception()
        may_try = isinstance(error, Unavailable) and not self._append_queue.is_closed
        if may_try and asyncio.get_running_loop().time() < until:
            # Again, although it may be stored: a revocation that is applied twice does no harm.
            self._put(data, id, until, given)
            return
        self._waiting -= 1
        if not given.done():
            given.set_result(None)

    def fall_behind(self) -> None:
        """Notes that the backplane is away: revocations may be missed, until `catch_up` has ended."""
        # A reading that goes on may have ended before the loss: it does not count.
        self._is_behind = True
        self._caught_up.clear()

    async def caught_up(self) -> None:
        """Waits until no revocation is known to be missing, `PATIENCE` seconds at most."""
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._caught_up.wait(), PATIENCE)

    async def take(self, message: Stored) -> None:
        """Applies a revocation from the log. If earlier ones are missing, they are read and applied first."""
        # Also for a number that has come before: the log may have been made again.
        if self._is_catching or not message.prev <= self._seq < message.seq:
            await self.catch_up()
        else:
            self._do(message)

    async def catch_up(self) -> None:
        """Reads and applies the missing revocations. Retries until the backplane answers."""
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
                    self._faults.note("log_read", f"{error} (revocations)")
                    self._is_behind = True
                    await asyncio.sleep(PAUSE)
                else:
                    self._faults.succeeded("log_read")
            self._caught_up.set()
        finally:
            self._is_catching = False

    async def _read_on(self) -> None:
        await self._backplane.declare(LOG)
        state = await self._backplane.state(LOG, self._room)
        epoch, seq, last = state.epoch, state.seq, state.last
        if epoch != self._epoch or last < self._seq:
            self._epoch, self._seq = epoch, 0
        while self._seq < seq:
            messages, is_whole = await self._backplane.read(LOG, self._room, self._seq)
            if not is_whole and self._seq:
                why = f"revocations of other nodes, this one was cut off for more than {LOG.age:g} s"
                self._faults.note("log_gap", why)
            if not messages:
                break
            for message in messages:
                self._do(message)

    def _do(self, message: Stored) -> None:
        if message.seq <= self._seq:
            return
        self._seq = message.seq
        try:
            revocation = msgspec.msgpack.decode(message.data, type=ClusterRevocation)
        except ValueError as error:
            self._faults.note("malformed", f"{error} (a revocation)")
            return
        if revocation.node == self._node:
            return
        try:
            self._apply(revocation)
        except Exception as error:  # noqa: BLE001 - the following revocations have to be applied, too
            self._faults.note("internal", error)


LOG = Log(REVOCATIONS, 10_000, 16 << 20, 3600.0)
"""10,000 revocations of each room, 16 MiB, an hour: an operator looks after a node that is cut off for longer."""


MOST = 10_000
"""Revocations that may wait to be stored: as many as the log keeps."""

PATIENCE = 10.0
"""The most seconds that `caught_up` waits."""

PAUSE = 0.5
"""Seconds between attempts to read missing revocations."""
