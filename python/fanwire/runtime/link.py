"""A link: one transport that carries a connection. A connection with a session goes from link to link."""

from __future__ import annotations

from typing import Protocol

from fanwire.connection import Connection
from fanwire.handlers.queue import HandlerQueue, QueueOwner
from fanwire.runtime.link_phases import LinkPhase
from fanwire.runtime.tls_transport import Encrypted

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
        encrypted: the transport, where the event loop does TLS.
    """

    connection: Connection
    id: int
    handler_queue: HandlerQueue
    fresh: Connection | None
    phase: LinkPhase
    encrypted: Encrypted | None

    def received(self, size: int, messages: list[EngineMessage]) -> None:
        """Takes messages, with so many bytes in all."""

    def peer_closed(self, code: int | None, reason: str) -> None:
        """Takes the client's close frame."""

    def broke(self, code: int, reason: str) -> None:
        """Takes the close frame that the server sends because the client has violated the protocol."""

    def abort(self) -> None:
        """Has the engine end the link at once."""

    def gone(self, is_abrupt: bool) -> None:
        """The engine has ended the link. If that `is_abrupt`, it has dropped the bytes that it held."""
