"""When a parent says that a worker is silent, and when it ends it. The process is real, its signs are the test's."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.wait import DEADLINE

from fanwire.cli.worker_process import LONGEST_LOOK, WorkerProcess

pytestmark = pytest.mark.logs_errors


class Worker(WorkerProcess):
    """A worker that gives signs when the test says so."""

    def __init__(self, directory: Path) -> None:
        signs, self.gives = os.pipe()
        super().__init__(1, subprocess.Popen(["sleep", str(10 * DEADLINE)]), signs, directory)

    def sign(self) -> None:
        os.write(self.gives, b"\n")

    def wait(self, seconds: float, timeout: float = 60.0) -> None:
        """The parent looks for so long."""
        for _ in range(int(seconds / LONGEST_LOOK)):
            self.look(LONGEST_LOOK, timeout)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    yield made
    os.close(made.gives)
    made.close()
    made.process.kill()
    made.process.wait(DEADLINE)


@pytest.fixture
def texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.INFO)
    return Texts(caplog)


class Texts(list[str]):
    """The lines of the log since the last look at them."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def taken(self) -> list[str]:
        found = [f"{record.levelname} {record.getMessage()}" for record in self._caplog.records]
        self._caplog.clear()
        return found


def test_a_silent_worker_is_told_once_and_again_when_it_answers(worker: Worker, texts: Texts, tmp_path: Path) -> None:
    name = f"worker 1 (pid {worker.process.pid})"
    worker.sign()
    worker.look()
    worker.wait(9)
    assert texts.taken() == []
    worker.wait(20)
    assert texts.taken() == [f"WARNING {name} does not answer: its event loop is blocked, or the process is stopped"]
    assert [path.stem for path in tmp_path.glob("*.silent")] == [f"1-{worker.process.pid}"]
    worker.sign()
    worker.look()
    assert texts.taken() == [f"INFO {name} answers again"]
    assert not list(tmp_path.iterdir())
    # The silence begins anew.
    worker.wait(9)
    assert texts.taken() == []
    assert not worker.has_ended()


def test_a_worker_that_stays_silent_is_killed(worker: Worker, texts: Texts, tmp_path: Path) -> None:
    worker.sign()
    worker.look()
    worker.wait(59)
    assert not worker.has_ended()
    texts.taken()
    worker.wait(5)
    assert texts.taken() == [f"ERROR {worker} has not answered for 60 seconds: ending it (--worker-timeout)"]
    assert worker.process.wait(DEADLINE) == -signal.SIGKILL
    worker.close()
    assert not list(tmp_path.iterdir())


def test_with_a_timeout_of_0_it_is_only_told(worker: Worker, texts: Texts) -> None:
    worker.sign()
    worker.look()
    worker.wait(10_000, timeout=0.0)
    assert [text.split()[0] for text in texts.taken()] == ["WARNING"]
    assert not worker.has_ended()


def test_a_short_timeout_is_told_at_half_of_it(worker: Worker, texts: Texts) -> None:
    worker.sign()
    worker.look()
    worker.wait(4, timeout=8.0)
    assert [text.split()[0] for text in texts.taken()] == ["WARNING"]


def test_the_silence_of_a_worker_that_starts_means_nothing(worker: Worker, texts: Texts) -> None:
    worker.wait(1000)
    assert not worker.has_begun
    assert texts.taken() == []


def test_a_worker_that_has_closed_its_pipe_is_silent(tmp_path: Path, worker: Worker, texts: Texts) -> None:
    worker.sign()
    worker.look()
    # What reads the old pipe is at its end.
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, worker.gives)
    os.close(write)
    worker.wait(10)
    assert [text.split()[0] for text in texts.taken()] == ["WARNING"]


def test_without_the_directory_the_log_has_it_all_the_same(worker: Worker, texts: Texts, tmp_path: Path) -> None:
    tmp_path.rename(tmp_path.with_name("gone"))
    worker.sign()
    worker.look()
    worker.wait(10)
    worker.sign()
    worker.look()
    assert [text.split()[0] for text in texts.taken()] == ["WARNING", "INFO"]
