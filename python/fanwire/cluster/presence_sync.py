"""Presence over all nodes: tells the others who is in rooms here, and keeps who is there. On the loop's thread only."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from fanwire.backplane.base import Backplane, Unavailable
from fanwire.cluster.faults import Troubles
from fanwire.cluster.presence import (
    Afar,
    Ask,
    Came,
    Change,
    There,
    Went,
    Whereabouts,
    pack_whereabouts,
    unpack_whereabouts,
)
from fanwire.timing.deadline import within

__all__ = ["Attendance"]


class Attendance:
    """See the module's head.

    Args:
        backplane: the way to the others.
        node: this one.
        here: returns who is in a room here.
        changed: is told of everybody who comes and goes elsewhere.
        sighted: is told of each node that has said something.
        troubles: is told what goes wrong; None: nobody is.
    """

    def __init__(
        self,
        backplane: Backplane,
        node: int,
        here: Callable[[str], dict[str, Any]],
        changed: Callable[[Change], None],
        sighted: Callable[[int], None],
        troubles: Troubles | None = None,
    ) -> None:
        self._backplane = backplane
        self._node = node
        self._here = here
        self._changed = changed
        self._sighted = sighted
        self._troubles = troubles or Troubles()
        self._numbers: dict[str, int] = {}
        self._highest = 0
        self._afar = Afar()
        # Who is elsewhere is asked for on any thread.
        self._lock = threading.Lock()
        self._answered: dict[str, asyncio.Event] = {}

    async def follow(self, room: str, are_others: bool) -> None:
        """Begins to hear who is in a room elsewhere; waits a moment for the first answers."""
        self._numbers.setdefault(room, self._first_number())
        try:
            await self._backplane.hear(NAME + room)
        except Unavailable as error:
            # Asked again when it is back.
            self._troubles.note("presence", f"{error} (room {room!r})")
            return
        self._say(room, Ask(self._node))
        if are_others:
            answered = self._answered[room] = asyncio.Event()
            try:
                # Nodes without members do not answer, so nobody knows when all have.
                await within(answered.wait(), ANSWER)
            except asyncio.TimeoutError:
                pass
            finally:
                self._answered.pop(room, None)

    def unfollow(self, room: str) -> None:
        """Nobody here is interested any more."""
        if self._numbers.pop(room, None) is not None:
            self._backplane.unhear(NAME + room)
            with self._lock:
                self._afar.forget(room)

    def came(self, room: str, id: str, info: Any) -> None:
        """Somebody has come to a room here."""
        self._say(room, Came(self._node, self._next(room), id, info))

    def went(self, room: str, id: str) -> None:
        """Somebody has left one here."""
        self._say(room, Went(self._node, self._next(room), id))

    def members(self, room: str) -> dict[str, Any]:
        """Who is in a room elsewhere."""
        with self._lock:
            return self._afar.members(room)

    def heard(self, room: str, data: bytes) -> None:
        """Another node has said something of a room."""
        if room not in self._numbers:
            return
        try:
            word = unpack_whereabouts(data)
        except ValueError as error:
            self._troubles.note("malformed", f"{error} (presence in room {room!r})")
            return
        self._sighted(word.node)
        if isinstance(word, Ask):
            self._say(room, There(self._node, self._numbers[room], self._here(room)))
            return
        with self._lock:
            changes, is_missing = self._afar.take(room, word)
        for change in changes:
            self._changed(change)
        if is_missing:
            self._say(room, Ask(self._node))
        if isinstance(word, There) and room in self._answered:
            self._answered[room].set()

    def ask(self, room: str) -> None:
        """Something that others said of a room did not get here."""
        if room in self._numbers:
            self._say(room, Ask(self._node))

    def heal(self) -> None:
        """The backplane is back: everybody says who is where."""
        for room, number in self._numbers.items():
            self._say(room, There(self._node, number, self._here(room)))
            self._say(room, Ask(self._node))

    def drop(self, node: int) -> None:
        """A node is gone."""
        with self._lock:
            changes = self._afar.drop(node)
        for change in changes:
            self._changed(change)

    def _next(self, room: str) -> int:
        number = self._numbers[room] = self._numbers.get(room, self._first_number()) + 1
        self._highest = max(self._highest, number)
        return number

    def _first_number(self) -> int:
        """Where numbering what is said of a room begins: above all that was said of it before it was forgotten, even if
        the clock was set back since."""
        return max(time.time_ns() // 1_000_000, self._highest + 1)

    def _say(self, room: str, word: Whereabouts) -> None:
        try:
            data = pack_whereabouts(word)
        except (TypeError, ValueError) as error:
            self._troubles.note("presence", f"what is told of a member of room {room!r} cannot be encoded: {error}")
        else:
            if not self._backplane.send(NAME + room, data):
                # The rest is told when the backplane is back.
                self._troubles.note("presence", f"not sent (room {room!r})")


NAME = "p"
"""What begins the names under which the backplane carries this."""

ANSWER = 0.1
"""Seconds for the first answer: some round trips."""
