"""Reads a small file that a setting names. Blocks, but not for ever: a named pipe is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["read_small_file"]


def read_small_file(path: str, most: int) -> bytes:
    """Returns the content of a file, or its first `most` + 1 bytes if it is larger.

    Pipes of a shell, as in `--config <(command)`, are read: they end when the command does.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a named pipe, which would block until somebody writes to it, or a socket.
    """
    kind = Path(path).stat().st_mode
    # A pipe without a name, such as /dev/fd/63, has no file behind its link.
    if stat.S_ISSOCK(kind) or (stat.S_ISFIFO(kind) and Path(os.path.realpath(path)).is_fifo() and not _is_open(path)):
        raise ValueError("it is no file, but a pipe or a socket")
    with Path(path).open("rb") as file:
        return file.read(most + 1)


def _is_open(path: str) -> bool:
    """Whether a path stands for a descriptor of this process, on systems where that is no link."""
    return path.startswith("/dev/")
