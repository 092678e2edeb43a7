"""What waits for one connection. In this order it leaves: what has to be sent again, urgent messages, reliable ones,
and droppable ones, for which each room has a lane."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from helpers.fake.message import Message
from helpers.fake.replay import Replay

Dropped = Callable[[Message, str], None]
"""Is told what is not sent, and why."""


class Outbox:
    """The queue of one connection.

    Args:
        limit: bytes that may wait.
        codec: of the connection.
        replay: of its session, if it has one.
        dropped: see `Dropped`.
    """

    def __init__(self, limit: int, codec: str, replay: Replay | None, dropped: Dropped) -> None:
        self.replay = replay
        self.is_closing = False
        self.farewell: tuple[int | None, str] | None = None
        self.bytes = 0
        self.highest = 0
        self._limit = limit
        self._codec = codec
        self._dropped = dropped
        self._urgent: deque[Message] = deque()
        self._reliable: deque[Message] = deque()
        self._lanes: dict[int, deque[Message]] = {}
        self._allowance = 0

    def push(self, message: Message) -> bool:
        """Adds a message; false if it must not be dropped and does not fit."""
        if message.is_event and self._codec == "raw":
            return True
        if self.is_closing:
            self._dropped(message, "closed")
            return True
        cost = message.cost(self._codec)
        if message.delivery == "reliable":
            if not self._make_room(cost):
                return False
            (self._urgent if message.role == "urgent" else self._reliable).append(message)
            self.bytes += cost
            self.highest = max(self.highest, self.bytes)
        elif message.delivery == "drop-newest":
            while not self._fits(cost) and not self._has_most(message.room_id) and self._drop_oldest():
                pass
            self._put(message, cost) if self._fits(cost) else self._dropped(message, "newest")
        elif not self._replace(message, cost):
            self._put(message, cost) if self._make_room(cost) else self._dropped(message, "newest")
        return True

    def push_snapshot(self, messages: list[Message]) -> bool:
        """Adds what a joiner has to have first, beyond the limit if need be."""
        self._allowance += sum(message.cost(self._codec) for message in messages)
        return all(self.push(message) for message in messages)

    def waiting(self) -> list[Message]:
        """All messages that were never sent."""
        return [message for lane in (self._urgent, self._reliable, *self._lanes.values()) for message in lane]

    def waits(self, room_id: int) -> bool:
        """Whether droppable messages of a room wait."""
        return bool(self._lanes.get(room_id))

    def leave(self, room_id: int) -> None:
        """Drops what may be dropped of a room."""
        for message in self._lanes.pop(room_id, ()):
            self._drop(message, "closed")

    def close(self, farewell: tuple[int | None, str], flush: bool) -> None:
        """Nothing more comes. A second call can only withdraw the flush."""
        if not flush:
            self.clear()
        if not self.is_closing:
            self.is_closing, self.farewell = True, farewell

    def clear(self) -> None:
        """Drops all that waits."""
        for lane in (self._urgent, self._reliable, *self._lanes.values()):
            for message in lane:
                self._drop(message, "closed")
            lane.clear()
        self.replay = None

    def pop(self) -> Message | None:
        """The next message that leaves, which counts as sent; None: nothing waits."""
        again = None if self.replay is None else self.replay.pending()
        if again is not None:
            return again
        if self._urgent:
            message = self._urgent.popleft()
        elif self._reliable:
            message = self._reliable.popleft()
        else:
            lane = next((room for room, lane in self._lanes.items() if lane), None)
            if lane is None:
                self._lanes.clear()
                self._allowance = 0
                return None
            messages = self._lanes.pop(lane)
            message = messages.popleft()
            # Its next turn comes after those of the other rooms.
            self._lanes[lane] = messages
        self.bytes -= message.cost(self._codec)
        if self.replay is not None:
            self.replay.wrote(message)
        return message

    def _put(self, message: Message, cost: int) -> None:
        self._lanes.setdefault(message.room_id, deque()).append(message)
        self.bytes += cost
        self.highest = max(self.highest, self.bytes)

    def _replace(self, message: Message, cost: int) -> bool:
        lane = self._lanes.get(message.room_id, deque())
        if message.key_id is None:
            return False
        for place, old in enumerate(lane):
            if old.key_id == message.key_id:
                lane[place] = message
                self.bytes += cost
                self.highest = max(self.highest, self.bytes)
                self._drop(old, "replaced")
                self._make_room(0)
                return True
        return False

    def _fits(self, cost: int) -> bool:
        is_alone = not (self._urgent or self._reliable or any(self._lanes.values()))
        return self.bytes + cost <= self._limit + self._allowance or (is_alone and self._codec != "raw")

    def _make_room(self, cost: int) -> bool:
        while not self._fits(cost):
            if not self._drop_oldest():
                return False
        return True

    def _drop_oldest(self) -> bool:
        lane = max(self._lanes.values(), key=self._cost_of, default=None)
        if not lane:
            return False
        self._drop(lane.popleft(), "oldest")
        return True

    def _has_most(self, room_id: int) -> bool:
        most = max(map(self._cost_of, self._lanes.values()), default=0)
        return most == 0 or self._cost_of(self._lanes.get(room_id, deque())) == most

    def _cost_of(self, lane: deque[Message]) -> int:
        return sum(message.cost(self._codec) for message in lane)

    def _drop(self, message: Message, reason: str) -> None:
        self.bytes -= message.cost(self._codec)
        self._dropped(message, reason)
