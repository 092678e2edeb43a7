"""Presence over all nodes: tells other nodes of the members here, and keeps the members there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from fanwire.backplane.base import Backplane, Unavailable
from fanwire.cluster.faults import Faults
from fanwire.cluster.presence import (
    MemberCame,
    MemberChange,
    MemberList,
    MemberQuery,
    MemberWent,
    PresenceMessage,
    RemoteMembers,
    pack_presence,
    unpack_presence,
)
from fanwire.timing.deadline import within

__all__ = ["PresenceSync"]


class PresenceSync:
    """Synchronizes presence with other nodes. On the loop's thread, except for `members`.

    Args:
        backplane: carries the messages.
        node: the id of this node.
        here: returns the members of a room here: their infos, by id.
        changed: gets each change at another node.
        sighted: gets the id of each node that has sent a message.
        faults: counts and logs what fails; None: a new one.
    """

    def __init__(
        self,
        backplane: Backplane,
        node: int,
        here: Callable[[str], dict[str, Any]],
        changed: Callable[[MemberChange], None],
        sighted: Callable[[int], None],
        faults: Faults | None = None,
    ) -> None:
        self._backplane = backplane
        self._node = node
        self._here = here
        self._changed = changed
        self._sighted = sighted
        self._faults = faults or Faults()
        self._numbers: dict[str, int] = {}
        self._highest = 0
        # What the backplane's queue had no space for: rooms whose members other nodes were not told of, or not asked
        # for, and the last numbers of rooms that are not followed here any more.
        self._untold: set[str] = set()
        self._unasked: set[str] = set()
        self._untold_ends: dict[str, int] = {}
        self._remote = RemoteMembers()
        # `members` may be called from any thread.
        self._lock = threading.Lock()
        self._answered: dict[str, asyncio.Event] = {}

    async def follow(self, room: str, are_others: bool) -> None:
        """Subscribes to the presence of a room, and asks for it.

        Args:
            room: its name.
            are_others: whether there are other nodes: then the first answer is waited for, `ANSWER` seconds at most.
        """
        self._numbers.setdefault(room, self._first_number())
        if self._untold_ends.pop(room, None) is not None:
            self._untold.add(room)
        try:
            await self._backplane.hear(NAME + room)
        except Unavailable as error:
            self._faults.note("presence", f"{error} (room {room!r})")
            # It may be slow, or have been; the subscription is made all the same. If it is away, `heal` asks later.
            if self._backplane.is_up:
                self.ask(room)
            return
        self._say(room, MemberQuery(self._node))
        if are_others:
            answered = self._answered[room] = asyncio.Event()
            try:
                # Only the first answer is waited for: nodes without members do not answer.
                await within(answered.wait(), ANSWER)
            except asyncio.TimeoutError:
                pass
            finally:
                self._answered.pop(room, None)

    def unfollow(self, room: str) -> None:
        """Ends the subscription to the presence of a room."""
        number = self._numbers.pop(room, None)
        if number is not None:
            self._unasked.discard(room)
            if room in self._untold:
                # Otherwise its last members would stay in it at other nodes, which get no answer to their questions.
                self._untold.discard(room)
                if len(self._untold_ends) < MOST_ENDS:
                    self._untold_ends[room] = number
            self._backplane.unhear(NAME + room)
            with self._lock:
                self._remote.forget(room)

    def came(self, room: str, id: str, info: Any) -> None:
        """Tells other nodes that a member has come to a room here."""
        self._say(room, MemberCame(self._node, self._next(room), id, info))

    def went(self, room: str, id: str) -> None:
        """Tells other nodes that a member has left a room here."""
        self._say(room, MemberWent(self._node, self._next(room), id))

    def members(self, room: str) -> dict[str, Any]:
        """The members of a room at other nodes: their infos, by id. From any thread."""
        with self._lock:
            return self._remote.members(room)

    def heard(self, room: str, data: bytes) -> None:
        """Takes a message of another node about a room."""
        if room not in self._numbers:
            return
        try:
            message = unpack_presence(data)
        except ValueError as error:
            self._faults.note("malformed", f"{error} (presence in room {room!r})")
            return
        self._sighted(message.node)
        if isinstance(message, MemberQuery):
            self._say(room, MemberList(self._node, self._numbers[room], self._here(room)))
            return
        with self._lock:
            changes, is_missing = self._remote.take(room, message)
        for change in changes:
            self._changed(change)
        if is_missing:
            self._say(room, MemberQuery(self._node))
        if isinstance(message, MemberList) and room in self._answered:
            self._answered[room].set()

    def ask(self, room: str) -> None:
        """Asks other nodes for the members of a room: some of their messages were lost."""
        if room in self._numbers:
            self._say(room, MemberQuery(self._node))

    def heal(self) -> None:
        """Sends the list of each room, and asks for those of other nodes: the backplane or a node is back."""
        for room, number in self._numbers.items():
            self._say(room, MemberList(self._node, number, self._here(room)))
            self._say(room, MemberQuery(self._node))

    def send_again(self) -> None:
        """Sends the list of each room of which a message was not sent, and the questions that were not sent: the
        backplane's queue may have space again. Stops at the first that finds none."""
        for room, number in list(self._untold_ends.items()):
            if not self._say(room, MemberList(self._node, number, {})):
                return
            del self._untold_ends[room]
        for room in sorted(self._untold):
            if not self._say(room, MemberList(self._node, self._numbers[room], self._here(room))):
                return
        for room in sorted(self._unasked):
            if not self._say(room, MemberQuery(self._node)):
                return

    def drop(self, node: int) -> None:
        """Removes the members at a node, which is gone."""
        with self._lock:
            changes = self._remote.drop(node)
        for change in changes:
            self._changed(change)

    def _next(self, room: str) -> int:
        number = self._numbers[room] = self._numbers.get(room, self._first_number()) + 1
        self._highest = max(self._highest, number)
        return number

    def _first_number(self) -> int:
        """The first number of a room: above all numbers that it had before it was forgotten, even if the clock was set
        back since."""
        return max(time.time_ns() // 1_000_000, self._highest + 1)

    def _say(self, room: str, message: PresenceMessage) -> bool:
        """Returns whether there was space for it. Otherwise `send_again` makes up for it, or `heal`."""
        unsent = self._unasked if isinstance(message, MemberQuery) else self._untold
        if isinstance(message, MemberList):
            # It has all that was not sent, even if it cannot be encoded.
            unsent.discard(room)
        try:
            data = pack_presence(message)
        except (TypeError, ValueError) as error:
            self._faults.note("presence", f"the info of a member of room {room!r} cannot be encoded: {error}")
            return True
        if self._backplane.send(NAME + room, data):
            if isinstance(message, MemberQuery):
                unsent.discard(room)
            return True
        self._faults.note("presence", f"not sent (room {room!r})")
        if room in self._numbers:
            unsent.add(room)
        return False


NAME = "p"
"""The first character of the backplane's names for presence."""

MOST_ENDS = 10_000
"""Rooms that are not followed here whose end other nodes are still to be told of: about a megabyte."""

ANSWER = 0.1
"""Seconds to wait for the first answer: some round trips."""
