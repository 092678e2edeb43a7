"""Reads the history of a room from its log, for the application. Nothing of it goes to the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from fanwire.backplane.base import Backplane
from fanwire.cluster.room_logs import RoomLogs
from fanwire.rooms.rules import RoomPolicy

__all__ = ["read_history"]


async def read_history(
    backplane: Backplane,
    logs: RoomLogs,
    policy: RoomPolicy,
    room: str,
    after: tuple[str, int] | None,
    limit: int,
    before: int | None,
    told: Mapping[str, str],
) -> tuple[str, list[tuple[int, bytes]]]:
    """The epoch of a room, and at most `limit` messages, oldest first, each with its number: the first after a
    position or, without one, the newest. For the newest all of the room's messages are read, which are `policy.history`
    at most. With `before` only messages with lower numbers count. `told` has the epochs that members are told in place
    of those of the log.

    Raises:
        Unavailable: the backplane cannot be reached.
    """
    log = logs.of(policy)
    await logs.declare(log)
    state = await backplane.state(log, room)
    epoch = told.get(state.epoch, state.epoch)
    seq = after[1] if after is not None and after[0] == epoch else 0
    upto = state.seq if before is None else min(state.seq, before - 1)
    found: deque[tuple[int, bytes]] = deque(maxlen=limit if after is None else None)
    while seq < upto and (after is None or len(found) < limit):
        messages, _ = await backplane.read(log, room, seq, upto)
        if not messages:
            break
        found.extend((message.seq, message.data) for message in messages)
        seq = messages[-1].seq
    return epoch, list(found)[:limit]
