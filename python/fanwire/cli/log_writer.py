"""A handler of `logging` whose lines are written by a thread of its own. It does not format them: a formatter does.

Whoever logs never waits for the target: a pipe whose reader stalls would stop the event loop. The lines wait in order,
and their number and their bytes are bounded. Lines that do not fit, or that the target refuses, are counted.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple, TextIO

__all__ = ["LogWriter"]


class LogWriter(logging.Handler):
    """Writes lines to the descriptor of a stream. Never raises, and never blocks the caller.

    A record is formatted by the caller, so that it shows what was true then. Lines that are left out are told in the
    log as soon as the target takes lines again.

    Args:
        stream: has the descriptor and the encoding. Its buffer is not used, because Python would wait for it at its
            exit.

    Raises:
        AttributeError, OSError or ValueError: the stream has no descriptor.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._fd = stream.fileno()
        self._encoding = stream.encoding
        # A queue that may be used again in the middle of its own methods, as by a destructor that logs.
        self._queue: SimpleQueue[_WaitingLine | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._is_closed = False
        self._is_full = False
        # Of lines and bytes: the callers change the first of each two, under the handler's lock; the thread the second.
        self._put = self._put_bytes = 0
        self._taken = self._taken_bytes = 0
        # Lines that did not fit, and how many of them the log has told. Then those that the target has refused.
        self._dropped = 0
        self._told = 0
        self._refused = 0
        self._is_torn = False
        self._counts: Counter[int] = Counter()
        self._count: Callable[[int, int], object] | None = None

    def count_by(self, count: Callable[[int, int], object]) -> None:
        """Sets what is called with the level and the number of lines that are left out, from any thread. It is called
        at once for those before."""
        self._count = count
        for level, number in self._counts.items():
            count(level, number)

    def emit(self, record: logging.LogRecord) -> None:
        """Has a record written. `logging` calls it under the handler's lock."""
        data = self._encoded(record)
        if self._has_no_thread():
            self._write_line(_WaitingLine(record.levelno, data, self._dropped))
            return
        lines, size = self._put - self._taken, self._put_bytes - self._taken_bytes
        if self._is_full:
            # Not before half of them are written: otherwise each line would be followed by one about others.
            self._is_full = lines > LINES_MAX // 2 or size > BYTES_MAX // 2
        if self._is_full or self._is_closed or lines >= LINES_MAX or (lines and size + len(data) > BYTES_MAX):
            self._is_full = True
            self._dropped += 1
            self._left_out(record.levelno)
            return
        self._put += 1
        self._put_bytes += len(data)
        self._queue.put(_WaitingLine(record.levelno, data, self._dropped))

    def close(self) -> None:
        """Waits until the waiting lines are written, two seconds at most."""
        thread = self._thread
        if thread is not None and not self._is_closed and self._process == os.getpid():
            self._is_closed = True
            self._queue.put(None)
            thread.join(END)
        super().close()

    def _has_no_thread(self) -> bool:
        """Whether the caller has to write the line: after the end, in a forked child, and if no thread can start."""
        if self._process != os.getpid():
            return True
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fanwire-log", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None
                return True
        return self._is_closed and not self._thread.is_alive()

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            self._write_line(line)
            self._taken += 1
            self._taken_bytes += len(line.data)
            if self._queue.empty() and self._dropped > self._told:
                self._write_line(_WaitingLine(logging.WARNING, b"", self._dropped))
        if self._refused or self._dropped > self._told:
            self._write_line(_WaitingLine(logging.WARNING, b"", self._dropped))

    def _write_line(self, line: _WaitingLine) -> None:
        """Writes a line, behind one that tells how many are missing before it."""
        missing = self._refused + line.dropped_before - self._told
        try:
            self._write(self._report(missing) + line.data if missing > 0 else line.data)
        except OSError:
            # For example the disk is full, or the reader of the pipe has ended.
            if line.data:
                self._refused += 1
                self._left_out(line.level)
        else:
            self._refused = 0
            self._told = line.dropped_before

    def _write(self, data: bytes) -> None:
        left = memoryview(b"\n" + data if self._is_torn else data)
        while left:
            try:
                written = os.write(self._fd, left)
            except BlockingIOError:
                # Another process may have made the descriptor non-blocking.
                select.select([], [self._fd], [])
                continue
            # If the rest fails, the next line must not begin in the middle of this one.
            self._is_torn = True
            left = left[written:]
        self._is_torn = False

    def _encoded(self, record: logging.LogRecord) -> bytes:
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - the arguments of a record are the application's
            # `logging` would write this to the standard error itself, and block.
            place = f"{record.pathname}:{record.lineno}"
            info = (type(error), error, error.__traceback__)
            text = self.format(
                logging.LogRecord(
                    record.name, logging.ERROR, record.pathname, record.lineno, "cannot format the record of %s",
                    (place,), info,
                )
            )  # fmt: skip
        return f"{text}\n".encode(self._encoding, "backslashreplace")

    def _report(self, missing: int) -> bytes:
        record = logging.LogRecord("fanwire", logging.WARNING, __file__, 0, MISSING, (missing,), None)
        return self._encoded(record)

    def _left_out(self, level: int) -> None:
        if self._count is None:
            self._counts[level] += 1
        else:
            self._count(level, 1)


class _WaitingLine(NamedTuple):
    """A line that waits.

    Attributes:
        level: of its record.
        data: the line; empty: only the report of missing lines is to be written.
        dropped_before: how many lines did not fit before it, since the start.
    """

    level: int
    data: bytes
    dropped_before: int


MISSING = "%d lines of the log are missing here: its target did not take them"

LINES_MAX = 10_000
"""Lines that may wait: some megabytes."""

BYTES_MAX = 16 << 20
"""Bytes that may wait. One line may be larger, if no other waits."""

END = 2.0
"""Seconds for the waiting lines at the end of the process."""
