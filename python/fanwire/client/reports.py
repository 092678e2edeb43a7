"""What the application has taken of each room, and when to report it to the server. Pure.

A server sends droppable messages only as far as the application has taken earlier ones: each room has a window of bytes
that may be under way (docs/protocol.md).
"""

from __future__ import annotations

from typing import Any

import msgspec

from fanwire.client.message_queue import NEVER, MessageQueue
from fanwire.protocol.table import TAKEN_ROOMS

__all__ = ["MAX_ROOMS", "Reports"]

MAX_ROOMS = TAKEN_ROOMS
"""Rooms that one report may list. The other rooms are in later reports."""
ENTRY = 64
"""Bytes of a room in a report besides its name, at most."""
PART = 4
"""A room is reported when a part so many times smaller than its window was taken: the server never waits for it."""
FAST = 64 << 10
"""Bytes of the window of a reader that keeps up. Half of it may be taken until it is reported, for it is never full."""


class _Room:
    """The queue of a room, and the last report about it.

    Attributes:
        window: bytes that may be under way; 0: no limit, as far as the server has said.
        size: bytes of the room's entry in a report.
        told: the reported count of all messages.
        told_bytes: the bytes of all messages up to there.
    """

    __slots__ = ("queue", "size", "told", "told_bytes", "window")

    def __init__(self, name: str, queue: MessageQueue) -> None:
        self.queue = queue
        self.size = ENTRY + len(msgspec.json.encode(name))
        self.window = self.told = self.told_bytes = 0

    def watch(self) -> None:
        """The queue says when a part of the window was taken since the server was told."""
        part = max(self.window // PART, FAST // 2) if self.window >= FAST else self.window // PART
        self.queue.report_at = self.told_bytes + max(1, part) if self.window else NEVER


class Reports:
    """The rooms of one session.

    Attributes:
        is_wanted: whether the server has windows.
    """

    __slots__ = ("_base", "_early", "_rooms", "_window", "is_wanted")

    def __init__(self) -> None:
        self.is_wanted = False
        self._window = 0
        self._base = 0
        self._rooms: dict[str, _Room] = {}
        # The count at the last message of a room that came before its stream began, and the bytes of all such messages.
        self._early: dict[str, tuple[int, int]] = {}

    def welcomed(self, window: int, base: int) -> None:
        """A connection is there.

        Args:
            window: bytes that may be under way in each room at first; 0: the server has no windows.
            base: messages that had come before this session began: queues count on, and a session begins with 0.
        """
        self.is_wanted = window > 0
        self._window = window
        self._base = base
        self._early.clear()
        for room in self._rooms.values():
            # The last report and the last window may have been lost with the connection.
            room.told = 0
            room.window = window if room.window else 0
            room.watch()

    def joined(self, name: str, queue: MessageQueue, *, has_window: bool) -> None:
        """A stream begins, or goes on.

        Args:
            name: of the room.
            queue: what its messages go through.
            has_window: whether it has one from the first message on. Every other room is told besides, until the
                server tells it a window.
        """
        room = self._rooms.get(name)
        if room is None or room.queue is not queue:
            room = self._rooms[name] = _Room(name, queue)
        if has_window and not room.window:
            room.window = self._window
        early = self._early.pop(name, None)
        if early is not None:
            queue.passed(*early)
        room.watch()

    def left(self, name: str) -> None:
        """The server has no membership for this room any more."""
        room = self._rooms.pop(name, None)
        self._early.pop(name, None)
        if room is not None:
            room.queue.report_at = NEVER

    def passed(self, name: str, count: int, size: int) -> bool:
        """A message of a room has come that does not reach its queue. Returns whether to report now.

        Args:
            name: the name of the room.
            count: the count of all messages with it.
            size: its bytes.
        """
        room = self._rooms.get(name)
        if room is None:
            if name in self._early or len(self._early) < MAX_ROOMS:
                self._early[name] = count, size + self._early.get(name, (0, 0))[1]
            return False
        room.queue.passed(count, size)
        return room.queue.taken_bytes >= room.queue.report_at

    def changed(self, name: str, window: int) -> bool:
        """The server has changed the window of a room. Returns whether to report now."""
        room = self._rooms.get(name)
        if room is None:
            return False
        room.window = max(1, window)
        room.watch()
        return room.queue.taken_bytes >= room.queue.report_at

    def take(
        self, now: float, name: str | None = None, limit: int = NEVER, *, upto: int = NEVER
    ) -> dict[str, dict[str, Any]]:
        """Returns what was taken of a room, or of all rooms, since the last report.

        Args:
            now: the time.
            name: the name of the room; None: all rooms, up to the limit. The rest comes first in the next report.
            limit: the largest size of the report in bytes.
            upto: the highest count that the server may be told.
        """
        rooms = self._rooms if name is None else {name: self._rooms[name]} if name in self._rooms else {}
        told: dict[str, dict[str, Any]] = {}
        for key, room in rooms.items():
            count = min(room.queue.taken, self._base + upto)
            if count > max(room.told, self._base):
                limit -= room.size
                if len(told) == MAX_ROOMS or (limit < 0 and told):
                    break
                told[key] = {"count": count - self._base}
                if room.queue.ts is not None:
                    # The server takes the age of a message when it hears of it, and it was younger when it was taken.
                    ago = max(0.0, now - room.queue.ts_at)
                    told[key]["ts"] = room.queue.ts + round(1000 * ago)
                room.told = count
            room.told_bytes = room.queue.taken_bytes
            room.watch()
        else:
            return told
        for key in told:
            self._rooms[key] = self._rooms.pop(key)
        return told
