"""The rooms of a client: joined by the application, being joined, and joined by the server without the application.

The rule it keeps: there is one `Room` for a name at a time, whether the application or the server has joined it, and
however many callers ask for it at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from fanwire.client import actions as do
from fanwire.client.callbacks import tell
from fanwire.client.calls import Call, Calls
from fanwire.client.feed import Feed, FeedOwner
from fanwire.client.machine import Machine
from fanwire.client.membership import RELIABLE
from fanwire.client.message import Message, Position
from fanwire.client.room import Room
from fanwire.state import ConnectionState
from fanwire.values.checks import check_function

__all__ = ["OpenRooms", "OpenRoomsOwner"]


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

    @property
    def by_name(self) -> dict[str, Room]:
        """The rooms that the application has joined."""
        return {name: room for name, room in self._rooms.items() if room._feed.is_begun}

    def on_room(self, callback: Callable[[Room], object]) -> None:
        """Adds a callback for each room that the server joins, and calls it for those that it has joined before."""
        check_function("callback", callback)
        self._callbacks.append(callback)
        for name in list(self._unclaimed):
            tell(self._callbacks, self._claim(name))

    async def join(self, name: str, since: Position | None) -> Room:
        """Joins a room and returns it, as `Client.join` does.

        Raises:
            RequestFailed: the server refuses.
            ValueError: `since` is another position than that of a room that is joined.
            FanwireError: the client is closed, or has given up.
        """
        room = self._find(name, since)
        if room is not None:
            return room
        await self._owner.until_writable()
        room = self._find(name, since)
        if room is not None:
            return room
        joining = self._joining.get(name)
        if joining is None or joining.room.ended is not None or self._machine.rooms.is_leaving(name):
            joining = self._begin(name, since)
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
        queue = feed.joined(action)
        self._machine.commands.watch(name, queue, has_window=action.delivery != RELIABLE)
        if self._callbacks and name in self._unclaimed:
            tell(self._callbacks, self._claim(name))

    def left(self, action: do.Left) -> None:
        """A stream has ended."""
        self._unclaimed.pop(action.room, None)
        room = self._rooms.pop(action.room, None)
        if room is not None:
            room._feed.end(action.error, "closed" if self._machine.state is ConnectionState.CLOSED else "left")

    def put(self, name: str, message: Message, count: int, size: int) -> None:
        """Adds a message to the queue of its room. Returns whether the room falls behind with it."""
        room = self._known(name)
        if room is not None and room._feed.put(message, count, size):
            self._machine.commands.fall_behind(name)
            tell(room._feed.on_behind, room)

    def caught_up(self, action: do.CaughtUp) -> None:
        """A room receives messages again."""
        if (feed := self._feed(action.room)) is not None:
            feed.caught_up()

    def gap(self, action: do.GapFound) -> None:
        """Messages of a room are missing."""
        if (feed := self._feed(action.room)) is not None:
            tell(feed.on_gap, action.gap)

    def told(self, action: do.Told) -> None:
        """The server reports messages of a room that it did not deliver."""
        if (feed := self._feed(action.room)) is not None:
            tell(feed.on_skipped, action.skipped)

    def member(self, action: do.MemberChanged) -> None:
        """A member has joined a room, or left it."""
        if (feed := self._feed(action.room)) is not None:
            feed.member_changed(action.member)

    # Inside.

    def _known(self, name: str) -> Room | None:
        return self._rooms.get(name) or self._unclaimed.get(name)

    def _feed(self, name: str) -> Feed | None:
        room = self._known(name)
        return None if room is None else room._feed

    def _find(self, name: str, since: Position | None) -> Room | None:
        """Returns the room if it is joined and continues as it is."""
        if name in self._joining or not self._machine.rooms.is_joined(name):
            return None
        room = self._rooms.get(name)
        if room is None:
            return self._claim(name) if name in self._unclaimed and since is None else None
        if since is not None and since != room.position:
            raise ValueError(f"since must be None: room {name!r} is joined and at {room.position}, got {since}")
        return room

    def _claim(self, name: str) -> Room:
        room = self._rooms[name] = self._unclaimed.pop(name)
        room._feed.claimed()
        return room

    def _begin(self, name: str, since: Position | None) -> _Joining:
        key = self._machine.commands.join(name, since, is_new=name in self._unclaimed)
        self._unclaimed.pop(name, None)
        old = self._rooms.pop(name, None)
        if old is not None:
            # The room is being left; later messages belong to the new membership.
            old._feed.end(None, "left")
        room = self._rooms[name] = Room(Feed(self._owner, name, self._limit))
        room._feed.claimed()
        joining = self._joining[name] = _Joining(room, since, self._calls.call(key))
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
        if self._machine.state not in (ConnectionState.CLOSING, ConnectionState.CLOSED):
            self._machine.rooms.abandon(name)
            self._owner.perform()


class _Joining:
    __slots__ = ("call", "callers", "is_taken", "room", "since")

    def __init__(self, room: Room, since: Position | None, call: Call) -> None:
        self.room = room
        self.since = since
        self.call = call
        self.callers = 0
        # Whether a caller has got the room.
        self.is_taken = False
