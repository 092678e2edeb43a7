"""Brings what is stored in a room to the engine, in order and all of it: what is missing is read from the log.

On the loop's thread only.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane, Log, Stored, Unavailable
from fanwire.cluster.faults import Troubles
from fanwire.cluster.node_message import Parcel, unpack
from fanwire.cluster.room_logs import Logs
from fanwire.cluster.subscription import Followed
from fanwire.cluster.tasks import Tasks
from fanwire.errors import Overloaded

__all__ = ["Catching"]


class Catching:
    """See the module's head.

    Args:
        engine: where the members of this node are.
        backplane: where the logs are.
        logs: makes them, if need be.
        tasks: where reading goes on.
        excluded: takes what was noted of a message of this node's own: the members that do not get it.
        renewed: called with a room's name when its numbering had to begin anew.
        troubles: is told what goes wrong.
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        logs: Logs,
        tasks: Tasks,
        excluded: Callable[[Parcel], Sequence[int]],
        renewed: Callable[[str], None],
        troubles: Troubles,
    ) -> None:
        self._engine = engine
        self._backplane = backplane
        self._logs = logs
        self._tasks = tasks
        self._excluded = excluded
        self._renewed = renewed
        self._troubles = troubles

    async def begin(self, followed: Followed, log: Log, has_values: bool) -> None:
        """Follows a room from here on; `has_values`: joiners get the newest value of each key.

        Raises:
            Unavailable: the backplane cannot be reached.
        """
        await self._logs.declare(log)
        state = await self._backplane.follow(log, followed.room)
        followed.epoch = followed.source = state.epoch
        followed.seq = state.seq
        followed.synced = time.monotonic()
        self._engine.place(followed.room, followed.epoch, followed.seq)
        if has_values:
            # What is kept of the newest values; of those that are older than the log, nothing.
            await self._reach_back(followed, log, 0, only_whole=False)
        followed.is_on = True
        if has_values:
            # The backplane may have been away while that was read.
            self.catch_up(followed)
        self._drain(followed)

    def take(self, followed: Followed, message: Stored) -> None:
        """A message has come."""
        followed.waiting.append(message)
        if followed.is_on and not self._is_catching(followed):
            self._drain(followed)

    def catch_up(self, followed: Followed) -> None:
        """Something may be missing: until that is known, what comes waits."""
        if followed.is_on and not self._is_catching(followed):
            followed.catching = self._tasks.spawn(self._catch_up(followed))

    def is_elsewhere(self, followed: Followed, since: tuple[str, int] | None) -> bool:
        """Whether a position is before all that the engine keeps, or after all that has come here."""
        if since is None or followed.log is None or since[0] != followed.epoch:
            return False
        room = followed.room
        return not self._engine.floor(room)[1] <= since[1] <= self._engine.position(room)[1]

    async def reach(self, followed: Followed, log: Log, since: int) -> None:
        """Gives the engine what came after a number and it does not have, if the log has all of it. Of one that has not
        come here yet, which another node was faster with, waits for it.

        Raises:
            Unavailable: the backplane cannot be reached.
        """
        for _ in range(AHEAD):
            if since <= self._engine.position(followed.room)[1] or followed.is_over:
                break
            self.catch_up(followed)
            if followed.catching is not None:
                await asyncio.wait([followed.catching], timeout=LAST_PAUSE)
            await asyncio.sleep(FIRST_PAUSE)
        else:
            if since <= (await self._backplane.state(log, followed.room)).last:
                raise Unavailable("what the client has had already has not come here yet")
        await self._reach_back(followed, log, since, only_whole=True)

    async def _reach_back(self, followed: Followed, log: Log, since: int, *, only_whole: bool) -> None:
        after = since
        older: list[tuple[int, int, bytes | str | None, bool, str | None, str | None]] = []
        # The floor may rise while we read.
        while after < (floor := self._engine.floor(followed.room)[1]):
            messages, is_whole = await self._backplane.read(log, followed.room, after, floor)
            if not is_whole and only_whole:
                return
            if not messages:
                # None from there to the floor.
                after = floor
                continue
            if not is_whole:
                since, older = messages[0].seq - 1, []
            for message in messages:
                try:
                    parcel = unpack(message.data)
                except ValueError as error:
                    self._troubles.note("malformed", f"{error} (room {followed.room!r}, message {message.seq})")
                    since, older = message.seq, []
                    continue
                payload = parcel.payload if parcel.forgotten_us is None else None
                older.append((message.seq, parcel.ts_ms, payload, parcel.json, parcel.key, parcel.delivery))
            after = messages[-1].seq
        self._engine.extend(followed.room, followed.epoch, since, older)

    def remind(self, followed: Followed) -> None:
        """Tells the engine where a room is, if it has forgotten the room while nobody was in it."""
        if followed.is_on and followed.log is not None:
            epoch, _ = self._engine.position(followed.room)
            if epoch != followed.epoch:
                self._engine.place(followed.room, followed.epoch, followed.seq)

    def _is_catching(self, followed: Followed) -> bool:
        return followed.catching is not None and not followed.catching.done()

    def _drain(self, followed: Followed) -> None:
        """Delivers what waits, as far as it goes; gets the rest."""
        while followed.waiting:
            if not self._accept(followed, followed.waiting[0]):
                self.catch_up(followed)
                return
            followed.waiting.popleft()
        followed.synced = time.monotonic()

    def _accept(self, followed: Followed, message: Stored) -> bool:
        """Delivers a message; false if something before it is missing, or the engine cannot take it now."""
        self.remind(followed)
        _, seq = self._engine.position(followed.room)
        if message.seq <= seq:
            # Had already; or the log was made anew, and counts from 1.
            self.catch_up(followed)
            return True
        if message.prev > seq:
            return False
        try:
            parcel = unpack(message.data)
            self._engine.deliver(
                followed.room,
                message.seq,
                parcel.ts_ms,
                parcel.payload if parcel.forgotten_us is None else None,
                parcel.json,
                parcel.key,
                self._excluded(parcel),
                parcel.delivery,
            )
        except Overloaded as error:
            if error.limit != "max_keys":
                return False
            # That does not pass.
            self._troubles.note("undeliverable", f"{error} (room {followed.room!r}, message {message.seq})")
            self._engine.skip(followed.room, message.seq - seq, "backplane")
        except ValueError as error:
            self._troubles.note("undeliverable", f"{error} (room {followed.room!r}, message {message.seq})")
            self._engine.skip(followed.room, message.seq - seq, "backplane")
        followed.seq = message.seq
        return True

    async def _catch_up(self, followed: Followed) -> None:
        assert followed.log is not None  # noqa: S101 - only rooms with logs get here
        pause = FIRST_PAUSE
        while not followed.is_over:
            try:
                is_whole = await self._read_on(followed, followed.log)
                self._troubles.succeeded("log_read")
                if is_whole:
                    followed.catching = None
                    self._drain(followed)
                    return
            except Unavailable as error:
                self._troubles.note("log_read", f"{error} (room {followed.room!r})")
            # Another server of the cluster may not have it yet, or our queues are full.
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    def _renew(self, followed: Followed, epoch: str, seq: int) -> None:
        followed.epoch, followed.seq = epoch, seq
        followed.waiting.clear()
        self._engine.place(followed.room, epoch, seq)
        self._renewed(followed.room)

    async def _read_on(self, followed: Followed, log: Log) -> bool:
        """Reads all that is missing; false if something is left."""
        await self._logs.declare(log)
        state = await self._backplane.state(log, followed.room)
        source, followed.source = followed.source, state.epoch
        if state.epoch != source:
            self._troubles.note("log_renewed", f"room {followed.room!r} has another log")
            # All that it has is new.
            self._renew(followed, state.epoch, 0)
        elif state.last < followed.seq:
            why = f"the log of room {followed.room!r} has lost messages, and numbers on from {state.last}"
            self._troubles.note("log_renewed", why)
            # What comes next has numbers that others have had: they need another name, if only on this node.
            self._renew(followed, f"{secrets.randbits(40):x}", state.seq)
        while True:
            seq = followed.seq
            begun = time.monotonic()
            messages, is_whole = await self._backplane.read(log, followed.room, seq, None, begun - followed.synced)
            if not is_whole:
                upto = messages[0].seq - 1 if messages else state.seq
                if upto > seq:
                    self._troubles.note("log_gap", f"room {followed.room!r}, what came after {seq}, up to {upto}")
                    self._engine.skip(followed.room, upto - seq, "backplane")
                    followed.seq = upto
            for message in messages:
                if not self._accept(followed, message):
                    return False
            if not messages:
                while followed.waiting and self._accept(followed, followed.waiting[0]):
                    followed.waiting.popleft()
                if not followed.waiting:
                    followed.synced = begun
                return not followed.waiting


FIRST_PAUSE = 0.01
"""Seconds until the second attempt to read what is missing."""

LAST_PAUSE = 1.0
"""Seconds between attempts at most."""

AHEAD = 5
"""Times that a log is read for a number that a client has and we have not."""
