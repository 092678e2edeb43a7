"""The messages that an application gets, and the reports of messages that it does not get."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fanwire.client.clock_offset import ClockOffset

__all__ = ["Gap", "Member", "Message", "Position", "Skipped"]


class Position(NamedTuple):
    """The position of a reader in a room. It can be stored, and given to `join` as `since` later.

    Attributes:
        epoch: the name of the numbering.
        seq: the number of the last message that need not come again.
    """

    epoch: str
    seq: int


@dataclass(frozen=True)
class Gap:
    """Messages that were missed and do not come any more.

    Attributes:
        reason: why. The server's reasons are "epoch", "history", "position" (see docs/protocol.md), "budget" and the
            like. The client's are "unhealed" (it noticed that they were missing and could not get them), "slow" (the
            application did not take them in time) and "unreadable" (a message that cannot be decoded).
        after: the number of the last message before the gap; None: messages to this client alone have no numbers.
        upto: the number of the last message in the gap; None: see `after`. Where the reason is "epoch" it counts in
            the new numbering.
        snapshot: the state of the room at `upto`; None: the application supplies none.
        count: how many messages to this client alone are missing; None: the gap is in a room, and `after` and `upto`
            say where.
    """

    reason: str
    after: int | None
    upto: int | None
    snapshot: Any = None
    count: int | None = None


@dataclass(frozen=True)
class Message:
    """A message of a room, or to this client alone.

    Attributes:
        data: what was published: bytes, or what JSON or MessagePack can hold.
        room: the name of the room; None: the message is to this client alone.
        seq: its number in the room; None: the message is to this client alone.
        id: the server's id of the message; None: the server did not say.
        ts: when it was sent, in milliseconds since 1970; None: the server did not say.
        key: in a room of latest values, what the message is the newest value of; None: it has no key.
        gap: what is missing between the message before and this one; None: nothing.
        forgotten: True: the key, in a room of latest values, has no value any more, and `data` is None.
    """

    data: Any
    room: str | None = None
    seq: int | None = None
    id: str | None = None
    ts: int | None = None
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
        return None if self._clock is None or self.ts is None else self._clock.age(self.ts, time.monotonic())


@dataclass(frozen=True)
class Skipped:
    """Messages of a room that the server did not deliver to this client, by the rules of the room.

    Attributes:
        reason: "replaced", "oldest", "newest", "budget" or "excluded".
        count: how many messages.
        first: the lowest of their numbers.
        last: the highest of their numbers. Messages with numbers between the two may have been delivered.
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
        info: what the server's application says of the member (`Connection.info`).
        is_here: True: the member joined; False: it left.
    """

    id: str
    info: Any
    is_here: bool
