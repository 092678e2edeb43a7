"""Calls of `on_join` and `on_leave`, and session records that follow a change of rooms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fanwire.connection import Connection
from fanwire.rooms.inputs import Inputs
from fanwire.runtime.application_handlers import Handler
from fanwire.sessions.resumption import Sessions

__all__ = ["MembershipHandlers"]


class MembershipHandlers:
    """Is called after each join and each leave, from any thread.

    Args:
        on_join: the application's handler; None: there is none.
        on_leave: the same.
        sessions: keeps the records of sessions.
        on_loop: makes a call on the loop's thread.
        inputs: are told of members that have left.
    """

    def __init__(
        self,
        on_join: Handler | None,
        on_leave: Handler | None,
        sessions: Sessions,
        on_loop: Callable[..., None],
        inputs: list[Inputs],
    ) -> None:
        self._on_join = on_join
        self._on_leave = on_leave
        self._sessions = sessions
        self._on_loop = on_loop
        self._inputs = inputs

    def changed(self, connection: Connection, room: str, has_joined: bool) -> None:
        """A connection has joined a room, or has left it."""
        if not has_joined:
            for inputs in self._inputs:
                inputs._left(connection, room)
        if connection._session is not None and self._sessions.is_shared:
            self._on_loop(self._sessions.changed, connection._session, connection)
        if self._on_join is not None or self._on_leave is not None:
            self._on_loop(self._call, connection, room, has_joined)

    def _call(self, connection: Connection, room: str, has_joined: bool) -> None:
        if connection._handler_queue is None:
            return
        if has_joined:
            if self._on_join is not None:
                connection._handler_queue.put(self._call_join, connection, room, of=self._on_join)
        else:
            connection._handler_queue.put(self._call_leave, connection, room, of=self._on_leave, stays=True)

    def _call_join(self, connection: Connection, room: str) -> Any:
        if connection._met is None:
            connection._met = set()
        connection._met.add(room)
        return None if self._on_join is None else self._on_join(connection, room)

    def _call_leave(self, connection: Connection, room: str) -> Any:
        """Calls `on_leave` if the application has no `on_join`, or `on_join` has begun for this room."""
        if self._on_join is not None:
            if connection._met is None or room not in connection._met:
                return None
            connection._met.discard(room)
        return None if self._on_leave is None else self._on_leave(connection, room)
