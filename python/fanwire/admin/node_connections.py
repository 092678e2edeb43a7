"""What an operator may ask about the connections, sessions and users of this node, and do to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address, ip_network
from typing import Any

from fanwire.admin.documents import ConnectionDetail, ConnectionQueue, ConnectionSummary, UserSummary
from fanwire.admin.questions import (
    CloseConnection,
    ConnectionQuestion,
    ConnectionsAnswer,
    ConnectionsQuestion,
    RemoveMember,
    RevokeSession,
    UsersAnswer,
    UsersQuestion,
)
from fanwire.admin.scan import first_of, pattern_of
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS
from fanwire.identity.identity import scopes_of, subject_of
from fanwire.runtime.registry import ConnectionRegistry
from fanwire.values.encoding import plain

__all__ = ["NodeConnections", "is_network"]


class NodeConnections:
    """Answers about connections. On the loop's thread only.

    Args:
        registry: has the connections.
        tag: of this node.
        name: of this node.
        max_nesting: levels of nesting that a `Connection.info` may have.
    """

    def __init__(self, registry: ConnectionRegistry, tag: str, name: str, max_nesting: int) -> None:
        self._registry = registry
        self._tag = tag
        self._name = name
        self._max_nesting = max_nesting

    # Readings.

    async def some(self, question: ConnectionsQuestion) -> ConnectionsAnswer:
        """Returns a part of the connections."""
        after: int | None = None
        if question.after is not None:
            node, number = question.after
            # Nodes come one after another: before the place there is nothing more here, or everything.
            after = number if node == self._name else None if node < self._name else LAST
        candidates: list[Connection]
        if question.user is not None:
            candidates = self._registry.users.of(question.user)
        else:
            candidates = list(self._registry.connections.values())
        found = await first_of(candidates, _filter(question), lambda connection: connection.id, question.limit, after)
        summaries = []
        for number, one in enumerate(found.items, 1):
            summaries.append(ConnectionSummary(**_about(one, self._tag, self._name)))
            if number % SUMMARIES == 0:
                await asyncio.sleep(0)
        return ConnectionsAnswer(summaries, found.matching, found.more)

    async def one(self, question: ConnectionQuestion) -> ConnectionDetail | None:
        """Returns one connection, by its number or its session; None: this node does not have it."""
        connection: Connection | None = None
        if question.number is not None:
            connection = self._registry.connections.get(question.number)
        elif question.session is not None:
            named = question.session
            sessions = list(self._registry.connections.values())
            found = await first_of(sessions, lambda one: _session_name(one) == named, lambda one: one.id, 1)
            connection = found.items[0] if found.items else None
        if connection is None:
            return None
        return ConnectionDetail(
            **_about(connection, self._tag, self._name),
            scopes=sorted(scopes_of(connection.identity)),
            info=self._info(connection),
            room_names=sorted(connection.rooms)[:MOST_ROOMS],
            close_code=connection.close_code,
            closed_by=connection.closed_by,
            close_reason=connection.close_reason,
            user_agent=connection.request.user_agent or "",
            resumes=connection._resumes,
            moves=connection._moves,
            queue=await _queue_of(connection),
        )

    async def users(self, question: UsersQuestion) -> UsersAnswer:
        """Returns a part of the users."""
        is_meant = pattern_of(question.pattern)
        found = await first_of(
            self._registry.users.counts(),
            lambda user: is_meant(user[0]),
            lambda user: user[0],
            question.limit,
            question.after,
        )
        users = [UserSummary(subject=subject, connections=count) for subject, count in found.items]
        return UsersAnswer(users, found.matching, found.more)

    # Actions. Each returns whether there was such a connection.

    def close(self, question: CloseConnection) -> bool:
        """Closes a connection, with its session."""
        connection = self._registry.connections.get(question.number)
        if connection is None:
            return False
        if connection.is_reconnecting:
            self._registry.revocation.dismiss(connection, question.code, question.reason)
        else:
            connection.close(question.code, question.reason)
        return True

    def revoke(self, question: RevokeSession) -> bool:
        """Ends a connection and its session at once; the client does not come back by itself."""
        connection = self._registry.connections.get(question.number)
        if connection is None:
            return False
        self._registry.revocation.revoke(connection, question.reason)
        return True

    def remove(self, question: RemoveMember) -> bool:
        """Ends a membership."""
        connection = self._registry.connections.get(question.number)
        if connection is None or question.room not in connection.rooms:
            return False
        self._registry.revocation.remove(question.room, connection, question.reason)
        return True

    def _info(self, connection: Connection) -> Any:
        try:
            return plain(connection.info, self._max_nesting)
        except (TypeError, ValueError):
            # The application has not joined it to a room with presence yet, which would have been the error.
            return None


async def _queue_of(connection: Connection) -> ConnectionQueue | None:
    """What waits for a connection. The engine is asked on another thread: the answer may take until its shard has
    time."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(None, connection._engine.connection_reading, connection.id, ENGINE_TIMEOUT)
    except ENGINE_ERRORS:
        return None
    return None if found is None else ConnectionQueue(dropped=found.pop("drops"), **found)


