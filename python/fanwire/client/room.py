"""The public room. Its `Feed` has its state."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from fanwire.client.feed import Feed
from fanwire.client.history import RoomHistory
from fanwire.client.message import Gap, Member, Message, Position, Skipped
from fanwire.client.room_inputs import PendingInput
from fanwire.client.subscription_options import checked_options
from fanwire.errors import RequestFailed, RoomEnded
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
    With the reasons "unreadable" and "unhealed" nothing follows: keep them.

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
    def replayed(self) -> int:
        """How many messages that the room has kept the last join has begun with, see `last` of `Client.join`."""
        return self._feed.replayed

    @property
    def repair(self) -> str | None:
        """What the last join has brought in place of missed messages: "replay" or "snapshot"; None: the room was
        joined without `repair`, or nothing was missed. See `repair` of `Client.join`. A snapshot in place of messages
        comes with a gap (`on_gap`, `Message.gap`); where nothing was missed there is none."""
        return self._feed.repair

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

    @property
    def max_rate(self) -> float | None:
        """The values of each key a second that the server sends at most; None: all. What is left out is no gap."""
        return self._feed.max_rate

    @property
    def max_bytes(self) -> int | None:
        """The bytes of the room a second that the server sends at most; None: no limit."""
        return self._feed.max_bytes

    @property
    def filter(self) -> Mapping[str, Any] | None:
        """The filter that decides which messages the server sends, as the application has given it; None: all."""
        return self._feed.filter

    @property
    def is_filtered(self) -> bool:
        """Whether a number that does not come may be that of a message that is not for this client: the room has
        interest (docs/interest.md), or a rate. For `is_filtered` of a `SequenceChecker`."""
        feed = self._feed
        return feed.is_filtered or feed.max_rate is not None or feed.max_bytes is not None

    async def configure(
        self,
        *,
        max_rate: float | UnsetType | None = UNSET,
        max_bytes: int | UnsetType | None = UNSET,
        filter: Mapping[str, Any] | UnsetType | None = UNSET,
    ) -> None:
        """Changes what the server sends of the room. What is not given stays as it is; None takes a limit away. Later
        sessions of this client keep to it.

        Example::

            async def dim(room: fanwire.Room) -> None:
                await room.configure(max_rate=1)

        Args:
            max_rate: values of each key a second, 0.01 to 1,000; see `Client.join`.
            max_bytes: bytes a second, 1 to 1,000,000,000.
            filter: which messages the server sends from now on; see `Client.join`.

        Raises:
            RequestFailed: the server refuses; "invalid_payload" for a rate in a "reliable" room or a wrong filter,
                "not_joined" if the room has ended.
            TypeError, ValueError: an argument is of the wrong type or out of range.
            FanwireError: the client is closed, or has given up.
        """
        options = checked_options(max_rate=max_rate, max_bytes=max_bytes, filter=filter)
        if self._feed.ended is not None:
            raise RequestFailed("not_joined", f"room {self.name!r} has ended")
        await self._feed.owner.configure(self._feed.name, options)

    def history(
        self,
        *,
        before: int | Position | None = None,
        after: int | Position | None = None,
        limit: int | None = None,
    ) -> RoomHistory:
        """Reads the messages that the room keeps. `await` returns a list of them, oldest first; `async for` reads
        them one by one, from the oldest on with `after`, otherwise from the newest back.

        Example::

            async def scroll(room: fanwire.Room) -> None:
                newest = await room.history(limit=50)
                async for message in room.history(before=newest[0].seq):
                    print(message.data)

        Args:
            before: only messages with lower numbers: `Message.seq` or a `Position`; None: all.
            after: only messages with higher numbers; None: all.
            limit: the most messages, also more than the 1,000 of one page; None: all, and for `await` 100.

        Raises:
            RequestFailed: from reading: the server refuses; "invalid_payload" if the room keeps no history, or its
                numbering has begun anew.
            TypeError, ValueError: an argument is of the wrong type or out of range.
            FanwireError: from reading: the client is closed, or has given up.
        """
        return self._feed.owner.history(self.name, before, after, limit, self.epoch)

    async def leave(self) -> None:
        """Ends the membership, and the iteration after the messages that came before. Does nothing if the room has
        ended.

        Raises:
            RequestFailed: the server refuses.
            FanwireError: the client is closed, or has given up.
        """
        if self._feed.ended is None:
            await self._feed.owner.leave(self._feed.name)

    async def send_input(self, data: Any) -> int:
        """Sends an input to the application's loop (`Server.inputs`), and returns its number: 1, 2, 3...

        It returns when the input was given to the connection. While the connection is lost, inputs wait; if the session
        is lost, they are dropped.

        Args:
            data: a value of docs/values.md that JSON can hold, at most 4 kB.

        Raises:
            TypeError, ValueError: the data cannot be encoded, or is larger than any message may be.
            RoomEnded: the room has ended.
            FanwireError: the client is closed, or has given up.
        """
        if self._feed.ended is not None:
            raise self._feed.ended
        return await self._feed.owner.send_input(self._feed.name, data)

    @property
    def pending_inputs(self) -> list[PendingInput]:
        """The inputs that the last message taken does not include, oldest first, at most 256: to predict the present,
        apply them to the values of the server.

        Example::

            state = message.data
            for number, move in room.pending_inputs:
                state = apply(state, move)
        """
        feed = self._feed
        return [] if feed.ended is not None else feed.owner.pending_inputs(feed.name, feed.seq)

    def on_gap(self, callback: OnGap) -> OnGap:
        """Registers a callback that gets each `Gap` as soon as the client knows that messages are missing. It must not
        block. Can be used as a decorator. The first callback gets at once what the client has found before, such as at
        the join itself, unless a message that was taken has told of it.

        Messages that a full queue drops are reported by `Message.gap` of the next message only.
        """
        check_function("callback", callback, takes=("gap",))
        self._feed.on_gap.append(callback)
        untold, self._feed.untold = self._feed.untold, None
        if untold is not None:
            callback(untold)
        return callback

    def on_behind(self, callback: OnBehind) -> OnBehind:
        """Registers a callback that gets the room each time it falls behind (`is_behind`). It must not block. Can be
        used as a decorator."""
        check_function("callback", callback, takes=("room",))
        self._feed.on_behind.append(callback)
        return callback

    def on_skipped(self, callback: OnSkipped) -> OnSkipped:
        """Registers a callback that gets a `Skipped` for messages that the server did not deliver. It must not block.
        Can be used as a decorator."""
        check_function("callback", callback, takes=("skipped",))
        self._feed.on_skipped.append(callback)
        return callback

    def on_member(self, callback: OnMember) -> OnMember:
        """Registers a callback that gets a `Member` that has joined or left. It must not block. Can be used as a
        decorator."""
        check_function("callback", callback, takes=("member",))
        self._feed.on_member.append(callback)
        return callback

    def on_end(self, callback: OnEnd) -> OnEnd:
        """Registers a callback that gets the `RoomEnded` when the room ends, or at once if it has ended. It must not
        block. Can be used as a decorator."""
        check_function("callback", callback, takes=("ended",))
        if self._feed.ended is not None:
            callback(self._feed.ended)
        self._feed.on_end.append(callback)
        return callback

    def __aiter__(self) -> Room:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Message]:
        if self._feed.pattern is not None:
            raise RuntimeError(
                f"the messages of room {self.name!r} come to the pattern {self._feed.pattern!r}: iterate over that"
            )
        return self._feed.next()

    def __repr__(self) -> str:
        return f"<Room {self.name!r} {self.epoch}:{self.seq}>"
