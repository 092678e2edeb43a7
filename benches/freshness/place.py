"""What the processes of this bench share: their CPU, and what their loggers warn of."""

from __future__ import annotations

import contextlib
import logging
import os

SERVER_CPU, READER_CPU = 0, 1
MOST_TEXTS = 20


def pin(cpu: int, *, idle: bool = False) -> None:
    """Keeps this process to a CPU, where there are two of them. An idle one has only what others leave of it."""
    if {SERVER_CPU, READER_CPU} <= os.sched_getaffinity(0):
        os.sched_setaffinity(0, {cpu})
    if idle:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Warnings(logging.Handler):
    """Keeps the first texts that a logger says from WARNING on."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.texts) < MOST_TEXTS:
            self.texts.append(record.getMessage())
