"""Ends connections and memberships that may not go on: an identity expires, a right is withdrawn, or the application
revokes it. On the loop's thread only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import isawaitable
from typing import Any

from fanwire._engine import Engine
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS
from fanwire.handlers.time_slices import TimeSlices
from fanwire.observability.health import Health
from fanwire.rooms.authorization import Rights
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.rules import Policies
from fanwire.runtime.session_messages import SessionMessages
from fanwire.runtime.users import Users
from fanwire.sessions.expiry import ExpiryOwner
from fanwire.sessions.resumption import Sessions

__all__ = ["COME_BACK", "Revocation"]


class Revocation(ExpiryOwner):
    """Closes connections and ends memberships before their clients do.

    Args:
        engine: closes connections.
        config: the waits.
        connections: the connections of the server, by id.
        users: the same, by subject.
        sessions: the same, by session.
        messages: sends to sessions.
        memberships: leaves rooms.
        policies: of the rooms.
        rights: decides which rooms a client may be in.
        slices: runs long work in time slices.
        spawn: runs a coroutine in a task.
        end: ends a connection whose client is away; gets why, for the log.
        cut: ends the transport of a connection. The session stays.
        health: logs and counts the errors of `authorize`.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        connections: Mapping[int, Connection],
        users: Users,
        sessions: Sessions,
        messages: SessionMessages,
        memberships: Memberships,
        policies: Policies,
        rights: Rights,
        slices: TimeSlices,
        spawn: Callable[[Awaitable[Any]], object],
        end: Callable[[Connection, str], None],
        cut: Callable[[Connection, int], None],
        health: Health,
    ) -> None:
        self._health = health
        self._engine = engine
        self._config = config
        self._connections = connections
        self._users = users
        self._sessions = sessions
        self._messages = messages
        self._memberships = memberships
        self._policies = policies
        self._rights = rights
        self._slices = slices
        self._spawn = spawn
        self._end = end
        self._cut = cut

    # What `Lifetimes` calls.

    def expiring(self, connection: Connection, seconds: float) -> None:
        """Tells a client that its token expires in so many seconds."""
        self._messages.tell(connection, "token_expiring", payload={"expires_in_ms": int(seconds * 1000)})

    def expired(self, connection: Connection) -> None:
        """Tells a client that its token has expired, and how long it may still send another."""
        self._messages.tell(connection, "token_expired", payload={"grace_ms": int(self._config.token_grace * 1000)})

    def end_expired(self, connection: Connection) -> None:
        """Closes a connection whose identity has expired, and whose grace is over."""
        self._health.info("%r is closed: its identity has expired", connection)
        self.dismiss(connection, CloseCode.TOKEN_EXPIRED, "token expired")

    def aged(self, connection: Connection) -> None:
        """Has the client of an old connection reconnect."""
        if connection._session is None:
            connection.close(CloseCode.RECONNECT, COME_BACK)
            return
        payload = {"code": int(CloseCode.RECONNECT), "reason": COME_BACK, "reconnect": True, "after_ms": 0}
        self._messages.tell(connection, "closing", payload=payload)
        # If the client does not close, the server parks the session: a close frame would end it.
        asyncio.get_running_loop().call_later(self._config.close_timeout, self._cut, connection, connection._link)

    # What the application calls, by `Server`, here or at another node.

    def disconnect_user(self, subject: str, reason: str) -> None:
        """Ends all connections and sessions of a subject."""
        for connection in self._users.dismiss(subject):
            self.dismiss(connection, CloseCode.REVOKED, reason)

    def revoke(self, session: str | Connection, reason: str) -> None:
        """Ends one session."""
        connection = session if isinstance(session, Connection) else self._sessions.find(session)
        if connection is not None and connection.id in self._connections:
            self.dismiss(connection, CloseCode.REVOKED, reason)

    def reauthorize(self, subject: str | None) -> None:
        """Asks `authorize` again about the rooms of a subject's connections; None: of all connections."""
        self.recheck(list(self._connections.values()) if subject is None else self._users.of(subject))

    def remove(self, room: str, member: str | Connection, reason: str) -> None:
        """Ends the membership of a connection, or of all connections of a subject."""
        for connection in self._users.of(member) if isinstance(member, str) else [member]:
            if self._connections.get(connection.id) is connection:
                self._remove(connection, room, reason)

    # What it does to connections.

    def dismiss(self, connection: Connection, code: int, reason: str) -> None:
        """Ends a connection and its session at once. Messages that wait for it are dropped."""
        if connection.is_reconnecting:
            self._end(connection, reason or "the application has ended the session")
            return
        connection._is_done = True
        try:
            self._engine.close(connection.id, code, reason, False)
        except ENGINE_ERRORS:
            return
        connection._closing(code, reason)

    def _remove(self, connection: Connection, room: str, reason: str) -> None:
        # `authorize` is asked again when the client wants to join again.
        self._forget_answers(connection)
        if connection._entering is not None:
            connection._entering.discard(room)
        with contextlib.suppress(*ENGINE_ERRORS):
            if self._memberships.leave(connection, room):
                told = {"reason": "removed", "text": reason} if reason else {"reason": "removed"}
                self._messages.tell(connection, "left", room=room, payload=told)

    def recheck(self, connections: Iterable[Connection]) -> None:
        """Asks `authorize` again about the rooms that the clients of these connections have joined themselves."""
        for connection in connections:
            self._forget_answers(connection)
            if connection._wished:
                self._slices.put(self._recheck, connection)

    def _forget_answers(self, connection: Connection) -> None:
        connection._answers = None
        # A join that was granted, and still waits for its room, asks again.
        connection._rechecks += 1

    def _recheck(self, connection: Connection) -> None:
        for room in list(connection._wished or ()):
            try:
                granted = self._rights.granted(connection, self._policies.of(room), room, ("join",), ())
            except Exception as error:  # noqa: BLE001 - the application may raise anything
                self._failed(connection, room, error)
                continue
            if isawaitable(granted):
                self._spawn(self._wait(connection, room, granted))
            else:
                self._take(connection, room, granted)

    async def _wait(self, connection: Connection, room: str, granted: Awaitable[frozenset[str]]) -> None:
        try:
            self._take(connection, room, await granted)
        except Exception as error:  # noqa: BLE001 - the application may raise anything
            self._failed(connection, room, error)

    def _failed(self, connection: Connection, room: str, error: Exception) -> None:
        # An error of `authorize` must not keep a right that is being withdrawn. The client may join again.
        self._health.handler_error("authorize", connection, error)
        self._take(connection, room, frozenset(), "internal")

    def _take(self, connection: Connection, room: str, granted: frozenset[str], reason: str = "forbidden") -> None:
        # The application may have joined it meanwhile: that membership needs no right.
        is_wished = connection._wished is not None and room in connection._wished
        if not granted and is_wished and self._memberships.leave(connection, room):
            self._messages.tell(connection, "left", room=room, payload={"reason": reason})


COME_BACK = "please reconnect"
