"""Child processes that must not outlive their parent."""

from __future__ import annotations

import ctypes
import signal
import sys

__all__ = ["end_with_parent"]


def end_with_parent() -> None:
    """Has the kernel end a child process with the thread that has started it (prctl(2)). Only on Linux.

    To be called in the child before its program. A parent that is killed cannot stop its children: two servers would
    share a store, or a port would stay in use.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


PR_SET_PDEATHSIG = 1
