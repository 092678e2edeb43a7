"""One record in the log for each connection or session that begins, is parked, resumed or ends.

Records go to the logger `fanwire.connections`: at INFO when a session is parked, when a connection or session has
ended, and when a client of another node has come here; at DEBUG when one begins otherwise or is resumed.
docs/operations.md lists the fields. No field holds a credential.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fanwire.connection import Connection
from fanwire.identity.identity import subject_of
from fanwire.observability.close_counts import CloseCounts
from fanwire.observability.fields import write
from fanwire.observability.health import Counters
from fanwire.state import ConnectionState

__all__ = ["CAUSES", "LOST", "NOT_FINISHED", "OF_NETWORK", "ConnectionLog"]

logger = logging.getLogger("fanwire.connections")

LOST = "the transport ended without a close frame"

CAUSES = {
    "slow": "more waits for it than connection_bytes allows",
    "budget": "more waits in all than engine_bytes allows, and it is among the slowest",
    "unanswered": "no pong within ping_timeout",
    "close timeout": "no end of the closing handshake within close_timeout",
    "reset": "the transport failed",
    "eof": LOST,
    "cut": "the server cut the connection off",
}
"""The engine's words for why a link ends, as close reasons and for the log. The word "over" is not here: both sides
have sent a close frame, which says why."""

REASONS = {
    "expired": "the client did not come back within grace",
    "overflow": "the server keeps no more sessions that wait",
    "codec": "the client came back with another codec",
    "other node": "the client has gone on at another node",
}
"""The reasons why a session ends without a close frame (docs/protocol.md), for the log."""

HAS_MOVED = "the client was at another node before"
"""Why a session begins whose client goes on here."""

SIDES = {"client": "the client closed the connection", "server": "the server closed the connection", "network": LOST}
"""Why a connection has ended if nothing more is known, by `closed_by`."""


OF_NETWORK = frozenset({"reset", "eof", "over"})
"""The engine's words for the ends of links that are not the server's doing."""

NOT_FINISHED = frozenset({"close timeout", "cut"})
"""Ends that tell more than the close frame before them."""


class _Account(NamedTuple):
    """The engine's counts of a connection, see `ConnectionLog.accounted`."""

    messages: int
    size: int
    drops: Mapping[str, int]
    highest_queue: int
    median_age: float | None


