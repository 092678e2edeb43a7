"""Joining rooms with a snapshot: the client gets what it has missed, or the state of the room instead."""

from __future__ import annotations

from functools import partial
from typing import Any

from fanwire._engine import Engine
from fanwire.handlers.time_slices import TimeSlices
from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.join_request import RepairWish
from fanwire.rooms.rules import RoomPolicy
from fanwire.rooms.snapshots import RoomState, Snapshots

__all__ = ["StateJoins"]


class StateJoins:
    """Decides between a replay and a snapshot, and joins. On the loop's thread only.

    Args:
        engine: has the messages that a room keeps.
        snapshots: makes the states.
        slices: runs a join with a large state.
    """

    def __init__(self, engine: Engine, snapshots: Snapshots, slices: TimeSlices) -> None:
        self._engine = engine
        self._snapshots = snapshots
        self._slices = slices

    async def join(
        self,
        policy: RoomPolicy,
        room: str,
        since: tuple[str, int] | None,
        repair: RepairWish | None,
        join: partial[Any],
    ) -> None:
        """Joins a client.

        Args:
            policy: of the room.
            room: its name.
            since: the client has everything up to here; None: it has nothing.
            repair: what it wants; None: a replay, and it is not told what it gets.
            join: joins, see `Memberships.join`.

        Raises:
            Refusal: `overloaded`: the history does not reach back to the snapshot.
            Exception: an error of the application's `snapshot`.
        """
        given = reason = join.keywords.get("extra", "")
        told = ',"repair":"{}"' if since is not None and repair is not None else ""
        state: RoomState | None = None
        if since is not None:
            if repair == "cheapest":
                state = await self._smaller(policy, room, since)
            if repair == "snapshot" or state is not None:
                reason = given + ',"reason":"snapshot"'
            else:
                extra = given + told.format("replay")
                _, _, why = join(since=since, extra=extra, only_whole=True)
                if why is None:
                    return
                reason = f'{given},"reason":"{why}"'
        for _ in range(ATTEMPTS):
            state = state or await self._snapshots.of(policy, room)
            extra = f'{reason}{told.format("snapshot")},"snapshot":{state.data}'
            enter = partial(join, since=(state.epoch, state.seq), extra=extra, is_state=True, only_whole=True)
            # A state may be large, and hundreds of clients may have waited for it.
            _, _, why = await self._slices.result(enter)
            if why is None:
                return
            failed, state = state, None
        raise Refusal("overloaded", self._does_not_fit(room, failed), retry=True, retry_after=1.0)

    def _does_not_fit(self, room: str, state: RoomState) -> str:
        """Says why the messages after a snapshot are not there."""
        epoch, seq = self._engine.position(room)
        if epoch != state.epoch:
            return f"room {room!r} has begun anew while its snapshot was made, try again later"
        _, kept = self._engine.history(room, (epoch, 0), 1)
        begins = f"begins at number {kept[0][0]}" if kept else f"has no message, and the room is at number {seq}"
        return f"the snapshot of room {room!r} is of number {state.seq}, but the history {begins}"

    async def _smaller(self, policy: RoomPolicy, room: str, since: tuple[str, int]) -> RoomState | None:
        """The state of the room, if it is fewer bytes, with the messages after it, than the messages after `since`."""
        missed = self._engine.bytes_since(room, since)
        if missed is None or missed <= CHEAP:
            # Without a replay there is nothing to compare, and no state is smaller than a few messages.
            return None
        try:
            state = await self._snapshots.of(policy, room)
        except Refusal:
            return None
        after = self._engine.bytes_since(room, (state.epoch, state.seq))
        missed = self._engine.bytes_since(room, since)
        if after is None or (missed is not None and missed <= after + len(state.data)):
            return None
        return state


ATTEMPTS = 3
"""Attempts to get a snapshot that the room's history still reaches back to."""

CHEAP = 1024
"""Bytes of missed messages that are always sent: the application is not asked for a state because of them."""
