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
from fanwire.protocol.welcome import WelcomeBuilder
from fanwire.runtime.link import WebSocket
from fanwire.runtime.link_phases import LinkPhase
from fanwire.runtime.registry import TAKEN_OVER, Hub
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


def open_websocket(hub: Hub, tls: Tls, asked: Asked, identity: Any, claim: Claim) -> None:
    """Accepts a request. If its peer has left by now, nothing happens.

    Args:
        hub: where the connection goes.
        tls: the newcomers for whom the loop speaks TLS.
        asked: the request.
        identity: who was let in.
        claim: the session that it wants to go on with.

    Raises:
        Closed, Overloaded, EngineFailed: the engine is closed, full, or has failed.
    """
    session = None if asked.codec is None else Session(subject_of(identity), asked.codec, claim.lineage)
    if session is None or claim.connection is None:
        _begin(hub, tls, asked, identity, claim, session)
    else:
        _go_on(hub, tls, asked, identity, claim, claim.connection, session)


def _begin(hub: Hub, tls: Tls, asked: Asked, identity: Any, claim: Claim, session: Session | None) -> None:
    rate = 1.0 if identity is None else rate_of(identity)
    if session is None:
        link = hub.engine.accept(asked.id, None, b"", rate)
    else:
        first = WelcomeBuilder(hub.config, identity).new(session, claim.reason, claim.rooms)
        link = hub.engine.accept(asked.id, session.codec.name, first, rate)
    if link is None:
        return
    carrier = _carrier(hub, tls, asked, link)
    carrier.connection = Connection(hub.engine, hub.services, link, asked.request, identity, session)
    carrier.connection._handler_queue = carrier.handler_queue
    hub.connected(carrier)


def _go_on(
    hub: Hub, tls: Tls, asked: Asked, identity: Any, claim: Claim, connection: Connection, session: Session
) -> None:
    """Has the engine go on with a connection; `session` begins if that cannot be."""
    going_on = connection._session
    assert going_on is not None  # noqa: S101 - a claim is of a session
    welcome = WelcomeBuilder(hub.config, identity)
    # The count is final: what the old link has brought and was not taken yet is dropped, see `Hub.returning`.
    accepted = welcome.resumed(going_on)
    refused = {reason: welcome.new(session, reason) for reason in REASONS}
    farewell = (int(CloseCode.TAKEN_OVER), TAKEN_OVER)
    name, rate = session.codec.name, rate_of(identity)
    link = hub.engine.resume(connection.id, asked.id, name, claim.received, accepted, refused, farewell, rate)
    if link is None:
        return
    carrier = _carrier(hub, tls, asked, link)
    carrier.connection = connection
    carrier.phase = LinkPhase.DECIDING
    carrier.fresh = Connection(hub.engine, hub.services, link, asked.request, identity, session)
    hub.returning(carrier)


def _carrier(hub: Hub, tls: Tls, asked: Asked, link: int) -> WebSocket:
    carrier = WebSocket(hub, link)
    if tls.newcomers:
        carrier.encrypted = tls.let_in(asked.id, carrier.names)
    return carrier


REASONS = ("closed", "overflow", "codec")
"""Why the engine may find that a session cannot go on, in the words of docs/protocol.md."""
