"""SIGINT and SIGTERM, where Python can hand them to an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from typing import Any

__all__ = ["Signals"]

logger = logging.getLogger("fanwire")


class Signals:
    """Handles the signals that ask a process to end. In another thread than the main one, and on loops that cannot
    handle signals, it does nothing."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def handle(self, asked: asyncio.Future[None]) -> None:
        """Has the first signal complete a future of the running loop. A second one ends the process."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def ask_to_stop(number: signal.Signals) -> None:
            logger.info("%s: draining", number.name)
            loop.remove_signal_handler(number)
            if not asked.done():
                asked.set_result(None)

        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            # Some loops have no signals, or cannot be woken by them.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, ask_to_stop, number)
                self._before[number] = before

    def release(self) -> None:
        """From now on a signal ends the process."""
        for number in self._before:
            asyncio.get_running_loop().remove_signal_handler(number)

    def restore(self) -> None:
        """Gives the signals back to the handlers that the process had before, if they are from Python."""
        for number, before in self._before.items():
            if before is not None:
                signal.signal(number, before)
