"""Snapshots of rooms, which the application makes for joiners. Joiners that wait together share one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, NamedTuple

from fanwire._engine import Engine
from fanwire.deduplication.single_flight import Dropped, SingleFlight
from fanwire.handlers.calls import ApplicationCalls, as_exception, name_of
from fanwire.handlers.time_slices import TimeSlices
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.rules import RoomPolicy
from fanwire.values.encoding import document

__all__ = ["RoomState", "Snapshots"]


class RoomState(NamedTuple):
    """The result of a call of `snapshot`.

    Attributes:
        epoch: the epoch of the room when the call began.
        seq: the number of the last message that the state includes.
        data: the state as a JSON document, encoded once for all joiners that share it.
    """

    epoch: str
    seq: int
    data: str


class Snapshots:
    """Calls the `snapshot` of rooms, one call for each room at a time. On the loop's thread only.

    A joiner may share a call that began before its join. The state is then older, and the messages after it come from
    the room's history; the join fails if the history no longer has them.

    Args:
        engine: has the positions of the rooms.
        slices: runs a synchronous `snapshot`.
        calls: runs an asynchronous `snapshot`.
        spawn: runs a coroutine in a task, and owns the task.
        limits: has the seconds that a call may take, `snapshot_timeout`.
    """

    def __init__(
        self,
        engine: Engine,
        slices: TimeSlices,
        calls: ApplicationCalls,
        spawn: Callable[[Awaitable[Any]], asyncio.Future[Any]],
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._slices = slices
        self._calls = calls
        self._limits = limits
        self._running: SingleFlight[RoomState] = SingleFlight(spawn)
        # Rooms whose cancelled call has not ended. There is no other call until then.
        self._stuck: set[str] = set()

    async def of(self, policy: RoomPolicy, room: str) -> RoomState:
        """Returns the state of a room, from the running call or a new one. The call goes on if this is cancelled.

        Raises:
            Refusal: `overloaded`: the call takes longer than `snapshot_timeout`.
            Exception: any error of the application, raised for all joiners that share the call.
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
        epoch, state = await self._slices.result(self._begin, policy.snapshot, room)
        if isawaitable(state):
            state = await self._finish(policy.snapshot, room, state)
        try:
            data, seq = state
        except (TypeError, ValueError):
            raise TypeError(f"snapshot must return a fanwire.Snapshot, got {type(state).__name__}") from None
        if isinstance(seq, bool) or not isinstance(seq, int):
            raise TypeError(f"fanwire.Snapshot.seq must be an integer, got {seq!r}")
        return RoomState(epoch, seq, document(data, self._limits.config.max_nesting).decode())

    def _begin(self, snapshot: Callable[[str], Any], room: str) -> tuple[str, Any]:
        # The epoch first: if the room begins again during the call, the join will notice.
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
    return Refusal(
        "overloaded", f"the snapshot of room {room!r} takes too long, try again later", retry=True, retry_after=1.0
    )
