"""The messages of one room on their way to the application, and the state of that room. `Room` shows it.

Other modules of the client tell the feed what happens to the room. The application uses the `Room`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import UNSET

from fanwire.client.actions import Configured, Joined
from fanwire.client.callbacks import tell
from fanwire.client.history import RoomHistory
from fanwire.client.join_options import NO_WISHES, JoinWishes
from fanwire.client.membership import RELIABLE, STALE
from fanwire.client.message import Gap, Member, Message, Skipped, joint
from fanwire.client.message_queue import MessageQueue
from fanwire.client.own_loop import OwnLoop
from fanwire.client.room_inputs import PendingInput
from fanwire.client.stream import Stream
from fanwire.errors import FanwireError, RoomEnded
from fanwire.protocol.table import KEYED

__all__ = ["MAX_UNCLAIMED", "Feed", "FeedOwner"]

logger = logging.getLogger("fanwire.client")

CATCHING_UP = 16
"""Times its limits that a queue may have of what comes from the room's history, or of newest values once it has dropped
some: a reader that has fallen behind would otherwise be sent the same again and again."""
MAX_PAUSE = 64.0
"""Seconds between two times that a room is joined again for values which its queue has dropped, at most."""
MAX_UNCLAIMED = 128
"""Messages kept of a room that the server has joined, until the application asks for it: enough for the first moments
of a connection, and 16 MiB at most of 128 rooms with messages of 1 KiB."""


class FeedOwner(Protocol):
    """The client that the room belongs to.

    Attributes:
        own_loop: where it runs.
    """

    own_loop: OwnLoop

    def report(self, room: str) -> None:
        """Reports to the server what the application has taken of a room."""

    def catch_up(self, room: str) -> None:
        """Asks for the messages or values that a room has missed: the application has space for them."""

    def refresh(self, room: str) -> bool:
        """Asks for the newest values again, because those that wait are old. Returns whether all of them come; then
        `report` must be called."""

    def leave(self, room: str) -> Awaitable[None]:
        """Ends the membership."""

    def configure(self, room: str, options: dict[str, Any]) -> Awaitable[None]:
        """Changes what the client gets of the room."""

    def send_input(self, room: str, data: Any) -> Awaitable[int]:
        """Sends an input to a room; returns its number."""

    def pending_inputs(self, room: str, seq: int) -> list[PendingInput]:
        """The inputs to a room that are not in its messages up to a number."""

    def history(self, room: str, before: Any, after: Any, limit: int | None, epoch: str | None) -> RoomHistory:
        """Reads the messages that a room keeps, see `Room.history`."""


class Feed:
    """The queue and the state of one room.

    Args:
        owner: the client.
        name: the name of the room.
        limit: messages that may wait for the application.
        wishes: what else the application wants of the room.

    Attributes:
        owner, name: the arguments.
        wishes: those of the application's join.
        queue: the messages that wait.
        pattern: the pattern that takes the messages; None: the application takes them from the room.
        is_begun: whether the server has let the client in. Until then epoch, seq and delivery have no meaning.
        delivery, count, members, snapshot, replayed, repair, epoch, seq, ended, is_behind, max_rate, max_bytes, filter:
            see `Room`.
        is_filtered: whether the room has interest.
        untold: the gap that no callback and no message has told of yet; None: there is none.
        on_behind, on_gap, on_skipped, on_member, on_end: the callbacks of the application.
    """

    __slots__ = (
        "_is_claimed",
        "_limit",
        "_pause",
        "_received_epoch",
        "_restore_at",
        "_stream",
        "_upto",
        "_was_behind",
        "count",
        "delivery",
        "ended",
        "epoch",
        "filter",
        "is_begun",
        "is_behind",
        "is_filtered",
        "max_bytes",
        "max_rate",
        "members",
        "name",
        "on_behind",
        "on_end",
        "on_gap",
        "on_member",
        "on_skipped",
        "owner",
        "pattern",
        "queue",
        "repair",
        "replayed",
        "seq",
        "snapshot",
        "untold",
        "wishes",
    )  # fmt: skip

    def __init__(self, owner: FeedOwner, name: str, limit: int, wishes: JoinWishes = NO_WISHES) -> None:
        self.owner = owner
        self.name = name
        self.wishes = wishes
        self._limit = limit
        self._is_claimed = False
        # Until the application asks for the room, its newest messages are kept, whatever the class.
        self.queue = MessageQueue(MAX_UNCLAIMED, drops="oldest")
        self._stream = Stream(self.queue)
        self._upto = 0
        self._received_epoch = ""
        # When values that the queue has dropped may be asked for again, and the pause before that.
        self._restore_at = 0.0
        self._pause = STALE
        self.pattern: str | None = None
        self.on_behind: list[Callable[[Any], object]] = []
        self.on_gap: list[Callable[[Gap], object]] = []
        self.on_skipped: list[Callable[[Skipped], object]] = []
        self.on_member: list[Callable[[Member], object]] = []
        self.on_end: list[Callable[[RoomEnded], object]] = []
        self.is_begun = False
        self.delivery = ""
        self.count: int | None = None
        self.members: dict[str, Any] | None = None
        self.snapshot: Any = None
        self.replayed = 0
        self.repair: str | None = None
        self.epoch = ""
        self.seq = 0
        self.ended: RoomEnded | None = None
        self.is_behind = self._was_behind = False
        self.max_rate: float | None = None
        self.max_bytes: int | None = None
        self.filter: Mapping[str, Any] | None = None
        self.is_filtered = False
        self.untold: Gap | None = None

    async def next(self) -> Message:
        """Returns the next message, and counts the one before it as taken.

        Raises:
            StopAsyncIteration: the application has left the room or closed the client.
            RuntimeError: this is another event loop than the client's.
            RoomEnded, ConnectionFailed: the room has ended for another reason.
        """
        self.owner.own_loop.check()
        await self._stream.turns.given()
        while (message := self.take()) is None:
            await self._stream.arrived()
        return message

    def take(self) -> Message | None:
        """Returns the next message that waits, and counts the one before it as taken; None: none waits, perhaps since
        newer values come."""
        queue = self.queue
        now = time.monotonic()
        is_due = queue.release(now)
        if queue.is_latest and queue.has_value_before(now - STALE) and self.ended is None:
            # The server has newer values, which wait behind these.
            is_refreshed = self.owner.refresh(self.name)
            if is_refreshed:
                queue.drop_values()
            is_due |= is_refreshed
        if is_due:
            self.owner.report(self.name)
        if not queue:
            return None
        message, epoch = queue.pop()
        if message.gap is not None:
            self.untold = None
        if message.seq is not None and (message.seq > self.seq or epoch != self.epoch):
            # The newest values at the beginning of a stream have older numbers than the stream.
            self.seq, self.epoch = message.seq, epoch
        if queue.is_half_empty and self.ended is None and (self.is_behind or self._restores(now)):
            self.owner.catch_up(self.name)
        return message

    def _restores(self, now: float) -> bool:
        """Whether to ask for the values again that the queue has dropped: ever more seldom if they do not fit."""
        if not self.queue.lacks_values or now < self._restore_at:
            return False
        self._pause = STALE if now > self._restore_at + MAX_PAUSE else min(2 * self._pause, MAX_PAUSE)
        self._restore_at = now + self._pause
        self.queue.times = CATCHING_UP
        return True

    def joined(self, action: Joined) -> MessageQueue:
        """The stream begins, or begins again. Returns the queue of its messages."""
        if not self.is_begun:
            # Later the messages determine the position, since some of them may still wait here.
            self.epoch, self.seq = action.epoch, action.seq
        self.is_begun = True
        self._received_epoch = action.epoch
        self._upto = action.upto
        self.delivery = action.delivery
        self.max_rate, self.max_bytes, self.filter = action.max_rate, action.max_bytes, action.filter
        self.is_filtered = action.is_filtered
        self.queue.is_latest = action.delivery in KEYED
        # All newest values come behind this.
        self.queue.lacks_values = False
        self.queue.drops = _drops(action.delivery) if self._is_claimed else "oldest"
        self.members = action.members
        self.count = action.count
        self.replayed, self.repair = action.last, action.repair
        if action.snapshot is not UNSET:
            self.snapshot = action.snapshot
        return self.queue

    def configured(self, action: Configured) -> None:
        """The server has changed what the client gets of the room."""
        self.max_rate, self.max_bytes, self.filter = action.max_rate, action.max_bytes, action.filter

    def claimed(self) -> None:
        """The application has asked for the room."""
        self._is_claimed = True
        self.queue.max_messages = self._limit
        self.queue.drops = _drops(self.delivery)

    def put(self, message: Message, count: int, size: int) -> bool:
        """Adds a message of so many bytes; `count` is the session's count with it. Returns whether the room falls
        behind with it."""
        queue = self.queue
        now = time.monotonic() if queue.is_latest else 0.0
        if queue.put(message, count, size, self._received_epoch, now) and queue.taken_bytes >= queue.report_at:
            self.owner.report(self.name)
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

    def gap(self, gap: Gap) -> None:
        """Tells the callbacks that messages are missing. Without a callback, the first one to be registered is told."""
        if self.on_gap:
            tell(self.on_gap, gap)
        else:
            self.untold = joint(self.untold, gap)

    def caught_up(self) -> None:
        """The room receives messages again."""
        self.is_behind = False

    def member_changed(self, member: Member) -> None:
        """A member has joined or left."""
        if self.members is None or self.count is None:
            # The server reports members only to clients that may see them, and has sent those a list.
            self.members, self.count = {}, 0
        is_known = member.id in self.members
        if member.is_here:
            self.members[member.id] = member.info
            self.count += not is_known
        else:
            # The count includes members that were not listed.
            self.members.pop(member.id, None)
            self.count = max(len(self.members), self.count - 1)
        tell(self.on_member, member)

    def end(self, error: FanwireError | None, own: str) -> None:
        """Ends the room: no more messages come.

        Args:
            error: the reason; None: the application has ended it.
            own: what the application has done in that case: "left" or "closed".
        """
        if error is None:
            reason = RoomEnded(self.name, own)
        elif isinstance(error, RoomEnded):
            reason = error
        else:
            reason = RoomEnded(self.name, "connection_failed", str(error))
        if self.ended is None:
            self.ended = reason
        callbacks, self.on_end = self.on_end, []
        self._stream.end(error)
        tell(callbacks, self.ended)


def _drops(delivery: str) -> str:
    if delivery == RELIABLE:
        return ""
    return "newest" if delivery == "drop-newest" else "oldest"
