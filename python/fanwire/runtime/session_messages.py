"""Messages of the protocol that the host sends to sessions."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from typing import Any

from fanwire._engine import Engine
from fanwire.connection import Connection
from fanwire.errors import Closed
from fanwire.protocol.session import Session
from fanwire.protocol.table import URGENT
from fanwire.values.encoding import NESTING_LIMIT

__all__ = ["SessionMessages"]


class SessionMessages:
    """Encodes messages, numbers them, and gives them to the engine.

    Args:
        engine: delivers them.

    Attributes:
        ids: the next message id. The engine makes the ids of its own messages.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.ids = map(f"{secrets.token_hex(4)}-{{}}".format, itertools.count(1))

    def tell(
        self,
        connection: Connection,
        type: str,
        *,
        max_nesting: int = NESTING_LIMIT,
        urgent: bool = False,
        **fields: Any,
    ) -> None:
        """Sends a message to a session, and does nothing for a client without one. Fields that are None are left out.

        Args:
            connection: the session's connection.
            type: the message's type.
            max_nesting: levels that the payload may have.
            urgent: sends it before the messages that the client's application has no room for. Types of
                `protocol.table.URGENT` always are.
            fields: the other fields of the envelope.

        Raises:
            TypeError, ValueError: the payload is not of the table in docs/values.md, or has more levels than
            `max_nesting`.
        """
        session = connection._session
        if session is None:
            return
        encoded = self.envelope(session, type, max_nesting, **fields)
        self._engine.send_envelope(connection.id, session.codec.name, encoded, urgent or type in URGENT)

    def envelope(self, session: Session, type: str, max_nesting: int = NESTING_LIMIT, **fields: Any) -> bytes:
        """Encodes a message to a session; the arguments are those of `tell`."""
        envelope = {"type": type, "id": next(self.ids), "ts": time.time_ns() // 1_000_000, **fields}
        return session.codec.encode(envelope, max_nesting)

    async def send_until_acked(
        self, connection: Connection, session: Session, payload: bytes | str, json: bool, timeout: float, attempts: int
    ) -> None:
        """Sends an application's message, and sends it again after each `timeout` in which the client was connected and
        did not acknowledge it.

        Raises:
            asyncio.TimeoutError: it was sent `attempts` times.
            Closed: the session has ended.
        """
        name = next(self.ids)
        acked = session.acks[name] = asyncio.get_running_loop().create_future()
        try:
            for _ in range(attempts):
                if session.ended is not None:
                    break
                self._engine.send(connection.id, payload, json, None, name, True)
                while True:
                    done, _ = await asyncio.wait([acked], timeout=timeout)
                    # While the client is away its session keeps the message, so that time does not count.
                    if done or not connection.is_reconnecting:
                        break
                if acked.cancelled():
                    break
                if done:
                    return
            else:
                raise asyncio.TimeoutError(f"not acknowledged after {attempts} times {timeout:g} s")
        finally:
            session.acks.pop(name, None)
        raise Closed(f"the session has ended ({session.ended}) before the client acknowledged")
