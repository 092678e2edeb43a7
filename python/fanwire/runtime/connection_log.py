"""One record in the log for each connection that has ended: who it was, how it ended, and what went over it.

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

    The engine tells what a connection was sent a moment after its end, so a record waits for that.
    There are at most as many waiting as connections have ended since the last batch of the engine's events.

    Args:
        clock: seconds, never going back; that of `Connection.opened_at`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._causes: dict[int, str] = {}
        self._waiting: dict[int, dict[str, Any]] = {}
        self._accounts: dict[int, tuple[int, int, Mapping[str, int]]] = {}

    def because(self, connection: Connection, cause: str) -> None:
        """The engine says why a connection, or its transport, is about to end; `parked` or `ended` follows."""
        if connection.state is not ConnectionState.CLOSED:
            self._causes[connection.id] = cause

    def parked(self, connection: Connection, why: str) -> None:
        """A session has lost its transport, and waits for its client."""
        why = self._causes.pop(connection.id, why)
        if logger.isEnabledFor(logging.INFO):
            self._write({"event": "session_parked", **self._about(connection), "why": why})

    def ended(self, connection: Connection, why: str) -> None:
        """A connection has ended, and its session with it."""
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
        """The engine says what a connection that has ended was sent.

        Args:
            conn_id: the connection's id.
            is_known: whether the host has still to hear of the end: it was the engine's.
            messages: messages that were sent.
            size: bytes of the same.
            drops: messages that were dropped, by reason.
        """
        record = self._waiting.pop(conn_id, None)
        if record is not None:
            self._complete(record, messages, size, drops)
        elif is_known and logger.isEnabledFor(logging.INFO):
            self._accounts[conn_id] = (messages, size, drops)

    def flush(self) -> None:
        """Writes the records that still wait: the engine has ended, and tells nothing more."""
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
    """The text of a record, made only if somebody wants it."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    def __str__(self) -> str:
        return " ".join(f"{name}={_value(value)}" for name, value in self._record.items())


def _value(value: Any) -> str:
    """As logfmt has it. Anything but a plain word is quoted: clients cannot write lines or fields of their own."""
    text = str(value)
    is_plain = text.isascii() and text.isprintable() and text and not any(char in ' "=\\' for char in text)
    return text if is_plain else json.dumps(text)
