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
    has left the room or closed the client. Otherwise it raises `RoomEnded` with the reason, or `ConnectionFailed` if
    the client has given up. A lost connection does not end a room: the client joins it again, and tries for some
    minutes if the server refuses this for the time being.

    A message that the server sends late comes after messages with higher numbers, so compare `Message.seq`. In a room
    with reliable delivery no message comes twice, and `Message.gap` reports the messages that do not come.

    After a gap in a room of "latest" values the newest values of all keys come: drop your values of all other keys.

    Each room has a queue of its own, so a room that is read slowly, or not at all, does not delay the others. What a
    full queue does depends on `delivery`. A room of "latest" values keeps the newest value of each key. If there
    are too many keys, and in a "drop-oldest" or "drop-newest" room, messages are dropped, and the next message has a
    gap with the reason "slow". A "reliable" room falls *behind*: messages are not kept until the application has taken
    half of the queue (`is_behind`).
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
        """The known members, id to info; None: the room has no presence.

        When a client joins, the server lists at most 1,000 members, with the client itself. Members that join later
        are added. `is_complete` says whether all members are known.
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
        """The state of the room before its first message, from `Server.room(snapshot=...)`; None: there is none."""
        return self._feed.snapshot

    @property
    def epoch(self) -> str:
        """The id of the numbering that `seq` belongs to. It changes when the server begins to count anew."""
        return self._feed.epoch

    @property
    def seq(self) -> int:
        """The number of the last message that the application has taken, at first that of the last message before the
        join; 0: there was no message."""
        return self._feed.seq

    @property
    def position(self) -> Position:
        """`epoch` and `seq`. Store it and give it to `join` as `since`, to continue after the last message taken."""
        return Position(self._feed.epoch, self._feed.seq)

    @property
    def is_behind(self) -> bool:
        """Whether the queue of a reliable room is full, so that new messages are not kept at present.

        When the application has taken half of the queue, the client asks the server for the missed messages. They come
        from the room's history, or the next message has a gap with the reason "slow".
        """
        return self._feed.is_behind

    @property
    def ended(self) -> RoomEnded | None:
        """The error with which the room has ended; None: it has not ended."""
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
        """Registers a callback that gets each `Gap` as soon as the client knows that messages are missing. It must not
        block. Can be used as a decorator.

        Messages that a full queue drops are reported by `Message.gap` of the next message only.
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
        """Registers a callback that gets a `Skipped` for messages that the server did not deliver. It must not block.
        Can be used as a decorator."""
        check_function("callback", callback)
        self._feed.on_skipped.append(callback)
        return callback

    def on_member(self, callback: OnMember) -> OnMember:
        """Registers a callback that gets a `Member` that has joined or left. It must not block. Can be used as a
        decorator."""
        check_function("callback", callback)
        self._feed.on_member.append(callback)
        return callback

    def on_end(self, callback: OnEnd) -> OnEnd:
        """Registers a callback that gets the `RoomEnded` when the room ends, or at once if it has ended. It must not
        block. Can be used as a decorator."""
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
