"""What the parent does when a worker ends. The processes are real, and do nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from helpers.wait import DEADLINE, until, within

from fanwire.cli import workers as module
from fanwire.cli.worker_process import WorkerProcess
from fanwire.listening.listeners import Listeners, Unix


@pytest.mark.logs_errors
async def test_a_worker_that_cannot_be_started_again_is_tried_later_and_the_others_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[int, WorkerProcess]] = []
    failures = 2

    def start(env: dict[str, str], number: int, fds: Any, directory: Path) -> WorkerProcess:
        nonlocal failures
        if len(started) == 2 and failures:
            failures -= 1
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        signs, gives = os.pipe()
        os.write(gives, b"\n")
        process = subprocess.Popen(["sleep", str(10 * DEADLINE)], pass_fds=[gives])
        os.close(gives)
        started.append((number, WorkerProcess(number, process, signs, directory)))
        assert env.get(module.RESTARTS_VARIABLE, "0") == str(len(started) // 3)
        return started[-1][1]

    monkeypatch.setattr(module, "_start", start)
    monkeypatch.setattr(module, "RESTART", 0.01)
    listeners = Listeners(Unix(tmp_path / "socket"))
    begun = asyncio.Event()
    running = asyncio.ensure_future(module.run_workers(2, listeners, 10, {}, DEADLINE, begun.set))
    await within(begun.wait())
    (_, first), (_, second) = started
    first.process.kill()
    await until(lambda: len(started) == 3 or running.done())
    assert [number for number, _ in started] == [0, 1, 0]
    assert (failures, second.has_ended(), started[2][1].has_ended()) == (0, False, False)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(running)
    assert all(worker.has_ended() for _, worker in started)
