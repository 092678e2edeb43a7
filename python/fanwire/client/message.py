"""The messages that an application gets, and the reports of messages that it does not get."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fanwire.client.clock_offset import ClockOffset

__all__ = ["Gap", "Member", "Message", "Position", "Skipped", "joint"]


class Position(NamedTuple):
    """The position of a reader in a room. It can be stored, and given to `join` as `since` later.

    Attributes:
        epoch: the id of the numbering.
        seq: the number of the last message that the reader has.
    """

    epoch: str
    seq: int


@dataclass(frozen=True)
class Gap:
    """Messages that were missed and do not come any more.

    Attributes:
        reason: the reason. From the server: "epoch" (the numbering has begun anew), "history" (the room no longer has
            the messages), "snapshot" (the room's state comes instead, as `repair` of the join has asked for),
            "position" (the position is newer than the room), "forbidden" (the history is not for this client), or a
            reason of `Skipped`. From the client: "unhealed" (messages were missing and could not be read again), "slow"
            (the application did not take them in time) or "unreadable" (a message could not be decoded).
        after: the number of the last message before the gap; None: the messages are to this client alone, and have no
            numbers. With the reason "epoch" it is a number of the old numbering.
        upto: the number of the last message in the gap; None: as `after`. With the reason "epoch" it is a number of
            the new numbering, so it may be lower than `after`; 0: nothing of the new numbering is missing.
        snapshot: the state of the room at `upto`; None: the server sends none.
        count: how many messages to this client alone are missing; None: the gap is in a room, and `after` and `upto`
            say where.
    """

    reason: str
    after: int | None
    upto: int | None
    snapshot: Any = None
    count: int | None = None


def joint(first: Gap | None, later: Gap) -> Gap:
    """One gap for two of a room that follow each other: from the start of the first to the end of the last."""
    if first is None:
        return later
    return Gap(later.reason, first.after, later.upto, first.snapshot if later.snapshot is None else later.snapshot)


@dataclass(frozen=True)
class Message:
    """A message of a room, or to this client alone.

    Attributes:
        data: the published value: bytes, str, or any other value of docs/values.md.
        room: the name of the room; None: the message is to this client alone.
        seq: its number in the room; None: the message is to this client alone.
        id: the id of the message; None: the server has sent none.
        ts: the time when it was sent, in milliseconds since 1970; None: the server has sent none.
        key: in a room with delivery "latest", the key whose newest value `data` is; None: it has no key.
        gap: the messages that are missing before this one; None: no message is missing.
        prev: the number of the room's message before it, if that is not `seq` less one: numbers between the two do not
            exist. None: there are none.
        forgotten: True: the key has no value any more (`Server.forget`), and `data` is None.
    """

    data: Any
    room: str | None = None
    seq: int | None = None
    id: str | None = None
    ts: int | None = None
    key: str | None = None
    gap: Gap | None = None
    forgotten: bool = False
    prev: int | None = None
    _clock: ClockOffset | None = field(default=None, repr=False, compare=False)

    @property
    def age(self) -> float | None:
        """Seconds from when the message was sent until now, by the server's clock; None: unknown.

        The client measures the difference of the two clocks with a ping after each connect. The error is at most half
        the round trip of this ping. The age is unknown before the answer, and if the server does not send its time. It
        is never below 0. A message of another node has the time of that node's clock.

        Example::

            async def read(room: fanwire.Room) -> None:
                async for message in room:
                    if message.age is not None and message.age > 5:
                        print("five seconds behind")
        """
        return None if self._clock is None or self.ts is None else self._clock.age(self.ts, time.monotonic())


@dataclass(frozen=True)
class Skipped:
    """Messages of a room that the server did not deliver to this client, by the rules of the room.

    Attributes:
        reason: "replaced" (by a newer value of its key), "oldest" or "newest" (dropped by the delivery class), "budget"
            (the server's memory was full), "excluded" (this client was not to get it) or "backplane" (lost between
            nodes).
        count: how many messages.
        first: the lowest number of these messages.
        last: the highest number. Messages with numbers between the two may have been delivered.
    """

    reason: str
    count: int
    first: int
    last: int


@dataclass(frozen=True)
class Member:
    """A member that joined a room, or left it.

    Attributes:
        id: the member's id.
        info: the `Connection.info` that the server's application has set for the member.
        is_here: True: the member joined; False: it left.
    """

    id: str
    info: Any
    is_here: bool
