"""The phases of a link: a table of phase and event to the next phase, and the action of the connection registry. Pure.

A connection with a session goes from link to link. The first event of a link is the engine's decision whether the
session is resumed over it, and the last is its loss. In between, another link may take the connection at any time.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["OVER", "Phase", "Step", "Word", "step"]


class Phase(Enum):
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


class Word(Enum):
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


OVER = frozenset({Phase.RETIRED, Phase.GONE})
"""Phases in which messages of a link are dropped."""


def step(phase: Phase, word: Word) -> tuple[Phase, Step]:
    """The phase of a link after an event, and the action."""
    return _TABLE.get((phase, word), (phase, Step.NOTHING))


_TABLE = {
    (Phase.DECIDING, Word.RESUMED): (Phase.CARRYING, Step.BEGIN),
    (Phase.DECIDING, Word.REFUSED): (Phase.CARRYING, Step.BEGIN),
    (Phase.DECIDING, Word.RETIRED): (Phase.RETIRED, Step.NOTHING),
    (Phase.CARRYING, Word.RETIRED): (Phase.RETIRED, Step.NOTHING),
    (Phase.CARRYING, Word.LOST): (Phase.GONE, Step.PARK),
    (Phase.RETIRED, Word.REFUSED): (Phase.RETIRED, Step.CLOSE),
    (Phase.RETIRED, Word.LOST): (Phase.GONE, Step.NOTHING),
}
"""A pair that is not here changes nothing: its event came too late."""
