"""Tuning of Python's garbage collector for a process with thousands of connections."""

from __future__ import annotations

import gc

__all__ = ["calm"]


def calm() -> None:
    """Makes full collections rare, for a process whose main work is a server.

    A full collection stops the loop for about 16 µs per connection, a sixth of a second at ten thousand. By default one
    comes whenever the number of objects has grown by a quarter, which is when many clients connect at once. Connections
    are freed without the collector, by their reference counts. The young generations, which find most of an
    application's cycles, are collected as before, a few milliseconds at a time.

    `Server.run` and `fanwire serve` call it. A program with a loop of its own decides itself.
    """
    gc.collect()
    # Imported modules stay for good: they are not looked at again.
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


THRESHOLDS = (2_000, 2, 100_000)
"""New objects until a young collection, young ones until a middle one (6,000 objects, a few milliseconds), middle
ones until a full one (at some 400 million new objects)."""
