"""The public stream of all rooms whose names match a pattern."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import TypeVar

from fanwire.client.callbacks import tell
from fanwire.client.feed import Feed, FeedOwner
from fanwire.client.message import Message
from fanwire.client.room import Room
from fanwire.client.stream import Turns
from fanwire.errors import FanwireError, RoomEnded
from fanwire.values.checks import check_function

__all__ = ["RoomPattern"]

OnPatternRoom = TypeVar("OnPatternRoom", bound=Callable[[Room], object])


class RoomPattern:
    """All rooms whose names match a pattern: those that exist, and each that comes to exist. Iterate over it for the
    messages of all, from one task; `Message.room` says of which. `Client.join_pattern` makes it.

    The messages of one room come in their order. Between rooms the stream takes turns, so that one busy room does not
    hold up the others. Each room is as if it was joined alone: with its rights, its own numbers and gaps, its snapshot,
    and its own queue (`rooms` has the `Room` of each). A room that ends leaves `rooms`; the pattern goes on.

    The iteration ends when the application leaves the pattern or closes the client. It raises `RoomEnded` if the server
    does not take the pattern back, or `ConnectionFailed` if the client has given up.
    """

    __slots__ = (
        "_ended", "_error", "_hand", "_is_over", "_name", "_on_room", "_owner", "_ready", "_rooms", "_turns", "_woken",
    )  # fmt: skip

    def __init__(self, owner: FeedOwner, name: str) -> None:
        self._owner = owner
        self._name = name
        self._rooms: dict[str, Room] = {}
        # The feeds that have messages, each once, in turns; and the one whose message the application has.
        self._ready: dict[Feed, None] = {}
        self._hand: Feed | None = None
        self._woken = asyncio.Event()
        self._turns = Turns()
        self._is_over = False
        self._error: FanwireError | None = None
        self._ended: RoomEnded | None = None
        self._on_room: list[Callable[[Room], object]] = []

    @property
    def name(self) -> str:
        """The pattern, such as "quotes.*"."""
        return self._name

    @property
    def rooms(self) -> MappingProxyType[str, Room]:
        """The rooms that the client is in because of it, by name. Iterating over one of them raises
        `RuntimeError`: its messages come here."""
        return MappingProxyType(self._rooms)

    @property
    def ended(self) -> RoomEnded | None:
        """The error with which it has ended; None: it has not ended."""
        return self._ended

    async def leave(self) -> None:
        """Leaves all its rooms, and ends the iteration after the messages that came before. Does nothing if it has
        ended.

        Raises:
            RequestFailed: the server refuses.
            FanwireError: the client is closed, or has given up.
        """
        if self._ended is None:
            await self._owner.leave(self._name)

    def on_room(self, callback: OnPatternRoom) -> OnPatternRoom:
        """Registers a callback that gets each `Room` that is joined because of the pattern, also those that are there
        already. Its snapshot is in `Room.snapshot`. It must not block. Can be used as a decorator."""
        check_function("callback", callback, takes=("room",))
        self._on_room.append(callback)
        for room in list(self._rooms.values()):
            callback(room)
        return callback

    def __aiter__(self) -> RoomPattern:
        return self

    async def __anext__(self) -> Message:
        self._owner.own_loop.check()
        await self._turns.given()
        while (message := self._take()) is None:
            if self._error is not None:
                # It may be raised many times.
                raise self._error.with_traceback(None)
            if self._is_over:
                raise StopAsyncIteration
            self._woken.clear()
            await self._woken.wait()
        return message

    def _take(self) -> Message | None:
        """Returns the next message that waits in one of the rooms, and counts the one before it as taken."""
        hand, self._hand = self._hand, None
        if hand is not None and hand.queue.release(time.monotonic()):
            self._owner.report(hand.name)
        while self._ready:
            feed = next(iter(self._ready))
            del self._ready[feed]
            message = feed.take()
            if message is not None:
                if feed.queue:
                    self._ready[feed] = None
                self._hand = feed
                return message
        return None

    def __repr__(self) -> str:
        return f"<RoomPattern {self._name!r} {len(self._rooms)} rooms>"

    # What the client's rooms call.

    def _joined(self, room: Room) -> None:
        if room.name not in self._rooms:
            self._rooms[room.name] = room
            tell(self._on_room, room)

    def _put(self, feed: Feed) -> None:
        self._ready[feed] = None
        self._woken.set()

    def _left(self, name: str) -> None:
        self._rooms.pop(name, None)

    def _end(self, error: FanwireError | None, own: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._error = error
        if error is None:
            self._ended = RoomEnded(self._name, own)
        elif isinstance(error, RoomEnded):
            self._ended = error
        else:
            self._ended = RoomEnded(self._name, "connection_failed", str(error))
        self._woken.set()
