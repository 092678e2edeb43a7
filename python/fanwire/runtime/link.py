"""What the engine reads of a WebSocket, as its connection's handlers get it: messages in order, and the close."""

from __future__ import annotations

import contextlib
from inspect import isawaitable
from typing import Any

from fanwire.codes import CloseCode
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS
from fanwire.handlers.calls import name_of
from fanwire.handlers.queue import HandlerQueue
from fanwire.protocol.envelopes import Incoming
from fanwire.protocol.session import Session
from fanwire.protocol.table import RECONNECT_RANGE
from fanwire.runtime.link_phases import OVER, LinkPhase
from fanwire.runtime.registry import Handler, Hub, Message
from fanwire.runtime.tls_transport import Encrypted
from fanwire.state import ConnectionState

__all__ = ["WebSocket"]


class WebSocket:
    """One link of a connection. It is the hub's `Carrier`."""

    __slots__ = ("_hub", "_on_message", "connection", "encrypted", "fresh", "handler_queue", "link", "phase")

    connection: Connection

    def __init__(self, hub: Hub, link: int) -> None:
        self._hub = hub
        self._on_message = hub.handlers.on_message
        self.link = link
        self.encrypted: Encrypted | None = None
        self.fresh: Connection | None = None
        self.phase = LinkPhase.CARRYING
        held, config = hub.limits.inbound, hub.config
        self.handler_queue = HandlerQueue(
            self, max_calls=config.inbox_messages, max_bytes=config.inbox_bytes, held=held, calls=hub.calls
        )

    def names(self) -> tuple[int, int] | None:
        """The engine's ids of the connection and of this link, as long as the link carries the connection or closes."""
        return None if self.phase is LinkPhase.GONE else (self.connection.id, self.link)

    # What the hub calls.

    def received(self, size: int, messages: list[Message]) -> None:
        """See `Carrier`."""
        if self.phase in OVER:
            return
        connection = self.connection
        connection.received_messages += len(messages)
        connection.received_bytes += size
        session, handler, handler_queue = connection._session, self._on_message, self.handler_queue
        if session is not None:
            for message in messages:
                # After a close frame, whichever side sent it, or on another link, data no longer counts.
                if connection.state is not OPEN or self.phase in OVER:
                    return
                self._heard(session, message)
            return
        if handler is None:
            return
        for message in messages:
            # After a close frame, whichever side sent it, data no longer counts.
            if connection.state is not OPEN:
                return
            if handler_queue.is_running:
                handler_queue.put(self._deliver, handler, message, size=len(message), of=handler)
                continue
            try:
                pending = handler(connection, message)
                if pending is not None and isawaitable(pending):
                    handler_queue.wait_for(pending, handler)
            except BaseException as error:  # noqa: BLE001 - a handler may raise anything
                self.handler_failed(error, name_of(handler))

    def _heard(self, session: Session, message: Message) -> None:
        wait = None
        if isinstance(message, tuple):
            frame, wait = message
            if isinstance(frame, int):
                self.connection.received_messages += frame - 1
                self.connection.received_bytes += int(wait)
                self._hub.desk.refused(self.connection, session, frame, int(wait))
                return
        else:
            frame = message
        incoming = self._hub.desk.arrived(self.connection, session, frame, wait)
        if incoming is not None:
            self.handler_queue.put(self._handle, session, incoming, size=len(frame))

    def _handle(self, session: Session, incoming: Incoming) -> Any:
        return None if self.connection._is_done else self._hub.desk.handle(self.connection, session, incoming)

    def _deliver(self, handler: Handler, message: Message) -> Any:
        # What a client sent before it closed or was lost still counts; not so once the application has closed.
        return None if self.connection._is_done else handler(self.connection, message)

    def peer_closed(self, code: int | None, reason: str) -> None:
        """See `Carrier`."""
        if self.phase in OVER:
            return
        if code is not None and code in RECONNECT_RANGE:
            # The client says that it comes back: its session waits, if it can. The engine has left the answer to us.
            if self._hub.let_go(self, code, reason):
                return
            with contextlib.suppress(*ENGINE_ERRORS):
                self._hub.engine.close(self.connection.id, code, reason, False)
        self.connection._closing(code or CloseCode.NO_CODE, reason, "client")

    def broke(self, code: int, reason: str) -> None:
        """See `Carrier`."""
        if self.phase in OVER:
            return
        # The engine has closed it, or leaves that to us for a moment: what has come before it is answered by now.
        with contextlib.suppress(*ENGINE_ERRORS):
            self._hub.engine.close(self.connection.id, code, reason)
        self.connection._closing(code, reason)

    def abort(self) -> None:
        """See `Carrier`."""
        with contextlib.suppress(*ENGINE_ERRORS):
            self._hub.engine.cut(self.connection.id, self.link)
        if self.encrypted is not None:
            self.encrypted.abort()

    def gone(self, is_abrupt: bool) -> None:
        """See `Carrier`."""
        if self.encrypted is not None:
            self.encrypted.end(is_abrupt)

    # What the handler queue calls.

    def pause_reading(self) -> None:
        """Stops reading from the client, see `QueueOwner`."""
        self._hold(True)

    def resume_reading(self) -> None:
        """Reads from the client again, see `QueueOwner`."""
        self._hold(False)

    def _hold(self, is_held: bool) -> None:
        if self.phase is LinkPhase.CARRYING:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._hub.engine.hold(self.connection.id, is_held)

    def handler_failed(self, error: BaseException, name: str) -> None:
        """Takes an error of a handler, see `QueueOwner`."""
        self._hub.handler_failed(self.connection, error, name)

    def handlers_ended(self) -> None:
        """Does nothing: by then the queue has another owner, see `QueueOwner`."""


OPEN = ConnectionState.OPEN
