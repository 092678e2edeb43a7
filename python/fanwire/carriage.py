"""What becomes of one transport of a connection: a table of phases, and what the hub does on the way. Pure.

A connection with a session goes from transport to transport. Three sides speak of each transport: the engine says
whether a session goes on over it, the loop says that it is lost, and another transport may take the connection from it.
They speak in any order, and each at most once.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["OVER", "Phase", "Step", "Word", "step"]


class Phase(Enum):
    """Where a transport stands."""

    DECIDING = "deciding"
    """The engine was asked whether a session goes on over it, and has not answered."""
    CARRYING = "carrying"
    """It carries its connection."""
    RETIRED = "retired"
    """Its connection has gone on without it. A close frame leaves, and what still comes does not count."""
    CUT = "cut"
    """It was lost while the engine decides."""
    GONE = "gone"
    """Nothing is left of it."""


class Word(Enum):
    """What is said of a transport."""

    RESUMED = "resumed"
    """The session goes on over it."""
    REFUSED = "refused"
    """The session cannot go on: the transport has a connection of its own."""
    RETIRED = "retired"
    """The connection goes on without it."""
    LOST = "lost"
    """The loop has lost it."""


class Step(Enum):
    """What has to be done."""

    NOTHING = "nothing"
    BEGIN = "begin"
    """Read from it, for its connection."""
    RETIRE = "retire"
    """Wait for its end, within `close_timeout`."""
    CLOSE = "close"
    """Close the connection of its own, which nobody will use."""
    UNLINK = "unlink"
    """Tell the engine that the link is lost; what follows depends on its answer."""
    FORGET = "forget"
    """Tell the engine that the connection of its own is over."""
    PARK = "park"
    """The connection waits for its client, or ends where it cannot wait."""


OVER = frozenset({Phase.RETIRED, Phase.CUT, Phase.GONE})
"""Phases in which nothing that a transport brings counts."""


def step(phase: Phase, word: Word) -> tuple[Phase, Step]:
    """Where a transport stands after a word, and what has to be done."""
    return _TABLE.get((phase, word), (phase, Step.NOTHING))


_TABLE = {
    (Phase.DECIDING, Word.RESUMED): (Phase.CARRYING, Step.BEGIN),
    (Phase.DECIDING, Word.REFUSED): (Phase.CARRYING, Step.BEGIN),
    (Phase.DECIDING, Word.RETIRED): (Phase.RETIRED, Step.RETIRE),
    (Phase.DECIDING, Word.LOST): (Phase.CUT, Step.UNLINK),
    (Phase.CARRYING, Word.RETIRED): (Phase.RETIRED, Step.RETIRE),
    (Phase.CARRYING, Word.LOST): (Phase.GONE, Step.PARK),
    (Phase.RETIRED, Word.REFUSED): (Phase.RETIRED, Step.CLOSE),
    (Phase.RETIRED, Word.LOST): (Phase.GONE, Step.NOTHING),
    (Phase.CUT, Word.RESUMED): (Phase.GONE, Step.PARK),
    (Phase.CUT, Word.REFUSED): (Phase.GONE, Step.FORGET),
    (Phase.CUT, Word.RETIRED): (Phase.GONE, Step.NOTHING),
    (Phase.GONE, Word.REFUSED): (Phase.GONE, Step.FORGET),
}
"""What is not here changes nothing: each word came too late to matter."""
