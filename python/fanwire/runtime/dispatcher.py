"""Does what the messages of sessions ask for, by type, and answers them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from typing import Any

from fanwire.backplane.base import Unavailable
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS, Overloaded, RoomFull
from fanwire.handlers.calls import ApplicationCalls, name_of
from fanwire.handlers.current_message import running
from fanwire.handlers.queue import Pending
from fanwire.handlers.time_slices import TimeSlices
from fanwire.identity.operator import is_operator
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Incoming, Refusal
from fanwire.protocol.session import Session
from fanwire.protocol.table import ABOUT_LINK
from fanwire.reject import reject_of
from fanwire.rooms.authorization import Rights
from fanwire.rooms.commands import RoomCommands
from fanwire.rooms.inputs import InputCommand, Inputs
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.node import Node
from fanwire.rooms.publish_hooks import PublishHooks
from fanwire.rooms.rules import CLOSED, Policies
from fanwire.runtime.application_handlers import Method
from fanwire.runtime.rejections import Rejections
from fanwire.runtime.reports import ReceivedReports
from fanwire.runtime.requests import Requests
from fanwire.runtime.session_messages import SessionMessages
from fanwire.sessions.renewal import TokenRenewal

__all__ = ["Dispatcher"]

logger = logging.getLogger("fanwire")


class Dispatcher:
    """Calls the method that a message names: of the protocol, or of the application.

    Args:
        node: publishes.
        policies: of the rooms.
        memberships: joins and leaves.
        rights: decides what a client may do.
        limits: the configuration, and the counts of what exceeds it.
        methods: the application's own types.
        hooks: the application's hooks for what clients publish.
        slices: runs long work in time slices.
        rejections: makes an answer of a `Reject`.
        messages: sends to sessions.
        spawn: runs a coroutine in a task, and keeps it.
        calls: runs awaitables of the application.
        reports: takes reports of what clients have received.
        renewal: takes new tokens.
        health: logs and counts errors of handlers.
        inputs: what the application takes of players.
        on_message: gets the payload of messages of the type `message`; None: the type is unknown.
    """

    def __init__(
        self,
        node: Node,
        policies: Policies,
        memberships: Memberships,
        rights: Rights,
        limits: Limits,
        methods: dict[str, Method],
        hooks: PublishHooks,
        slices: TimeSlices,
        rejections: Rejections,
        messages: SessionMessages,
        spawn: Callable[[Awaitable[Any]], asyncio.Future[Any]],
        calls: ApplicationCalls,
        reports: ReceivedReports,
        renewal: TokenRenewal,
        health: Health,
        inputs: list[Inputs],
        on_message: Callable[..., Any] | None,
    ) -> None:
        self._engine = node.engine
        self._limits = limits
        self._policies = policies
        self._rejections = rejections
        self._requests = Requests(self._encode_reply)
        self._reports = reports
        self._health = health
        self._renewal = renewal
        self._messages = messages
        self._tell = messages.tell
        self._ids = messages.ids
        self._methods = {**methods}
        if on_message is not None:
            self._methods.setdefault("message", Method(on_message))
        rooms = self._rooms = RoomCommands(
            node, policies, memberships, rights, limits, slices, hooks, messages.tell, spawn, calls
        )
        self.room_made, self.room_of = rooms.room_made, rooms.room_of
        self._own: dict[str, Callable[[Connection, Session, Incoming], Awaitable[None] | None]] = {
            "join": rooms.join, "leave": rooms.leave, "publish": rooms.publish, "presence": rooms.presence,
            "configure": rooms.configure, "token": self._token, "input": InputCommand(inputs, limits).take,
        }  # fmt: skip

    def serve(self, type: str, command: Callable[[Connection, Session, Incoming], Awaitable[None] | None]) -> None:
        """Adds a type of the protocol's own that is carried out elsewhere."""
        self._own[type] = command

    def arrived(
        self, connection: Connection, session: Session, frame: bytes | str, wait: float | None = None
    ) -> Incoming | None:
        """Takes a message when it arrives: counts it, and does at once what is about the connection itself. Returns the
        message if it is for `handle`.

        Args:
            connection: the client's.
            session: the client's.
            frame: the message.
            wait: the client is too fast by so many seconds, so the message is refused; None: it is not.
        """
        incoming = None
        try:
            incoming = session.hear(frame)
        except Refusal as refusal:
            self._refuse(connection, session, refusal.about, refusal)
        else:
            if incoming.type == "received":
                # Also from a client that is too fast: the report makes room for the messages that it waits for.
                self._report(connection, session, incoming)
                return None
            if incoming.type in ABOUT_LINK:
                if wait is None and incoming.type == "ping":
                    self._ping(connection, session)
                return None
            if wait is not None:
                too_fast = Refusal("rate_limited", "the client sends too fast", retry=True, retry_after=wait)
                self._refuse(connection, session, incoming, too_fast)
                incoming = None
            elif incoming.type == "ack":
                # At once: the handler that runs now may wait for it.
                self._ack(session, incoming)
                incoming = None
        if session.is_report_due:
            self._engine.send_control(connection.id, session.codec.name, session.report())
        return incoming

    def refused(self, connection: Connection, session: Session, count: int, size: int) -> None:
        """Counts messages that the engine has refused because the client was too fast, and their bytes."""
        session.refused(count, size)
        if session.is_report_due:
            self._engine.send_control(connection.id, session.codec.name, session.report())

    def handle(self, connection: Connection, session: Session, incoming: Incoming) -> Pending | None:
        """Does what a message asks for, and answers it. Returns the awaitable that the answer has to wait for, if
        any."""
        own = self._own.get(incoming.type)
        name = incoming.type
        context = None
        try:
            if own is not None:
                result = own(connection, session, incoming)
            else:
                method = self._methods.get(incoming.type)
                if method is None or is_operator(connection.identity):
                    raise Refusal("unknown_type", f"the server has no handler for the type {incoming.type!r}")
                known = self._requests.answer(session, incoming)
                if known is not None:
                    self._reply(connection, session, incoming, known)
                    return None
                name = name_of(method.handler)
                payload = session.codec.payload(incoming, method.schema, self._limits.config.max_nesting)
                with running(connection, incoming.id):
                    result = self._requests.handle(connection, session, incoming, method.handler, payload)
                    if isawaitable(result):
                        # The awaitable is a part of the handler, so it sees the same `Connection.message_id`.
                        context = copy_context()
            if result is not None and isawaitable(result):
                answer = partial(self._answer, connection, session, incoming, name, own is None)
                return Pending(result, answer, name, context)
            if own is None:
                self._reply(connection, session, incoming, result)
        except BaseException as error:  # noqa: BLE001 - a handler of the application may raise anything
            self._failed(connection, session, incoming, error, name)
        return None

    # The protocol's own types.

    def _ping(self, connection: Connection, session: Session) -> None:
        # From this time the client computes the offset of its clock from the clock that dates messages.
        pong = session.codec.encode({"type": "pong", "ts": self._engine.now_ms})
        for envelope in (pong, session.report()):
            self._engine.send_control(connection.id, session.codec.name, envelope)

    def _report(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        try:
            self._reports.take(connection, session, incoming)
        except Refusal as refusal:
            self._refuse(connection, session, incoming, refusal)

    async def _token(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        payload = await self._renewal.renew(connection, session, incoming)
        if incoming.id is not None:
            self._tell(connection, "reply", urgent=True, re=incoming.id, payload=payload)

    def _ack(self, session: Session, incoming: Incoming) -> None:
        waiting = session.acks.get(incoming.re or "")
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # Answers.

    def _answer(
        self,
        connection: Connection,
        session: Session,
        incoming: Incoming,
        name: str,
        is_answered: bool,
        result: Any,
        error: BaseException | None,
    ) -> None:
        """Answers a message whose handler had to be awaited."""
        if error is None and is_answered:
            try:
                self._reply(connection, session, incoming, result)
            except BaseException as failure:  # noqa: BLE001 - encoding runs code of the application
                error = failure
        if error is not None:
            self._failed(connection, session, incoming, error, name)

    def _encode_reply(self, session: Session, incoming: Incoming, result: Any) -> bytes:
        max_nesting = self._limits.config.max_nesting
        return self._messages.envelope(session, "reply", max_nesting, re=incoming.id, payload=result)

    def _reply(self, connection: Connection, session: Session, incoming: Incoming, reply: Any) -> None:
        if incoming.id is not None and connection._session is not None:
            self._engine.send_envelope(connection.id, session.codec.name, reply)

    def _failed(
        self, connection: Connection, session: Session, incoming: Incoming, error: BaseException, name: str
    ) -> None:
        if isinstance(error, Refusal):
            if error.code == "forbidden" and incoming.room and self._policies.of(incoming.room) is CLOSED:
                text = "%r asks for room %r, which matches no pattern of Server.room, so no client may use it"
                self._health.hint(text, connection, incoming.room)
            self._refuse(connection, session, incoming, error)
            return
        reject = reject_of(error)
        if reject is not None:
            refusal = self._rejections.refusal(connection, incoming.type, reject)
        elif isinstance(error, Unavailable):
            refusal = Refusal(
                "unavailable", f"the server cannot reach the backplane: {error}", retry=True, retry_after=1.0
            )
        elif isinstance(error, Overloaded):
            # One that the application has made names no limit.
            if limit := getattr(error, "limit", None):
                self._limits.count(limit)
            if isinstance(error, RoomFull):
                room = "the room" if incoming.room is None else f"room {incoming.room!r}"
                refusal = Refusal("room_full", f"{room} is full", retry=True)
            else:
                refusal = Refusal(
                    "overloaded", "the server is at a limit, try again later", retry=True, retry_after=1.0
                )
        else:
            self._health.handler_error(name, connection, error)
            # Methods of the protocol fail because of `authorize` or a store, so the client may try again.
            refusal = Refusal("internal", "the server failed to do this", retry=incoming.type in self._own)
        self._refuse(connection, session, incoming, refusal)

    def _refuse(self, connection: Connection, session: Session, incoming: Incoming | None, refusal: Refusal) -> None:
        if refusal.data is None and self._tell_plain(connection, session, incoming, refusal):
            return
        fields: dict[str, Any] = {} if incoming is None else {"re": incoming.id, "room": incoming.room}
        if incoming is not None and incoming.type == "token":
            fields["urgent"] = True
        try:
            self._tell_error(connection, fields, refusal)
        except ENGINE_ERRORS:
            # The engine has ended, and all connections with it.
            logger.debug("%r cannot be told: %s", connection, refusal)

    def _tell_plain(
        self, connection: Connection, session: Session, incoming: Incoming | None, refusal: Refusal
    ) -> bool:
        """Sends a refusal that consists of numbers and short texts, as most do. This takes a fifth of the time. Returns
        false if it cannot be encoded so, and nothing was sent."""
        envelope: dict[str, Any] = {"type": "error", "id": next(self._ids), "ts": time.time_ns() // 1_000_000}
        is_urgent = False
        if incoming is not None:
            if incoming.id is not None:
                envelope["re"] = incoming.id
            if incoming.room is not None:
                envelope["room"] = incoming.room
            is_urgent = incoming.type == "token"
        envelope["payload"] = refusal.payload()
        try:
            encoded = session.codec.encode_plain(envelope)
            self._engine.send_envelope(connection.id, session.codec.name, encoded, is_urgent)
        except ENGINE_ERRORS:
            # The engine has ended, and all connections with it.
            logger.debug("%r cannot be told: %s", connection, refusal)
        except Exception:  # noqa: BLE001 - a text of the application may be of any type; `_tell_error` logs that
            return False
        return True

    def _tell_error(self, connection: Connection, fields: dict[str, Any], refusal: Refusal) -> None:
        try:
            # The data of a `Reject` is one level below the payload.
            max_nesting = self._limits.config.max_nesting + 1
            self._tell(connection, "error", max_nesting=max_nesting, **fields, payload=refusal.payload())
        except ENGINE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - the application's data may be of any type
            self._health.warning("an error %r is sent without its data, which cannot be sent: %s", refusal.code, error)
            plain = Refusal(_clean(refusal.code), _clean(refusal), retry=bool(refusal.retry))
            self._tell(connection, "error", **fields, payload=plain.payload())


def _clean(text: object) -> str:
    # A subclass of `Reject` may have set a text that UTF-8 cannot carry.
    return str(text).encode(errors="replace").decode()