def _session_name(connection: Connection) -> str | None:
    """What the log calls a connection's session: nobody can resume the session with it. None: it has no session."""
    session = connection._session
    return None if session is None else session.public_id


def is_network(text: str) -> bool:
    """Whether a filter for addresses is a network or an address."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _filter(question: ConnectionsQuestion) -> Callable[[Connection], bool]:
    """Whether a connection matches all of a question's filters. Only those that are given cost anything."""
    filters: list[Callable[[Connection], bool]] = []
    if question.subject is not None:
        has_subject = pattern_of(question.subject)
        filters.append(lambda connection: has_subject(subject_of(connection.identity)))
    if question.address is not None:
        filters.append(_address_filter(question.address))
    if question.transport is not None:
        filters.append(lambda connection: connection.transport == question.transport)
    if question.state is not None:
        filters.append(lambda connection: connection.state.value == question.state)
    if question.room is not None:
        filters.append(lambda connection: question.room in connection.rooms)
    if question.sessions:
        filters.append(lambda connection: connection._session is not None)
    return lambda connection: all(is_met(connection) for is_met in filters)


def _address_filter(text: str) -> Callable[[Connection], bool]:
    if "/" not in text:
        # As sockets have it: an IPv6 address can be written in several ways.
        wanted = str(ip_address(text))
        return lambda connection: connection.request.remote == wanted
    network = ip_network(text, strict=False)

    def is_inside(connection: Connection) -> bool:
        try:
            return ip_address(connection.request.remote or "") in network
        except ValueError:
            return False

    return is_inside


def _about(connection: Connection, tag: str, name: str) -> dict[str, Any]:
    request, session = connection.request, connection._session
    duration = round(time.monotonic() - connection.opened_at, 3)
    return {
        "id": f"{tag}{connection.id:x}",
        "log_id": f"{connection.id:#x}",
        "node": name,
        "session": _session_name(connection),
        "subject": subject_of(connection.identity),
        "address": request.remote or "",
        "transport": connection.transport,
        "tls": request.tls.version if request.tls is not None else "proxy" if request.is_secure else "no",
        "codec": "raw" if session is None else session.codec.name,
        "compressed": connection.is_compressed,
        "path": request.path,
        "state": connection.state.value,
        "opened": datetime.now(timezone.utc) - timedelta(seconds=duration),
        "duration": duration,
        "rooms": len(connection.rooms),
        "received_messages": connection.received_messages,
        "received_bytes": connection.received_bytes,
    }


ENGINE_TIMEOUT = 1.0
"""Seconds to wait for what the engine tells of one connection: half of those that other nodes have to answer."""

LAST = 1 << 63
"""More than any id."""

SUMMARIES = 100
"""Connections that are described between two turns of the event loop, which takes half a millisecond."""

MOST_ROOMS = 1000
"""Names of rooms in the details of a connection."""
