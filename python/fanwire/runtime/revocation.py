"""Sends clients away, or out of rooms: their time is over, or somebody says so. On the loop's thread only."""

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
from fanwire.handlers.time_slices import Turns
from fanwire.observability.health import Health
from fanwire.rooms.authorization import Rights
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.rules import Policies
from fanwire.runtime.dispatcher import Desk
from fanwire.sessions.expiry import Owner

__all__ = ["COME_BACK", "Warden"]


class Warden(Owner):
    """Ends what may not go on.

    Args:
        engine: closes connections.
        config: the waits.
        desk: tells sessions.
        memberships: leaves rooms.
        policies: of the rooms.
        rights: says who may still be there.
        turns: where what takes long waits for its turn.
        spawn: runs what has to be awaited.
        end: ends a connection whose client is away.
        cut: ends the transport of a connection, which its session outlives.
        health: logs and counts what `authorize` raises.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        desk: Desk,
        memberships: Memberships,
        policies: Policies,
        rights: Rights,
        turns: Turns,
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
        self._turns = turns
        self._spawn = spawn
        self._end = end
        self._cut = cut

    # What `Lifetimes` says.

    def expiring(self, connection: Connection, seconds: float) -> None:
        """See `lifetimes.Owner`."""
        self._desk.tell(connection, "token_expiring", payload={"expires_in_ms": int(seconds * 1000)})

    def expired(self, connection: Connection) -> None:
        """See `lifetimes.Owner`."""
        self._desk.tell(connection, "token_expired", payload={"grace_ms": int(self._config.token_grace * 1000)})

    def end_expired(self, connection: Connection) -> None:
        """See `lifetimes.Owner`."""
        self._health.info("%r is closed: its identity has expired", connection)
        self.dismiss(connection, CloseCode.TOKEN_EXPIRED, "token expired")

    def aged(self, connection: Connection) -> None:
        """See `lifetimes.Owner`."""
        if connection._session is None:
            connection.close(CloseCode.RECONNECT, COME_BACK)
            return
        payload = {"code": int(CloseCode.RECONNECT), "reason": COME_BACK, "reconnect": True, "after_ms": 0}
        self._desk.tell(connection, "closing", payload=payload)
        # One that does not go is parked by us: a close frame of ours would end its session.
        asyncio.get_running_loop().call_later(self._config.close_timeout, self._cut, connection, connection._link)

    # What the application says.

    def dismiss(self, connection: Connection, code: int, reason: str) -> None:
        """Ends a connection at once, and its session: what waits for it is dropped."""
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
        """Asks again whether they may be in the rooms that they have joined by their own wish."""
        for connection in connections:
            connection._answers = None
            if connection._wished:
                self._turns.put(self._recheck, connection)

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
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(connection, room, error)

    def _failed(self, connection: Connection, room: str, error: Exception) -> None:
        # Whoever withdraws a right must not be answered with an error that keeps it alive. The client may ask again.
        self._health.handler_error("authorize", connection, error)
        self._take(connection, room, frozenset(), "internal")

    def _take(self, connection: Connection, room: str, granted: frozenset[str], reason: str = "forbidden") -> None:
        if not granted and self._memberships.leave(connection, room):
            self._desk.tell(connection, "left", room=room, payload={"reason": reason})


COME_BACK = "please reconnect"
