"""The phases of a link: a table of phase and event to the next phase, and the action of the connection registry. Pure.

A connection with a session goes from link to link. The first event of a link is the engine's decision whether the
session is resumed over it, and the last is its loss. In between, another link may take the connection at any time.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["OVER", "LinkEvent", "LinkPhase", "Step", "step"]


class LinkPhase(Enum):
    """The phase of a link."""

    # By identity, in C: `Enum` hashes the name in Python, and each event looks up a phase.
    __hash__ = object.__hash__

    DECIDING = "deciding"
    """The engine was asked whether a session can be resumed over the link, and has not answered."""
    CARRYING = "carrying"
    """The link carries its connection."""
    RETIRED = "retired"
    """The connection goes on without the link. The engine sends a close frame; messages that still come are dropped."""
    GONE = "gone"
    """The link has ended."""


class LinkEvent(Enum):
    """An event of a link."""

    __hash__ = object.__hash__

    RESUMED = "resumed"
    """The session is resumed over the link."""
    REFUSED = "refused"
    """The session cannot be resumed: the link gets a new connection."""
    RETIRED = "retired"
    """The connection goes on without the link."""
    LOST = "lost"
    """The link has ended."""


class Step(Enum):
    """The action of the connection registry."""

    NOTHING = "nothing"
    BEGIN = "begin"
    """From now on its messages are for its connection."""
    CLOSE = "close"
    """Close the new connection, which is not used."""
    PARK = "park"
    """The connection waits for its client, or ends if it cannot wait."""


OVER = frozenset({LinkPhase.RETIRED, LinkPhase.GONE})
"""Phases in which messages of a link are dropped."""


def step(phase: LinkPhase, event: LinkEvent) -> tuple[LinkPhase, Step]:
    """The phase of a link after an event, and the action."""
    return _TABLE.get((phase, event), (phase, Step.NOTHING))


_TABLE = {
    (LinkPhase.DECIDING, LinkEvent.RESUMED): (LinkPhase.CARRYING, Step.BEGIN),
    (LinkPhase.DECIDING, LinkEvent.REFUSED): (LinkPhase.CARRYING, Step.BEGIN),
    (LinkPhase.DECIDING, LinkEvent.RETIRED): (LinkPhase.RETIRED, Step.NOTHING),
    (LinkPhase.CARRYING, LinkEvent.RETIRED): (LinkPhase.RETIRED, Step.NOTHING),
    (LinkPhase.CARRYING, LinkEvent.LOST): (LinkPhase.GONE, Step.PARK),
    (LinkPhase.RETIRED, LinkEvent.REFUSED): (LinkPhase.RETIRED, Step.CLOSE),
    (LinkPhase.RETIRED, LinkEvent.LOST): (LinkPhase.GONE, Step.NOTHING),
}
"""A pair that is not here changes nothing: its event came too late."""
