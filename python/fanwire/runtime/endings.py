"""The end of a connection: every part of the server forgets it, and its last handlers run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fanwire._engine import Engine
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS
from fanwire.handlers.queue import HandlerQueue, QueueOwner
from fanwire.observability.health import Health
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.node import Node
from fanwire.runtime.application_handlers import Handler
from fanwire.runtime.background import Background
from fanwire.runtime.connection_log import ConnectionLog
from fanwire.runtime.users import Users
from fanwire.sessions.expiry import Lifetimes
from fanwire.sessions.resumption import Sessions
from fanwire.timing.deadline import Deadline

__all__ = ["Endings"]


class Endings:
    """Takes the steps of an end, each of them once, whether the others succeed or not.

    Args:
        engine: forgets the connection.
        node: hears when a user's last connection here ends.
        links: the links of the server. A connection without a session ends in the engine with its link.
        users: forgets the connection.
        log: writes its record.
        lifetimes: stops its timer.
        sessions: ends its session.
        background: cancels its tasks.
        memberships: ends its memberships.
        on_disconnect: is called last; None: there is none.
        handler_grace: seconds for handlers that run at the end.
        health: logs and counts errors of the steps.
    """

    def __init__(
        self,
        engine: Engine,
        node: Node,
        links: Mapping[int, object],
        users: Users,
        log: ConnectionLog,
        lifetimes: Lifetimes,
        sessions: Sessions,
        background: Background,
        memberships: Memberships,
        on_disconnect: Handler | None,
        handler_grace: float,
        health: Health,
    ) -> None:
        self._engine = engine
        self._node = node
        self._links = links
        self._users = users
        self._lifetimes = lifetimes
        self._sessions = sessions
        self._background = background
        self._memberships = memberships
        self._on_disconnect = on_disconnect
        self._handler_grace = handler_grace
        self._health = health
        self._steps = (
            self._end_user, log.ended, self._end_lifetime, self._end_in_engine, self._end_session, self._end_tasks,
            self._end_memberships,
        )  # fmt: skip
        # The handlers of connections that have ended, until the last one is done.
        self._leaving: dict[HandlerQueue, _Ended] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()

    def end(self, connection: Connection, reason: str) -> None:
        """Takes all steps, then runs the handlers that still wait, and `on_disconnect`. The registry has closed the
        connection, and no longer has it in its table."""
        for step in self._steps:
            try:
                step(connection, reason)
            except ENGINE_ERRORS:  # noqa: PERF203 - the engine has ended
                pass
            except BaseException as error:  # noqa: BLE001 - attributes of identities may run code of the application
                self._health.internal_error("end of a connection", error)
        handler_queue, connection._handler_queue = connection._handler_queue, None
        if handler_queue is None:
            return
        if connection._tasks:
            handler_queue.put(self._background.ended, connection, stays=True)
        if self._on_disconnect is not None:
            handler_queue.put(self._on_disconnect, connection, stays=True)
        if not handler_queue.is_running:
            handler_queue.close()
            return
        # Another owner: otherwise the link and its handlers would hold each other until the garbage collector runs.
        owner = self._leaving[handler_queue] = _Ended(self, connection, handler_queue, self._health)
        self._quiet.clear()
        handler_queue.end(owner, self._handler_grace)

    def handlers_ended(self, handler_queue: HandlerQueue) -> None:
        """All handlers of a connection that has ended are done."""
        self._leaving.pop(handler_queue, None)
        if not self._leaving:
            self._quiet.set()

    async def wait(self, deadline: Deadline) -> None:
        """Waits for the handlers of connections that have ended, and cancels those that still run at the deadline.
        Takes at most 1.5 seconds longer than the deadline."""
        if await deadline.wait_for(self._quiet):
            return
        for handler_queue in list(self._leaving):
            handler_queue.hurry(HURRY)
        if await Deadline(HURRY + 0.2).wait_for(self._quiet):
            return
        for handler_queue in list(self._leaving):
            handler_queue.cut()
        await Deadline(CUT_SHORT).wait_for(self._quiet)

    # The steps.

    def _end_user(self, connection: Connection, reason: str) -> None:
        leaver = None if connection.identity is None else self._users.discard(connection)
        if leaver is not None:
            self._node.user_left(leaver)

    def _end_lifetime(self, connection: Connection, reason: str) -> None:
        self._lifetimes.end(connection)

    def _end_in_engine(self, connection: Connection, reason: str) -> None:
        if connection._session is not None or connection._link in self._links:
            self._engine.gone(connection.id)

    def _end_session(self, connection: Connection, reason: str) -> None:
        if connection._session is not None:
            self._sessions.end(connection._session, connection, reason)

    def _end_tasks(self, connection: Connection, reason: str) -> None:
        if connection._tasks:
            self._background.cancel(connection)

    def _end_memberships(self, connection: Connection, reason: str) -> None:
        self._memberships.ended(connection)


class _Ended(QueueOwner):
    """Owns the handler queue of a connection that has ended. It has no link, so nothing is paused."""

    connection: Connection

    def __init__(self, endings: Endings, connection: Connection, handler_queue: HandlerQueue, health: Health) -> None:
        self._endings = endings
        self._handler_queue = handler_queue
        self._health = health
        self.connection = connection

    def pause_reading(self) -> None:
        """Does nothing."""

    def resume_reading(self) -> None:
        """Does nothing."""

    def handler_failed(self, error: BaseException, name: str) -> None:
        """Logs and counts the error of a handler."""
        self._health.handler_error(name, self.connection, error)

    def handlers_ended(self) -> None:
        """The last handler is done."""
        self._endings.handlers_ended(self._handler_queue)


HURRY = 0.5
"""Seconds of a stop for handlers to end after they were cancelled."""

CUT_SHORT = 0.75
"""Seconds of a stop for `on_disconnect` and `on_leave`, when the time of the stop is over."""
