"""Where engine, connections and the application's handlers meet. It runs on the loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from fanwire.backplane.base import Unavailable
from fanwire.codes import CloseCode
from fanwire.connection import Connection, Services
from fanwire.errors import ENGINE_ERRORS, Overloaded
from fanwire.handlers.calls import ApplicationCalls, names_within
from fanwire.handlers.queue import HandlerQueue, QueueOwner
from fanwire.handlers.time_slices import TimeSlices
from fanwire.identity.authentication import Authentication
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.protocol.session import SessionPhase
from fanwire.reject import Reject, reject_of
from fanwire.rooms.authorization import Rights
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.node import Host, Node
from fanwire.rooms.rules import Policies
from fanwire.runtime.background import Background
from fanwire.runtime.connection_log import ConnectionLog
from fanwire.runtime.dispatcher import Desk, Method
from fanwire.runtime.link_phases import LinkEvent, LinkPhase, Step, step
from fanwire.runtime.publishing import IdempotentPublishing
from fanwire.runtime.rejections import Rejections
from fanwire.runtime.reports import ReceivedReports
from fanwire.runtime.revocation import COME_BACK, Revoker
from fanwire.runtime.tls_transport import Encrypted
from fanwire.runtime.users import Users
from fanwire.sessions.expiry import Lifetimes
from fanwire.sessions.renewal import TokenRenewal
from fanwire.sessions.resumption import Sessions
from fanwire.sessions.store import SessionStore
from fanwire.state import ConnectionState
from fanwire.timing.deadline import Deadline

__all__ = ["TAKEN_OVER", "Carrier", "Handler", "Handlers", "Hub", "Message"]

Handler = Callable[..., Awaitable[None] | None]

Message = bytes | str | tuple[bytes | str, float] | tuple[int, int]
"""A message of a client; one that came too fast with the seconds that it should have waited; or how many messages the
engine has refused in this place, and their bytes."""

logger = logging.getLogger("fanwire")


@dataclass
class Handlers:
    """What the application wants to be called with."""

    on_connect: Handler | None = None
    on_message: Handler | None = None
    on_disconnect: Handler | None = None
    on_join: Handler | None = None
    on_leave: Handler | None = None
    methods: dict[str, Method] = field(default_factory=dict)


class Carrier(QueueOwner, Protocol):
    """What carries a connection: a link, as the hub needs it.

    Attributes:
        connection: what it carries. While the engine decides whether a session can go on over it, that session's.
        link: what the engine calls it.
        handler_queue: the calls of the connection's handlers.
        fresh: what it carries if the session asked for cannot go on; None once that is decided.
        phase: where it stands, see `fanwire.runtime.link_phases`.
        encrypted: the transport, where the loop speaks TLS.
    """

    connection: Connection
    link: int
    handler_queue: HandlerQueue
    fresh: Connection | None
    phase: LinkPhase
    encrypted: Encrypted | None

    def received(self, size: int, messages: list[Message]) -> None:
        """Takes messages of so many bytes in all."""

    def peer_closed(self, code: int | None, reason: str) -> None:
        """Takes the client's close frame."""

    def broke(self, code: int, reason: str) -> None:
        """The client broke a rule, and is closed with this."""

    def abort(self) -> None:
        """Has the engine end the link at once."""

    def gone(self, is_abrupt: bool) -> None:
        """The engine has ended the link, and dropped what it held if that `is_abrupt`."""


class Hub(Host):
    """Keeps the connections, calls the application's handlers, and does what the engine's events ask for."""

    def __init__(
        self,
        node: Node,
        limits: Limits,
        handlers: Handlers,
        policies: Policies,
        store: SessionStore,
        rights: Rights,
        authentication: Authentication,
        rejections: Rejections,
        health: Health,
        calls: ApplicationCalls,
    ) -> None:
        config = limits.config
        self.health = health
        self.calls = calls
        engine = node.engine
        self.node = node
        self.engine = engine
        self.config = config
        self.limits = limits
        self.log = ConnectionLog()
        self.carriers: dict[int, Carrier] = {}
        self.connections: dict[int, Connection] = {}
        self.handlers = handlers
        self.published = IdempotentPublishing(node)
        self._tasks: set[asyncio.Future[Any]] = set()
        self._rejections = rejections
        # These answer no message: a connection can be closed, a join taken back, a leave or an end has happened.
        self._on_connect = rejections.guard(handlers.on_connect, "on_connect", rejections.close)
        self._on_join = rejections.guard(handlers.on_join, "on_join", self._turn_out)
        self._on_leave = rejections.guard(handlers.on_leave, "on_leave")
        self._on_disconnect = rejections.guard(handlers.on_disconnect, "on_disconnect")
        self.sessions = Sessions(
            store, config.grace, config.max_parked, calls, config.handshake_timeout, health, self._give_up
        )
        self.sessions.moved_here = node.moved_here
        self.memberships = Memberships(node, policies, config.max_nesting, self._changed)
        self._loop = asyncio.get_running_loop()
        self.slices = TimeSlices(self._loop, health=health)
        health.check("the queue of turns", lambda: self.slices.is_well)
        self.desk = Desk(
            node, policies, self.memberships, rights, limits, handlers.methods, self.slices, rejections,
            self.spawn, calls, ReceivedReports(engine), health, handlers.on_message,
        )  # fmt: skip
        self.revoker = Revoker(
            engine, config, self.desk, self.memberships, policies, rights, self.slices, self.spawn, self._ended,
            self._cut, health,
        )  # fmt: skip
        self.users = Users(limits)
        self.lifetimes = Lifetimes(config, self.revoker, health=health)
        self.background = Background(health, config.max_connection_tasks)
        self.desk.renewal = TokenRenewal(
            authentication, self.lifetimes, lambda renewed: self.revoker.recheck([renewed])
        )
        self.services = Services()
        self.services.memberships = self.memberships
        self.services.node = node
        self.services.enter_later = self._enter_later
        self.services.desk = self.desk
        self.services.rights = rights
        self.services.policies = policies
        self.services.ack_attempts = config.ack_attempts
        self.services.max_nesting = config.max_nesting
        self.services.spawn = self.background.spawn
        node.host = self
        self._ends = (
            self._end_user, self.log.ended, self._end_lifetime, self._end_in_engine, self._end_session,
            self._end_tasks, self._end_memberships,
        )  # fmt: skip
        # Takes the events about those who are not connected yet; set by whoever lets them in.
        self.take_newcomer: Callable[[str, int, Any], None] = _ignore
        self.failed: asyncio.Future[str] = self._loop.create_future()
        self._thread = threading.get_ident()
        self._is_draining = False
        self._is_ending = False
        # The handlers of connections that have ended, which are not done yet.
        self._leaving: dict[HandlerQueue, _Ended] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._idle = asyncio.Event()
        self._idle.set()
        # What the engine has told and was not looked at yet. Looking at one event may ask for those after it.
        self._events: deque[tuple[str, int, Any]] = deque()
        # The rest is looked at in the next turn of the loop.
        self._goes_on = False
        # Messages that are taken from the engine at a time.
        self._batch = BATCHES[0]

    def start(self) -> None:
        """Begins to listen to the engine."""
        asyncio.get_running_loop().add_reader(self.engine.fileno(), self.take_events)

    def stop(self) -> None:
        """Listens no more."""
        self.lifetimes.close()
        asyncio.get_running_loop().remove_reader(self.engine.fileno())

    def finish_log(self) -> None:
        """Writes the records of all that has ended, once the engine has."""
        events = [*self._events]
        while told := self.engine.events():
            events += told
        for kind, conn_id, detail in events:
            if kind == "ended":
                self.log.accounted(conn_id, False, *detail)
        self.log.flush()

    def spawn(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Runs a coroutine in a task that lives until it is done or the server stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.health.internal_error("a task", error)

    # What the gateway asks and tells.

    def make_room(self, subject: str, asked_at: float) -> None:
        """Somebody is about to be let in; see `Users.who_gives_way`."""
        parked = self.users.who_gives_way(subject, asked_at)
        if parked is not None:
            self._ended(parked, "overflow")

    def connected(self, carrier: Carrier) -> None:
        """A client was let in."""
        connection = carrier.connection
        self.carriers[carrier.link] = carrier
        self.connections[connection.id] = connection
        self._idle.clear()
        connection._advance(ConnectionState.OPEN)
        if connection.identity is not None or self.config.max_age:
            with self._contained("beginning of a connection"):
                newcomer = self.users.add(connection)
                if newcomer is not None:
                    self.node.user_came(newcomer)
                self.lifetimes.begin(connection)
        if connection._session is not None:
            self.sessions.add(connection._session, connection)
        if self._on_connect is not None:
            carrier.handler_queue.put(self._on_connect, connection)
        carrier.handler_queue.put(connection.request._forget_headers)

    def returning(self, carrier: Carrier) -> None:
        """A client wants to go on with the session of the carrier's connection; the engine will say whether it can."""
        connection = carrier.connection
        old = self.carriers.get(connection._link)
        connection._link = carrier.link
        self.carriers[carrier.link] = carrier
        if connection._session is not None:
            # No grace runs out while the engine decides.
            self.sessions.resume(connection._session)
        self._idle.clear()
        if old is not None:
            # The engine has its close frame from `resume`.
            self._retire(old)

    def _retire(self, carrier: Carrier) -> None:
        """A connection goes on without this link, which the engine closes with a close frame within `close_timeout`."""
        self._step(carrier, LinkEvent.RETIRED)

    def let_go(self, carrier: Carrier, code: int, reason: str) -> bool:
        """Closes a transport and parks its session, whose client comes back; false if the session cannot wait."""
        connection = carrier.connection
        if connection.state is not ConnectionState.OPEN or carrier.phase is not LinkPhase.CARRYING:
            return False
        if not self._wait_for_client(connection, f"the client closed with {code} {reason}".rstrip()):
            return False
        with contextlib.suppress(*ENGINE_ERRORS):
            self.engine.retire(connection.id, carrier.link, (code, reason), False)
        self._retire(carrier)
        return True

    def _lost(self, carrier: Carrier, kind: str, cause: str) -> None:
        """A link has ended, and with it its connection (`closed`), or a session goes on without (`parked`)."""
        carrier.gone(cause not in ("eof", "over"))
        todo = self._step(carrier, LinkEvent.LOST)
        self._discard(carrier)
        if todo is not Step.PARK:
            return
        connection = carrier.connection
        if kind == "parked":
            if cause in _CAUSES:
                self.log.because(connection, _CAUSES[cause])
            if not self._wait_for_client(connection, "the transport ended without a close frame"):
                self._ended(connection, "closed")
            return
        if cause in _CAUSES:
            if cause != "reset":
                connection.closed_by = connection.closed_by or "server"
            connection.close_reason = connection.close_reason or _CAUSES[cause]
        self._ended(connection, "closed")

    def _step(self, carrier: Carrier, word: LinkEvent) -> Step:
        carrier.phase, todo = step(carrier.phase, word)
        return todo

    def _discard(self, carrier: Carrier) -> None:
        self.carriers.pop(carrier.link, None)
        self._look_idle()

    def _wait_for_client(self, connection: Connection, why: str) -> bool:
        session = connection._session
        if connection.close_code is not None or self._is_draining or self.config.grace <= 0 or session is None:
            return False
        if connection.id not in self.connections or not self.sessions.park(connection, session):
            return False
        self.lifetimes.end(connection)
        connection._advance(ConnectionState.RECONNECTING)
        self.log.parked(connection, why)
        return True

    def _ended(self, connection: Connection, reason: str) -> None:
        """A connection is over, and its session with it."""
        if self.connections.pop(connection.id, None) is None:
            return
        if connection.close_code is None:
            connection.close_code = CloseCode.ABNORMAL
        if connection.closed_by is None:
            connection.closed_by = "network"
        connection._advance(ConnectionState.CLOSED)
        for end in self._ends:
            # Each is taken, whatever becomes of those before it.
            try:
                end(connection, reason)
            except ENGINE_ERRORS:  # noqa: PERF203 - the engine has ended
                pass
            except BaseException as error:  # noqa: BLE001 - attributes of identities may run code of the application
                self.health.internal_error("end of a connection", error)
        self._look_idle()
        handler_queue, connection._handler_queue = connection._handler_queue, None
        if handler_queue is not None:
            if connection._tasks:
                handler_queue.put(self.background.ended, connection, stays=True)
            if self._on_disconnect is not None:
                handler_queue.put(self._on_disconnect, connection, stays=True)
            if not handler_queue.is_running:
                handler_queue.close()
                return
            # Another owner: otherwise the transport and its calls would hold each other until the collector runs.
            owner = self._leaving[handler_queue] = _Ended(self, connection, handler_queue)
            self._quiet.clear()
            handler_queue.end(owner, self.config.handler_grace)

    # The steps of an end.

    def _end_user(self, connection: Connection, reason: str) -> None:
        leaver = None if connection.identity is None else self.users.discard(connection)
        if leaver is not None:
            self.node.user_left(leaver)

    def _end_lifetime(self, connection: Connection, reason: str) -> None:
        self.lifetimes.end(connection)

    def _end_in_engine(self, connection: Connection, reason: str) -> None:
        # Without a session a connection ends in the engine with its link.
        if connection._session is not None or connection._link in self.carriers:
            self.engine.gone(connection.id)

    def _end_session(self, connection: Connection, reason: str) -> None:
        if connection._session is not None:
            self.sessions.end(connection._session, connection, reason)

    def _end_tasks(self, connection: Connection, reason: str) -> None:
        if connection._tasks:
            self.background.cancel(connection)

    def _end_memberships(self, connection: Connection, reason: str) -> None:
        self.memberships.ended(connection)

    @contextlib.contextmanager
    def _contained(self, where: str) -> Iterator[None]:
        """Keeps an error from those who have done their part; an engine that has ended is none."""
        try:
            yield
        except ENGINE_ERRORS:
            pass
        except BaseException as error:  # noqa: BLE001 - attributes of identities may run code of the application
            self.health.internal_error(where, error)

    def _look_idle(self) -> None:
        if not self.carriers:
            self._idle.set()

    def _give_up(self, connection: Connection, reason: str) -> None:
        """A session has waited long enough."""
        if reason == "overflow":
            self.limits.count("max_parked")
            self._ended(connection, reason)
        else:
            # Thousands that were lost at once have waited long enough at once.
            self.slices.put(self._expire, connection, reason)

    def _expire(self, connection: Connection, reason: str) -> None:
        # Its client may have come back while this waited for its turn.
        if connection._session is not None and connection._session.phase is SessionPhase.PARKED:
            self._ended(connection, reason)

    def _changed(self, connection: Connection, room: str, has_joined: bool) -> None:
        if connection._session is not None and self.sessions.is_shared:
            self.on_loop(self.sessions.changed, connection._session, connection)
        if self._on_join is not None or self._on_leave is not None:
            self.on_loop(self._tell_changed, connection, room, has_joined)

    def _tell_changed(self, connection: Connection, room: str, has_joined: bool) -> None:
        if connection._handler_queue is None:
            return
        if has_joined:
            if self._on_join is not None:
                connection._handler_queue.put(self._call_join, connection, room, of=self._on_join)
        else:
            connection._handler_queue.put(self._call_leave, connection, room, of=self._on_leave, stays=True)

    def _call_join(self, connection: Connection, room: str) -> Any:
        if connection._met is None:
            connection._met = set()
        connection._met.add(room)
        return None if self._on_join is None else self._on_join(connection, room)

    def _call_leave(self, connection: Connection, room: str) -> Any:
        """`on_leave`, if there is no `on_join` or it has begun for the room."""
        if self._on_join is not None:
            if connection._met is None or room not in connection._met:
                return None
            connection._met.discard(room)
        return None if self._on_leave is None else self._on_leave(connection, room)

    def _enter_later(self, connection: Connection, room: str, prepared: Awaitable[None]) -> None:
        """Makes a connection a member once the room is ready for it."""
        self.on_loop(lambda: self.spawn(self._enter(connection, room, prepared)))

    async def _enter(self, connection: Connection, room: str, prepared: Awaitable[None] | None) -> None:
        while not connection._is_done and connection.id in self.connections:
            try:
                if prepared is not None:
                    await prepared
                if connection._entering is not None and room in connection._entering:
                    connection._entering.discard(room)
                    self.memberships.join(connection, room)
            except Unavailable as error:
                self.node.note("room", f"{error} (room {room!r}, for {connection!r})")
                await asyncio.sleep(1.0)
                prepared = self.node.prepare(self.services.policies.of(room), room)
                continue
            except BaseException as error:
                if self._is_ending and isinstance(error, asyncio.CancelledError):
                    raise
                self.handler_failed(connection, error, "Connection.join")
            return

    # What other nodes want: see `Host`.

    def renewed(self, room: str) -> None:
        """See `Host`: the members are told where they are."""
        for connection in list(self.connections.values()):
            if room in connection.rooms and connection._session is not None:
                with contextlib.suppress(*ENGINE_ERRORS):
                    self.memberships.join(connection, room, sees=self.memberships.sees(connection, room))

    def apply(self, what: str, whom: str | None, reason: str, room: str = "") -> None:
        """See `Host`."""
        if what == "disconnect_user" and whom is not None:
            self.disconnect_user(whom, reason)
        elif what == "revoke" and whom is not None:
            self.revoke(whom, reason)
        elif what == "reauthorize":
            self.reauthorize(whom)
        elif what == "remove" and whom is not None:
            self.remove(room, whom, reason)
        elif what == "moved" and whom is not None:
            self._moved(whom)
        else:
            logger.error("another node orders %r, which this version does not know", what)

    def _moved(self, session: str) -> None:
        connection = self.sessions.find(session)
        if connection is None or connection._session is None:
            return
        if connection.state is ConnectionState.CLOSING:
            # It has a close frame already, and ends with it.
            self.sessions.end(connection._session, connection, "other node")
            return
        carrier = self.carriers.get(connection._link)
        if carrier is not None:
            connection._closing(CloseCode.TAKEN_OVER, TAKEN_OVER)
            with contextlib.suppress(*ENGINE_ERRORS):
                self.engine.retire(connection.id, carrier.link, (CloseCode.TAKEN_OVER, TAKEN_OVER), True)
            self._retire(carrier)
        self._ended(connection, "other node")

    def for_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """See `Host`."""
        for connection in self.users.of(subject):
            try:
                self.engine.send(connection.id, payload, json, delivery)
            except (Overloaded, ValueError) as error:  # noqa: PERF203 - the others get it
                self.health.warning("%r does not get a message to %r: %s", connection, subject, error)

    def present_here(self, room: str) -> dict[str, Any]:
        """See `Host`."""
        return self.memberships.present_here(room)

    def remote_member_changed(self, room: str, id: str, info: Any, is_there: bool) -> None:
        """See `Host`."""
        self.memberships.remote_member_changed(room, id, info, is_there)

    def handler_failed(self, connection: Connection, error: BaseException, name: str) -> None:
        """The handler of that name has raised: its connection is closed, the others never notice."""
        reject = reject_of(error)
        with contextlib.suppress(*ENGINE_ERRORS):
            if reject is not None:
                self._rejections.unanswered(connection, reject)
                return
            self.health.handler_error(name, connection, error)
            connection.close(CloseCode.INTERNAL_ERROR, "internal error")

    def _turn_out(self, reject: Reject, connection: Connection, room: str) -> None:
        if self.memberships.leave(connection, room):
            self.desk.tell(connection, "left", room=room, payload={"reason": "forbidden"})

    # What the server asks for.

    def on_loop(self, call: Callable[..., object], *args: Any) -> None:
        """Makes a call on the loop's thread: at once if this is it, otherwise as soon as it can be."""
        if threading.get_ident() == self._thread:
            call(*args)
        else:
            self._loop.call_soon_threadsafe(call, *args)

    def disconnect_user(self, subject: str, reason: str) -> None:
        """Ends all of a subject's connections and sessions."""
        for connection in self.users.dismiss(subject):
            self.revoker.dismiss(connection, CloseCode.REVOKED, reason)

    def revoke(self, session: str | Connection, reason: str) -> None:
        """Ends one session."""
        connection = session if isinstance(session, Connection) else self.sessions.find(session)
        if connection is not None and connection.id in self.connections:
            self.revoker.dismiss(connection, CloseCode.REVOKED, reason)

    def reauthorize(self, subject: str | None) -> None:
        """Asks again what a subject's connections, or all, may do."""
        of = list(self.connections.values()) if subject is None else self.users.of(subject)
        self.revoker.recheck(of)

    def remove(self, room: str, whom: str | Connection, reason: str) -> None:
        """Takes a connection, or all of a subject, out of a room."""
        of = self.users.of(whom) if isinstance(whom, str) else [whom]
        for connection in of:
            if self.connections.get(connection.id) is connection:
                self.revoker.remove(connection, room, reason)

    async def drain(self, deadline: Deadline) -> bool:
        """Closes every connection with 1001 after what waits for it; false if some had to be cut off."""
        self._is_draining = True
        for connection in list(self.connections.values()):
            if connection.is_reconnecting:
                self._ended(connection, "closed")
        for carrier in list(self.carriers.values()):
            with self._contained("drain of a connection"):
                self._drain(carrier)
        if await self._is_so(self._idle, deadline):
            return True
        count, seconds = len(self.carriers), deadline.seconds
        self.health.warning("%d connections did not close within %g s and are cut off", count, seconds)
        self.cut_off()
        # The application hears of their ends, too, which come as soon as the loop turns.
        await self._is_so(self._idle, Deadline(CUT_OFF))
        return False

    def _drain(self, carrier: Carrier) -> None:
        if self.failed.done():
            carrier.abort()
            return
        if carrier.phase is LinkPhase.RETIRED:
            return
        reason = "the server is shutting down"
        # Not all at once: whoever takes over has to let them in.
        after_ms = int(random.uniform(0, self.config.drain_spread) * 1000)  # noqa: S311 - spreads load, hides nothing
        payload = {"code": int(CloseCode.GOING_AWAY), "reason": reason, "reconnect": True, "after_ms": after_ms}
        self.desk.tell(carrier.connection, "closing", payload=payload)
        carrier.connection.close(CloseCode.GOING_AWAY, reason)

    async def _is_so(self, event: asyncio.Event, deadline: Deadline) -> bool:
        waiting = asyncio.ensure_future(event.wait())
        try:
            return await deadline.wait([waiting])
        finally:
            waiting.cancel()

    def cut_off(self) -> None:
        """Ends all transports at once."""
        for carrier in list(self.carriers.values()):
            with self._contained("end of a transport"):
                carrier.abort()

    async def finish(self, deadline: Deadline) -> None:
        """Waits for handlers that still run, then cancels them. `on_disconnect` is called for all connections before
        this returns. Takes two seconds longer than the deadline at most."""
        self._end_all()
        if not await self._is_so(self._quiet, deadline):
            for handler_queue in list(self._leaving):
                handler_queue.hurry(HURRY)
            if not await self._is_so(self._quiet, Deadline(HURRY + 0.2)):
                for handler_queue in list(self._leaving):
                    handler_queue.cut()
                await self._is_so(self._quiet, Deadline(CUT_SHORT))
        await deadline.wait({*self._tasks, *self.calls.tasks}, at_most=1.0)
        self._is_ending = True
        for task in self._tasks:
            task.cancel()
        self.calls.cancel()
        late = {*self._tasks, *self.calls.tasks}
        if late:
            await asyncio.wait(late, timeout=LAST)
        for task in list(self._tasks):
            names = " > ".join(names_within(task))
            self.health.warning("%s does not end, although it was cancelled; the server stops without it", names)
        self.calls.give_up_all()

    def _end_all(self) -> None:
        """No client comes back any more, so what is left of connections ends."""
        for connection in list(self.connections.values()):
            self._ended(connection, "closed")

    def left(self, handler_queue: HandlerQueue) -> None:
        """All handlers of a connection that has ended are done."""
        self._leaving.pop(handler_queue, None)
        if not self._leaving:
            self._quiet.set()

    def take_events(self) -> None:
        """Does what the engine asks for, and gives messages to their handlers, for a slice of a turn of the loop."""
        if self._goes_on:
            return
        events, carriers = self._events, self.carriers
        now = perf_counter()
        end, begun, count, gave_way = now + SLICE, now, 0, now
        while True:
            if not events:
                # A batch takes so long at most that who comes meanwhile need not wait long, whatever handlers do.
                if count:
                    self._batch = min(2 * count, BATCHES[1]) if now - begun < QUICK else count // 2
                    self._batch = max(self._batch, BATCHES[0])
                if now - gave_way >= QUICK:
                    # The engine's threads may share our core, and serve those who are in.
                    _give_way()
                    gave_way = now
                # What was taken before counts as handled with this.
                events.extend(self.engine.events(self._batch, self.limits.inbound.bytes))
                if not events:
                    return
                begun, count = now, 0
            while events:
                kind, link, detail = events.popleft()
                carrier = carriers.get(link)
                try:
                    if kind == "messages":
                        count += len(detail[1])
                        if carrier is not None:
                            carrier.received(*detail)
                    else:
                        self._take_event(kind, link, detail)
                except BaseException as error:  # noqa: BLE001 - the events behind it have to be taken
                    self.health.internal_error(f"event {kind!r} of the engine", error)
                    if carrier is not None:
                        with self._contained("end of a transport"):
                            self._failed(carrier, is_gone=kind in ("closed", "parked"))
                now = perf_counter()
                if now >= end:
                    self._goes_on = True
                    self._loop.call_soon(self._go_on)
                    return

    def _go_on(self) -> None:
        self._goes_on = False
        self.take_events()

    def _failed(self, carrier: Carrier, *, is_gone: bool) -> None:
        """What was told of a link could not be done: it ends, and its connection with it if it has gone already."""
        if not is_gone:
            carrier.abort()
            return
        carrier.gone(True)
        self._discard(carrier)
        if self._step(carrier, LinkEvent.LOST) is Step.PARK:
            self._ended(carrier.connection, "closed")

    def _take_event(self, kind: str, link: int, detail: Any) -> None:
        carrier = self.carriers.get(link)
        if kind in _OF_NEWCOMERS:
            self.take_newcomer(kind, link, detail)
        elif kind == "failed":
            self.health.died(f"the engine ({detail})", None)
            if not self.failed.done():
                self.failed.set_result(detail)
        elif kind == "refused":
            self._refused(carrier, link, *detail)
        elif kind == "ended":
            self.log.accounted(link, link in self.connections, *detail)
        elif carrier is None:
            # It names a session without a link, or a newcomer that speaks TLS.
            parked = self.connections.get(link)
            if kind == "closed" and parked is not None:
                if detail in _CAUSES:
                    self.log.because(parked, _CAUSES[detail])
                self._ended(parked, "overflow" if parked.is_reconnecting else "closed")
            elif kind != "closed":
                self.take_newcomer(kind, link, detail)
        elif kind in ("closed", "parked"):
            self._lost(carrier, kind, detail)
        elif kind == "peer_closed":
            carrier.peer_closed(*detail)
        elif kind == "broke":
            carrier.broke(*detail)
        elif kind == "resumed":
            self._resumed(carrier)
        elif kind == "closing":
            carrier.connection._closing(CloseCode.SLOW_CONSUMER, _CAUSES[detail])
            self.limits.count("engine_bytes" if detail == "budget" else "connection_bytes")
            if carrier.connection._session is not None:
                self.sessions.end(carrier.connection._session, carrier.connection, "overflow")
        elif carrier.encrypted is not None:
            if kind == "data":
                carrier.encrypted.deliver(detail)
            elif kind == "read":
                carrier.encrypted.read(detail)
            else:
                carrier.encrypted.end(False)

    def _cut(self, connection: Connection, link: int) -> None:
        """Ends a connection's transport, if it is still that one; its session waits."""
        carrier = self.carriers.get(link)
        if (
            carrier is not None
            and connection._link == link
            and not self.let_go(carrier, CloseCode.RECONNECT, COME_BACK)
        ):
            carrier.abort()

    def _resumed(self, carrier: Carrier) -> None:
        if self._step(carrier, LinkEvent.RESUMED) is Step.NOTHING:
            # Another link has taken the connection meanwhile.
            return
        connection, fresh = carrier.connection, carrier.fresh
        carrier.fresh = None
        if connection.id not in self.connections:
            # It has ended while the engine decided.
            carrier.abort()
            return
        connection._advance(ConnectionState.OPEN)
        if fresh is not None:
            # The same subject, as it has authenticated now: what it may do can be something else.
            connection.identity, connection.request = fresh.identity, fresh.request
            connection.request._forget_headers()
        self.lifetimes.begin(connection)
        self.revoker.recheck([connection])
        if connection._handler_queue is not None:
            carrier.handler_queue = connection._handler_queue
            carrier.handler_queue.move(carrier)
        connection._handler_queue = carrier.handler_queue

    def _refused(self, carrier: Carrier | None, link: int, conn_id: int, reason: str) -> None:
        """A session cannot go on; the link is a connection of its own, with the session that was made for this."""
        old = self.connections.get(conn_id)
        todo = Step.NOTHING if carrier is None else self._step(carrier, LinkEvent.REFUSED)
        if todo is Step.CLOSE:
            self.engine.close(link, CloseCode.TAKEN_OVER, TAKEN_OVER, False)
        if old is not None and old._link == link:
            self._ended(old, reason)
        if todo is Step.BEGIN and carrier is not None and carrier.fresh is not None:
            carrier.connection = carrier.fresh
            carrier.connection._handler_queue = carrier.handler_queue
            carrier.fresh = None
            self.connected(carrier)


class _Ended(QueueOwner):
    """Owns the calls of a connection that has ended."""

    connection: Connection

    def __init__(self, hub: Hub, connection: Connection, handler_queue: HandlerQueue) -> None:
        self._hub = hub
        self._handler_queue = handler_queue
        self.connection = connection

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nor will it be."""

    def handler_failed(self, error: BaseException, name: str) -> None:
        """See `QueueOwner`."""
        self._hub.health.handler_error(name, self.connection, error)

    def handlers_ended(self) -> None:
        """See `QueueOwner`."""
        self._hub.left(self._handler_queue)


# sched_yield(2), where there is one: who waits for the core has it now, and not at the next tick of the clock.
_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


def _ignore(kind: str, id: int, detail: Any) -> None:
    """Before the server listens there are no newcomers."""


TAKEN_OVER = "another connection uses this session"
"""What a client is told whose session goes on over another connection."""

SLICE = 0.0005
"""Seconds of a turn of the loop for messages and events. Timers and tasks of the application run between two slices.
Under
attack a longer slice is what a publisher waits for: with 2 ms the loop was 3.7 ms late (p99), with this 1.3 ms."""

BATCHES = (8, 512)
"""Messages taken from the engine at a time, at least and at most: so many may be in Python at once, besides those of
inboxes. The more, the less a message costs, and the longer one waits that comes meanwhile. The engine tells
of fewer newcomers at a time, too, the fewer messages are asked for."""

QUICK = 0.00025
"""Seconds for a batch. One that has taken less may be followed by a larger one."""

CUT_OFF = 0.5
"""Seconds of a stop for the ends of transports that were cut off."""

HURRY = 0.5
"""Seconds of a stop for handlers to end after they were cancelled."""

CUT_SHORT = 0.75
"""Seconds of a stop for `on_disconnect` and `on_leave`, when the time of the stop is over."""

LAST = 0.2
"""Seconds of a stop for all else that was cancelled."""

_OF_NEWCOMERS = frozenset({"request", "gone", "http", "tls", "turned_away"})

_CAUSES = {
    "slow": "more waits for it than connection_bytes allows",
    "budget": "more waits in all than engine_bytes allows, and it is among the slowest",
    "unanswered": "no pong within ping_timeout",
    "close timeout": "no end of the closing handshake within close_timeout",
    "reset": "the transport failed",
}
