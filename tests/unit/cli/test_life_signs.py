"""The signs of life that a worker gives, and what it learns of the others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.wait import until

import fanwire.cli.life_signs as life_signs
from fanwire.cli.life_signs import LifeSigns


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    os.close(read)
    os.close(write)


def size(fd: int) -> int:
    try:
        return len(os.read(fd, 1 << 16))
    except BlockingIOError:
        return 0


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life_signs, "PERIOD", 0.01)


async def test_signs_come_for_as_long_as_the_loop_runs(pipe: tuple[int, int], tmp_path: Path) -> None:
    read, write = pipe
    LifeSigns(write, tmp_path, lambda what, why: None).begin()
    assert size(read) == 1
    for _ in range(3):
        await until(lambda: size(read), "another sign")
    assert not os.get_inheritable(write)


async def test_the_signs_end_with_the_parent(tmp_path: Path) -> None:
    read, write = os.pipe()
    LifeSigns(write, tmp_path, lambda what, why: None).begin()
    os.close(read)
    await until(lambda: not is_open(write), "the pipe is closed")


async def test_a_parent_that_does_not_read_blocks_nothing(pipe: tuple[int, int], tmp_path: Path) -> None:
    read, write = pipe
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"-" * 4096)
    signs = LifeSigns(write, tmp_path, lambda what, why: None)
    signs.begin()
    while size(read):
        pass
    await until(lambda: size(read) == 1, "a sign after the parent has read")


async def test_workers_that_do_not_answer_are_noted(pipe: tuple[int, int], tmp_path: Path) -> None:
    noted: list[tuple[str, str | None]] = []
    LifeSigns(pipe[1], tmp_path, lambda what, why: noted.append((what, why))).begin()
    (tmp_path / "0.sock").touch()
    (tmp_path / "2-123.silent").touch()
    await until(lambda: noted, "it is noted")
    (tmp_path / "2-123.silent").unlink()
    await until(lambda: len(noted) == 2, "it answers again")
    assert noted == [("worker 2 (pid 123)", "it does not answer"), ("worker 2 (pid 123)", None)]
