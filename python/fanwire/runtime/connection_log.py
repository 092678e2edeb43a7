"""One record in the log for each connection that has ended: its client, its end, and its counts.

Records go to the logger `fanwire.connections` at INFO. Their text is a line of `name=value` pairs; the same pairs are
the record's attribute `connection`, a dict, for handlers that write JSON.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from fanwire.connection import Connection
from fanwire.identity.identity import subject_of
from fanwire.state import ConnectionState

__all__ = ["CAUSES", "ConnectionLog"]

logger = logging.getLogger("fanwire.connections")

CAUSES = {
    "slow": "more waits for it than connection_bytes allows",
    "budget": "more waits in all than engine_bytes allows, and it is among the slowest",
    "unanswered": "no pong within ping_timeout",
    "close timeout": "no end of the closing handshake within close_timeout",
    "reset": "the transport failed",
}
"""The engine's words for why a link ends, as close reasons and for the log."""


class ConnectionLog:
    """Writes the records.

    The engine's counts of a connection come a moment after its end, and its record waits for them. At most as many
    records wait as connections have ended since the last batch of the engine's events.

    Args:
        clock: returns seconds that never go back, as `Connection.opened_at` has them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._causes: dict[int, str] = {}
        self._waiting: dict[int, dict[str, Any]] = {}
        self._accounts: dict[int, tuple[int, int, Mapping[str, int]]] = {}

    def because(self, connection: Connection, cause: str) -> None:
        """Keeps the engine's reason for the end of a link; `parked` or `ended` follows."""
        if connection.state is not ConnectionState.CLOSED:
            self._causes[connection.id] = cause

    def parked(self, connection: Connection, why: str) -> None:
        """A session has lost its link, and waits for its client."""
        why = self._causes.pop(connection.id, why)
        if logger.isEnabledFor(logging.INFO):
            self._write({"event": "session_parked", **self._about(connection), "why": why})

    def ended(self, connection: Connection, why: str) -> None:
        """Writes the record of a connection that has ended with its session, or keeps it until the counts come."""
        why = self._causes.pop(connection.id, why)
        account = self._accounts.pop(connection.id, None)
        if not logger.isEnabledFor(logging.INFO):
            return
        record = {
            "event": "connection_ended" if connection._session is None else "session_ended",
            **self._about(connection),
            "close_code": connection.close_code,
            "closed_by": connection.closed_by,
            "why": connection.close_reason or why,
            "received_messages": connection.received_messages,
            "received_bytes": connection.received_bytes,
        }
        if account is None:
            self._waiting[connection.id] = record
        else:
            self._complete(record, *account)

    def accounted(self, conn_id: int, is_known: bool, messages: int, size: int, drops: Mapping[str, int]) -> None:
        """Takes the engine's counts of a connection that has ended.

        Args:
            conn_id: the connection's id.
            is_known: whether the host still has the connection, because the engine has ended it; `ended` follows.
            messages: messages that were sent.
            size: their bytes.
            drops: messages that were dropped, by reason.
        """
        record = self._waiting.pop(conn_id, None)
        if record is not None:
            self._complete(record, messages, size, drops)
        elif is_known and logger.isEnabledFor(logging.INFO):
            self._accounts[conn_id] = (messages, size, drops)

    def flush(self) -> None:
        """Writes the records that still wait. The engine has ended, so their counts do not come."""
        waiting, self._waiting = self._waiting, {}
        self._accounts.clear()
        for record in waiting.values():
            self._write(record)

    def _about(self, connection: Connection) -> dict[str, Any]:
        request, session = connection.request, connection._session
        return {
            "id": connection.id,
            "subject": subject_of(connection.identity),
            "address": request.remote or "",
            "transport": "wss" if request.is_secure else "ws",
            "codec": "raw" if session is None else session.codec.name,
            "duration": round(self._clock() - connection.opened_at, 3),
        }

    def _complete(self, record: dict[str, Any], messages: int, size: int, drops: Mapping[str, int]) -> None:
        record["sent_messages"], record["sent_bytes"] = messages, size
        record |= {f"dropped_{reason}": count for reason, count in drops.items()}
        self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        logger.info("%s", _Line(record), extra={"connection": record})


class _Line:
    """The text of a record, made only if a handler of the log formats it."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    def __str__(self) -> str:
        return " ".join(f"{name}={_value(value)}" for name, value in self._record.items())


def _value(value: Any) -> str:
    """The value in logfmt. All but plain words are quoted, so that clients cannot add lines or fields to the log."""
    text = str(value)
    is_plain = text.isascii() and text.isprintable() and text and not any(char in ' "=\\' for char in text)
    return text if is_plain else json.dumps(text)
