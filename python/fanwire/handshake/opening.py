"""The begin of a WebSocket: as a new connection, or to resume a session."""

from __future__ import annotations

from typing import Any, NamedTuple

from fanwire.codes import CloseCode
from fanwire.connection import Connection
from fanwire.handshake.tls import Tls
from fanwire.identity.identity import rate_of, subject_of
from fanwire.identity.request import Request
from fanwire.protocol.envelopes import Codec
from fanwire.protocol.session import Session
from fanwire.protocol.welcome import WelcomeBuilder
from fanwire.runtime.host import Host
from fanwire.runtime.link_phases import LinkPhase
from fanwire.runtime.registry import TAKEN_OVER
from fanwire.runtime.websocket import WebSocket
from fanwire.sessions.resumption import Claim

__all__ = ["Asked", "open_websocket"]


class Asked(NamedTuple):
    """A request that is not answered yet.

    Attributes:
        id: the engine's id of the request.
        request: as the application sees it.
        codec: the encoding of the client's session; None: it has no session.
        at: when the request came, by `time.monotonic`.
    """

    id: int
    request: Request
    codec: Codec | None
    at: float


def open_websocket(host: Host, tls: Tls, asked: Asked, identity: Any, claim: Claim) -> None:
    """Accepts a request. Does nothing if the client has left by now.

    Args:
        host: gets the connection.
        tls: new clients whose TLS is in the event loop.
        asked: the request.
        identity: the client's.
        claim: the session that it wants to resume.

    Raises:
        Closed, Overloaded, EngineFailed: the engine is closed, full, or has failed.
    """
    session = None if asked.codec is None else Session(subject_of(identity), asked.codec, claim.lineage)
    if session is None or claim.connection is None:
        _begin(host, tls, asked, identity, claim, session)
    else:
        _go_on(host, tls, asked, identity, claim, claim.connection, session)


def _begin(host: Host, tls: Tls, asked: Asked, identity: Any, claim: Claim, session: Session | None) -> None:
    rate = 1.0 if identity is None else rate_of(identity)
    if session is None:
        link_id = host.engine.accept(asked.id, None, b"", rate)
    else:
        first = WelcomeBuilder(host.config, identity).new(session, claim.reason, claim.rooms)
        link_id = host.engine.accept(asked.id, session.codec.name, first, rate)
    if link_id is None:
        return
    link = _link(host, tls, asked, link_id)
    link.connection = Connection(host.engine, host.connection_services, link_id, asked.request, identity, session)
    link.connection._handler_queue = link.handler_queue
    host.registry.connected(link)


def _go_on(
    host: Host, tls: Tls, asked: Asked, identity: Any, claim: Claim, connection: Connection, session: Session
) -> None:
    """Has the engine resume the session of a connection; `session` begins if that is not possible."""
    going_on = connection._session
    assert going_on is not None  # noqa: S101 - a claim is of a session
    welcome = WelcomeBuilder(host.config, identity)
    # The welcome says how many messages have been handled. `returning` retires the old link, and messages of it that
    # were not handled yet are dropped, so the count stays right.
    accepted = welcome.resumed(going_on)
    refused = {reason: welcome.new(session, reason) for reason in REASONS}
    farewell = (int(CloseCode.TAKEN_OVER), TAKEN_OVER)
    name, rate = session.codec.name, rate_of(identity)
    link_id = host.engine.resume(connection.id, asked.id, name, claim.received, accepted, refused, farewell, rate)
    if link_id is None:
        return
    link = _link(host, tls, asked, link_id)
    link.connection = connection
    link.phase = LinkPhase.DECIDING
    link.fresh = Connection(host.engine, host.connection_services, link_id, asked.request, identity, session)
    host.registry.returning(link)


def _link(host: Host, tls: Tls, asked: Asked, link_id: int) -> WebSocket:
    link = WebSocket(host.link_services, link_id)
    if tls.newcomers:
        link.encrypted = tls.let_in(asked.id, link.names)
    return link


REASONS = ("closed", "overflow", "codec")
"""The engine's reasons why a session cannot be resumed, see docs/protocol.md."""
