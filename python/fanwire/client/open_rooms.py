"""The rooms of a client: joined by the application, being joined, and joined by the server without the application.

The rule it keeps: there is one `Room` for a name at a time, whether the application or the server has joined it, and
however many callers ask for it at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fanwire.client import actions as do
from fanwire.client.callbacks import tell
from fanwire.client.calls import Call, Calls
from fanwire.client.feed import Feed, FeedOwner
from fanwire.client.join_options import NO_WISHES, JoinWishes
from fanwire.client.machine import Machine
from fanwire.client.membership import RELIABLE
from fanwire.client.message import Message, Position
from fanwire.client.pattern import RoomPattern
from fanwire.client.room import Room
from fanwire.state import ConnectionState
from fanwire.values.checks import check_function

__all__ = ["OpenRooms", "OpenRoomsOwner"]

SHARE = 16
"""The part of `max_queue` that a room of a pattern may have: there may be a thousand of them."""

OTHER_WISHES = "room {!r} is joined with another `last` or `repair`: leave it first"


class OpenRoomsOwner(FeedOwner, Protocol):
    """What a client's rooms need of its runtime."""

    def until_writable(self) -> Awaitable[None]:
        """Waits until one more message may be sent."""

    def answer(self, call: Call) -> Awaitable[object]:
        """Does the pending actions, and waits for the answer to a call."""

    def perform(self) -> None:
        """Does the pending actions."""


