"""How a WebSocket begins: as a connection of its own, or as one that goes on with a session."""

from __future__ import annotations

from typing import Any, NamedTuple

from fanwire.codes import CloseCode
from fanwire.connection import Connection
from fanwire.handshake.tls import Tls
from fanwire.identity.identity import rate_of, subject_of
from fanwire.identity.request import Request
from fanwire.protocol.envelopes import Codec
from fanwire.protocol.session import Session
from fanwire.protocol.welcome import Welcome
from fanwire.runtime.host import Host
from fanwire.runtime.link_phases import Phase
from fanwire.runtime.registry import TAKEN_OVER
from fanwire.runtime.websocket import WebSocket
from fanwire.sessions.resumption import Claim

__all__ = ["Asked", "open_websocket"]


class Asked(NamedTuple):
    """What a client asks for, while it waits.

    Attributes:
        id: what the engine calls the request.
        request: as the application sees it.
        codec: how the client's session speaks; None: it has no session.
        at: when, by the monotonic clock.
    """

    id: int
    request: Request
    codec: Codec | None
    at: float


def open_websocket(host: Host, tls: Tls, asked: Asked, identity: Any, claim: Claim) -> None:
    """Accepts a request. If its peer has left by now, nothing happens.

    Args:
        host: where the connection goes.
        tls: the newcomers for whom the loop speaks TLS.
        asked: the request.
        identity: who was let in.
        claim: the session that it wants to go on with.

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
        link = host.engine.accept(asked.id, None, b"", rate)
    else:
        first = Welcome(host.config, identity).new(session, claim.reason, claim.rooms)
        link = host.engine.accept(asked.id, session.codec.name, first, rate)
    if link is None:
        return
    carrier = _carrier(host, tls, asked, link)
    carrier.connection = Connection(host.engine, host.connection_services, link, asked.request, identity, session)
    carrier.connection._inbox = carrier.inbox
    host.registry.connected(carrier)


def _go_on(
    host: Host, tls: Tls, asked: Asked, identity: Any, claim: Claim, connection: Connection, session: Session
) -> None:
    """Has the engine go on with a connection; `session` begins if that cannot be."""
    going_on = connection._session
    assert going_on is not None  # noqa: S101 - a claim is of a session
    welcome = Welcome(host.config, identity)
    # The welcome says how many messages have been handled. `returning` retires the old link, and messages of it that
    # were not handled yet are dropped, so the count stays right.
    accepted = welcome.resumed(going_on)
    refused = {reason: welcome.new(session, reason) for reason in REASONS}
    farewell = (int(CloseCode.TAKEN_OVER), TAKEN_OVER)
    name, rate = session.codec.name, rate_of(identity)
    link = host.engine.resume(connection.id, asked.id, name, claim.received, accepted, refused, farewell, rate)
    if link is None:
        return
    carrier = _carrier(host, tls, asked, link)
    carrier.connection = connection
    carrier.phase = Phase.DECIDING
    carrier.fresh = Connection(host.engine, host.connection_services, link, asked.request, identity, session)
    host.registry.returning(carrier)


def _carrier(host: Host, tls: Tls, asked: Asked, link: int) -> WebSocket:
    carrier = WebSocket(host.link_services, link)
    if tls.newcomers:
        carrier.encrypted = tls.let_in(asked.id, carrier.names)
    return carrier


REASONS = ("closed", "overflow", "codec")
"""Why the engine may find that a session cannot go on, in the words of docs/protocol.md."""
