"""The begin of a link: of a new connection, or to resume a session."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, NamedTuple

from fanwire.codes import CloseCode
from fanwire.connection import Connection
from fanwire.identity.identity import rate_of, subject_of
from fanwire.identity.request import Request
from fanwire.protocol.envelopes import Codec
from fanwire.protocol.session import Session
from fanwire.protocol.table import SEQ_MAX
from fanwire.protocol.welcome import WelcomeBuilder
from fanwire.runtime.engine_link import EngineLink
from fanwire.runtime.host import Host
from fanwire.runtime.link_phases import LinkPhase
from fanwire.runtime.registry import TAKEN_OVER
from fanwire.sessions.resumption import Claim
from fanwire.transports.fallback_link import SSE, WEBSOCKET, FallbackLink

__all__ = ["Asked", "last_event", "open_link", "why_not"]


class Asked(NamedTuple):
    """A request that is not answered yet.

    Attributes:
        id: the engine's id of the request.
        request: as the application sees it.
        codec: the encoding of the client's session; None: it has no session.
        at: when the request came, by `time.monotonic`.
        transport: what the client asks for: "websocket", "sse" or "long-poll".
        is_compressed: whether both sides may compress messages.
    """

    id: int
    request: Request
    codec: Codec | None
    at: float
    transport: str = WEBSOCKET
    is_compressed: bool = False

    @property
    def must_resume(self) -> bool:
        """Whether the client wants the session that it names or nothing: it has that session over another link."""
        return self._says("must_resume")

    @property
    def takes_batches(self) -> bool:
        """Whether the client, which has a session, takes several messages in one (docs/protocol.md, batches)."""
        return self.codec is not None and self._says("batch")

    @property
    def takes_deltas(self) -> bool:
        """Whether the client, which has a session, applies deltas (docs/protocol.md, deltas)."""
        return self.codec is not None and self._says("delta")

    def _says(self, name: str) -> bool:
        return name in self.request.query_string and self.request.query.get(name) == "1"


def why_not(asked: Asked, claim: Claim) -> tuple[HTTPStatus, str] | None:
    """Why a request cannot get a link, as a status and a reason for the log; None: it can."""
    if claim.connection is None and claim.reason is not None and asked.must_resume:
        return HTTPStatus.CONFLICT, f"the session cannot be resumed ({claim.reason}), and the client wants no other"
    return None


def open_link(host: Host, asked: Asked, identity: Any, claim: Claim) -> None:
    """Accepts a request. Does nothing if the client has left by now.

    Args:
        host: gets the connection.
        asked: the request.
        identity: the client's.
        claim: the session that it wants to resume.

    Raises:
        Closed, Overloaded, EngineFailed: the engine is closed, full, or has failed.
    """
    session = None if asked.codec is None else Session(subject_of(identity), asked.codec, claim.lineage)
    token = None if session is None or asked.transport == WEBSOCKET else host.fallbacks.tokens.new()
    welcome = WelcomeBuilder(host.config, identity, token, asked.takes_batches, asked.takes_deltas)
    if session is None or claim.connection is None:
        link = _begin(host, asked, identity, claim, session, welcome)
    else:
        link = _go_on(host, asked, identity, claim, claim.connection, session, welcome)
    if link is None:
        return
    if token is not None and session is not None:
        config = host.config
        link.fallback = FallbackLink(
            host.engine, token, asked.transport, is_binary=not session.codec.is_text, poll_timeout=config.poll_timeout,
            patience=config.ping_interval + config.ping_timeout + config.poll_timeout, names=link.names,
            removed=host.fallbacks.removed,
        )  # fmt: skip
        host.fallbacks.add(link.fallback)
    if link.phase is LinkPhase.DECIDING:
        host.registry.returning(link)
    else:
        host.registry.connected(link, has_moved=claim.moved is not None)
        if claim.moved is not None:
            host.node.moved_here(claim.moved)


def _begin(
    host: Host, asked: Asked, identity: Any, claim: Claim, session: Session | None, welcome: WelcomeBuilder
) -> EngineLink | None:
    rate = 1.0 if identity is None else rate_of(identity)
    if session is None:
        link_id = host.engine.accept(asked.id, None, b"", rate)
    else:
        first = welcome.new(session, claim.reason, claim.rooms)
        link_id = host.engine.accept(asked.id, session.codec.name, first, rate, asked.takes_batches, asked.takes_deltas)
    if link_id is None:
        return None
    link = EngineLink(host.link_services, link_id, asked.transport)
    link.connection = _connection(host, asked, identity, session, link_id)
    if session is None and asked.transport == SSE:
        link.connection._since = last_event(asked.request.headers.get("Last-Event-ID", ""))
    link.connection._handler_queue = link.handler_queue
    return link


def _go_on(
    host: Host,
    asked: Asked,
    identity: Any,
    claim: Claim,
    connection: Connection,
    session: Session,
    welcome: WelcomeBuilder,
) -> EngineLink | None:
    """Has the engine resume the session of a connection; `session` begins if that is not possible."""
    going_on = connection._session
    assert going_on is not None  # noqa: S101 - a claim is of a session
    # The welcome says how many messages have been handled. `returning` retires the old link, and messages of it that
    # were not handled yet are dropped, so the count stays right.
    accepted = welcome.resumed(going_on)
    refused = {reason: welcome.new(session, reason) for reason in REASONS}
    farewell = (int(CloseCode.TAKEN_OVER), TAKEN_OVER)
    link_id = host.engine.resume(
        connection.id, asked.id, session.codec.name, claim.received, going_on.refusals, accepted, refused, farewell,
        rate_of(identity), asked.takes_batches, asked.takes_deltas,
    )  # fmt: skip
    if link_id is None:
        return None
    link = EngineLink(host.link_services, link_id, asked.transport)
    link.connection = connection
    link.phase = LinkPhase.DECIDING
    link.fresh = _connection(host, asked, identity, session, link_id)
    return link


def _connection(host: Host, asked: Asked, identity: Any, session: Session | None, link_id: int) -> Connection:
    services = host.connection_services
    return Connection(
        host.engine, services, link_id, asked.request, identity, session, asked.transport, asked.is_compressed
    )  # fmt: skip


def last_event(text: str) -> tuple[str, int] | None:
    """The epoch and the number in the `Last-Event-ID` of a client; None: it has none, or an invalid one."""
    found = _EVENT.fullmatch(text)
    return None if found is None or int(found[2]) > SEQ_MAX else (found[1], int(found[2]))


REASONS = ("closed", "overflow", "codec")
"""The engine's reasons why a session cannot be resumed, see docs/protocol.md."""

_EVENT = re.compile(r"([0-9a-f]{1,16})-([0-9]{1,19})")
