"""What becomes of one link of a connection: a table of phases, and what the hub does on the way. Pure.

A connection with a session goes from link to link. The engine says first whether a session goes on over a link, and
last that it is lost; another link may take the connection from it at any moment between.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["OVER", "Phase", "Step", "Word", "step"]


class Phase(Enum):
    """Where a link stands."""

    # By identity, and in C: that of `Enum` hashes the name, in Python, and each event looks a phase up.
    __hash__ = object.__hash__

    DECIDING = "deciding"
    """The engine was asked whether a session goes on over it, and has not answered."""
    CARRYING = "carrying"
    """It carries its connection."""
    RETIRED = "retired"
    """Its connection has gone on without it. A close frame leaves, and what still comes does not count."""
    GONE = "gone"
    """Nothing is left of it."""


class Word(Enum):
    """What is said of a link."""

    __hash__ = object.__hash__

    RESUMED = "resumed"
    """The session goes on over it."""
    REFUSED = "refused"
    """The session cannot go on: the link has a connection of its own."""
    RETIRED = "retired"
    """The connection goes on without it."""
    LOST = "lost"
    """It has ended."""


class Step(Enum):
    """What has to be done."""

    NOTHING = "nothing"
    BEGIN = "begin"
    """What it brings is for its connection from now on."""
    CLOSE = "close"
    """Close the connection of its own, which nobody will use."""
    PARK = "park"
    """The connection waits for its client, or ends where it cannot wait."""


OVER = frozenset({Phase.RETIRED, Phase.GONE})
"""Phases in which nothing that a link brings counts."""


def step(phase: Phase, word: Word) -> tuple[Phase, Step]:
    """Where a link stands after a word, and what has to be done."""
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
"""What is not here changes nothing: each word came too late to matter."""
