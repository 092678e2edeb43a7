"""Revocation: ends connections and memberships whose identity has expired, or that the application revokes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
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
from fanwire.runtime.dispatcher import Desk
from fanwire.sessions.expiry import ExpiryOwner

__all__ = ["COME_BACK", "Revoker"]


class Revoker(ExpiryOwner):
    """Ends connections and memberships. On the loop's thread only.

    Args:
        engine: closes connections.
        config: has `token_grace` and `close_timeout`.
        desk: sends messages to sessions.
        memberships: leaves rooms.
        policies: of the rooms.
        rights: decides which memberships may stay.
        slices: runs checks of memberships.
        spawn: runs a coroutine in a task.
        end: ends a connection whose client is away.
        cut: ends the transport of a connection; its session is parked.
        health: logs and counts errors of `authorize`.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        desk: Desk,
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
        self._desk = desk
        self._memberships = memberships
        self._policies = policies
        self._rights = rights
        self._slices = slices
        self._spawn = spawn
        self._end = end
        self._cut = cut

    # Called by `Lifetimes`.

    def expiring(self, connection: Connection, seconds: float) -> None:
        """Tells a client that its identity expires in so many seconds."""
        self._desk.tell(connection, "token_expiring", payload={"expires_in_ms": int(seconds * 1000)})

    def expired(self, connection: Connection) -> None:
        """Tells a client that its identity has expired, and how long the grace is."""
        self._desk.tell(connection, "token_expired", payload={"grace_ms": int(self._config.token_grace * 1000)})

    def end_expired(self, connection: Connection) -> None:
        """Closes a connection with 4501: the grace is over."""
        self._health.info("%r is closed: its identity has expired", connection)
        self.dismiss(connection, CloseCode.TOKEN_EXPIRED, "token expired")

    def aged(self, connection: Connection) -> None:
        """Asks a client to reconnect with 4000: the connection has reached `max_age`."""
        if connection._session is None:
            connection.close(CloseCode.RECONNECT, COME_BACK)
            return
        payload = {"code": int(CloseCode.RECONNECT), "reason": COME_BACK, "reconnect": True, "after_ms": 0}
        self._desk.tell(connection, "closing", payload=payload)
        # A client that does not close is cut off: a close frame of the server would end its session.
        asyncio.get_running_loop().call_later(self._config.close_timeout, self._cut, connection, connection._link)

    # Called for the application.

    def dismiss(self, connection: Connection, code: int, reason: str) -> None:
        """Ends a connection and its session at once. Messages that wait for it are dropped."""
        if connection.is_reconnecting:
            self._end(connection, "closed")
            return
        connection._is_done = True
        try:
            self._engine.close(connection.id, code, reason, False)
        except ENGINE_ERRORS:
            return
        connection._closing(code, reason)

    def remove(self, connection: Connection, room: str, reason: str) -> None:
        """Ends a membership, and tells the client of a session. What `authorize` has answered is asked again when the
        client wants to come back."""
        connection._answers = None
        if connection._entering is not None:
            connection._entering.discard(room)
        with contextlib.suppress(*ENGINE_ERRORS):
            if self._memberships.leave(connection, room):
                told = {"reason": "removed", "text": reason} if reason else {"reason": "removed"}
                self._desk.tell(connection, "left", room=room, payload=told)

    def recheck(self, connections: Iterable[Connection]) -> None:
        """Checks again whether connections may be in the rooms that their clients have joined."""
        for connection in connections:
            connection._answers = None
            if connection._wished:
                self._slices.put(self._recheck, connection)

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
        # The membership ends: an error of `authorize` must not keep a revoked right. The client may join again.
        self._health.handler_error("authorize", connection, error)
        self._take(connection, room, frozenset(), "internal")

    def _take(self, connection: Connection, room: str, granted: frozenset[str], reason: str = "forbidden") -> None:
        if not granted and self._memberships.leave(connection, room):
            self._desk.tell(connection, "left", room=room, payload={"reason": reason})


COME_BACK = "please reconnect"
