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
    """Handles the signals that ask a process to end. In another thread than the main one, and on loops that cannot
    handle signals, it does nothing.

    The first signal is told to the loop. From then on both have the system's own action, which no handler, no thread
    and no loop that stands still can keep from ending the process.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle(self, asked: asyncio.Future[None]) -> None:
        """Has the first signal complete a future of the running loop. A second one ends the process."""
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
            # Some loops have no signals, or cannot be woken by them.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, ask_to_stop, number)
                self._loop = loop
                self._before.setdefault(number, before)
                # The loop is woken all the same. It may stand still, and this is called even then.
                signal.signal(number, lambda number, frame: self._let_through())

    def release(self) -> None:
        """From now on a signal ends the process. On the loop's thread."""
        loop, self._loop = self._loop, None
        if loop is not None:
            for number in self._before:
                loop.remove_signal_handler(number)
            self._let_through()

    def end_at_once(self) -> None:
        """The same for a process whose signals were not handled yet. In the main thread."""
        for number in NUMBERS:
            self._before.setdefault(number, signal.getsignal(number))
        self._let_through()

    def restore(self) -> None:
        """Gives the signals back to the handlers that the process had before, if they are from Python."""
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
