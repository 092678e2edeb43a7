"""The public room. Its `Feed` has its state."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fanwire.client.feed import Feed
from fanwire.client.message import Gap, Member, Message, Position, Skipped
from fanwire.errors import RoomEnded
from fanwire.values.checks import check_function

__all__ = ["Room"]

OnBehind = TypeVar("OnBehind", bound=Callable[["Room"], object])
OnGap = TypeVar("OnGap", bound=Callable[[Gap], object])
OnSkipped = TypeVar("OnSkipped", bound=Callable[[Skipped], object])
OnMember = TypeVar("OnMember", bound=Callable[[Member], object])
OnEnd = TypeVar("OnEnd", bound=Callable[[RoomEnded], object])


class Room:
    """A room that the client has joined. Iterate over it for its messages, from one task. `Client.join` makes it.

    When the room ends, the messages that came before are still handed out. Then the iteration stops, if the application
    has left the room or closed the client. Otherwise it raises `RoomEnded`, which says why, or `ConnectionFailed` where
    the client has given up. A lost connection does not end a room: the client joins it again, and where the server
    cannot let it in for the time being, it tries for some minutes.

    A message that was late, because the server had left it out, comes after messages with higher numbers; `seq` tells.
    Nothing comes twice in a room with reliable delivery, and `Message.gap` says what does not come at all.

    After a gap in a room of "latest" values the newest values of all keys follow: forget the keys that do not come.

    Each room has a queue of its own, so a room that is read slowly, or not at all, does not delay the others. What a
    full queue does depends on `delivery`. A room of "latest" values keeps the newest value of each key. If these are
    too many, and in a room that drops, messages go, and the next one has a gap with the reason "slow". A "reliable"
    room falls *behind*: see `is_behind`.
    """

    __slots__ = ("_feed",)

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    @property
    def name(self) -> str:
        """The name of the room."""
        return self._feed.name

    @property
    def delivery(self) -> str:
        """The delivery class: "reliable", "latest", "drop-oldest" or "drop-newest"."""
        return self._feed.delivery

    @property
    def members(self) -> dict[str, Any] | None:
        """The members that the client knows of, id to info; None: the room has no presence.

        The server lists at most 1,000 members to a client that joins, the client itself among them. Members that join
        later are added. See `is_complete`.
        """
        return self._feed.members

    @property
    def count(self) -> int | None:
        """How many members there are, this client among them; None: the room has no presence."""
        return self._feed.count

    @property
    def is_complete(self) -> bool:
        """Whether `members` has all members. If not, `Client.presence` reads them from the server."""
        members = self._feed.members
        return members is not None and len(members) == self._feed.count

    @property
    def snapshot(self) -> Any:
        """The state that the stream continues from; None: the application supplies none."""
        return self._feed.snapshot

    @property
    def epoch(self) -> str:
        """The name of the numbering of `seq`."""
        return self._feed.epoch

    @property
    def seq(self) -> int:
        """The number of the last message that was taken, or that the stream continues from; 0: there was no message."""
        return self._feed.seq

    @property
    def position(self) -> Position:
        """`epoch` and `seq`. Store it and give it to `join` as `since`, to continue after the last message taken."""
        return Position(self._feed.epoch, self._feed.seq)

    @property
    def is_behind(self) -> bool:
        """Whether a reliable room's queue is full, and what comes is not kept at present.

        Once the application has taken half of what waits, the client asks for what was missed: it comes from the room's
        history, or the next message has a gap with the reason "slow".
        """
        return self._feed.is_behind

    @property
    def ended(self) -> RoomEnded | None:
        """Why the room has ended; None: it goes on."""
        return self._feed.ended

    async def leave(self) -> None:
        """Ends the membership, and the iteration after the messages that came before. Does nothing if the room has
        ended.

        Raises:
            RequestFailed: the server refuses.
            FanwireError: the client is closed, or has given up.
        """
        if self._feed.ended is None:
            await self._feed.owner.leave(self._feed.name)

    def on_gap(self, callback: OnGap) -> OnGap:
        """Registers a callback for gaps, called as soon as messages are known to be missing. It must not block. Can be
        used as a decorator.

        What a full queue drops of a room that is not reliable is reported by the next message alone.
        """
        check_function("callback", callback)
        self._feed.on_gap.append(callback)
        return callback

    def on_behind(self, callback: OnBehind) -> OnBehind:
        """Registers a callback that gets the room each time it falls behind (`is_behind`). It must not block. Can be
        used as a decorator."""
        check_function("callback", callback)
        self._feed.on_behind.append(callback)
        return callback

    def on_skipped(self, callback: OnSkipped) -> OnSkipped:
        """Registers a callback for the server's reports of messages that it did not deliver. It must not block. Can be
        used as a decorator."""
        check_function("callback", callback)
        self._feed.on_skipped.append(callback)
        return callback

    def on_member(self, callback: OnMember) -> OnMember:
        """Registers a callback for members that join or leave. It must not block. Can be used as a decorator."""
        check_function("callback", callback)
        self._feed.on_member.append(callback)
        return callback

    def on_end(self, callback: OnEnd) -> OnEnd:
        """Registers a callback for the end of the room, called at once if it has ended. It must not block. Can be used
        as a decorator."""
        check_function("callback", callback)
        if self._feed.ended is not None:
            callback(self._feed.ended)
        self._feed.on_end.append(callback)
        return callback

    def __aiter__(self) -> Room:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Message]:
        return self._feed.next()

    def __repr__(self) -> str:
        return f"<Room {self.name!r} {self.epoch}:{self.seq}>"
