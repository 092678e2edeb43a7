"""The rooms of a client: those that the application has, those it is joining, and those it has not asked for yet.

The rule it keeps: there is one `Room` for a name at a time, whoever has joined it, and how many asked for it at once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from fanwire.checks import check_function
from fanwire.client import actions as do
from fanwire.client.calls import Call, Calls
from fanwire.client.machine import Machine
from fanwire.client.message import Message, Position
from fanwire.client.room import Owner as RoomOwner
from fanwire.client.room import Room
from fanwire.state import ConnectionState

__all__ = ["OpenRooms", "Owner", "tell"]

logger = logging.getLogger("fanwire.client")

T = TypeVar("T")


class Owner(RoomOwner, Protocol):
    """The client."""

    def until_writable(self) -> Awaitable[None]:
        """Waits until one more message may be sent."""

    def answer(self, call: Call) -> Awaitable[object]:
        """Sends what is to be sent, and waits for the answer to a call."""

    def perform(self) -> None:
        """Sends what is to be sent."""


class OpenRooms:
    """Rooms by name.

    Args:
        owner: see `Owner`.
        machine: says where each room stands.
        calls: of the client.
        limit: messages of a room that may wait for the application.
    """

    def __init__(self, owner: Owner, machine: Machine, calls: Calls, limit: int) -> None:
        self._owner = owner
        self._machine = machine
        self._calls = calls
        self._limit = limit
        self._rooms: dict[str, Room] = {}
        self._joining: dict[str, _Joining] = {}
        # Those that the server has joined, until the application asks for them.
        self._unclaimed: dict[str, Room] = {}
        self._callbacks: list[Callable[[Room], object]] = []

    @property
    def by_name(self) -> dict[str, Room]:
        """Those that the application has, or is joining."""
        return dict(self._rooms)

    def on_room(self, callback: Callable[[Room], object]) -> None:
        """Has it called with each room that the server joins, also with those that nobody has asked for yet."""
        check_function("callback", callback)
        self._callbacks.append(callback)
        for name in list(self._unclaimed):
            tell(self._callbacks, self._claim(name))

    async def join(self, name: str, since: Position | None) -> Room:
        """Returns the room, as soon as it is joined. See `Client.join`."""
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
        """Leaves a room. See `Client.leave`."""
        await self._owner.until_writable()
        key = self._machine.leave(name)
        if key is not None:
            await self._owner.answer(self._calls.call(key))

    # What the machine tells.

    def joined(self, action: do.Joined) -> None:
        """A stream begins."""
        name = action.room
        room = self._known(name)
        if room is None:
            room = self._unclaimed[name] = Room(self._owner, name, self._limit)
        queue = room.joined(action)
        self._machine.watch(name, queue, has_window=action.delivery != "reliable")
        if self._callbacks and name in self._unclaimed:
            tell(self._callbacks, self._claim(name))

    def left(self, action: do.Left) -> None:
        """A stream has ended."""
        self._unclaimed.pop(action.room, None)
        room = self._rooms.pop(action.room, None)
        if room is not None:
            own = "closed" if self._machine.state is ConnectionState.CLOSED else "left"
            tell(*room.end(action.error, own))

    def put(self, name: str, message: Message, count: int, size: int) -> None:
        """A message of a room has come. See `Room.put`."""
        room = self._known(name)
        if room is not None and room.put(message, count, size):
            self._machine.fall_behind(name)
            tell(room.fell_behind(), room)

    def caught_up(self, action: do.CaughtUp) -> None:
        """The messages of a room come again."""
        if (room := self._known(action.room)) is not None:
            room.caught_up()

    def gap(self, action: do.GapFound) -> None:
        """Messages of a room are missed."""
        if (room := self._known(action.room)) is not None:
            tell(room.gap_found(), action.gap)

    def told(self, action: do.Told) -> None:
        """Messages of a room are left out."""
        if (room := self._known(action.room)) is not None:
            tell(room.told(), action.skipped)

    def member(self, action: do.MemberChanged) -> None:
        """Somebody came to a room, or left it."""
        if (room := self._known(action.room)) is not None:
            tell(room.member_changed(action.member), action.member)

    # Inside.

    def _known(self, name: str) -> Room | None:
        return self._rooms.get(name) or self._unclaimed.get(name)

    def _find(self, name: str, since: Position | None) -> Room | None:
        """The room, if it is joined and is to go on as it is."""
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
        room.claimed()
        return room

    def _begin(self, name: str, since: Position | None) -> _Joining:
        key = self._machine.join(name, since, is_new=name in self._unclaimed)
        self._unclaimed.pop(name, None)
        old = self._rooms.pop(name, None)
        if old is not None:
            # It is being left; what comes from now on is the new one's.
            tell(*old.end(None, "left"))
        room = self._rooms[name] = Room(self._owner, name, self._limit)
        room.claimed()
        joining = self._joining[name] = _Joining(room, since, self._calls.call(key))
        return joining

    def _finish(self, joining: _Joining) -> None:
        """No caller waits any more."""
        name = joining.room.name
        if self._joining.get(name) is joining:
            del self._joining[name]
        if joining.is_taken or self._rooms.get(name) is not joining.room:
            return
        # Refused, or cancelled: nobody is there for what the server may already be sending.
        del self._rooms[name]
        tell(*joining.room.end(None, "left"))
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


def tell(callbacks: Iterable[Callable[[T], object]], value: T) -> None:
    """Calls all of them, whatever they raise."""
    for callback in list(callbacks):
        _call(callback, value)


def _call(callback: Callable[[T], object], value: T) -> None:
    try:
        callback(value)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        # A CancelledError, too: nothing that a callback raises may keep the client from what is still to be done.
        logger.exception("a callback of the application failed")
