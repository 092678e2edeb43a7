"""A link of the engine: gives its messages and its close to the handlers of its connection, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from fanwire._engine import Engine
from fanwire.codes import CloseCode
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS
from fanwire.handlers.calls import ApplicationCalls, name_of
from fanwire.handlers.queue import HandlerQueue
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Incoming
from fanwire.protocol.session import Session
from fanwire.protocol.table import RECONNECT_RANGE
from fanwire.runtime.application_handlers import Handler
from fanwire.runtime.dispatcher import Dispatcher
from fanwire.runtime.link import EngineMessage, Link
from fanwire.runtime.link_phases import OVER, LinkPhase
from fanwire.runtime.timed_handlers import unmeasured
from fanwire.state import ConnectionState
from fanwire.transports.fallback_link import WEBSOCKET, FallbackLink

__all__ = ["EngineLink", "LinkServices"]


@dataclass(frozen=True, slots=True)
class LinkServices:
    """The parts of the server that links use.

    Attributes:
        engine: holds, closes and cuts links.
        limits: the configuration, and the bytes that wait for handlers.
        calls: runs awaitables of the application.
        dispatcher: does what the messages of sessions ask for.
        on_message: gets the messages of clients without a session; None: they are dropped.
        let_go: closes a link and parks its session; returns false if the session cannot wait.
        handler_failed: takes the error of a handler, and the handler's name.
    """

    engine: Engine
    limits: Limits
    calls: ApplicationCalls
    dispatcher: Dispatcher
    on_message: Handler | None
    let_go: Callable[[Link, int, str], bool]
    handler_failed: Callable[[Connection, BaseException, str], object]


class EngineLink:
    """One link of a connection, see `Link`."""

    __slots__ = (
        "_on_message",
        "_services",
        "connection",
        "fallback",
        "fresh",
        "handler_queue",
        "id",
        "phase",
        "transport",
    )

    connection: Connection

    def __init__(self, services: LinkServices, link_id: int, transport: str = WEBSOCKET) -> None:
        self._services = services
        self._on_message = services.on_message
        self.id = link_id
        self.transport = transport
        self.fallback: FallbackLink | None = None
        self.fresh: Connection | None = None
        self.phase = LinkPhase.CARRYING
        held, config = services.limits.inbound, services.limits.config
        self.handler_queue = HandlerQueue(
            self, max_calls=config.inbox_messages, max_bytes=config.inbox_bytes, held=held, calls=services.calls
        )

    def names(self) -> tuple[int, int] | None:
        """The engine's ids of the connection and of this link; None: the connection goes on without this link."""
        return None if self.phase in OVER else (self.connection.id, self.id)

    # What the connection registry and the engine's events call.

    def received(self, size: int, messages: list[EngineMessage]) -> None:
        """Gives messages to the dispatcher or, without a session, to `on_message`."""
        if self.phase in OVER:
            return
        connection = self.connection
        connection.received_messages += len(messages)
        connection.received_bytes += size
        session, handler, handler_queue = connection._session, self._on_message, self.handler_queue
        if session is not None:
            for message in messages:
                # Messages after a close frame of either side, or after the session has left this link, are dropped.
                if connection.state is not OPEN or self.phase in OVER:
                    return
                self._heard(session, message)
            return
        if handler is None:
            return
        # Measuring a call costs more than reading a small message, so that of the first message stands for its batch.
        following = unmeasured(handler)
        for message in messages:
            # Messages after a close frame of either side are dropped.
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
            handler = following

    def _heard(self, session: Session, message: EngineMessage) -> None:
        wait = None
        if isinstance(message, tuple):
            frame, wait = message
            if isinstance(frame, int):
                self.connection.received_messages += frame - 1
                self.connection.received_bytes += int(wait)
                self._services.dispatcher.refused(self.connection, session, frame, int(wait))
                return
        else:
            frame = message
        incoming = self._services.dispatcher.arrived(self.connection, session, frame, wait)
        if incoming is not None:
            self.handler_queue.put(self._handle, session, incoming, size=len(frame))

    def _handle(self, session: Session, incoming: Incoming) -> Any:
        connection = self.connection
        return None if connection._is_done else self._services.dispatcher.handle(connection, session, incoming)

    def _deliver(self, handler: Handler, message: EngineMessage) -> Any:
        # Messages from before the client closed, or was lost, are delivered; after `Connection.close` they are not.
        return None if self.connection._is_done else handler(self.connection, message)

    def peer_closed(self, code: int | None, reason: str) -> None:
        """Answers the client's close frame, or parks the session if the code says that the client reconnects."""
        if self.phase in OVER:
            return
        if code is not None and (code in RECONNECT_RANGE or code == CloseCode.GOING_AWAY):
            # The engine does not answer these codes, because the host decides whether the session waits. Browsers close
            # with 1001 when a page is left, or only loaded again.
            if self._services.let_go(self, code, reason):
                return
            with contextlib.suppress(*ENGINE_ERRORS):
                self._services.engine.close(self.connection.id, code, reason, False)
        self.connection._closing(code or CloseCode.NO_CODE, reason, "client")

    def broke(self, code: int, reason: str) -> None:
        """Closes the connection of a client that has violated the protocol."""
        if self.phase in OVER:
            return
        # The engine may wait for this call with the close frame: messages from before the violation are answered now.
        with contextlib.suppress(*ENGINE_ERRORS):
            self._services.engine.close(self.connection.id, code, reason)
        self.connection._closing(code, reason)

    def abort(self) -> None:
        """Has the engine end the link at once."""
        with contextlib.suppress(*ENGINE_ERRORS):
            self._services.engine.cut(self.connection.id, self.id)

    def told(self, kind: str, detail: Any) -> None:
        """Takes the engine's event "data" or "read", of a fallback transport."""
        if self.fallback is None:
            return
        if kind == "data":
            self.fallback.deliver(detail)
        elif kind == "read":
            self.fallback.read(detail)

    def gone(self, cause: str) -> None:
        """The engine has ended the link."""
        if self.fallback is not None:
            self.fallback.gone(cause)

    # What the handler queue calls.

    def pause_reading(self) -> None:
        """Has the engine read no more of this client."""
        self._hold(True)

    def resume_reading(self) -> None:
        """Has the engine read again."""
        self._hold(False)

    def _hold(self, is_held: bool) -> None:
        if self.phase is LinkPhase.CARRYING:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._services.engine.hold(self.connection.id, is_held)

    def handler_failed(self, error: BaseException, name: str) -> None:
        """Closes the connection, because a handler has raised."""
        self._services.handler_failed(self.connection, error, name)

    def handlers_ended(self) -> None:
        """Does nothing: when the connection has ended the queue has another owner, see `fanwire.runtime.endings`."""


OPEN = ConnectionState.OPEN
