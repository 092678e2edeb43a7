"""A worker as its parent sees it: its process, and whether its event loop runs.

A worker whose loop is blocked, or that is stopped (SIGSTOP), has not ended: the kernel goes on giving it connections,
which get no answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from pathlib import Path

__all__ = ["LONGEST_LOOK", "SILENT", "WorkerProcess"]

logger = logging.getLogger("fanwire")


class WorkerProcess:
    """One worker. Its signs of life are bytes in a pipe: the first when it listens, then one a second.

    Args:
        number: which one it is, from 0.
        process: it.
        signs: the reading end of the pipe, which this object closes.
        directory: where the other workers look for the names of those that do not answer.

    Attributes:
        has_begun: whether it has listened. Before that its silence means nothing.
    """

    def __init__(self, number: int, process: subprocess.Popen[bytes], signs: int, directory: Path) -> None:
        self.process = process
        self.has_begun = False
        self._name = f"worker {number} (pid {process.pid})"
        self._signs = signs
        os.set_blocking(signs, False)
        self._note = directory / f"{number}-{process.pid}.silent"
        self._silence = 0.0
        self._is_silent = False
        self._is_killed = False

    def __str__(self) -> str:
        return self._name

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def look(self, elapsed: float = 0.0, timeout: float = 0.0) -> None:
        """Takes the signs of life. Logs when they stop and when they come again, and ends a worker that gives none.

        Args:
            elapsed: seconds since the last call. Only those of which the parent knows that it was running: a parent
                that was suspended together with its workers must not blame them. See `LONGEST_LOOK`.
            timeout: seconds of silence after which the worker is killed; 0: it never is.
        """
        if self._gave_a_sign():
            self.has_begun = True
            self._silence = 0.0
            if self._is_silent:
                self._is_silent = False
                self._forget()
                logger.info("%s answers again", self)
            return
        if not self.has_begun or self._is_killed:
            return
        self._silence += elapsed
        if timeout and self._silence >= timeout:
            logger.error("%s has not answered for %g seconds: ending it (--worker-timeout)", self, timeout)
            self._is_killed = True
            self.process.kill()
        elif not self._is_silent and self._silence >= (min(SILENT, timeout / 2) if timeout else SILENT):
            self._is_silent = True
            with contextlib.suppress(OSError):
                self._note.touch()
            logger.warning("%s does not answer: its event loop is blocked, or the process is stopped", self)

    def close(self) -> None:
        """Closes the pipe. The process has ended, or soon will."""
        self._forget()
        if self._signs >= 0:
            os.close(self._signs)
            self._signs = -1

    def _forget(self) -> None:
        # The directory may be gone.
        with contextlib.suppress(OSError):
            self._note.unlink(missing_ok=True)

    def _gave_a_sign(self) -> bool:
        try:
            return bool(os.read(self._signs, PIPE))
        except BlockingIOError:
            return False


SILENT = 10.0
"""Seconds without a sign of life after which the parent logs it."""

LONGEST_LOOK = 1.0
"""The most seconds that count from one look of the parent to its next."""

PIPE = 64 << 10
"""Bytes that a pipe holds."""
