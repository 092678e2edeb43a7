"""The thread that writes the log: order, bounds, what is counted, and its end. The targets are real descriptors."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from helpers.wait import DEADLINE, PROCESS, until_sync

import fanwire.cli.log_writer as log_writer
from fanwire.cli.log_writer import LogWriter

MISSING = re.compile(r"(\d+) lines of the log are missing here: its target did not take them")


class Target:
    """A pipe, whose reader stalls until it is told to read."""

    def __init__(self) -> None:
        self.read_end, write_end = os.pipe()
        self.stream: TextIO = os.fdopen(write_end, "w", encoding="utf-8")
        self.filler = 0
        self._writers: list[LogWriter] = []

    def writer(self) -> LogWriter:
        made = LogWriter(self.stream)
        self._writers.append(made)
        return made

    def stall(self) -> None:
        """Fills the pipe."""
        fd = self.stream.fileno()
        os.set_blocking(fd, False)
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.filler += os.write(fd, b"-" * size)
        os.set_blocking(fd, True)

    def lines(self) -> list[str]:
        """What was written after the filling, when the writing end is closed."""
        self.stream.close()
        found = bytearray()
        while chunk := os.read(self.read_end, 1 << 16):
            found += chunk
        return found[self.filler :].decode().splitlines()

    def close(self) -> None:
        # First the reading end: a thread that waits for a reader ends. The writing end may be another's file then.
        os.close(self.read_end)
        for writer in self._writers:
            writer.close()
            if writer._thread is not None:
                writer._thread.join(DEADLINE)
        self.stream.close()


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the thread writes at the end is looked at, however slow it is."""
    monkeypatch.setattr(log_writer, "END", DEADLINE)


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()


def logger_of(writer: LogWriter) -> logging.Logger:
    made = logging.Logger("shop")
    made.addHandler(writer)
    return made


def counted(writer: LogWriter) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    writer.count_by(lambda level, number: seen.append((level, number)))
    return seen


def test_lines_are_written_in_order_and_all_of_them_at_the_end(target: Target) -> None:
    writer = target.writer()
    logger = logger_of(writer)
    for number in range(500):
        logger.info("line %d", number)
    writer.close()
    assert target.lines() == [f"line {number}" for number in range(500)]


def test_a_record_shows_what_was_true_when_it_was_logged(target: Target) -> None:
    target.stall()
    writer = target.writer()
    logger, order = logger_of(writer), ["tea"]
    logger.info("order %s", order)
    order.clear()
    try:
        raise ValueError("no tea")
    except ValueError:
        logger.exception("broken")
    os.read(target.read_end, target.filler)
    target.filler = 0
    writer.close()
    lines = target.lines()
    assert lines[:2] == ["order ['tea']", "broken"]
    assert lines[-1] == "ValueError: no tea"


def test_what_does_not_fit_is_counted_and_told_where_it_is_missing(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "LINES_MAX", 10)
    target.stall()
    writer = target.writer()
    logger, seen = logger_of(writer), counted(writer)
    for number in range(15):
        logger.log(logging.INFO if number < 12 else logging.ERROR, "line %d", number)
    assert seen == [(logging.INFO, 1)] * 2 + [(logging.ERROR, 1)] * 3
    os.read(target.read_end, target.filler)
    target.filler = 0
    # No line follows that could tell it.
    until_sync(lambda: writer._told == 5, "the missing lines are told")
    logger.info("after")
    writer.close()
    assert [MISSING.sub(r"\1 missing", line) for line in target.lines()] == [
        *(f"line {number}" for number in range(10)), "5 missing", "after",
    ]  # fmt: skip


def test_the_bytes_that_wait_are_bounded(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "BYTES_MAX", 100)
    target.stall()
    writer = target.writer()
    logger, seen = logger_of(writer), counted(writer)
    # One is written whatever its size is.
    logger.info("x" * 200)
    logger.info("y")
    assert seen == [(logging.INFO, 1)]
    assert writer._queue.qsize() <= 1


def test_lines_that_the_target_refuses_are_counted_and_told(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = target.writer()
    logger, seen = logger_of(writer), counted(writer)
    refusals, write = [3, None, None], os.write

    def full(fd: int, data: memoryview) -> int:
        # A disk that becomes full in the middle of the second line, and has room again two lines later.
        if not logged or not refusals:
            return write(fd, data)
        some = refusals.pop(0)
        if some is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:some])

    logged: list[str] = []
    monkeypatch.setattr(log_writer.os, "write", full)
    for number in range(4):
        logger.info("line %d", number)
        until_sync(lambda number=number: writer._taken == number + 1, "the thread has tried")  # type: ignore[misc]  # bound
        logged.append("")
    writer.close()
    lines = [MISSING.sub(r"\1 missing", line) for line in target.lines()]
    assert lines == ["line 0", "lin", "2 missing", "line 3"]
    assert seen == [(logging.INFO, 1)] * 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_target_is_counted_from_the_first_line_on() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        writer = LogWriter(stream)
        logger = logger_of(writer)
        logger.info("lost")
        logger.warning("lost")
        writer.close()
        assert counted(writer) == [(logging.INFO, 1), (logging.WARNING, 1)]


def test_a_non_blocking_target_is_waited_for(target: Target) -> None:
    target.stall()
    os.set_blocking(target.stream.fileno(), False)
    writer = target.writer()
    logger_of(writer).info("line")
    os.read(target.read_end, target.filler)
    target.filler = 0
    writer.close()
    assert target.lines() == ["line"]


def test_a_stalled_target_does_not_keep_the_end(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "END", 0.01)
    target.stall()
    writer = target.writer()
    logger, seen = logger_of(writer), counted(writer)
    logger.info("stuck")
    writer.close()
    logger.info("after the end")
    assert seen == [(logging.INFO, 1)]
    os.read(target.read_end, target.filler)
    target.filler = 0
    assert writer._thread is not None
    writer._thread.join(DEADLINE)
    assert [MISSING.sub(r"\1 missing", line) for line in target.lines()] == ["stuck", "1 missing"]


def test_a_line_after_the_end_is_written(target: Target) -> None:
    writer = target.writer()
    logger = logger_of(writer)
    logger.info("one")
    writer.close()
    logger.info("two")
    writer.close()
    assert target.lines() == ["one", "two"]


def test_a_record_that_cannot_be_formatted_is_told_in_the_log(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = target.writer()
    logger_of(writer).info("%d", "no number")
    writer.close()
    lines = target.lines()
    assert re.fullmatch(r"cannot format the record of .*test_log_writer\.py:\d+", lines[0])
    assert lines[-1].startswith("TypeError: ")
    assert capsys.readouterr().err == ""


def test_a_stream_without_a_descriptor_is_refused() -> None:
    with pytest.raises(OSError, match="fileno"):
        LogWriter(io.StringIO())


FORK = """
import logging, os
from fanwire.cli import log_writer
from fanwire.cli.log_format import log_to_stderr
log_writer.END = 20
log_to_stderr("info", "console")
log = logging.getLogger("shop")
log.info("before the fork")
child = os.fork()
if child == 0:
    log.info("of the child")
    os._exit(0)
os.waitpid(child, 0)
log.info("of the parent")
"""


def test_a_forked_child_writes_its_own_lines() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=PROCESS, check=True)
    texts = [line.partition("shop: ")[2] for line in done.stderr.splitlines()]
    assert sorted(texts) == ["before the fork", "of the child", "of the parent"]
