"""A link: one transport that carries a connection. A connection with a session goes from link to link."""

from __future__ import annotations

from typing import Any, Protocol

from fanwire.connection import Connection
from fanwire.handlers.queue import HandlerQueue, QueueOwner
from fanwire.runtime.link_phases import LinkPhase
from fanwire.transports.fallback_link import FallbackLink

__all__ = ["EngineMessage", "Link"]

EngineMessage = bytes | str | tuple[bytes | str, float] | tuple[int, int]
"""A message of a client. With a float: the client is too fast, and should have waited so many seconds. Two integers:
the engine has refused so many messages in this place, with so many bytes in all."""


class Link(QueueOwner, Protocol):
    """A link, as the connection registry and the engine's events use it.

    Attributes:
        connection: the connection that it carries. While the engine decides whether a session can be resumed over this
            link: the connection of that session.
        id: the engine's id of the link.
        handler_queue: the queue of the connection's handlers.
        fresh: the new connection that begins if the session cannot be resumed; None as soon as that is decided.
        phase: see `fanwire.runtime.link_phases`.
        transport: "websocket", "sse" or "long-poll".
        fallback: its POSTs and polls; None: it is a WebSocket, or has no session.
    """

    connection: Connection
    id: int
    handler_queue: HandlerQueue
    fresh: Connection | None
    phase: LinkPhase
    transport: str
    fallback: FallbackLink | None

    def received(self, size: int, messages: list[EngineMessage]) -> None:
        """Takes messages, with so many bytes in all."""

    def peer_closed(self, code: int | None, reason: str) -> None:
        """Takes the client's close frame."""

    def broke(self, code: int, reason: str) -> None:
        """Takes the close frame that the server sends because the client has violated the protocol."""

    def abort(self) -> None:
        """Has the engine end the link at once."""

    def told(self, kind: str, detail: Any) -> None:
        """Takes the engine's event "data" or "read", of a fallback transport."""

    def gone(self, cause: str) -> None:
        """The engine has ended the link, with its word for why."""
