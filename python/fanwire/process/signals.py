"""SIGINT and SIGTERM, and SIGHUP for new certificates, where Python can hand them to an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["NUMBERS", "Signals", "ignore_hangups", "is_free"]

logger = logging.getLogger("fanwire")


class Signals:
    """Handles SIGINT and SIGTERM, and perhaps SIGHUP. It does nothing in another thread than the main one, and on loops
    without signals.

    The first SIGINT or SIGTERM goes to the loop. After that both signals have the system's default action, which ends
    the process even if a handler, a thread or the loop is stuck. SIGHUP is then ignored.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reloads = False
        self._hangup_before: Any = None
        self._takes_hangups = False
        self._was_hung_up = False

    def expect_reloads(self) -> None:
        """Takes SIGHUP before `handle`, which calls its `reload` if one has come: the server starts, and may have read
        its certificates already."""
        if threading.current_thread() is threading.main_thread() and is_free(signal.SIGHUP):
            self._hangup_before = signal.getsignal(signal.SIGHUP)
            self._takes_hangups = True
            signal.signal(signal.SIGHUP, self._hung_up)

    def handle(self, asked: asyncio.Future[None], reload: Callable[[], object] | None = None) -> None:
        """Handles the signals.

        Args:
            asked: a future of the running loop, which the first SIGINT or SIGTERM completes; a second ends the process.
            reload: called on the loop at each SIGHUP, after `expect_reloads`, unless the application handles that
                itself. None: SIGHUP keeps its action.
        """
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
        if reload is not None and self._takes_hangups and signal.getsignal(signal.SIGHUP) == self._hung_up:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(signal.SIGHUP, reload)
                self._reloads = True
            if self._was_hung_up:
                reload()

    def release(self) -> None:
        """Gives the signals their default action, which ends the process. On the loop's thread."""
        loop, self._loop = self._loop, None
        if loop is not None and self._reloads:
            # One that comes while the server drains must not end it.
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
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
        if self._reloads or (self._takes_hangups and signal.getsignal(signal.SIGHUP) == self._hung_up):
            signal.signal(signal.SIGHUP, self._hangup_before)
        self._reloads = self._takes_hangups = False

    def _hung_up(self, number: int, frame: object) -> None:
        self._was_hung_up = True

    def _let_through(self) -> None:
        for number in self._before:
            signal.signal(number, signal.SIG_DFL)


def is_free(number: signal.Signals) -> bool:
    """Whether nothing in this process handles a signal."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN)


def ignore_hangups() -> None:
    """Ignores SIGHUP until something handles it, unless something does: a server with TLS has not read its certificates
    yet."""
    if threading.current_thread() is threading.main_thread() and is_free(signal.SIGHUP):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


NUMBERS = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a process to end."""
