"""The connection registry: which connections and links the server has, and how they begin, are resumed, and end.

It calls no handler itself and reads no event of the engine: `events.py` calls it for these, the handshake for new
clients, and `endings.py` does the rest when a connection has ended. On the loop's thread only.
"""

from __future__ import annotations

import contextlib

from fanwire.codes import CloseCode
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS
from fanwire.handlers.calls import ApplicationCalls
from fanwire.handlers.time_slices import TimeSlices
from fanwire.identity.identity import subject_of
from fanwire.identity.operator import is_operator
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.protocol.session import SessionPhase
from fanwire.rooms.authorization import Rights
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.node import Node
from fanwire.rooms.rules import Policies
from fanwire.runtime.application_handlers import Handlers
from fanwire.runtime.background import Background
from fanwire.runtime.connection_log import CAUSES, LOST, NOT_FINISHED, OF_NETWORK, ConnectionLog
from fanwire.runtime.containment import contained
from fanwire.runtime.endings import Endings
from fanwire.runtime.host_tasks import HostTasks
from fanwire.runtime.link import Link
from fanwire.runtime.link_phases import LinkEvent, LinkPhase, Step, step
from fanwire.runtime.link_table import LinkTable
from fanwire.runtime.membership_handlers import MembershipHandlers
from fanwire.runtime.rejections import Rejections
from fanwire.runtime.revocation import COME_BACK, Revocation
from fanwire.runtime.session_messages import SessionMessages
from fanwire.runtime.users import Users
from fanwire.sessions.expiry import Lifetimes
from fanwire.sessions.resumption import Sessions
from fanwire.sessions.store import SessionStore
from fanwire.state import ConnectionState

__all__ = ["TAKEN_OVER", "ConnectionRegistry"]


