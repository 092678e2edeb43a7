"""One client's session: the part of its protocol that outlives connections. Pure: no transport, no clock."""

from __future__ import annotations

import re
import secrets
from enum import Enum
from typing import Any

from fanwire.protocol.envelopes import Codec, Incoming, Refusal
from fanwire.protocol.table import REPORT_BYTES, REPORT_MESSAGES, UNCOUNTED
from fanwire.timing.token_bucket import Meter

__all__ = ["Phase", "Session", "lineage_of"]


class Phase(Enum):
    """Where a session stands."""

    LIVE = "live"
    """It has a connection."""
    PARKED = "parked"
    """It waits for its client to come back."""
    ENDED = "ended"
    """It is over."""


TRANSITIONS = {
    Phase.LIVE: {Phase.LIVE, Phase.PARKED, Phase.ENDED},
    Phase.PARKED: {Phase.LIVE, Phase.ENDED},
    Phase.ENDED: set(),
}
"""LIVE to LIVE: the client is back before the server has noticed that it was away."""


class Session:
    """A session.

    Attributes:
        id: names it to its client, and to nobody else: who knows it, and is the same identity, may resume it. It
            begins with the name of its lineage, so that any node knows that, whether or not it finds a record.
        owner: whose it is.
        lineage: names the row of sessions that this one continues, after such as could not be resumed. As secret as the
            id, and never the subject of an identity.
        codec: how it speaks.
        received: counted messages of the client so far.
        phase: see `Phase`.
        ended: why it is over, in the words of docs/protocol.md.
        acks: what waits for the client's acknowledgement, by the message's id.
        renewals: how often it shows new tokens; None as long as it has not.
    """

    __slots__ = (
        "_told", "_untold_bytes", "acks", "codec", "ended", "id", "lineage", "owner", "phase", "received", "renewals",
    )  # fmt: skip

    def __init__(self, owner: str, codec: Codec, lineage: str | None = None) -> None:
        self.lineage = lineage or LINEAGE + secrets.token_urlsafe(SECRET)
        self.id = f"{self.lineage.removeprefix(LINEAGE)}.{secrets.token_urlsafe(SECRET)}"
        self.owner = owner
        self.codec = codec
        self.received = 0
        self.phase = Phase.LIVE
        self.ended: str | None = None
        self.acks: dict[str, Any] = {}
        self.renewals: Meter | None = None
        self._told = 0
        self._untold_bytes = 0

    def hear(self, frame: bytes | str) -> Incoming:
        """Takes a message of the client's and counts it.

        Raises:
            Refusal: it is no envelope. It counts all the same, as it does for the client.
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
        self._untold_bytes += size

    @property
    def is_report_due(self) -> bool:
        """Whether the client should be told how many of its messages have come."""
        return self.received - self._told >= REPORT_MESSAGES or self._untold_bytes >= REPORT_BYTES

    def report(self) -> bytes:
        """The message that tells it."""
        self._told = self.received
        self._untold_bytes = 0
        return self.codec.encode({"type": "received", "payload": {"count": self.received}})

    def move(self, phase: Phase) -> bool:
        """Goes to a phase, if there is a way."""
        if phase not in TRANSITIONS[self.phase]:
            return False
        self.phase = phase
        return True

    def end(self, reason: str) -> bool:
        """Ends it, if it has not ended; the first reason stays."""
        if not self.move(Phase.ENDED):
            return False
        self.ended = reason
        return True

    def why_not(self, owner: str, codec: Codec) -> str | None:
        """Why a client cannot resume it; None if it may. Answers "unknown" for another user's session, so that ids
        cannot be probed."""
        if self.owner != owner:
            return "unknown"
        if self.ended is None and self.codec is not codec:
            return "codec"
        return self.ended


def lineage_of(id: str) -> str | None:
    """The lineage of the session with an id; None if no session has such an id.

    Who knows the id of a session is its client. So a client can continue only its own lineage, or one that it has made
    up, which nobody else has.
    """
    found = _ID.fullmatch(id)
    return None if found is None else LINEAGE + found[1]


SECRET = 24
"""Random bytes of a lineage, and of each id in it. 192 bits: guessing is hopeless at any rate."""

LINEAGE = "\0"
"""What begins the names of lineages. No identity has such a subject, so nobody can be taken for a user."""

_ID = re.compile(r"([A-Za-z0-9_-]{32})\.[A-Za-z0-9_-]{32}")
