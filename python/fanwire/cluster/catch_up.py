"""Delivers the stored messages of rooms to the engine, in order and without holes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane, Log, LogState, Stored, Unavailable
from fanwire.cluster.faults import Faults
from fanwire.cluster.node_message import NodeMessage, unpack
from fanwire.cluster.room_logs import RoomLogs
from fanwire.cluster.subscription import Subscription
from fanwire.cluster.tasks import Tasks
from fanwire.errors import Overloaded

__all__ = ["CatchUp"]


class CatchUp:
    """Keeps the rooms with a history up to date. On the loop's thread only.

    Args:
        engine: delivers to the members of this node.
        backplane: has the logs.
        logs: declares the logs.
        tasks: runs reading.
        excluded: returns the members that do not get a message, if this node has published it.
        renewed: is called with the name of a room whose numbering had to begin again.
        faults: counts and logs what fails.
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        logs: RoomLogs,
        tasks: Tasks,
        excluded: Callable[[NodeMessage], Sequence[int]],
        renewed: Callable[[str], None],
        faults: Faults,
    ) -> None:
        self._engine = engine
        self._backplane = backplane
        self._logs = logs
        self._tasks = tasks
        self._excluded = excluded
        self._renewed = renewed
        self._faults = faults

    async def begin(self, subscription: Subscription, log: Log, has_values: bool) -> None:
        """Begins to deliver the messages of a room, from the newest on.

        Args:
            subscription: of the room.
            log: its log.
            has_values: whether joiners get the newest value of each key, which are read first.

        Raises:
            Unavailable: the backplane cannot be reached.
        """
        await self._logs.declare(log)
        state = await self._backplane.follow(log, subscription.room)
        subscription.epoch = subscription.source = state.epoch
        subscription.seq = state.seq
        subscription.newest = state.seq if state.newest is None else state.newest
        subscription.synced = time.monotonic()
        self._engine.place(subscription.room, subscription.epoch, subscription.seq)
        if has_values:
            # Values that are older than the log are lost.
            await self._reach_back(subscription, log, 0, only_whole=False)
        subscription.is_on = True
        if subscription.is_behind:
            self.catch_up(subscription)
        self._drain(subscription)

    def take(self, subscription: Subscription, message: Stored) -> None:
        """Delivers a message that has come, or keeps it until what is missing before it has been read."""
        subscription.waiting.append(message)
        if subscription.is_on and not self._is_catching(subscription):
            self._drain(subscription)

    def lost(self, subscription: Subscription) -> None:
        """Reads what may have been lost on the way just now: once more, if it is read already."""
        subscription.is_behind = True
        self.catch_up(subscription)

    def catch_up(self, subscription: Subscription) -> None:
        """Reads what may be missing. Messages that come meanwhile wait."""
        if subscription.is_on and not self._is_catching(subscription):
            subscription.catch_up_task = self._tasks.spawn(self._catch_up(subscription))

    def is_elsewhere(self, subscription: Subscription, since: tuple[str, int] | None) -> bool:
        """Whether a position is outside of what the engine keeps: older than all, or newer than all."""
        if since is None or subscription.log is None or since[0] != subscription.epoch:
            return False
        room = subscription.room
        return not self._engine.floor(room)[1] <= since[1] <= self._engine.position(room)[1]

    def is_short(self, subscription: Subscription, count: int) -> bool:
        """Whether the log may have older messages than the engine keeps, which has fewer than `count`."""
        if subscription.log is None or subscription.is_reached:
            return False
        _, kept = self._engine.history(subscription.room, ("", 0), count)
        return len(kept) < count

    async def reach_oldest(self, subscription: Subscription, log: Log) -> None:
        """Gives the engine all messages of the room that the log has, as many of the newest as it keeps.

        Raises:
            Unavailable: the backplane cannot be reached.
        """
        await self._reach_back(subscription, log, 0, only_whole=False)
        subscription.is_reached = True

    async def reach(self, subscription: Subscription, log: Log, since: int) -> None:
        """Gives the engine the messages after a number, if the log still has all of them. If the number has not come
        to this node yet, it waits for it first: another node may have been faster.

        Raises:
            Unavailable: the backplane cannot be reached, or does not have the number yet.
        """
        for _ in range(AHEAD):
            if since <= self._engine.position(subscription.room)[1] or subscription.is_over:
                break
            self.catch_up(subscription)
            if subscription.catch_up_task is not None:
                await asyncio.wait([subscription.catch_up_task], timeout=LAST_PAUSE)
            await asyncio.sleep(FIRST_PAUSE)
        else:
            if since <= (await self._backplane.state(log, subscription.room)).last:
                raise Unavailable(f"message {since}, which the client has, has not come to this node yet")
        await self._reach_back(subscription, log, since, only_whole=True)

    async def _reach_back(self, subscription: Subscription, log: Log, since: int, *, only_whole: bool) -> None:
        after = since
        older: list[tuple[int, int, bytes | str | None, bool, str | None, str | None, bytes | None]] = []
        # The floor may rise during a read.
        while after < (floor := self._engine.floor(subscription.room)[1]):
            messages, is_whole = await self._backplane.read(log, subscription.room, after, floor)
            if not is_whole and only_whole:
                return
            if not messages:
                # The room has no message from there to the floor.
                after = floor
                continue
            if not is_whole:
                since, older = messages[0].seq - 1, []
            for message in messages:
                try:
                    node_message = unpack(message.data)
                except ValueError as error:
                    self._faults.note("malformed", f"{error} (room {subscription.room!r}, message {message.seq})")
                    since, older = message.seq, []
                    continue
                payload = node_message.payload if node_message.forgotten_us is None else None
                older.append(
                    (
                        message.seq,
                        node_message.ts_ms,
                        payload,
                        node_message.json,
                        node_message.key,
                        node_message.delivery,
                        node_message.audience,
                    )
                )
            after = messages[-1].seq
        self._engine.extend(subscription.room, subscription.epoch, since, older)

    def remind(self, subscription: Subscription) -> None:
        """Gives the engine the position of a room again, if it has forgotten the empty room."""
        if subscription.is_on and subscription.log is not None:
            epoch, _ = self._engine.position(subscription.room)
            if epoch != subscription.epoch:
                self._engine.place(subscription.room, subscription.epoch, subscription.seq)
                subscription.is_reached = False

    def _is_catching(self, subscription: Subscription) -> bool:
        return subscription.catch_up_task is not None and not subscription.catch_up_task.done()

    def _drain(self, subscription: Subscription) -> None:
        """Delivers the waiting messages up to the first hole, and begins to read what is missing."""
        while subscription.waiting:
            if not self._accept(subscription, subscription.waiting[0]):
                self.catch_up(subscription)
                return
            subscription.waiting.popleft()
        subscription.synced = time.monotonic()

    def _accept(self, subscription: Subscription, message: Stored) -> bool:
        """Delivers a message. False: one before it is missing, or the engine is overloaded."""
        self.remind(subscription)
        _, seq = self._engine.position(subscription.room)
        if message.seq <= seq:
            # It has come before, or the log was made again and counts from 1.
            self.catch_up(subscription)
            return True
        if message.prev > seq:
            return False
        # What was read only says from where on: that may be the number of another room's message.
        prev = subscription.newest if message.prev == seq else max(message.prev, subscription.newest)
        try:
            node_message = unpack(message.data)
            self._engine.deliver(
                subscription.room,
                message.seq,
                node_message.ts_ms,
                node_message.payload if node_message.forgotten_us is None else None,
                node_message.json,
                node_message.key,
                self._excluded(node_message),
                node_message.delivery,
                node_message.audience,
                prev,
            )
        except Overloaded as error:
            if error.limit != "max_keys":
                return False
            # The room has too many keys: a retry would fail, too.
            self._faults.note("undeliverable", f"{error} (room {subscription.room!r}, message {message.seq})")
            self._engine.skip(subscription.room, message.seq - seq, "backplane")
        except ValueError as error:
            self._faults.note("undeliverable", f"{error} (room {subscription.room!r}, message {message.seq})")
            self._engine.skip(subscription.room, message.seq - seq, "backplane")
        subscription.seq = subscription.newest = message.seq
        return True

    async def _catch_up(self, subscription: Subscription) -> None:
        assert subscription.log is not None  # noqa: S101 - only rooms with logs get here
        pause = FIRST_PAUSE
        while not subscription.is_over:
            subscription.is_behind = False
            try:
                is_whole = await self._read_on(subscription, subscription.log)
                self._faults.succeeded("log_read")
                if is_whole and not subscription.is_behind:
                    subscription.catch_up_task = None
                    self._drain(subscription)
                    return
            except Unavailable as error:
                self._faults.note("log_read", f"{error} (room {subscription.room!r})")
            # Another server of the NATS cluster may not have it yet, or the engine's queues are full.
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    def _renew(self, subscription: Subscription, epoch: str, seq: int) -> None:
        subscription.epoch, subscription.seq, subscription.newest = epoch, seq, seq
        subscription.is_reached = False
        subscription.waiting.clear()
        self._engine.place(subscription.room, epoch, seq)
        self._renewed(subscription.room)

    def _raise(self, subscription: Subscription, state: LogState) -> None:
        """Raises the position of a room to where its log was, if the log has no message of it and none was missed.
        Another node may have begun there, and its clients may go on here."""
        if state.newest is not None and max(state.newest, subscription.seq) < state.seq:
            subscription.seq = state.seq
            self._engine.raise_position(subscription.room, subscription.epoch, state.seq)

    async def _read_on(self, subscription: Subscription, log: Log) -> bool:
        """Reads what is missing and delivers it. False: something is left."""
        await self._logs.declare(log)
        state = await self._backplane.state(log, subscription.room)
        source, subscription.source = subscription.source, state.epoch
        if state.epoch != source:
            self._faults.note("log_renewed", f"room {subscription.room!r} has another log")
            # All its messages are new.
            self._renew(subscription, state.epoch, 0)
        elif state.last < subscription.seq:
            why = f"the log of room {subscription.room!r} has lost messages, and numbers on from {state.last}"
            self._faults.note("log_renewed", why)
            # Its next messages have numbers that clients know already, so the epoch has to change.
            self._renew(subscription, f"{secrets.randbits(40):x}", state.seq)
        while True:
            seq = subscription.seq
            begun = time.monotonic()
            messages, is_whole = await self._backplane.read(
                log, subscription.room, seq, None, begun - subscription.synced
            )
            if not is_whole:
                upto = messages[0].seq - 1 if messages else state.seq
                if upto > seq:
                    self._faults.note("log_gap", f"room {subscription.room!r}, messages after {seq}, up to {upto}")
                    self._engine.skip(subscription.room, upto - seq, "backplane")
                    subscription.seq = subscription.newest = upto
            for message in messages:
                if not self._accept(subscription, message):
                    return False
            if not messages:
                while subscription.waiting and self._accept(subscription, subscription.waiting[0]):
                    subscription.waiting.popleft()
                if not subscription.waiting:
                    subscription.synced = begun
                    self._raise(subscription, state)
                return not subscription.waiting


FIRST_PAUSE = 0.01
"""Seconds from the first attempt to read to the second; then twice as long each time."""

LAST_PAUSE = 1.0
"""The most seconds between two attempts."""

AHEAD = 5
"""Attempts to read a number that a client has and this node has not."""