class ConnectionRegistry:
    """The tables of connections, links, sessions, users and memberships, which change together.

    Args:
        node: the engine, and the other nodes.
        limits: the configuration, and the counts of what exceeds it.
        handlers: the application's.
        policies: of the rooms.
        store: keeps the records of sessions.
        rights: decides which rooms a client may be in.
        rejections: carries out what handlers reject.
        messages: sends to sessions.
        slices: runs long work in time slices.
        tasks: runs coroutines.
        calls: runs awaitables of the application.
        health: logs and counts errors.

    Attributes:
        links: by the engine's ids.
        kinds: the number of links by transport and codec.
        connections: by id.
        sessions: by id.
        memberships: joins and leaves.
        users: connections by subject.
        lifetimes: the expiry of identities, and `Config.max_age`.
        revocation: ends connections and memberships that may not go on.
        background: the tasks of `Connection.spawn`.
        log: the records of connections that have ended.
        closes: how many have ended, by close code.
        operators: the ids of connections of operators, which the application does not know.
        endings: the steps of an end.
        idle: is set while there is no link.
    """

    def __init__(
        self,
        node: Node,
        limits: Limits,
        handlers: Handlers,
        policies: Policies,
        store: SessionStore,
        rights: Rights,
        rejections: Rejections,
        messages: SessionMessages,
        slices: TimeSlices,
        tasks: HostTasks,
        calls: ApplicationCalls,
        health: Health,
    ) -> None:
        config = limits.config
        self._node = node
        self._engine = engine = node.engine
        self._limits = limits
        self._slices = slices
        self._health = health
        self._has_max_age = bool(config.max_age)
        # These answer no message, so a `Reject` closes the connection, ends the membership, or is only counted.
        self._on_connect = rejections.guard(handlers.on_connect, "on_connect", rejections.close)
        on_join = rejections.guard(handlers.on_join, "on_join", rejections.turn_out)
        on_leave = rejections.guard(handlers.on_leave, "on_leave")
        on_disconnect = rejections.guard(handlers.on_disconnect, "on_disconnect")
        self._table = LinkTable()
        self.links, self.kinds, self.idle = self._table.by_id, self._table.kinds, self._table.idle
        self.connections: dict[int, Connection] = {}
        self.log = ConnectionLog(health.counters)
        self.operators: set[int] = set()
        self.users = Users(limits)
        self.sessions = Sessions(
            store, config.grace, config.max_parked, calls, config.handshake_timeout, health, self._give_up
        )
        changes = MembershipHandlers(on_join, on_leave, self.sessions, tasks.on_loop, handlers.inputs)
        self.memberships = Memberships(node, policies, config.max_nesting, changes.changed)
        self.revocation = Revocation(
            engine, config, self.connections, self.users, self.sessions, messages, self.memberships, policies, rights,
            slices, tasks.spawn, self.end_parked, self._cut, health,
        )  # fmt: skip
        self.lifetimes = Lifetimes(config, self.revocation, health=health)
        self.background = Background(health, config.max_connection_tasks)
        self.endings = Endings(
            engine, node, self.links, self.users, self.log, self.lifetimes, self.sessions, self.background,
            self.memberships, on_disconnect, config.handler_grace, health,
        )  # fmt: skip
        self._sessions_wait = config.grace > 0
        self._is_stopping = False

    # A connection begins.

    def make_room(self, subject: str, asked_at: float) -> None:
        """Ends a parked connection of a subject that has `Config.max_user_connections`, for a new one.

        Raises:
            Refused: see `Users.who_gives_way`.
        """
        parked = self.users.who_gives_way(subject, asked_at)
        if parked is not None:
            self.end_parked(parked, "a new connection of its user takes its place", "overflow")

    def connected(self, link: Link, *, has_moved: bool = False) -> None:
        """A client was accepted: its connection begins. `has_moved`: it had a session at another node."""
        connection = link.connection
        self._table.add(link)
        self.connections[connection.id] = connection
        connection._advance(ConnectionState.OPEN)
        if is_operator(connection.identity):
            self.operators.add(connection.id)
        if connection.identity is not None or self._has_max_age:
            with contained(self._health, "beginning of a connection"):
                newcomer = self.users.add(connection)
                if newcomer is not None:
                    self._node.user_came(newcomer)
                self.lifetimes.begin(connection)
        if connection._session is not None:
            self.sessions.add(connection._session, connection)
        with contained(self._health, "record of a connection"):
            self.log.began(connection, has_moved=has_moved)
        if self._on_connect is not None:
            link.handler_queue.put(self._on_connect, connection)
        link.handler_queue.put(connection.request._forget_headers)

    # A session goes from link to link.

    def returning(self, link: Link) -> None:
        """A client wants to resume the session of the link's connection. `resumed` or `refused` follows."""
        connection = link.connection
        old = self.links.get(connection._link)
        connection._link = link.id
        self._table.add(link)
        if connection._session is not None:
            # The grace must not end while the engine decides.
            self.sessions.resume(connection._session)
        if old is not None:
            # The engine has its close frame from `Engine.resume`.
            self.retire(old)

    def resumed(self, link: Link) -> None:
        """The engine has decided: the session goes on over this link."""
        if self._step(link, LinkEvent.RESUMED) is Step.NOTHING:
            # Another link has taken the connection meanwhile.
            return
        connection, fresh = link.connection, link.fresh
        link.fresh = None
        if connection.id not in self.connections:
            # It has ended while the engine decided.
            link.abort()
            return
        connection._advance(ConnectionState.OPEN)
        was_transport = connection.transport
        if fresh is not None:
            # The subject is the same, but its new identity may have other rights.
            connection.identity, connection.request = fresh.identity, fresh.request
            connection.transport, connection.is_compressed = fresh.transport, fresh.is_compressed
            connection.request._forget_headers()
        with contained(self._health, "record of a connection"):
            self.log.resumed(connection, was_transport)
        self.lifetimes.begin(connection)
        self.revocation.recheck([connection])
        if connection._handler_queue is not None:
            link.handler_queue = connection._handler_queue
            link.handler_queue.move(link)
        connection._handler_queue = link.handler_queue

    def refused(self, link: Link | None, link_id: int, conn_id: int, reason: str) -> None:
        """The engine has decided: the session cannot go on. The link's new connection begins instead.

        Args:
            link: the link; None: it has ended meanwhile.
            link_id: its id.
            conn_id: the connection of the session.
            reason: see `Claim`.
        """
        old = self.connections.get(conn_id)
        todo = Step.NOTHING if link is None else self._step(link, LinkEvent.REFUSED)
        if todo is Step.CLOSE:
            self._engine.close(link_id, CloseCode.TAKEN_OVER, TAKEN_OVER, False)
        self.log.not_resumed(reason)
        if old is not None and old._link == link_id:
            self.ended(old, reason)
        if todo is Step.BEGIN and link is not None and link.fresh is not None:
            link.connection = link.fresh
            link.connection._handler_queue = link.handler_queue
            link.fresh = None
            self.connected(link)
            self._end_late(link.connection)

    def _end_late(self, connection: Connection) -> None:
        """Ends a connection that has begun too late: the stop has, or its user was disconnected, since it was asked
        for."""
        if self._is_stopping:
            connection.close(CloseCode.GOING_AWAY, "the server is shutting down")
        elif self.users.was_dismissed(subject_of(connection.identity), connection.opened_at):
            self.revocation.dismiss(connection, CloseCode.REVOKED, "the user was disconnected")

    def let_go(self, link: Link, code: int, reason: str, *, is_asked: bool = True) -> bool:
        """Closes a link and parks its session, whose client reconnects; false if the session cannot wait.

        Args:
            link: the link.
            code: of the close frame.
            reason: of the close frame.
            is_asked: whether this answers the client's close frame.
        """
        connection = link.connection
        if connection.state is not ConnectionState.OPEN or link.phase is not LinkPhase.CARRYING:
            return False
        by = "client" if is_asked else "server"
        if not self._wait_for_client(connection, f"the {by} closed with {code} {reason}".rstrip()):
            return False
        with contextlib.suppress(*ENGINE_ERRORS):
            self._engine.retire(connection.id, link.id, (code, reason), False)
        self.retire(link)
        return True

    def _cut(self, connection: Connection, link_id: int) -> None:
        """Ends a connection's link, if it is still the same one. The session waits."""
        link = self.links.get(link_id)
        if link is None or connection._link != link_id:
            return
        if not self.let_go(link, CloseCode.RECONNECT, COME_BACK, is_asked=False):
            link.abort()

    def retire(self, link: Link) -> None:
        """A connection goes on without this link. The engine closes it with a close frame within `close_timeout`."""
        self._step(link, LinkEvent.RETIRED)

    def _step(self, link: Link, word: LinkEvent) -> Step:
        link.phase, todo = step(link.phase, word)
        return todo

    # A link ends.

    def lost(self, link: Link, can_wait: bool, cause: str) -> None:
        """A link has ended.

        Args:
            link: the link.
            can_wait: whether the engine keeps its session for the client.
            cause: the engine's word for why.
        """
        link.gone(cause)
        todo = self._step(link, LinkEvent.LOST)
        self._table.remove(link)
        if todo is not Step.PARK:
            return
        connection = link.connection
        if link.fallback is not None and link.fallback.is_given_up:
            self.log.because(connection, "the client has sent no request for too long")
        elif cause in CAUSES and (connection.close_code is None or cause in NOT_FINISHED):
            self.log.because(connection, CAUSES[cause])
        if can_wait:
            if not self._wait_for_client(connection, LOST):
                self.ended(connection, "closed")
            return
        if cause not in OF_NETWORK:
            connection.closed_by = connection.closed_by or "server"
        if cause in CAUSES and cause not in ("eof", "cut"):
            connection.close_reason = connection.close_reason or CAUSES[cause]
        self.ended(connection, "closed")

    def failed(self, link: Link, *, is_gone: bool) -> None:
        """An event of a link could not be handled, so the link ends; its connection too, if the link `is_gone`."""
        if not is_gone:
            link.abort()
            return
        link.gone("reset")
        self._table.remove(link)
        if self._step(link, LinkEvent.LOST) is Step.PARK:
            self.log.because(link.connection, "an event of it could not be handled")
            link.connection.closed_by = link.connection.closed_by or "server"
            self.ended(link.connection, "closed")

    def cut_off(self) -> None:
        """Ends all links at once."""
        for link in list(self.links.values()):
            with contained(self._health, "end of a transport"):
                link.abort()

    # A session waits for its client.

    def stop_waiting(self) -> None:
        """The server stops: sessions whose clients are away end, and from now on none waits."""
        self._is_stopping, self._sessions_wait = True, False
        for connection in list(self.connections.values()):
            if connection.is_reconnecting:
                self.end_parked(connection, "the server is shutting down")

    def _wait_for_client(self, connection: Connection, why: str) -> bool:
        session = connection._session
        if connection.close_code is not None or not self._sessions_wait or session is None:
            return False
        if connection.id not in self.connections or not self.sessions.park(connection, session):
            return False
        self.lifetimes.end(connection)
        connection._advance(ConnectionState.RECONNECTING)
        self.log.parked(connection, why)
        return True

    def _give_up(self, connection: Connection, reason: str) -> None:
        """A session has waited for its client as long as it may."""
        if reason == "overflow":
            self._limits.count("max_parked")
            self.end_parked(connection, "more sessions wait than max_parked allows", reason)
        else:
            # Thousands of clients that were lost at once expire at once.
            self._slices.put(self._expire, connection, reason, connection._resumes)

    def _expire(self, connection: Connection, reason: str, resumes: int) -> None:
        # The client may have come back while this waited for its time slice, and be away again.
        session = connection._session
        if session is not None and session.phase is SessionPhase.PARKED and connection._resumes == resumes:
            self.ended(connection, reason)

    # A connection ends.

    def ended(self, connection: Connection, reason: str) -> None:
        """A connection has ended, and its session with it."""
        if self.connections.pop(connection.id, None) is None:
            return
        if connection.close_code is None:
            connection.close_code = CloseCode.ABNORMAL
        if connection.closed_by is None:
            connection.closed_by = "network"
        self.operators.discard(connection.id)
        connection._advance(ConnectionState.CLOSED)
        self.endings.end(connection, reason)

    def end_parked(self, connection: Connection, why: str, reason: str = "closed") -> None:
        """The server ends a session whose client is away.

        Args:
            connection: whose session it is.
            why: for the log.
            reason: what the client is told when it comes back, see docs/protocol.md.
        """
        connection.closed_by = connection.closed_by or "server"
        self.log.because(connection, why)
        self.ended(connection, reason)

    def end_all(self) -> None:
        """Ends all connections: the server has stopped."""
        for connection in list(self.connections.values()):
            self.ended(connection, "closed")


TAKEN_OVER = "another connection uses this session"
"""The close reason of a link whose session has been resumed over another one."""
