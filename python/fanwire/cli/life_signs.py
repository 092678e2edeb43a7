"""What a worker tells its parent, from its event loop: that it listens, and from then on that the loop runs.

It also learns which of the other workers do not answer, and adds them to the health of its node.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["LifeSigns"]


class LifeSigns:
    """Writes one byte a second to a pipe. It ends with the loop.

    Args:
        fd: the writing end of the pipe.
        directory: where the parent puts the names of the workers that do not answer.
        note: `Health.note`.
    """

    def __init__(self, fd: int, directory: Path, note: Callable[[str, str | None], object]) -> None:
        self._fd = fd
        self._directory = directory
        self._note = note
        self._silent: set[str] = set()

    def begin(self) -> None:
        """Gives the first sign: the worker listens. Called in the event loop."""
        # Neither does a parent that does not read block this loop, nor do the application's own children inherit this.
        os.set_blocking(self._fd, False)
        os.set_inheritable(self._fd, False)
        self._give()

    def _give(self) -> None:
        try:
            os.write(self._fd, b"\n")
        except BlockingIOError:
            # The parent has not read for hours; it is stopped.
            pass
        except OSError:
            # The parent has ended.
            os.close(self._fd)
            return
        with contextlib.suppress(OSError):
            self._look_at_others()
        asyncio.get_running_loop().call_later(PERIOD, self._give)

    def _look_at_others(self) -> None:
        found = {path.stem for path in self._directory.glob("*.silent")}
        for name in found ^ self._silent:
            number, _, pid = name.partition("-")
            self._note(f"worker {number} (pid {pid})", "it does not answer" if name in found else None)
        self._silent = found


PERIOD = 1.0
"""Seconds between two signs."""
