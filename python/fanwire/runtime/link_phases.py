"""The phases of one link of a connection, as a table. Pure.

A connection with a session goes from link to link. The engine first reports whether a session goes on over a link, and
last that the link is lost. Between these, another link may take over the connection at any time.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["OVER", "LinkEvent", "LinkPhase", "Step", "step"]


class LinkPhase(Enum):
    """The phase of a link."""

    # `Enum.__hash__` is Python code, and each event looks up a phase.
    __hash__ = object.__hash__

    DECIDING = "deciding"
    """The engine decides whether a session goes on over the link."""
    CARRYING = "carrying"
    """The link carries its connection."""
    RETIRED = "retired"
    """Another link carries the connection. A close frame is sent, and messages of this link are ignored."""
    GONE = "gone"
    """The link has ended."""


class LinkEvent(Enum):
    """What the engine reports of a link."""

    __hash__ = object.__hash__

    RESUMED = "resumed"
    """The session goes on over the link."""
    REFUSED = "refused"
    """The session cannot go on: the link has a connection of its own."""
    RETIRED = "retired"
    """Another link carries the connection now."""
    LOST = "lost"
    """The link has ended."""


class Step(Enum):
    """What the caller of `step` has to do."""

    NOTHING = "nothing"
    BEGIN = "begin"
    """Take the link's messages for its connection from now on."""
    CLOSE = "close"
    """Close the link's own connection, which no client uses."""
    PARK = "park"
    """Park the connection, or end it if it has no session."""


OVER = frozenset({LinkPhase.RETIRED, LinkPhase.GONE})
"""Phases in which messages of a link are ignored."""


def step(phase: LinkPhase, event: LinkEvent) -> tuple[LinkPhase, Step]:
    """Returns the phase after an event, and what has to be done."""
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
"""Other pairs change nothing: the event came too late."""
