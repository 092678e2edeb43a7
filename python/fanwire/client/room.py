"""A room as an application sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from msgspec import UNSET

from fanwire.checks import check_function
from fanwire.client.actions import Joined
from fanwire.client.errors import ClientError, RoomEnded
from fanwire.client.message import Gap, Member, Message, Position, Skipped
from fanwire.client.stream import Owner as StreamOwner
from fanwire.client.stream import Stream

__all__ = ["Owner", "Room"]

HARD_LIMIT = 16
"""Times the limit of a queue that it may have when reading must go on, because a call waits for its answer. What the
server sends before that answer is rarely more than what it lets wait for one connection."""

ONE_READ = 8192
"""Messages that may come at once, after reading has stopped: 256 KiB of the smallest envelopes are some 4,000."""

OnGap = TypeVar("OnGap", bound=Callable[[Gap], object])
OnSkipped = TypeVar("OnSkipped", bound=Callable[[Skipped], object])
OnMember = TypeVar("OnMember", bound=Callable[[Member], object])
OnEnd = TypeVar("OnEnd", bound=Callable[[RoomEnded], object])


class Owner(StreamOwner, Protocol):
    """Whose room it is."""

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

    Attributes:
        name: of the room.
        delivery: its class: "reliable", "latest", "drop-oldest" or "drop-newest".
        count: how many members there are, this client among them; None where the room has no presence.
        members: those that the client knows of, id to info; None where the room has no presence. A client that joins is
            told at most 1,000 members, itself among them; members that come later are added. See `is_complete`.
        snapshot: the state that the stream continues from, where the application supplies one; else None.
        epoch: names the numbering of `seq`.
        seq: the number of the last message that was taken, or that the stream continues from.
        ended: why it has ended; None while it goes on.
    """

    __slots__ = (
        "_end_callbacks", "_gap_callbacks", "_lost", "_member_callbacks", "_most", "_owner", "_received_epoch",
        "_skipped_callbacks", "_stream", "count", "delivery", "ended", "epoch", "members", "name", "seq", "snapshot",
    )  # fmt: skip

    def __init__(self, owner: Owner, name: str, limit: int) -> None:
        self._owner = owner
        self._stream: Stream[tuple[str, Message]] = Stream(owner, limit)
        self._most = max(HARD_LIMIT * limit, ONE_READ)
        self._lost: Gap | None = None
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

    @property
    def position(self) -> Position:
        """What to store, and to give to `join` as `since` another day, to go on after the last message taken."""
        return Position(self.epoch, self.seq)

    @property
    def is_complete(self) -> bool:
        """Whether `members` has all members. If not, `Client.presence` has them, page by page."""
        return self.members is not None and len(self.members) == self.count

    async def leave(self) -> None:
        """Ends the membership, and the iteration with it once what came before is taken. A room that has ended is left
        already.

        Raises:
            ClientError: the client is closed, or the server refuses.
        """
        if self.ended is None:
            await self._owner.leave(self.name)

    def on_gap(self, callback: OnGap) -> OnGap:
        """Has it called as soon as messages are known to be missed; it must not wait. Can be a decorator."""
        check_function("callback", callback)
        self._gap_callbacks.append(callback)
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
        epoch, message = await self._stream.next()
        lost, self._lost = self._lost, None
        if lost is not None:
            if message.gap is not None:
                lost = replace(message.gap, after=lost.after)
            message = replace(message, gap=lost)
        # The newest values at the beginning have numbers from before it.
        self.seq = max(self.seq, message.seq) if epoch == self.epoch else message.seq
        self.epoch = epoch
        return message

    def __repr__(self) -> str:
        return f"<Room {self.name!r} {self.epoch}:{self.seq}>"

    # What the client calls.

    def joined(self, action: Joined) -> None:
        """The stream begins, or begins again."""
        if not self._received_epoch:
            # Later it is for the messages, some of which may still wait here, to say where the application is.
            self.epoch, self.seq = action.epoch, action.seq
        self._received_epoch = action.epoch
        self.delivery = action.delivery
        self.members = action.members
        self.count = action.count
        if action.snapshot is not UNSET:
            self.snapshot = action.snapshot

    def put(self, message: Message) -> None:
        """A message has come."""
        if len(self._stream) >= self._most:
            self.missed(self._stream.drop_oldest()[1])
        self._stream.put((self._received_epoch, message))

    def missed(self, message: Message) -> None:
        """The oldest message that the application has not taken is dropped; the next one tells."""
        first = message.seq - 1 if message.gap is None else message.gap.after
        self._lost = Gap("slow", first if self._lost is None else self._lost.after, message.seq)

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

    def end(self, error: ClientError | None, own: str) -> tuple[list[Callable[[RoomEnded], object]], RoomEnded]:
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
