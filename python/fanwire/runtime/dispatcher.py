"""What a session's messages ask for, and what it is answered."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from typing import Any

import msgspec

from fanwire.backplane.base import Unavailable
from fanwire.connection import Connection
from fanwire.deduplication.running_requests import RunningRequests
from fanwire.errors import ENGINE_ERRORS, Closed, Overloaded, RoomFull
from fanwire.handlers.calls import ApplicationCalls, name_of
from fanwire.handlers.current_message import running
from fanwire.handlers.queue import Pending
from fanwire.handlers.time_slices import TimeSlices
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Incoming, Refusal
from fanwire.protocol.session import Session
from fanwire.protocol.table import ABOUT_LINK, URGENT
from fanwire.reject import reject_of
from fanwire.rooms.authorization import Rights
from fanwire.rooms.commands import RoomDesk
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.node import Node
from fanwire.rooms.rules import Policies
from fanwire.runtime.rejections import Rejections
from fanwire.runtime.reports import ReceivedReports
from fanwire.sessions.renewal import TokenRenewal
from fanwire.values.encoding import NESTING_LIMIT

__all__ = ["Desk", "Method"]

logger = logging.getLogger("fanwire")


class Method(msgspec.Struct, frozen=True):
    """A type of message that the application has declared."""

    handler: Callable[[Connection, Any], Any]
    schema: Any = None


class Desk:
    """Does what clients ask for, by type.

    Args:
        node: publishes.
        policies: what each room allows.
        memberships: joins and leaves.
        rights: who may do what.
        limits: how much of it.
        methods: the application's own types.
        slices: where what takes long waits for its turn.
        rejections: makes answers of what handlers reject.
        spawn: runs a coroutine in a task, and keeps it.
        calls: runs what has to be awaited of the application's.
        reports: takes what clients have received.
        health: logs and counts errors of handlers.
        on_message: gets the payload of messages of the type `message`.
    """

    def __init__(
        self,
        node: Node,
        policies: Policies,
        memberships: Memberships,
        rights: Rights,
        limits: Limits,
        methods: dict[str, Method],
        slices: TimeSlices,
        rejections: Rejections,
        spawn: Callable[[Awaitable[Any]], asyncio.Future[Any]],
        calls: ApplicationCalls,
        reports: ReceivedReports,
        health: Health,
        on_message: Callable[..., Any] | None,
    ) -> None:
        self._engine = node.engine
        self._limits = limits
        self._rejections = rejections
        self._requests = RunningRequests()
        self._reports = reports
        self._health = health
        self.renewal: TokenRenewal
        self._methods = {**methods}
        if on_message is not None:
            self._methods.setdefault("message", Method(on_message))
        rooms = self._rooms = RoomDesk(node, policies, memberships, rights, limits, slices, self.tell, spawn, calls)
        self._own = {
            "join": rooms.join, "leave": rooms.leave, "publish": rooms.publish, "presence": rooms.presence,
            "token": self._token,
        }  # fmt: skip
        # Ids of what is sent from here; the engine makes those of its own messages.
        self._ids = map(f"{secrets.token_hex(4)}-{{}}".format, itertools.count(1))

    def arrived(
        self, connection: Connection, session: Session, frame: bytes | str, wait: float | None = None
    ) -> Incoming | None:
        """Takes a message as it comes: counts it, and answers at once what is about the connection itself. Returns what
        is left for `handle`.

        Args:
            connection: whose it is.
            session: the same.
            frame: the message.
            wait: the client is too fast, by so many seconds: nothing is left then.
        """
        incoming = None
        try:
            incoming = session.hear(frame)
        except Refusal as refusal:
            self._refuse(connection, session, refusal.about, refusal)
        else:
            if incoming.type == "received":
                # None is refused: it may be the last for long, and the client would wait for what it makes room for.
                self._report(connection, session, incoming)
                return None
            if incoming.type in ABOUT_LINK:
                if wait is None and incoming.type == "ping":
                    self._ping(connection, session)
                return None
            if wait is not None:
                too_fast = Refusal("rate_limited", "too much in too short a time", retry=True, retry_after=wait)
                self._refuse(connection, session, incoming, too_fast)
                incoming = None
            elif incoming.type == "ack":
                # At once: the handler that waits for it may be the one that runs.
                self._ack(session, incoming)
                incoming = None
        if session.is_report_due:
            self._engine.send_control(connection.id, session.codec.name, session.report())
        return incoming

    def refused(self, connection: Connection, session: Session, count: int, size: int) -> None:
        """Counts messages of so many bytes that the engine has refused, as they came too fast."""
        session.refused(count, size)
        if session.is_report_due:
            self._engine.send_control(connection.id, session.codec.name, session.report())

    def handle(self, connection: Connection, session: Session, incoming: Incoming) -> Pending | None:
        """Does what a message asks for, and answers. Returns what has to be awaited first, if anything."""
        own = self._own.get(incoming.type)
        name = incoming.type
        context = None
        try:
            if own is not None:
                result = own(connection, session, incoming)
            else:
                method = self._methods.get(incoming.type)
                if method is None:
                    raise Refusal("unknown_type", f"there is no type {incoming.type!r}")
                name = name_of(method.handler)
                payload = session.codec.payload(incoming, method.schema, self._limits.config.max_nesting)
                # A client that comes back sends its requests again, in a session that continues the former one.
                request = None if incoming.id is None else (session.lineage, incoming.type, incoming.id)
                with running(connection, incoming.id):
                    if request is not None and self._requests.is_running(request):
                        again = partial(_await, method.handler, connection, payload)
                        result = self._requests.second(request, again)
                    else:
                        result = method.handler(connection, payload)
                        if request is not None and isawaitable(result):
                            result = self._requests.first(request, result)
                    if isawaitable(result):
                        # What is awaited is a part of the handler, too.
                        context = copy_context()
            if result is not None and isawaitable(result):
                answer = partial(self._answer, connection, session, incoming, name, own is None)
                return Pending(result, answer, name, context)
            if own is None:
                self._reply(connection, session, incoming, result)
        except BaseException as error:  # noqa: BLE001 - a handler of the application may raise anything
            self._failed(connection, session, incoming, error, name)
        return None

    def tell(
        self,
        connection: Connection,
        type: str,
        *,
        max_nesting: int = NESTING_LIMIT,
        urgent: bool = False,
        **fields: Any,
    ) -> None:
        """Sends a message of the protocol to a session; fields that are None are left out. What is `urgent`, or
        about the connection itself, does not wait behind messages that the client's application has no room for.

        Raises:
            TypeError, ValueError: the payload is not of the table in docs/values.md, or has more levels than
            `max_nesting`.
        """
        session = connection._session
        if session is None:
            return
        envelope = {"type": type, "id": next(self._ids), "ts": time.time_ns() // 1_000_000, **fields}
        encoded = session.codec.encode(envelope, max_nesting)
        self._engine.send_envelope(connection.id, session.codec.name, encoded, urgent or type in URGENT)

    async def send_until_acked(
        self, connection: Connection, session: Session, payload: bytes | str, json: bool, timeout: float, attempts: int
    ) -> None:
        """Sends a message, and again after each `timeout` in which the client was there and did not acknowledge it.

        Raises:
            asyncio.TimeoutError: it was sent `attempts` times.
            Closed: the session has ended.
        """
        name = next(self._ids)
        acked = session.acks[name] = asyncio.get_running_loop().create_future()
        try:
            for _ in range(attempts):
                if session.ended is not None:
                    break
                self._engine.send(connection.id, payload, json, None, name, True)
                while True:
                    done, _ = await asyncio.wait([acked], timeout=timeout)
                    # While the client is away nothing is lost: its session keeps the message.
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

    # The protocol's own types.

    def _ping(self, connection: Connection, session: Session) -> None:
        # By the time on it a client knows how far its clock is from the one that dates messages.
        pong = session.codec.encode({"type": "pong", "ts": self._engine.now_ms})
        for envelope in (pong, session.report()):
            self._engine.send_control(connection.id, session.codec.name, envelope)

    def _report(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        try:
            self._reports.take(connection, session, incoming)
        except Refusal as refusal:
            self._refuse(connection, session, incoming, refusal)

    async def _token(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        payload = await self.renewal.renew(connection, session, incoming)
        if incoming.id is not None:
            self.tell(connection, "reply", urgent=True, re=incoming.id, payload=payload)

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
        """Answers once the outcome is known that had to be awaited."""
        if error is None and is_answered:
            try:
                self._reply(connection, session, incoming, result)
            except BaseException as failure:  # noqa: BLE001 - encoding runs code of the application
                error = failure
        if error is not None:
            self._failed(connection, session, incoming, error, name)

    def _reply(self, connection: Connection, session: Session, incoming: Incoming, result: Any) -> None:
        if incoming.id is not None:
            max_nesting = self._limits.config.max_nesting
            self.tell(connection, "reply", max_nesting=max_nesting, re=incoming.id, payload=result)

    def _failed(
        self, connection: Connection, session: Session, incoming: Incoming, error: BaseException, name: str
    ) -> None:
        if isinstance(error, Refusal):
            self._refuse(connection, session, incoming, error)
            return
        reject = reject_of(error)
        if reject is not None:
            refusal = self._rejections.refusal(connection, incoming.type, reject)
        elif isinstance(error, Unavailable):
            refusal = Refusal("unavailable", f"the server is cut off: {error}", retry=True, retry_after=1.0)
        elif isinstance(error, RoomFull):
            self._limits.count(error.limit)
            refusal = Refusal("room_full", f"room {incoming.room!r} is full", retry=True)
        elif isinstance(error, Overloaded):
            self._limits.count(error.limit)
            refusal = Refusal("overloaded", "the server cannot take more now", retry=True, retry_after=1.0)
        else:
            self._health.handler_error(name, connection, error)
            # What is the protocol's own asks `authorize` and the like, whose failures pass.
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
            # The engine is gone, and with it whom to tell.
            logger.debug("%r cannot be told: %s", connection, refusal)

    def _tell_plain(
        self, connection: Connection, session: Session, incoming: Incoming | None, refusal: Refusal
    ) -> bool:
        """Tells a refusal that is numbers and short texts, as most are, in a fifth of the time. False: not told."""
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
            # The engine is gone, and with it whom to tell.
            logger.debug("%r cannot be told: %s", connection, refusal)
        except Exception:  # noqa: BLE001 - a text of the application's may be of any type; what is wrong is said where it is looked at
            return False
        return True

    def _tell_error(self, connection: Connection, fields: dict[str, Any], refusal: Refusal) -> None:
        try:
            # The data of a `Reject` stands one level below.
            max_nesting = self._limits.config.max_nesting + 1
            self.tell(connection, "error", max_nesting=max_nesting, **fields, payload=refusal.payload())
        except ENGINE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - the application chose the data, which may be of any type
            self._health.warning("an error %r is sent without its data, which cannot be sent: %s", refusal.code, error)
            plain = Refusal(_clean(refusal.code), _clean(refusal), retry=bool(refusal.retry))
            self.tell(connection, "error", **fields, payload=plain.payload())


async def _await(handler: Callable[[Connection, Any], Any], connection: Connection, payload: Any) -> Any:
    result = handler(connection, payload)
    return await result if isawaitable(result) else result


def _clean(text: object) -> str:
    # What a subclass of `Reject` sets is not checked.
    return str(text).encode(errors="replace").decode()
