"""The message `welcome`, the first to a client with a session. Pure, except for its random id and the clock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from fanwire.config import Config
from fanwire.identity.identity import expiry_of
from fanwire.protocol.session import Session
from fanwire.protocol.table import INITIAL_WINDOW
from fanwire.timing import clock

__all__ = ["WelcomeBuilder"]


class WelcomeBuilder:
    """Builds the `welcome` of one request, for a new session or a resumed one.

    Args:
        config: of the server.
        identity: of the client.
        link: the token of the client's link; None: it is a WebSocket.
        batch: whether the client gets batches.
        delta: whether values may come to it as deltas.
    """

    def __init__(
        self, config: Config, identity: Any, link: str | None = None, batch: bool = False, delta: bool = False
    ) -> None:
        self._id = secrets.token_hex(8)
        self._count = 0
        self._ts = time.time_ns() // 1_000_000
        self._base: dict[str, Any] = {
            "heartbeat_ms": _heartbeat_ms(config),
            "grace_ms": int(config.grace * 1000),
            "ack_frames": config.ack_frames,
            "ack_bytes": config.ack_bytes,
            "max_message": config.max_message,
            "window": INITIAL_WINDOW,
        }
        if batch:
            self._base["batch"] = True
        if delta:
            self._base["delta"] = True
        ack_bytes, most = config.ack_bytes, config.replay_bytes // 4
        if link is not None:
            self._base["link"] = link
            # Each acknowledgement is a POST, which costs the server as much as 50 acknowledgements over a WebSocket.
            ack_bytes, most = ack_bytes * 3 // 2, most * 3 // 2
            self._base["ack_bytes"] = ack_bytes
        expires = expiry_of(identity)
        if expires is not None:
            self._base["expires_in_ms"] = max(0, int((expires - clock.wall()) * 1000))
        if config.replay_bytes:
            # Messages that the client need not acknowledge yet must leave room in `replay_bytes` for more.
            self._base["ack_frames"] = max(1, min(config.ack_frames, config.replay_bytes // ACK_FRAME))
            self._base["ack_bytes"] = max(1, min(ack_bytes, most))

    def new(
        self, session: Session, reason: str | None = None, rooms: Mapping[str, tuple[str, int]] | None = None
    ) -> bytes:
        """The message for a new session.

        Args:
            session: the new session.
            reason: why the client's earlier session could not be resumed; None: the client has not asked for one.
            rooms: the earlier session's rooms, with epoch and number, if it was at another node.
        """
        payload = {"session": session.id, "resumed": False, "received": 0, **self._base}
        if reason is not None:
            payload["reason"] = reason
        if rooms:
            payload["rooms"] = {room: {"epoch": epoch, "seq": seq} for room, (epoch, seq) in rooms.items()}
        return self._encoded(session, payload)

    def resumed(self, session: Session) -> bytes:
        """The message for a resumed session."""
        return self._encoded(
            session, {"session": session.id, "resumed": True, "received": session.received, **self._base}
        )

    def _encoded(self, session: Session, payload: dict[str, Any]) -> bytes:
        self._count += 1
        return session.codec.encode_plain({
            "type": "welcome", "id": f"{self._id}-{self._count}", "ts": self._ts, "payload": payload,
        })  # fmt: skip


def _heartbeat_ms(config: Config) -> int:
    """The time from one ping to the next, which waits for the answer to the one before."""
    return int(max(config.ping_interval, config.ping_timeout) * 1000) if config.ping_interval else 0


ACK_FRAME = 512
"""Bytes of `replay_bytes` for each message that may be unacknowledged: twice the cost of the smallest."""
