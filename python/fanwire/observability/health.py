"""The errors of a server: logged at a limited rate, counted, and shown by its readiness."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from fanwire.observability.logs import ONCE_A_MINUTE, LimitedLog
from fanwire.timing.token_bucket import Rate

__all__ = ["Counters", "Health"]

logger = logging.getLogger("fanwire")


class Counters:
    """The counters of errors. This class counts nothing; metrics override it."""

    def handler_error(self, handler: str) -> None:
        """Counts an error of a function of the application, by its qualified name."""

    def internal_error(self, where: str) -> None:
        """Counts an error of the server itself."""

    def connection_closed(self, code: int, side: str) -> None:
        """Counts a connection that has ended: its close code, and "client", "server" or "network"."""

    def session_resumed(self, outcome: str) -> None:
        """Counts a request to resume a session: "resumed", or the reason of docs/protocol.md why it was not."""

    def line_suppressed(self, level: int, count: int = 1) -> None:
        """Counts log lines that were left out."""


class Health:
    """Logs and counts the errors of one server, and watches its parts.

    Args:
        counters: count errors; None: they are only logged.

    Attributes:
        counters: see above; a class that counts nothing if there are none.
    """

    def __init__(self, counters: Counters | None = None) -> None:
        self.counters = self._counters = counters = counters or Counters()
        self._errors = LimitedLog(logger, ONCE_A_MINUTE, counters.line_suppressed)
        self._lines = LimitedLog(logger, Rate(1, 50), counters.line_suppressed)
        self._dead: dict[str, str] = {}
        self._troubles: dict[str, str] = {}
        self._checks: dict[str, Callable[[], bool]] = {}
        self._is_ending = False

    def begin(self) -> None:
        """Forgets the faults of an earlier run: the server starts."""
        self._dead.clear()
        self._troubles.clear()
        self._checks.clear()
        self._is_ending = False

    def end(self) -> None:
        """Notes that the server stops: from now on its parts may end."""
        self._is_ending = True

    def flush(self) -> None:
        """Logs the counts of the lines that were left out: the server has stopped."""
        # The checks refer to the engine, and would keep its descriptors open.
        self._checks.clear()
        self._errors.flush()
        self._lines.flush()

    @property
    def faults(self) -> dict[str, str]:
        """The parts of the server that do not work, each with the reason; empty: all work."""
        stuck = {what: "it makes no progress" for what, is_well in self._checks.items() if not is_well()}
        return {**stuck, **self._dead}

    @property
    def troubles(self) -> dict[str, str]:
        """Parts beside the serving of clients that do not work now, each with the reason. The server stays ready."""
        return {**self._troubles}

    def note(self, what: str, why: str | None) -> None:
        """Notes why a part beside the serving of clients does not work now; None: it works."""
        if why is None:
            self._troubles.pop(what, None)
        else:
            self._troubles[what] = why

    def check(self, what: str, is_well: Callable[[], bool]) -> None:
        """Adds a check, which `faults` calls: it returns whether a part of the server works."""
        self._checks[what] = is_well

    def watch(self, what: str, task: asyncio.Future[Any]) -> None:
        """Watches a task that has to run until the server stops. If it ends before, the server is not ready."""

        def ended(task: asyncio.Future[Any]) -> None:
            error = None if task.cancelled() else task.exception()
            if not self._is_ending:
                self.died(what, error)

        task.add_done_callback(ended)

    def died(self, what: str, error: BaseException | None) -> None:
        """Notes that a part has ended that has to run until the stop: the server is not ready any more."""
        self._dead[what] = "it has ended" if error is None else f"{type(error).__name__}"
        self._counters.internal_error(what)
        self._errors.log(logging.CRITICAL, "%s has ended, restart the server", what, kind=what, error=error)

    def internal_error(self, where: str, error: BaseException) -> None:
        """Logs and counts an error of the server itself, which goes on."""
        self._counters.internal_error(where)
        kind = (where, type(error).__qualname__)
        self._errors.log(logging.ERROR, "%s failed", where, kind=kind, error=error)

    def handler_error(self, handler: str, about: object, error: BaseException) -> None:
        """Logs and counts an error of a function of the application.

        For each function, type of error and line that raised it, one traceback a minute is logged.

        Args:
            handler: its qualified name.
            about: the connection or the request that it was called for.
            error: what it has raised.
        """
        self._counters.handler_error(handler)
        # By the line that has raised, not by the text: a text may hold what a peer has sent, and lines are bounded.
        kind = (handler, type(error).__qualname__, *_place_of(error))
        self._errors.log(logging.ERROR, "handler %s failed for %r", handler, about, kind=kind, error=error)

    def info(self, message: str, *args: object) -> None:
        """Logs an INFO line about a peer: 50 of one kind at once, then one a second."""
        self._lines.log(logging.INFO, message, *args)

    def warning(self, message: str, *args: object) -> None:
        """Logs a WARNING line about a peer, at the same rate."""
        self._lines.log(logging.WARNING, message, *args)

    def hint(self, message: str, *args: object) -> None:
        """Logs a WARNING line about what may be a mistake of the application: one of a kind a minute."""
        self._errors.log(logging.WARNING, message, *args)


def _place_of(error: BaseException) -> list[str]:
    """Where an error was raised, such as "app.py:12"; nothing if it was not."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return [] if trace is None else [f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"]
