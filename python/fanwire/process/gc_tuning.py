"""Python's collector of reference cycles, in a process that serves thousands of connections."""

from __future__ import annotations

import gc

__all__ = ["calm"]


def calm() -> None:
    """Makes full collections rare, for a process whose main work is a server.

    A full collection stops the loop for about 16 µs per connection, a sixth of a second at ten thousand, and by default
    one comes whenever the objects have grown by a quarter: in the middle of the crowd that makes them grow. Connections
    are freed without the collector when they end, so it has next to nothing to find here. The young generations, where
    an application's own cycles usually die, are collected as before, a few milliseconds at a time.

    `Server.run` and `fanwire serve` call it. A program of its own that brings its own loop decides for itself.
    """
    gc.collect()
    # What was imported is there for good.
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


THRESHOLDS = (2_000, 2, 100_000)
"""New objects until a young collection, young ones until a middle one (6,000 objects, a few milliseconds), middle
ones until a full one (at some 400 million new objects)."""