class OpenRooms:
    """The rooms by name.

    Args:
        owner: the client's runtime.
        machine: has the state of each room.
        calls: the open calls of the client.
        limit: messages of a room that may wait for the application.
    """

    def __init__(self, owner: OpenRoomsOwner, machine: Machine, calls: Calls, limit: int) -> None:
        self._owner = owner
        self._machine = machine
        self._calls = calls
        self._limit = limit
        self._rooms: dict[str, Room] = {}
        self._joining: dict[str, _Joining] = {}
        # Rooms that the server has joined, until the application asks for them.
        self._unclaimed: dict[str, Room] = {}
        self._callbacks: list[Callable[[Room], object]] = []
        self._patterns: dict[str, RoomPattern] = {}
        # The pattern of each room that was joined because of one.
        self._pattern_of: dict[str, RoomPattern] = {}

    async def join_pattern(self, name: str, options: JoinWishes) -> RoomPattern:
        """Joins the rooms of a pattern, as `Client.join_pattern` does.

        Raises:
            RequestFailed: the server refuses.
            ValueError: the pattern is joined, or is none.
            FanwireError: the client is closed, or has given up.
        """
        await self._owner.until_writable()
        key = self._machine.commands.join_pattern(name, **options._asdict())
        pattern = self._patterns[name] = RoomPattern(self._owner, name)
        try:
            await self._owner.answer(self._calls.call(key))
        except BaseException:
            if self._patterns.get(name) is pattern:
                del self._patterns[name]
                # The answer may have come in the turn in which the caller was cancelled.
                self._abandon(self._machine.rooms.patterns.abandon, name)
            for room in pattern.rooms:
                self._pattern_of.pop(room, None)
                self._rooms.pop(room, None)
            raise
        return pattern

    def pattern_ended(self, action: do.PatternEnded) -> None:
        """A pattern has ended, and its rooms."""
        pattern = self._patterns.pop(action.pattern, None)
        if pattern is not None:
            pattern._end(action.error, self._own_end)

    @property
    def _own_end(self) -> str:
        return "closed" if self._machine.state is ConnectionState.CLOSED else "left"

    @property
    def by_name(self) -> dict[str, Room]:
        """The rooms that the application has joined."""
        return {name: room for name, room in self._rooms.items() if room._feed.is_begun}

    def on_room(self, callback: Callable[[Room], object]) -> None:
        """Adds a callback for each room that the server joins, and calls it for those that it has joined before."""
        check_function("callback", callback, takes=("room",))
        self._callbacks.append(callback)
        for name in list(self._unclaimed):
            tell(self._callbacks, self._claim(name))

    async def join(
        self,
        name: str,
        since: Position | None,
        options: dict[str, Any],
        wishes: JoinWishes = NO_WISHES,
    ) -> Room:
        """Joins a room and returns it, as `Client.join` does.

        Raises:
            RequestFailed: the server refuses.
            ValueError: `since` is another position than that of a room that is joined, or the options are others.
            FanwireError: the client is closed, or has given up.
        """
        self._owner.own_loop.check()
        room = self._find(name, since, options, wishes)
        if room is not None:
            return room
        await self._owner.until_writable()
        room = self._find(name, since, options, wishes)
        if room is not None:
            return room
        joining = self._joining.get(name)
        if joining is None or joining.room.ended is not None or self._machine.rooms.is_leaving(name):
            joining = self._begin(name, since, options, wishes)
        elif options not in ({}, joining.options):
            raise ValueError(f"room {name!r} is being joined with other options, use Room.configure to change them")
        elif not joining.room._feed.wishes.serves(wishes):
            raise ValueError(OTHER_WISHES.format(name))
        elif since is not None and since != joining.since:
            raise ValueError(f"since must be None or {joining.since}: room {name!r} is being joined, got {since}")
        joining.callers += 1
        try:
            await self._owner.answer(joining.call)
            joining.is_taken = True
            return joining.room
        finally:
            joining.callers -= 1
            if not joining.callers:
                self._finish(joining)

    async def leave(self, name: str) -> None:
        """Leaves a room, as `Client.leave` does.

        Raises:
            RequestFailed: the server refuses.
            FanwireError: the client is closed, or has given up.
        """
        await self._owner.until_writable()
        key = self._machine.commands.leave(name)
        if key is not None:
            await self._owner.answer(self._calls.call(key))

    # What the machine reports.

    def joined(self, action: do.Joined) -> None:
        """A stream begins."""
        name = action.room
        feed = self._feed(name)
        if feed is None:
            feed = Feed(self._owner, name, self._limit)
            self._unclaimed[name] = Room(feed)
        pattern = None if action.pattern is None else self._patterns.get(action.pattern)
        if pattern is not None and name in self._unclaimed:
            self._pattern_of[name] = pattern
            feed.pattern = pattern.name
            room = self._claim(name)
            feed.queue.max_messages = max(1, self._limit // SHARE)
            feed.joined(action)
            pattern._joined(room)
        queue = feed.joined(action)
        self._machine.commands.watch(name, queue, has_window=action.delivery != RELIABLE)
        if queue.taken_bytes >= queue.report_at:
            self._owner.report(name)
        if self._callbacks and name in self._unclaimed:
            tell(self._callbacks, self._claim(name))

    def left(self, action: do.Left) -> None:
        """A stream has ended."""
        self._unclaimed.pop(action.room, None)
        room = self._rooms.pop(action.room, None)
        pattern = self._pattern_of.pop(action.room, None)
        if pattern is not None:
            pattern._left(action.room)
        if room is not None:
            room._feed.end(action.error, self._own_end)

    def put(self, name: str, message: Message, count: int, size: int) -> None:
        """Adds a message to the queue of its room. Returns whether the room falls behind with it."""
        room = self._known(name)
        if room is None:
            return
        if room._feed.put(message, count, size):
            self._machine.commands.fall_behind(name)
            tell(room._feed.on_behind, room)
        if self._pattern_of and (pattern := self._pattern_of.get(name)) is not None:
            pattern._put(room._feed)

    def caught_up(self, action: do.CaughtUp) -> None:
        """A room receives messages again."""
        if (feed := self._feed(action.room)) is not None:
            feed.caught_up()

    def gap(self, action: do.GapFound) -> None:
        """Messages of a room are missing."""
        if (feed := self._feed(action.room)) is not None:
            feed.gap(action.gap)

    def told(self, action: do.Told) -> None:
        """The server reports messages of a room that it did not deliver."""
        if (feed := self._feed(action.room)) is not None:
            tell(feed.on_skipped, action.skipped)

    def member(self, action: do.MemberChanged) -> None:
        """A member has joined a room, or left it."""
        if (feed := self._feed(action.room)) is not None:
            feed.member_changed(action.member)

    def configured(self, action: do.Configured) -> None:
        """What the client gets of a room has changed."""
        if (feed := self._feed(action.room)) is not None:
            feed.configured(action)

    # Inside.

    def _known(self, name: str) -> Room | None:
        return self._rooms.get(name) or self._unclaimed.get(name)

    def _feed(self, name: str) -> Feed | None:
        room = self._known(name)
        return None if room is None else room._feed

    def _find(self, name: str, since: Position | None, options: dict[str, Any], wishes: JoinWishes) -> Room | None:
        """Returns the room if it is joined and continues as it is."""
        if name in self._joining or not self._machine.rooms.is_joined(name):
            return None
        room = self._rooms.get(name)
        if name in self._pattern_of:
            raise ValueError(f"room {name!r} is read by {self._pattern_of[name]!r}: leave that first")
        if room is None:
            is_as_it_is = since is None and not options and NO_WISHES.serves(wishes)
            return self._claim(name) if name in self._unclaimed and is_as_it_is else None
        if since is not None and since != room.position:
            raise ValueError(f"since must be None: room {name!r} is joined and at {room.position}, got {since}")
        if any(getattr(room, option) != value for option, value in options.items()):
            raise ValueError(f"room {name!r} is joined with other options, use Room.configure to change them")
        if not room._feed.wishes.serves(wishes):
            raise ValueError(OTHER_WISHES.format(name))
        return room

    def _claim(self, name: str) -> Room:
        room = self._rooms[name] = self._unclaimed.pop(name)
        room._feed.claimed()
        return room

    def _begin(self, name: str, since: Position | None, options: dict[str, Any], wishes: JoinWishes) -> _Joining:
        is_new = name in self._unclaimed
        key = self._machine.commands.join(name, since, options, is_new=is_new, **wishes._asdict())
        self._unclaimed.pop(name, None)
        old = self._rooms.pop(name, None)
        if old is not None:
            # The room is being left; later messages belong to the new membership.
            old._feed.end(None, "left")
        room = self._rooms[name] = Room(Feed(self._owner, name, self._limit, wishes))
        room._feed.claimed()
        joining = self._joining[name] = _Joining(room, since, options, self._calls.call(key))
        return joining

    def _finish(self, joining: _Joining) -> None:
        """No caller waits for the room any more."""
        name = joining.room.name
        if self._joining.get(name) is joining:
            del self._joining[name]
        if joining.is_taken or self._rooms.get(name) is not joining.room:
            return
        # The join was refused or cancelled, but the server may be sending messages of the room already.
        del self._rooms[name]
        joining.room._feed.end(None, "left")
        self._abandon(self._machine.rooms.abandon, name)

    def _abandon(self, leave: Callable[[str], object], name: str) -> None:
        if self._machine.state not in (ConnectionState.CLOSING, ConnectionState.CLOSED):
            leave(name)
            self._owner.perform()


class _Joining:
    __slots__ = ("call", "callers", "is_taken", "options", "room", "since")

    def __init__(self, room: Room, since: Position | None, options: dict[str, Any], call: Call) -> None:
        self.room = room
        self.options = options
        self.since = since
        self.call = call
        self.callers = 0
        # Whether a caller has got the room.
        self.is_taken = False
