"""The lines of a descriptor, which are published one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanwire.cli.lines as reading
from fanwire.cli.failure import CommandFailed
from fanwire.cli.lines import read_lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)


async def test_lines_come_whole_however_they_are_cut(pipe: tuple[int, int]) -> None:
    read, write = pipe
    lines = read_lines(read)
    os.write(write, b"one\nt")
    assert await anext(lines) == b"one"
    os.write(write, b"w")
    os.write(write, b"o\n\nthr")
    assert [await anext(lines), await anext(lines)] == [b"two", b""]
    os.write(write, b"ee")
    os.close(write)
    # The last one has no end, and is one all the same.
    assert [line async for line in lines] == [b"three"]


async def test_no_lines_of_nothing(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    assert [line async for line in read_lines(pipe[0])] == []


async def test_files_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d\n" % n for n in range(50_000)))
    with path.open("rb") as file:
        assert [line async for line in read_lines(file.fileno())] == [b"%d" % n for n in range(50_000)]


async def test_a_line_without_end_has_an_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LINE_MAX", 1000)
    os.write(pipe[1], b"x" * 2000)
    with pytest.raises(CommandFailed, match="longer than 1000"):
        await anext(read_lines(pipe[0]))
    os.close(pipe[1])
