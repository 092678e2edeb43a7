"""SIGINT and SIGTERM, where Python can hand them to an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from typing import Any

__all__ = ["NUMBERS", "Signals"]

logger = logging.getLogger("fanwire")


class Signals:
    """Handles SIGINT and SIGTERM. It does nothing in another thread than the main one, and on loops without signals.

    The first signal goes to the loop. After that both signals have the system's default action, which ends the process
    even if a handler, a thread or the loop is stuck.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle(self, asked: asyncio.Future[None]) -> None:
        """Handles the signals: the first completes `asked`, a future of the running loop; a second ends the process."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def ask_to_stop(number: signal.Signals) -> None:
            logger.info("%s: draining", number.name)
            self.release()
            if not asked.done():
                asked.set_result(None)

        for number in NUMBERS:
            before = signal.getsignal(number)
            # Some loops do not support signals.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, ask_to_stop, number)
                self._loop = loop
                self._before.setdefault(number, before)
                # The loop is woken all the same. Python calls this even if the loop is stuck.
                signal.signal(number, lambda number, frame: self._let_through())

    def release(self) -> None:
        """Gives the signals their default action, which ends the process. On the loop's thread."""
        loop, self._loop = self._loop, None
        if loop is not None:
            for number in self._before:
                loop.remove_signal_handler(number)
            self._let_through()

    def end_at_once(self) -> None:
        """Gives the signals their default action before `handle` was called. In the main thread."""
        for number in NUMBERS:
            self._before.setdefault(number, signal.getsignal(number))
        self._let_through()

    def restore(self) -> None:
        """Restores the signal handlers that the process had before, if they were set by Python."""
        for number, before in self._before.items():
            if before is not None:
                signal.signal(number, before)
            elif number == signal.SIGINT:
                signal.signal(number, signal.default_int_handler)
        self._before.clear()

    def _let_through(self) -> None:
        for number in self._before:
            signal.signal(number, signal.SIG_DFL)


NUMBERS = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a process to end."""
