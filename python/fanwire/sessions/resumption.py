"""Resumption: the sessions of a server, which client may resume which, and how long they wait."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from inspect import isawaitable
from types import MappingProxyType
from typing import Any, NamedTuple

from fanwire.connection import Connection
from fanwire.handlers.calls import ApplicationCall, ApplicationCalls, name_of
from fanwire.observability.health import Health
from fanwire.protocol.envelopes import Codec
from fanwire.protocol.session import Session, SessionPhase, lineage_of
from fanwire.sessions.store import Record, SessionStore

__all__ = ["Claim", "Sessions"]


class Claim(NamedTuple):
    """The result of a request to resume a session.

    Attributes:
        connection: the connection whose session goes on; None: a new session begins.
        reason: why the session cannot be resumed; None: it can, or the client has not asked for one.
        lineage: the lineage that a new session continues; None: a new one.
        received: the number of messages that the client has received.
        rooms: the rooms of a session of another node, each with epoch and number as far as known.
        moved: the id of that session, which ends when the client is let in here; None: there is none.
    """

    connection: Connection | None = None
    reason: str | None = None
    lineage: str | None = None
    received: int = 0
    rooms: Mapping[str, tuple[str, int]] = MappingProxyType({})
    moved: str | None = None


class Sessions:
    """The table of sessions. On the loop's thread only.

    Args:
        store: where the records go.
        grace: seconds that a session waits.
        max_parked: sessions that wait at once; beyond it the one that has waited longest ends.
        calls: runs what a store wants to be awaited.
        timeout: seconds that a store may take to find a record.
        health: logs and counts what a store raises.
        expired: called with the connection of a session that has waited too long.

    Attributes:
        is_shared: whether other nodes find its records, so that they are kept up to date.
    """

    def __init__(
        self,
        store: SessionStore,
        grace: float,
        max_parked: int,
        calls: ApplicationCalls,
        timeout: float,
        health: Health,
        expired: Callable[[Connection, str], None],
    ) -> None:
        self._store = store
        self.is_shared = getattr(store, "is_shared", False)
        self._grace = grace
        self._max_parked = max_parked
        self._calls = calls
        self._timeout = timeout
        self._health = health
        self._expired = expired
        self._connections: dict[str, Connection] = {}
        self._parked: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()
        # When the records of live sessions are saved next.
        self._saves: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def parked(self) -> int:
        """The number of parked sessions."""
        return len(self._parked)

    def add(self, session: Session, connection: Connection) -> None:
        """Adds a session that has begun."""
        self._connections[session.id] = connection
        self.changed(session, connection)

    def changed(self, session: Session, connection: Connection) -> None:
        """Saves the record of a session soon, if other nodes can read it: its rooms have changed."""
        if self.is_shared and session.id in self._connections:
            self._save_in(SAVE, session, connection)

    def _save_in(self, seconds: float, session: Session, connection: Connection) -> None:
        timer = self._saves.get(session.id)
        if timer is not None:
            if seconds == SAVE and timer.when() <= asyncio.get_running_loop().time() + SAVE:
                return
            timer.cancel()
        self._saves[session.id] = asyncio.get_running_loop().call_later(seconds, self._save_now, session, connection)

    def _save_now(self, session: Session, connection: Connection) -> None:
        self._save(session, connection, self._grace + RETENTION)
        # Saved again before the record expires.
        self._save_in(RETENTION / 2, session, connection)

    def find(self, id: str) -> Connection | None:
        """The connection of a session; None: there is no such session here."""
        return self._connections.get(id)

    def claim(self, id: str, received: int, owner: str, codec: Codec) -> Claim | Coroutine[Any, Any, Claim]:
        """Finds the session that a client wants to resume; a coroutine if the store has to be awaited. If the store
        fails, the client begins a new session, with the reason "unknown"."""
        connection = self._connections.get(id)
        session = None if connection is None else connection._session
        if connection is None or session is None:
            try:
                record = self._store.load(id)
                if isawaitable(record):
                    return self._claim_later(record, id, owner)
                return self._claim_of(record, id, owner)
            except BaseException as error:  # noqa: BLE001 - the store is the application's, and may raise anything
                return self._store_failed(id, error)
        reason = session.why_not(owner, codec)
        if reason is None and connection.close_code is not None:
            reason = "closed"
        lineage = session.lineage if session.owner == owner else lineage_of(id)
        if reason is not None:
            return Claim(reason=reason, lineage=lineage)
        return Claim(connection, lineage=lineage, received=received)

    def park(self, connection: Connection, session: Session) -> bool:
        """Parks a session: it waits `grace` seconds for its client. Returns False if it has ended."""
        if not session.move(SessionPhase.PARKED):
            return False
        loop = asyncio.get_running_loop()
        self._parked[session.id] = loop.call_later(self._grace, self._expired, connection, "expired")
        self._save(session, connection, self._grace + RETENTION)
        if len(self._parked) > self._max_parked:
            oldest = self._connections[next(iter(self._parked))]
            self._expired(oldest, "overflow")
        return True

    def resume(self, session: Session) -> None:
        """Ends the waiting of a session: its client has reconnected."""
        session.move(SessionPhase.LIVE)
        self._stop_timer(session)

    def end(self, session: Session, connection: Connection, reason: str) -> None:
        """Ends a session. The reason is kept in its record for ten minutes."""
        if session.end(reason):
            self._stop_timer(session)
            timer = self._saves.pop(session.id, None)
            if timer is not None:
                timer.cancel()
            self._connections.pop(session.id, None)
            self._save(session, connection, RETENTION)
            for pending in session.acks.values():
                pending.cancel()

    def _stop_timer(self, session: Session) -> None:
        timer = self._parked.pop(session.id, None)
        if timer is not None:
            timer.cancel()

    def _save(self, session: Session, connection: Connection, ttl: float) -> None:
        rooms = {} if session.ended else connection._positions()
        record = Record(
            id=session.id, owner=session.owner, lineage=session.lineage, ended=session.ended, rooms=rooms
        )  # fmt: skip
        name = name_of(self._store.save)

        def done(call: ApplicationCall) -> None:
            error, call.error = call.error, None
            if error is not None and not call.is_cancelled:
                self._health.handler_error(name, connection, error)

        try:
            saved = self._store.save(record, ttl)
            if isawaitable(saved):
                self._calls.start(saved, name, connection, done)
        except BaseException as error:  # noqa: BLE001 - the session goes on without a saved record
            self._health.handler_error(name, connection, error)

    async def _claim_later(self, record: Awaitable[Record | None], id: str, owner: str) -> Claim:
        try:
            found = await self._calls.wait(record, name_of(self._store.load), "a client", self._timeout)
            return self._claim_of(found, id, owner)
        except Exception as error:  # noqa: BLE001 - the store is the application's, and may raise anything
            return self._store_failed(id, error)

    def _store_failed(self, id: str, error: BaseException) -> Claim:
        self._health.handler_error(name_of(self._store.load), "a client", error)
        return Claim(reason="unknown", lineage=lineage_of(id))

    def _claim_of(self, record: Record | None, id: str, owner: str) -> Claim:
        if record is None or record.owner != owner:
            # With the lineage, so that repeated publishes are recognized even if the store is down.
            return Claim(reason="unknown", lineage=lineage_of(id))
        if record.ended is not None:
            return Claim(reason=record.ended, lineage=record.lineage)
        return Claim(reason="other node", lineage=record.lineage, rooms=record.rooms, moved=record.id)


SAVE = 0.5
"""Seconds from a change until the record is saved: many joins are saved once."""

RETENTION = 600.0
"""Seconds for which the reason of an end is kept: longer than clients wait between two attempts to connect."""
