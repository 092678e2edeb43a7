"""What an application does with the rooms of a connection: join, leave, and ask for rights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from fanwire.backplane.base import Unavailable
from fanwire.connection import Connection
from fanwire.identity.operator import is_operator
from fanwire.rooms.authorization import Rights
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.node import Node
from fanwire.rooms.rates import RateChange, checked_rates, rate_problem
from fanwire.rooms.readings_room import READINGS
from fanwire.rooms.rules import Policies

__all__ = ["ApplicationRooms", "JoinTasks"]


class JoinTasks(Protocol):
    """Where joins run that have to wait.

    Attributes:
        is_ending: whether the server cancels its tasks.
    """

    is_ending: bool

    def spawn(self, work: Awaitable[Any]) -> object:
        """Runs a coroutine in a task."""

    def on_loop(self, call: Callable[..., object], *args: Any) -> None:
        """Makes a call on the loop's thread."""


class ApplicationRooms:
    """Serves the methods of `Connection` that are about rooms. From any thread.

    Args:
        node: prepares rooms for their members.
        policies: of the rooms.
        memberships: joins and leaves.
        rights: decides what a client may do.
        connections: the connections of the server, by id. One that is not among them joins nothing any more.
        tasks: runs joins that have to wait.
        handler_failed: takes the error of a join that had to wait.
    """

    def __init__(
        self,
        node: Node,
        policies: Policies,
        memberships: Memberships,
        rights: Rights,
        connections: Mapping[int, Connection],
        tasks: JoinTasks,
        handler_failed: Callable[[Connection, BaseException, str], object],
    ) -> None:
        self._node = node
        self._policies = policies
        self._memberships = memberships
        self._rights = rights
        self._connections = connections
        self._tasks = tasks
        self._handler_failed = handler_failed

    def join(
        self, connection: Connection, room: str, max_rate: float | None = None, max_bytes: int | None = None
    ) -> int | None:
        """Makes a connection a member, see `Connection.join`. Returns None if the room has to be prepared first: the
        connection joins when that is done."""
        if room == READINGS and not is_operator(connection.identity):
            raise ValueError(f"the room {room!r} is reserved for operators: a connection cannot be put into it")
        policy = self._policies.of(room)
        change = checked_rates(max_rate, max_bytes)
        problem = rate_problem(policy, change)
        if problem is not None:
            raise ValueError(problem)
        prepared = self._node.prepare(policy, room, connection._since) if policy.history else None
        if prepared is None:
            return self._memberships.join(connection, room, since=connection._since, change=change)[1]
        if connection._entering is None:
            connection._entering = set()
        connection._entering.add(room)
        self._tasks.on_loop(lambda: self._tasks.spawn(self._join_prepared(connection, room, change, prepared)))
        return None

    def leave(self, connection: Connection, room: str) -> bool:
        """Ends a membership; false if there was none."""
        return self._memberships.leave(connection, room)

    def set_attributes(self, connection: Connection, room: str, attributes: dict[str, Any]) -> None:
        """Changes attributes of a connection in a room, see `Connection.set_attributes`."""
        self._node.engine.change_attributes(connection.id, room, attributes)

    def granted(self, connection: Connection, action: str, room: str) -> frozenset[str] | Awaitable[frozenset[str]]:
        """The action, if the client may do it, see `Rights.granted`. A `Reject` counts as a no."""
        return self._rights.granted(connection, self._policies.of(room), room, (action,), ())

    async def _join_prepared(
        self, connection: Connection, room: str, change: RateChange, prepared: Awaitable[None] | None
    ) -> None:
        while not connection._is_done and connection.id in self._connections:
            try:
                if prepared is not None:
                    await prepared
                # The application may have taken the join back meanwhile, with `leave`.
                if connection._entering is not None and room in connection._entering:
                    connection._entering.discard(room)
                    self._memberships.join(connection, room, since=connection._since, change=change)
            except Unavailable as error:
                self._node.note("room", f"{error} (room {room!r}, for {connection!r})")
                await asyncio.sleep(AGAIN)
                prepared = self._node.prepare(self._policies.of(room), room, connection._since)
                continue
            except BaseException as error:
                if self._tasks.is_ending and isinstance(error, asyncio.CancelledError):
                    raise
                self._handler_failed(connection, error, "Connection.join")
            return


AGAIN = 1.0
"""Seconds until a join is tried again that failed because the backplane was away."""
