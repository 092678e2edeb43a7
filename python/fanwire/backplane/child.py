"""Child processes that must not outlive their parent."""

from __future__ import annotations

import ctypes
import signal
import sys

__all__ = ["end_with_parent"]


def end_with_parent() -> None:
    """To be called in a child before its program: it ends with the thread that has started it (prctl(2)).

    A parent that is killed outright cannot stop its children: two servers would share a store, or a port would stay
    taken. Only on Linux.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


PR_SET_PDEATHSIG = 1
