"""How a WebSocket begins: as a connection of its own, or as one that goes on with a session."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from fanwire.admission import Ticket
from fanwire.carriage import Phase
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.gateway.encrypted import WINDOW, Encrypted
from fanwire.gateway.upgrade import Upgrade, switching
from fanwire.gateway.websocket import WebSocket
from fanwire.hub import TAKEN_OVER, Hub
from fanwire.identity import expiry_of, rate_of, subject_of
from fanwire.request import Request
from fanwire.session import Session
from fanwire.sessions import Claim

__all__ = ["open_websocket"]


def open_websocket(
    hub: Hub,
    transport: asyncio.Transport,
    request: Request,
    upgrade: Upgrade,
    identity: Any,
    rest: bytes,
    claim: Claim,
    ticket: Ticket,
) -> None:
    """Makes a connection of a transport whose upgrade request was accepted, or goes on with one over it.

    Args:
        hub: where the connection goes.
        transport: not being read at the moment.
        request: the request, as the application sees it.
        upgrade: the same, as the protocol has it.
        identity: who was let in.
        rest: what followed the request.
        claim: the session that it wants to go on with.
        ticket: its place among all, given back when the transport is gone.

    Raises:
        OSError: no descriptor is left for the engine.
        EngineError: the engine is closed, or full.
    """
    is_tls = transport.get_extra_info("ssl_object") is not None
    carrier = WebSocket(hub, ticket)
    codec, greeting, rate = upgrade.codec, switching(upgrade), rate_of(identity)
    fd, window = transport.get_extra_info("socket").fileno(), WINDOW if is_tls else 0
    session = None if codec is None else Session(subject_of(identity), codec, claim.lineage)
    make = partial(Connection, hub.engine, hub.services, request=request, identity=identity, session=session)
    if claim.connection is not None and claim.connection.session is not None and session is not None:
        going_on = claim.connection.session
        # All that the old link has brought: it is retired before the loop turns.
        accepted = welcome(hub.config, identity, going_on, going_on.received)
        refused = welcome(hub.config, identity, session, None, "overflow")
        carrier.connection = claim.connection
        carrier.link = hub.engine.resume(
            claim.connection.id, fd, session.codec.name, claim.received, greeting, accepted, refused,
            (CloseCode.TAKEN_OVER, TAKEN_OVER), window, rest=rest, rate=rate,
        )  # fmt: skip
        carrier.phase = Phase.DECIDING
        carrier.fresh = make(carrier.link)
        hub.returning(carrier)
    else:
        encoding, first = "raw", b""
        if session is not None:
            encoding, first = (
                session.codec.name,
                welcome(hub.config, identity, session, None, claim.reason, claim.rooms),
            )
        carrier.link = hub.engine.open(fd, encoding, window, greeting=greeting, first=first, rest=rest, rate=rate)
        carrier.connection = make(carrier.link)
        carrier.connection.inbox = carrier.inbox
        hub.connected(carrier)
    if is_tls:
        carrier.encrypted = Encrypted(hub.engine, transport, carrier.names)
        transport.set_protocol(carrier.encrypted)
        transport.resume_reading()
    else:
        # The engine has the socket by a descriptor of its own, and this closes the other. Nothing is sent by that.
        transport.set_protocol(asyncio.Protocol())
        transport.abort()


def welcome(
    config: Config,
    identity: Any,
    session: Session,
    received: int | None,
    reason: str | None = None,
    rooms: Mapping[str, tuple[str, int]] | None = None,
) -> bytes:
    """The first message to a client with a session; `received` is for one that goes on, `rooms` for one that was at
    another node."""
    payload: dict[str, Any] = {
        "session": session.id,
        "resumed": received is not None,
        "received": received or 0,
        "heartbeat_ms": int(config.ping_interval * 1000),
        "grace_ms": int(config.grace * 1000),
        "ack_frames": config.ack_frames,
        "ack_bytes": config.ack_bytes,
        "max_message": config.max_message,
        "window": INITIAL_WINDOW,
    }
    expires = expiry_of(identity)
    if expires is not None:
        payload["expires_in_ms"] = max(0, int((expires - time.time()) * 1000))
    if config.replay_bytes:
        # What a client has not acknowledged for these reasons must leave room for more, or no session could go on.
        payload["ack_frames"] = max(1, min(config.ack_frames, config.replay_bytes // ACK_FRAME))
        payload["ack_bytes"] = max(1, min(config.ack_bytes, config.replay_bytes // 4))
    if reason is not None:
        payload["reason"] = reason
    if rooms:
        payload["rooms"] = {room: {"epoch": epoch, "seq": seq} for room, (epoch, seq) in rooms.items()}
    ts = time.time_ns() // 1_000_000
    return session.codec.encode({"type": "welcome", "id": secrets.token_hex(8), "ts": ts, "payload": payload})


INITIAL_WINDOW = 16 << 10
"""Bytes of a droppable room that are under way at first, as the engine has it."""

ACK_FRAME = 512
"""Bytes of `replay_bytes` for each message that a client may leave unacknowledged: twice what the smallest costs."""
