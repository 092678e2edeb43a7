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
            self.release()
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
        loop = asyncio.get_running_loop()
        for number in self._before:
            loop.remove_signal_handler(number)
        if signal.SIGINT in self._before:
            signal.signal(signal.SIGINT, lambda number, frame: interrupt(loop))

    def restore(self) -> None:
        """Gives the signals back to the handlers that the process had before, if they are from Python."""
        for number, before in self._before.items():
            if before is not None:
                signal.signal(number, before)
            elif number == signal.SIGINT:
                signal.signal(number, signal.default_int_handler)


def interrupt(loop: asyncio.AbstractEventLoop) -> None:
    """Has the loop raise KeyboardInterrupt, where nobody takes it for the failure of a handler: raised in the middle of
    whatever runs, it would be contained there, and the process stay. If the loop is kept by something, the next Ctrl-C
    ends that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    loop.call_soon_threadsafe(raise_interrupt)


def raise_interrupt() -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt
