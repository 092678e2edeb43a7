"""The states of rooms, made by the application for those who join. Joiners that wait together share one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, NamedTuple

from fanwire._engine import Engine
from fanwire.deduplication.single_flight import Dropped, Once
from fanwire.handlers.calls import Calls, as_exception, name_of
from fanwire.handlers.time_slices import Turns
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.rules import RoomPolicy
from fanwire.values.encoding import document

__all__ = ["RoomState", "Snapshots"]


class RoomState(NamedTuple):
    """What a call of `snapshot` has returned.

    Attributes:
        epoch: the numbering of the room when the call began.
        seq: the number of the last message that the state includes.
        data: the state as a JSON document, encoded once for all who share it.
    """

    epoch: str
    seq: int
    data: str


class Snapshots:
    """Calls the `snapshot` of rooms: one call for each room at a time, whoever asks. On the loop's thread only.

    A joiner may share a call that began before it came. The state is then a little older, and the messages after it
    come from the room's history; the join fails if the history does not reach back that far.

    Args:
        engine: has the positions of the rooms.
        turns: where a synchronous `snapshot` waits for its turn.
        calls: runs an asynchronous one.
        spawn: runs a coroutine in a task, and keeps it.
        limits: have the seconds that a call may take, `snapshot_timeout`.
    """

    def __init__(
        self,
        engine: Engine,
        turns: Turns,
        calls: Calls,
        spawn: Callable[[Awaitable[Any]], asyncio.Future[Any]],
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._turns = turns
        self._calls = calls
        self._limits = limits
        self._running: Once[RoomState] = Once(spawn)
        # Rooms whose call has not ended though it was cancelled. There is no other call meanwhile.
        self._stuck: set[str] = set()

    async def of(self, policy: RoomPolicy, room: str) -> RoomState:
        """The state of a room, from the call that is under way or from a new one. Who is cancelled meanwhile leaves the
        call to the others.

        Raises:
            Refusal: `overloaded`: it takes longer than it may.
            Exception: whatever the application raises; all who share the call get it.
        """
        call = self._running.find(room)
        if call is None:
            if room in self._stuck:
                raise _too_long(room)
            call = self._running.begin(room, self._make(policy, room))
        try:
            return await self._running.outcome(call)
        except Dropped:
            raise Refusal("internal", "the server failed to do this") from None

    async def _make(self, policy: RoomPolicy, room: str) -> RoomState:
        assert policy.snapshot is not None  # noqa: S101 - the caller has looked
        epoch, state = await self._turns.result(self._begin, policy.snapshot, room)
        if isawaitable(state):
            state = await self._finish(policy.snapshot, room, state)
        try:
            data, seq = state
        except (TypeError, ValueError):
            raise TypeError(f"snapshot must return a fanwire.Snapshot, got {type(state).__name__}") from None
        if isinstance(seq, bool) or not isinstance(seq, int):
            raise TypeError(f"the seq of a fanwire.Snapshot must be an integer, got {seq!r}")
        return RoomState(epoch, seq, document(data, self._limits.config.max_nesting).decode())

    def _begin(self, snapshot: Callable[[str], Any], room: str) -> tuple[str, Any]:
        # First the numbering: a room that begins anew during the call is noticed when the state is used.
        epoch, _ = self._engine.position(room)
        return epoch, snapshot(room)

    async def _finish(self, snapshot: Callable[[str], Any], room: str, state: Awaitable[Any]) -> Any:
        name = name_of(snapshot)
        call = self._calls.start(state, name, f"room {room!r}", lambda call: self._stuck.discard(room))
        try:
            await asyncio.wait({call.task}, timeout=self._limits.config.snapshot_timeout)
        finally:
            if not call.task.done():
                call.cancel()
                self._stuck.add(room)
        if not call.task.done():
            self._limits.count("snapshot_timeout")
            raise _too_long(room)
        error, call.error = call.error, None
        if error is not None:
            raise as_exception(error, name)
        return call.result


def _too_long(room: str) -> Refusal:
    return Refusal("overloaded", f"the state of room {room!r} takes too long", retry=True, retry_after=1.0)
