"""A room as an application sees it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from msgspec import UNSET

from fanwire.checks import check_function
from fanwire.client.actions import Joined
from fanwire.client.errors import RoomEnded
from fanwire.client.membership import STALE
from fanwire.client.message import Gap, Member, Message, Position, Skipped
from fanwire.client.message_queue import MessageQueue
from fanwire.client.stream import Stream
from fanwire.errors import FanwireError

__all__ = ["Owner", "Room"]

logger = logging.getLogger("fanwire.client")

CATCHING_UP = 16
"""Times its limits that a queue may have of what comes from the room's history: a reader that has fallen behind would
otherwise be sent the same again and again."""
MAX_UNCLAIMED = 128
"""Messages kept of a room that the server has joined, until the application asks for it: enough for the first moments
of a connection, and 16 MiB at most of 128 rooms with messages of 1 KiB."""

OnBehind = TypeVar("OnBehind", bound=Callable[["Room"], object])
OnGap = TypeVar("OnGap", bound=Callable[[Gap], object])
OnSkipped = TypeVar("OnSkipped", bound=Callable[[Skipped], object])
OnMember = TypeVar("OnMember", bound=Callable[[Member], object])
OnEnd = TypeVar("OnEnd", bound=Callable[[RoomEnded], object])


class Owner(Protocol):
    """Whose room it is."""

    def report(self, room: str) -> None:
        """So much was taken that the server is to be told."""

    def catch_up(self, room: str) -> None:
        """The application has place for what it has missed."""

    def refresh(self, room: str) -> bool:
        """Newest values have waited for too long. Returns whether all come again; `report` has to follow then."""

    def leave(self, name: str) -> Awaitable[None]:
        """Ends the membership."""


class Room:
    """A room that was joined. Iterate over it for its messages, from one task.

    When the room ends, what came before is still handed out. Then the iteration stops, if the application has left the
    room or closed the client; otherwise it raises `RoomEnded`, which says why, or `ConnectionFailed` where the client
    has given up. A lost connection ends no room: it is joined again, and where the server cannot let it in for the time
    being, that is tried for some minutes.

    A message that was late, because the server had left it out, comes after higher ones; `seq` tells. Nothing comes
    twice in a room with reliable delivery, and what does not come at all is told by `Message.gap`.

    After a gap in a room of "latest" values the newest of all keys follow: forget those that do not come.

    Each room has a queue of its own, so one that is read slowly, or not at all, holds up no other. When the queue is
    full, it depends on `delivery` what happens. A room of "latest" values has the newest of each key waiting; if these
    are too many, and in a room that drops, messages go, and the next one has a gap with the reason "slow". A "reliable"
    room falls *behind*: see `is_behind`.

    Attributes:
        name: of the room.
        delivery: its class: "reliable", "latest", "drop-oldest" or "drop-newest".
        count: how many members there are, this client among them; None where the room has no presence.
        members: those that the client knows of, id to info; None where the room has no presence. A client that joins is
            told at most 1,000 members, itself among them; members that come later are added. See `is_complete`.
        snapshot: the state that the stream continues from, where the application supplies one; else None.
        epoch: names the numbering of `seq`.
        seq: the number of the last message that was taken, or that the stream continues from; 0: the room has had no
            message yet.
        ended: why it has ended; None while it goes on.
        is_behind: whether a reliable room's queue is full, and what comes is not kept at present. Once the application
            has taken half of what waits, the client asks for what was missed: it comes from the room's history, or the
            next message has a gap with the reason "slow".
    """

    __slots__ = (
        "_behind_callbacks", "_end_callbacks", "_gap_callbacks", "_is_claimed", "_limit", "_member_callbacks", "_owner",
        "_queue", "_received_epoch", "_skipped_callbacks", "_stream", "_upto", "_was_behind", "count", "delivery",
        "ended", "epoch", "is_behind", "members", "name", "seq", "snapshot",
    )  # fmt: skip

    def __init__(self, owner: Owner, name: str, limit: int) -> None:
        self._owner = owner
        self._limit = limit
        self._is_claimed = False
        # Until the application asks for it the newest are kept, whatever its class.
        self._queue = MessageQueue(MAX_UNCLAIMED, drops="oldest")
        self._stream = Stream(self._queue)
        self._upto = 0
        self._behind_callbacks: list[Callable[[Room], object]] = []
        self._gap_callbacks: list[Callable[[Gap], object]] = []
        self._skipped_callbacks: list[Callable[[Skipped], object]] = []
        self._member_callbacks: list[Callable[[Member], object]] = []
        self._end_callbacks: list[Callable[[RoomEnded], object]] = []
        self._received_epoch = ""
        self.name = name
        self.delivery = ""
        self.count: int | None = None
        self.members: dict[str, Any] | None = None
        self.snapshot: Any = None
        self.epoch = ""
        self.seq = 0
        self.ended: RoomEnded | None = None
        self.is_behind = self._was_behind = False

    @property
    def position(self) -> Position:
        """What to store, and to give to `join` as `since` another day, to go on after the last message taken."""
        return Position(self.epoch, self.seq)

    @property
    def is_complete(self) -> bool:
        """Whether `members` has all members. If not, `Client.presence` reads them from the server."""
        return self.members is not None and len(self.members) == self.count

    async def leave(self) -> None:
        """Ends the membership, and the iteration with it once what came before is taken. A room that has ended is left
        already.

        Raises:
            FanwireError: the client is closed, or the server refuses.
        """
        if self.ended is None:
            await self._owner.leave(self.name)

    def on_gap(self, callback: OnGap) -> OnGap:
        """Has it called as soon as messages are known to be missed; it must not wait. Can be a decorator.

        What a full queue drops of a room that is not reliable is told by the next message alone."""
        check_function("callback", callback)
        self._gap_callbacks.append(callback)
        return callback

    def on_behind(self, callback: OnBehind) -> OnBehind:
        """Has it called with the room each time that the room falls behind, see `is_behind`; it must not wait. Can be a
        decorator."""
        check_function("callback", callback)
        self._behind_callbacks.append(callback)
        return callback

    def on_skipped(self, callback: OnSkipped) -> OnSkipped:
        """Has it called when the server tells what it left out; it must not wait. Can be a decorator."""
        check_function("callback", callback)
        self._skipped_callbacks.append(callback)
        return callback

    def on_member(self, callback: OnMember) -> OnMember:
        """Has it called when somebody comes or leaves; it must not wait. Can be a decorator."""
        check_function("callback", callback)
        self._member_callbacks.append(callback)
        return callback

    def on_end(self, callback: OnEnd) -> OnEnd:
        """Has it called when the room ends, for whatever reason, and at once if it has ended; it must not wait. Can be
        a decorator."""
        check_function("callback", callback)
        if self.ended is not None:
            callback(self.ended)
        self._end_callbacks.append(callback)
        return callback

    def __aiter__(self) -> Room:
        return self

    async def __anext__(self) -> Message:
        queue = self._queue
        now = time.monotonic()
        is_due = queue.release(now)
        if queue.is_latest and queue.has_value_before(now - STALE) and self.ended is None:
            # What the server has instead is newer, and waits behind these.
            is_refreshed = self._owner.refresh(self.name)
            if is_refreshed:
                queue.drop_values()
            is_due |= is_refreshed
        if is_due:
            self._owner.report(self.name)
        message, epoch = await self._stream.next()
        if message.seq is not None and (message.seq > self.seq or epoch != self.epoch):
            # The newest values at the beginning have numbers from before it.
            self.seq, self.epoch = message.seq, epoch
        if self.is_behind and queue.is_half_empty and self.ended is None:
            self._owner.catch_up(self.name)
        return message

    def __repr__(self) -> str:
        return f"<Room {self.name!r} {self.epoch}:{self.seq}>"

    # What the client calls.

    def joined(self, action: Joined) -> MessageQueue:
        """The stream begins, or begins again; returns the queue that its messages go through."""
        if not self._received_epoch:
            # Later it is for the messages, some of which may still wait here, to say where the application is.
            self.epoch, self.seq = action.epoch, action.seq
        self._received_epoch = action.epoch
        self._upto = action.upto
        self.delivery = action.delivery
        self._queue.is_latest = action.delivery == "latest"
        self._queue.drops = _drops(action.delivery) if self._is_claimed else "oldest"
        self.members = action.members
        self.count = action.count
        if action.snapshot is not UNSET:
            self.snapshot = action.snapshot
        return self._queue

    def claimed(self) -> None:
        """The application has asked for it."""
        self._is_claimed = True
        self._queue.max_messages = self._limit
        self._queue.drops = _drops(self.delivery)

    def put(self, message: Message, count: int, size: int) -> bool:
        """A message has come, of so many bytes, with which the session has this count. Returns whether the room falls
        behind with it."""
        queue = self._queue
        now = time.monotonic() if queue.is_latest else 0.0
        if queue.put(message, count, size, self._received_epoch, now) and queue.taken_bytes >= queue.report_at:
            self._owner.report(self.name)
        self._stream.wake()
        if queue.drops or self.is_behind or not queue.is_over():
            return False
        if message.seq is not None and message.seq <= self._upto and not queue.is_over(CATCHING_UP):
            return False
        self.is_behind = True
        level = logging.DEBUG if self._was_behind else logging.WARNING
        logger.log(level, "room %r is read too slowly: its queue is full, and what comes is not kept", self.name)
        self._was_behind = True
        return True

    def fell_behind(self) -> list[Callable[[Room], object]]:
        """Returns whom to tell of it."""
        return self._behind_callbacks

    def caught_up(self) -> None:
        """It gets messages again."""
        self.is_behind = False

    def member_changed(self, member: Member) -> list[Callable[[Member], object]]:
        """Somebody came or left; returns whom to tell."""
        if self.members is None or self.count is None:
            # The server tells only those who may know, and those have had a list.
            self.members, self.count = {}, 0
        is_known = member.id in self.members
        if member.is_here:
            self.members[member.id] = member.info
            self.count += not is_known
        else:
            # Somebody who was never listed counts, too.
            self.members.pop(member.id, None)
            self.count = max(len(self.members), self.count - 1)
        return self._member_callbacks

    def gap_found(self) -> list[Callable[[Gap], object]]:
        """Returns whom to tell of a gap."""
        return self._gap_callbacks

    def told(self) -> list[Callable[[Skipped], object]]:
        """Returns whom to tell of what was skipped."""
        return self._skipped_callbacks

    def end(self, error: FanwireError | None, own: str) -> tuple[list[Callable[[RoomEnded], object]], RoomEnded]:
        """No more messages come; returns whom to tell of it, and what.

        Args:
            error: why; None: the application wanted it.
            own: what the application has done in that case.
        """
        if error is None:
            reason = RoomEnded(self.name, own)
        elif isinstance(error, RoomEnded):
            reason = error
        else:
            reason = RoomEnded(self.name, "connection_failed", str(error))
        if self.ended is None:
            self.ended = reason
        callbacks, self._end_callbacks = self._end_callbacks, []
        self._stream.end(error)
        return callbacks, self.ended


def _drops(delivery: str) -> str:
    if delivery == "reliable":
        return ""
    return "newest" if delivery == "drop-newest" else "oldest"
