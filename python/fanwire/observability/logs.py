"""Rate-limited logging, for lines that peers can cause: some of a kind are written, the rest are counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from fanwire.timing.token_bucket import Rate

__all__ = ["ONCE_A_MINUTE", "LimitedLog"]


class LimitedLog:
    """Writes to a logger at a limited rate for each kind of line.

    Lines that are left out are counted. The count is logged before the next line of the same kind, or a minute after
    the first line that was left out, whichever comes first.

    Args:
        logger: writes the lines.
        rate: of lines of one kind.
        suppressed: is called with the level of each line that is left out.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        logger: logging.Logger,
        rate: Rate,
        suppressed: Callable[[int], object] = lambda level: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._rate = rate
        self._suppressed = suppressed
        self._clock = clock
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def log(
        self, level: int, message: str, *args: object, kind: Hashable = None, error: BaseException | None = None
    ) -> None:
        """Writes a line, or counts it. Never raises.

        Args:
            level: of the `logging` module.
            message: with placeholders for `args`, as in `logging`.
            args: the values of the placeholders.
            kind: the lines of one kind share a rate; None: the message is the kind.
            error: an exception whose traceback is written with the line.
        """
        kind = message if kind is None else kind
        found = self._kinds.get(kind)
        if found is None:
            found = self._kinds[kind] = _Kind(level, message)
            if len(self._kinds) > MAX_KINDS:
                self._report(*self._kinds.popitem(last=False))
        if self._logger.isEnabledFor(level) and self._is_left_out(found):
            return
        self._report(kind, found)
        self._write(level, message, args, error)

    def flush(self) -> None:
        """Logs the counts of all kinds now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for kind, found in self._kinds.items():
            self._report(kind, found)

    def _is_left_out(self, found: _Kind) -> bool:
        if found.take(self._rate, self._clock()):
            return False
        found.left_out += 1
        self._suppressed(found.level)
        if self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(QUIET, self.flush)
            except RuntimeError:
                # Another thread: the next line of this kind, or the stop of the server, reports the count.
                self._timer = None
        return True

    def _report(self, kind: Hashable, found: _Kind) -> None:
        count, found.left_out = found.left_out, 0
        if count:
            what = ", ".join(map(str, kind)) if isinstance(kind, tuple) else kind
            self._write(found.level, "%d more lines of this kind were left out: %s", (count, what), None)

    def _write(self, level: int, message: str, args: tuple[object, ...], error: BaseException | None) -> None:
        # The application's filters, handlers and `__repr__` methods run in here: their errors must not stop the server.
        with contextlib.suppress(BaseException):
            self._logger.log(level, message, *args, exc_info=error)


class _Kind:
    __slots__ = ("left_out", "level", "message", "tokens", "when")

    def __init__(self, level: int, message: str) -> None:
        self.level = level
        self.message = message
        # Lines that may be written. Not a `TokenBucket`, which gives credit.
        self.tokens: float | None = None
        self.when = 0.0
        self.left_out = 0

    def take(self, rate: Rate, now: float) -> bool:
        """Whether one more line may be written now."""
        if not rate.cost:
            return True
        burst = rate.depth / rate.cost
        self.tokens = burst if self.tokens is None else min(burst, self.tokens + (now - self.when) / rate.cost)
        self.when = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


ONCE_A_MINUTE = Rate(1 / 60, 1)
"""For lines with a traceback: some kilobytes each."""

QUIET = 60.0
"""Seconds after the first line that was left out until the count is logged."""

MAX_KINDS = 1000
"""Kinds that are remembered, some 300 bytes each. Beyond it the oldest is forgotten."""
