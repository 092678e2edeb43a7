"""One room's memory: its numbering, its history, and in a room of latest values the newest of each key."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from fanwire._engine import Overloaded
from helpers.fake.interest import Interest
from helpers.fake.message import Message
from helpers.fake.settings import RoomSettings


class Kept:
    """Bytes that all rooms keep for those who come later."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class When(NamedTuple):
    """When a key was forgotten: in microseconds since 1970, and by which number of the room; 0: none."""

    us: int
    seq: int


class Room:
    """A room.

    Attributes:
        members: the connections that are in it, in the order in which they came.
        interest: which messages its members want.
        floor: the history has all messages after this number.
        seen: its number when its growth was asked for.
    """

    def __init__(self, id: int, name: str, epoch: int, settings: RoomSettings, kept: Kept) -> None:
        self.id = id
        self.name = name
        self.epoch = epoch
        self.settings = settings
        self.seq = 0
        self.seen = 0
        self.floor = 0
        self.members: dict[int, None] = {}
        self.interest = Interest()
        self._kept = kept
        self._history: deque[Message] = deque()
        self._history_bytes = 0
        self._settled: RoomSettings | None = None
        self._latest: dict[str, tuple[int, Message | None]] = {}
        self._forgotten: dict[str, When] = {}

    def keep_first(self) -> None:
        """Keeps the first messages until it is settled."""
        settings = self._settled = self.settings
        if settings.history < FIRST:
            size, age = (settings.history_bytes, settings.history_age) if settings.history else (0, 0.0)
            self.settings = settings._replace(
                history=FIRST, history_bytes=max(size, 1 << 20), history_age=max(age, 60.0)
            )

    @property
    def keeps_first(self) -> bool:
        """Whether it keeps them still."""
        return self._settled is not None

    def settle(self) -> None:
        """From now on it keeps what its rule says."""
        if self._settled is None:
            return
        self.settings, self._settled = self._settled, None
        settings = self.settings
        while self._history and (len(self._history) > settings.history or self._history_bytes > settings.history_bytes):
            self._pop()
        if settings.history == 0:
            self.floor = self.seq

    # Numbers.

    def place(self, epoch: int, seq: int) -> None:
        """Goes on from another place, with an empty history. The newest values stay."""
        while self._pop():
            pass
        if epoch != self.epoch:
            self._forgotten = {key: When(when.us, 0) for key, when in self._forgotten.items()}
        self.epoch, self.seq, self.seen, self.floor = epoch, seq, seq, seq

    def growth(self) -> int:
        """How far its numbers have grown since the last call."""
        before, self.seen = self.seen, self.seq
        return max(0, self.seq - before)

    def advance_to(self, seq: int) -> None:
        """Takes a number greater than all before."""
        self.seq = seq
        if self.settings.history == 0:
            self.floor = seq

    # History.

    def since(self, epoch: int, seq: int, now_us: int) -> list[Message] | str:
        """Every message after a position, or why it cannot be had."""
        if epoch != self.epoch:
            return "epoch"
        if seq > self.seq:
            return "position"
        self.age(now_us)
        if seq < self.floor:
            return "history"
        return [message for message in self._history if message.seq > seq]

    def before_last(self, most: int, now_us: int) -> int:
        """The number before the last so many messages of the history, or before the oldest."""
        self.age(now_us)
        kept = list(self._history)
        return kept[-most - 1].seq if most < len(kept) else self.floor

    def kept_after(self, after: tuple[int, int] | None, before: int | None, limit: int, now_us: int) -> list[Message]:
        """What the history keeps, at most so many messages: the first after a position or, without one, the newest."""
        self.age(now_us)
        kept = [message for message in self._history if before is None or message.seq < before]
        if after is None:
            return kept[max(0, len(kept) - limit) :]
        epoch, seq = after
        return [message for message in kept if epoch != self.epoch or message.seq > seq][:limit]

    def keep(self, message: Message) -> None:
        """Keeps a message for those who come later. Over the limit of all rooms this one gives back what it takes."""
        self._keep_latest(message)
        settings = self.settings
        if settings.history == 0:
            return
        self._history.append(message)
        self._count(message.kept_size)
        while len(self._history) > settings.history or self._history_bytes > settings.history_bytes:
            self._pop()
        self.age(message.made_us)
        freed = 0
        while self._kept.used > self._kept.limit and freed < message.kept_size:
            size = self._pop()
            if not size:
                break
            freed += size

    def takes_older(self, size: int, age_us: int) -> bool:
        """Whether there is space for a message from before the history."""
        settings = self.settings
        return (
            len(self._history) < settings.history
            and self._history_bytes + size <= settings.history_bytes
            and age_us <= settings.history_age * 1e6
            and self._kept.used + size <= self._kept.limit
        )

    def keep_older(self, message: Message) -> None:
        """Keeps a message from before those in the history."""
        if message.role == "data" and message.key is not None:
            newest = self.value(message.key)
            if newest is None or newest.epoch != self.epoch or newest.seq < message.seq:
                self._keep_latest(message)
        self._history.appendleft(message)
        self._count(message.kept_size)

    def age(self, now_us: int) -> None:
        """Gives up what is too old."""
        oldest_us = now_us - self.settings.history_age * 1e6
        while self._history and self._history[0].made_us < oldest_us:
            self._pop()

    def holds_anything(self, now_us: int) -> bool:
        """Whether there is something that a joiner could get."""
        self.age(now_us)
        return bool(self._latest or self._history)

    def _pop(self) -> int:
        if not self._history:
            return 0
        message = self._history.popleft()
        self.floor = message.seq
        self._count(-message.kept_size)
        return message.kept_size

    def _count(self, size: int) -> None:
        self._history_bytes += size
        self._kept.used += size

    # The newest values.

    def key(self, name: str, next_id: int) -> int:
        """The id of a key; `next_id` if it is new.

        Raises:
            Overloaded: there are as many as there may be.
        """
        if name in self._latest:
            return self._latest[name][0]
        if len(self._latest) >= self.settings.max_keys:
            raise overloaded("the number of keys in the room", self.settings.max_keys, "max_keys")
        self._latest[name] = (next_id, None)
        return next_id

    def value(self, key: str) -> Message | None:
        """The newest message of a key."""
        return self._latest.get(key, (0, None))[1]

    def snapshot(self) -> list[Message]:
        """The newest message of each key, oldest first."""
        return sorted((message for _, message in self._latest.values() if message), key=lambda message: message.seq)

    def forget(self, key: str) -> int | None:
        """Forgets the value of a key; returns the key's id, if there was one."""
        key_id, message = self._latest.pop(key, (None, None))
        if message is not None:
            self._kept.used -= message.kept_size
        return key_id

    def forget_before(self, key: str, when: When) -> int | None:
        """A forgetting from before the history: the value goes, unless it is newer."""
        self.note_forgotten(key, when)
        newest = self.value(key)
        if newest is None or (newest.epoch == self.epoch and newest.seq >= when.seq):
            return None
        return self.forget(key)

    def note_forgotten(self, key: str, when: When) -> None:
        """What is older must not bring the key back."""
        known = self._forgotten.get(key)
        if known is not None:
            when = When(max(known.us, when.us), max(known.seq, when.seq))
        elif len(self._forgotten) >= MOST_FORGOTTEN + self.settings.history:
            del self._forgotten[next(iter(self._forgotten))]
        self._forgotten[key] = when

    def forgotten(self, key: str) -> When | None:
        """When a key was forgotten, if that is remembered."""
        return self._forgotten.get(key)

    def _keep_latest(self, message: Message) -> None:
        if message.key is None or message.key not in self._latest:
            return
        key_id, old = self._latest[message.key]
        self._kept.used += message.kept_size - (old.kept_size if old else 0)
        self._latest[message.key] = (key_id, message)


def overloaded(what: str, limit: int, field: str) -> Overloaded:
    """The error of a limit."""
    error = Overloaded(
        f"the engine is overloaded: {what} is at its limit of {limit}; nothing was queued, try again later"
    )
    error.limit = field
    return error


def number_of(epoch: str) -> int:
    """A numbering by its name; what is none is one that no room has."""
    try:
        return int(epoch, 16)
    except ValueError:
        return -1


FIRST = 1024
MOST_FORGOTTEN = 1000
