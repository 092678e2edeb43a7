"""What is read, and what is refused because it would block."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.commands import run

from fanwire.cli.small_file import read_small_file


def test_a_file_and_the_beginning_of_a_larger_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_small_file(str(file), 5) == b"12345"
    assert read_small_file(str(file), 3) == b"1234"


def test_a_pipe_of_a_shell_is_read() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"content")
        os.close(writing)
        assert read_small_file(f"/dev/fd/{reading}", 10) == b"content"
    finally:
        os.close(reading)


def test_a_named_pipe_is_refused(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(ValueError, match="it is no file, but a pipe or a socket"):
            read_small_file(str(path), 10)


def test_no_setting_waits_for_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    result = run("config", "check", str(pipe))
    assert (result.exit_code, result.stderr) == (2, f"Error: {pipe}: it is no file, but a pipe or a socket\n")
    result = run("config", "check", env={"FANWIRE_SERVER__API_KEYS_FILE": str(pipe)})
    assert result.exit_code == 2
    assert "FANWIRE_SERVER__API_KEYS_FILE: cannot read the file that it names: it is no file" in result.stderr
