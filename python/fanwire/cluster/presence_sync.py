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
        try:
            await self._backplane.hear(NAME + room)
        except Unavailable as error:
            # `heal` asks again when the backplane is back.
            self._faults.note("presence", f"{error} (room {room!r})")
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
        if self._numbers.pop(room, None) is not None:
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

    def _say(self, room: str, message: PresenceMessage) -> None:
        try:
            data = pack_presence(message)
        except (TypeError, ValueError) as error:
            self._faults.note("presence", f"the info of a member of room {room!r} cannot be encoded: {error}")
        else:
            if not self._backplane.send(NAME + room, data):
                # `heal` sends the whole list when the backplane is back.
                self._faults.note("presence", f"not sent (room {room!r})")


NAME = "p"
"""The first character of the backplane's names for presence."""

ANSWER = 0.1
"""Seconds to wait for the first answer: some round trips."""
