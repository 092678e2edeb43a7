"""The session of one client: the state of the protocol that outlives a connection. Pure: no transport, no clock."""

from __future__ import annotations

import re
import secrets
from enum import Enum
from hashlib import blake2s
from typing import Any

from fanwire.protocol.envelopes import Codec, Incoming, Refusal
from fanwire.protocol.table import REPORT_BYTES, REPORT_MESSAGES, UNCOUNTED
from fanwire.timing.token_bucket import TokenBucket

__all__ = ["Session", "SessionPhase", "lineage_of"]


class SessionPhase(Enum):
    """The phase of a session."""

    LIVE = "live"
    """The session has a connection."""
    PARKED = "parked"
    """The session waits for its client to reconnect."""
    ENDED = "ended"
    """The session is over."""


TRANSITIONS = {
    SessionPhase.LIVE: {SessionPhase.LIVE, SessionPhase.PARKED, SessionPhase.ENDED},
    SessionPhase.PARKED: {SessionPhase.LIVE, SessionPhase.ENDED},
    SessionPhase.ENDED: set(),
}
"""LIVE to LIVE: the client has reconnected before the server noticed that the connection was lost."""


class Session:
    """A session.

    Attributes:
        id: a secret of the client: a client that knows it, and has the same subject, may resume the session. It begins
            with the lineage, so that each node can read that without a record.
        owner: the subject of its client.
        lineage: the id of a row of sessions, each of which replaces one that could not be resumed. As secret as the id,
            and never the subject of an identity.
        codec: encodes its messages.
        received: the number of counted messages of the client so far.
        refusals: the number of those that the engine has refused.
        phase: see `SessionPhase`.
        ended: the reason why it is over, as in docs/protocol.md; None: it is not.
        acks: futures of messages that wait for the client's acknowledgement, by the message's id.
        renewals: limits new tokens; None: the client has sent none.
    """

    __slots__ = (
        "_told", "_untold_bytes", "acks", "codec", "ended", "id", "lineage", "owner", "phase", "received", "refusals",
        "renewals",
    )  # fmt: skip

    def __init__(self, owner: str, codec: Codec, lineage: str | None = None) -> None:
        self.lineage = lineage or LINEAGE + secrets.token_urlsafe(SECRET)
        self.id = f"{self.lineage.removeprefix(LINEAGE)}.{secrets.token_urlsafe(SECRET)}"
        self.owner = owner
        self.codec = codec
        self.received = 0
        self.refusals = 0
        self.phase = SessionPhase.LIVE
        self.ended: str | None = None
        self.acks: dict[str, Any] = {}
        self.renewals: TokenBucket | None = None
        self._told = 0
        self._untold_bytes = 0

    @property
    def public_id(self) -> str:
        """What logs and the admin API call the session: 16 hexadecimal digits. The session cannot be resumed with it.
        It is that of the lineage, so it stays the same when the client goes on at another node."""
        return blake2s(self.lineage.encode(), digest_size=8).hexdigest()

    def hear(self, frame: bytes | str) -> Incoming:
        """Decodes a message of the client, and counts it.

        Raises:
            Refusal: it is no valid envelope. It counts all the same, as it does for the client.
        """
        self._untold_bytes += len(frame)
        try:
            incoming = self.codec.decode(frame)
        except Refusal:
            self.received += 1
            raise
        if incoming.type not in UNCOUNTED:
            self.received += 1
        return incoming

    def refused(self, count: int, size: int) -> None:
        """Counts messages of so many bytes that the engine has refused."""
        self.received += count
        self.refusals += count
        self._untold_bytes += size

    @property
    def is_report_due(self) -> bool:
        """Whether a `received` is due, after 32 counted messages or 64 KiB."""
        return self.received - self._told >= REPORT_MESSAGES or self._untold_bytes >= REPORT_BYTES

    def report(self) -> bytes:
        """The encoded message `received`, with the count of the client's messages."""
        self._told = self.received
        self._untold_bytes = 0
        return self.codec.encode({"type": "received", "payload": {"count": self.received}})

    def move(self, phase: SessionPhase) -> bool:
        """Goes to a phase. Returns False if there is no such transition."""
        if phase not in TRANSITIONS[self.phase]:
            return False
        self.phase = phase
        return True

    def end(self, reason: str) -> bool:
        """Ends the session. Returns False if it had ended; the first reason stays."""
        if not self.move(SessionPhase.ENDED):
            return False
        self.ended = reason
        return True

    def why_not(self, owner: str, codec: Codec) -> str | None:
        """The reason why a client cannot resume the session; None: it can. Answers "unknown" for another user's
        session, so that ids cannot be probed."""
        if self.owner != owner:
            return "unknown"
        if self.ended is None and self.codec is not codec:
            return "codec"
        return self.ended


def lineage_of(id: str) -> str | None:
    """The lineage of a session's id; None: it is no such id.

    Only its client knows the id of a session. So a client can continue only its own lineage, or an invented one, which
    no other client has.
    """
    found = _ID.fullmatch(id)
    return None if found is None else LINEAGE + found[1]


SECRET = 24
"""Random bytes of a lineage, and of each id in it: 192 bits cannot be guessed."""

LINEAGE = "\0"
"""The prefix of lineages. No subject has it, so a lineage cannot be taken for a user."""

_ID = re.compile(r"([A-Za-z0-9_-]{32})\.[A-Za-z0-9_-]{32}")
