"""What an application gets: messages, and what is told of those it does not get."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fanwire.client.clock_offset import ClockOffset

__all__ = ["Gap", "Member", "Message", "Position", "Skipped"]


class Position(NamedTuple):
    """Where a reader of a room stands. It can be stored, and given to `join` as `since` another day.

    Attributes:
        epoch: names the numbering.
        seq: the number of the last message that need not come again.
    """

    epoch: str
    seq: int


@dataclass(frozen=True)
class Gap:
    """Messages of a room that were missed and do not come any more.

    Attributes:
        reason: the server's: "epoch", "history", "position" (see the protocol), "budget" and the like; or "unhealed":
            the client noticed and could not get them; or "slow": the application did not take them in time; or
            "unreadable": it came, and cannot be decoded.
        after: the number of the last message before the gap.
        upto: the number of the last message in the gap. Where the reason is "epoch" it counts in the new numbering.
            Messages to this client alone have no numbers: `after` is 0 then, and this is how many are missing.
        snapshot: the state of the room at `upto`, where the application supplies one; else None.
    """

    reason: str
    after: int
    upto: int
    snapshot: Any = None


@dataclass(frozen=True)
class Message:
    """A message of a room, or to this client alone.

    Attributes:
        data: what was published: bytes, or what JSON or MessagePack can hold.
        room: None: to this client alone.
        seq: its number in the room; 0 outside of rooms.
        id: what the server calls it; "" if it did not say.
        ts: when it was sent, milliseconds since 1970; 0 if the server did not say.
        key: in a room of latest values: what it is the newest value of.
        gap: what is missing between the message before and this one; None: nothing.
        forgotten: in a room of latest values: the key has no value any more, and `data` is None.
    """

    data: Any
    room: str | None = None
    seq: int = 0
    id: str = ""
    ts: int = 0
    key: str | None = None
    gap: Gap | None = None
    forgotten: bool = False
    _clock: ClockOffset | None = field(default=None, repr=False, compare=False)

    @property
    def age(self) -> float | None:
        """Seconds from when the message was sent until now, by the server's clock; None: unknown.

        Before the message is processed it says how late the application gets it, and afterwards how late it is done.
        How far the server's clock is from this process's is learned from a ping after each connection was made, within
        half of its round trip. Until the answer is there, and where a server does not say its time, the age is
        unknown. It is never below 0. A message of another node has the time of that node's clock.

        Example::

            async def read(room: fanwire.Room) -> None:
                async for message in room:
                    if message.age is not None and message.age > 5:
                        print("five seconds behind")
        """
        return None if self._clock is None or not self.ts else self._clock.age(self.ts, time.monotonic())


@dataclass(frozen=True)
class Skipped:
    """Messages that the server has kept from this client, by the rules of the room.

    Attributes:
        reason: "replaced", "oldest", "newest", "budget" or "excluded".
        count: how many.
        first: the lowest of their numbers.
        last: the highest; between the two there may be others that did come.
    """

    reason: str
    count: int
    first: int
    last: int


@dataclass(frozen=True)
class Member:
    """Somebody came to a room, or left it.

    Attributes:
        id: of the member.
        info: what the application tells of it.
        is_here: True: it came.
    """

    id: str
    info: Any
    is_here: bool