class ConnectionLog:
    """Writes the records, and counts ends.

    The engine's counts of a connection come a moment after its end, and its record waits for them. At most as many
    records wait as connections have ended since the last batch of the engine's events.

    Args:
        counters: count ends and resumes.
        clock: returns seconds that never go back, as `Connection.opened_at` has them.

    Attributes:
        closes: how many have ended, by close code.
    """

    def __init__(self, counters: Counters | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters or Counters()
        self._clock = clock
        self.closes = CloseCounts()
        self._causes: dict[int, str] = {}
        self._waiting: dict[int, dict[str, Any]] = {}
        self._accounts: dict[int, _Account] = {}

    def because(self, connection: Connection, cause: str) -> None:
        """Keeps why a link ends, if no close frame says it; `parked` or `ended` follows."""
        if connection.state is not ConnectionState.CLOSED:
            self._causes[connection.id] = cause

    def began(self, connection: Connection, *, has_moved: bool = False) -> None:
        """A connection has begun; `has_moved`: its client had a session at another node, which ends there."""
        level = logging.INFO if has_moved else logging.DEBUG
        if logger.isEnabledFor(level):
            event = "connection_began" if connection._session is None else "session_began"
            why = {"why": HAS_MOVED} if has_moved else {}
            write(logger, level, {"event": event, **self._about(connection), **why})

    def resumed(self, connection: Connection, was_transport: str) -> None:
        """A session goes on over another link.

        Args:
            connection: has the properties of the new link.
            was_transport: of the link before.
        """
        # The reason for the loss of the link before was told by `parked`, or the new link took its place.
        self._causes.pop(connection.id, None)
        connection._resumes += 1
        connection._moves += was_transport != connection.transport
        self._counters.session_resumed("resumed")
        if logger.isEnabledFor(logging.DEBUG):
            about = {"event": "session_resumed", **self._about(connection), "was_transport": was_transport}
            write(logger, logging.DEBUG, about)

    def not_resumed(self, reason: str) -> None:
        """A client wanted to resume a session and could not. The reason is one of docs/protocol.md."""
        self._counters.session_resumed(reason)

    def parked(self, connection: Connection, why: str) -> None:
        """A session has lost its link, and waits for its client."""
        why = self._causes.pop(connection.id, why)
        if logger.isEnabledFor(logging.INFO):
            write(logger, logging.INFO, {"event": "session_parked", **self._about(connection), "why": why})

    def ended(self, connection: Connection, reason: str) -> None:
        """Writes the record of a connection that has ended with its session, or keeps it until the counts come.

        Args:
            connection: has its close code and `closed_by`.
            reason: the key of `REASONS`; any other: the end is that of its link.
        """
        cause = self._causes.pop(connection.id, None)
        account = self._accounts.pop(connection.id, None)
        self.closes.count(connection.close_code or 0)
        self._counters.connection_closed(connection.close_code or 0, connection.closed_by or "network")
        if not logger.isEnabledFor(logging.INFO):
            return
        record = {
            "event": "connection_ended" if connection._session is None else "session_ended",
            **self._about(connection),
            "close_code": connection.close_code,
            "closed_by": connection.closed_by,
            "why": _why(connection, cause, reason),
        }
        if connection._session is not None:
            record |= {"resumes": connection._resumes, "moves": connection._moves}
        record |= {
            "received_messages": connection.received_messages,
            "received_bytes": connection.received_bytes,
        }
        if account is None:
            self._waiting[connection.id] = record
        else:
            self._complete(record, account)

    def accounted(
        self,
        conn_id: int,
        is_known: bool,
        messages: int,
        size: int,
        drops: Mapping[str, int],
        highest_queue: int,
        median_age: float | None,
    ) -> None:
        """Takes the engine's counts of a connection that has ended.

        Args:
            conn_id: the connection's id.
            is_known: whether the host still has the connection, because the engine has ended it; `ended` follows.
            messages: messages that were sent.
            size: their bytes.
            drops: messages that were dropped, by reason.
            highest_queue: the most bytes that waited at once.
            median_age: of the messages that the client's application took, in seconds; None: unknown.
        """
        account = _Account(messages, size, drops, highest_queue, median_age)
        record = self._waiting.pop(conn_id, None)
        if record is not None:
            self._complete(record, account)
        elif is_known and logger.isEnabledFor(logging.INFO):
            self._accounts[conn_id] = account

    def flush(self) -> None:
        """Writes the records that still wait. The engine has ended, so their counts do not come."""
        waiting, self._waiting = self._waiting, {}
        self._accounts.clear()
        for record in waiting.values():
            write(logger, logging.INFO, record)

    def _about(self, connection: Connection) -> dict[str, Any]:
        request, session = connection.request, connection._session
        about: dict[str, Any] = {"id": connection._id_text}
        if session is not None:
            about["session"] = session.public_id
        tls = "no"
        if request.is_secure:
            tls = "proxy" if request.tls is None else request.tls.version
        return about | {
            "subject": subject_of(connection.identity),
            "address": request.remote or "",
            "path": request.path,
            "transport": connection.transport,
            "codec": "raw" if session is None else session.codec.name,
            "compressed": connection.is_compressed,
            "tls": tls,
            "user_agent": request.user_agent or "",
            "duration": round(self._clock() - connection.opened_at, 3),
        }

    def _complete(self, record: dict[str, Any], account: _Account) -> None:
        record |= {
            "sent_messages": account.messages, "sent_bytes": account.size, "highest_queue": account.highest_queue,
        }  # fmt: skip
        if account.median_age is not None:
            record["taken_age"] = round(account.median_age, 4)
        record |= {f"dropped_{reason}": count for reason, count in account.drops.items()}
        write(logger, logging.INFO, record)


def _why(connection: Connection, cause: str | None, reason: str) -> str:
    """Why a connection has ended, in words: the close frame's reason, the cause, or what is known of the side."""
    said = connection.close_reason
    if cause is None:
        return said or REASONS.get(reason) or SIDES[connection.closed_by or "network"]
    return f"{said}; {cause}" if said and said != cause else cause
