"""Pages of the documentation that a reader follows: files to save, and commands with what they print.

A block with a title is a file. A block of `console` has commands, each after `$ `, and below each what it prints. A
command that ends in ` &` is a server, and stays until `kill $!`. Numbers may differ: a page cannot know them.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from helpers.wait import PROCESS

BLOCK = re.compile(r'^( *)```(\w+)(?: title="([^"]+)")?\n(.*?)^\1```', re.DOTALL | re.MULTILINE)
UNKNOWN = re.compile(r"\d+(?:\.\d+)?")
"""What differs from run to run: prices, numbers of messages."""


class Page:
    """Follows a page in a directory.

    Args:
        text: of the page.
        directory: where its files are saved and its commands run.
        port: a free port, which takes the place of the port 8000.
    """

    def __init__(self, text: str, directory: Path, port: int) -> None:
        self.port = port
        text = text.replace("8000", str(port))
        # Commands whose default is the port 8000.
        text = re.sub(r"\bfanwire (subscribe|publish) ", rf"fanwire \1 --url ws://127.0.0.1:{port} ", text)
        self.blocks = [(found[2], found[3], found[4]) for found in BLOCK.finditer(text)]
        self.directory = directory
        self._background: list[subprocess.Popen[str]] = []
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._env = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._background:
            self._end()

    def follow(self) -> int:
        """Saves each file and runs each command, in their order. Returns the number of commands."""
        count = 0
        for language, title, body in self.blocks:
            if title is not None:
                (self.directory / title).write_text(body)
            elif language == "console":
                for command, expected in commands(body):
                    self._run(command, expected)
                    count += 1
        return count

    def _run(self, command: str, expected: list[str]) -> None:
        if command == "kill $!":
            self._end()
        elif command.endswith(" &"):
            self._background.append(
                subprocess.Popen(
                    ["sh", "-c", f"exec {command[:-2]}"],
                    cwd=self.directory,
                    env=self._env,
                    text=True,
                    stderr=subprocess.PIPE,
                )
            )
            self._wait_for_port()
        else:
            done = subprocess.run(
                command,
                shell=True,
                cwd=self.directory,
                env=self._env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PROCESS,
            )
            assert shapes(done.stdout.splitlines()) == shapes(expected), f"{command}: {done.stdout}"

    def _wait_for_port(self) -> None:
        ends = time.monotonic() + PROCESS
        while time.monotonic() < ends:
            assert self._background[-1].poll() is None, "the server has ended"
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port), timeout=PROCESS).close()
                return
            time.sleep(0.02)
        raise AssertionError("the server does not listen")

    def _end(self) -> None:
        process = self._background.pop()
        process.terminate()
        _, errors = process.communicate(timeout=PROCESS)
        assert "Traceback" not in errors, errors


def commands(body: str) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the lines below it."""
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def shapes(lines: list[str]) -> list[str]:
    """Lines without what differs from run to run, in any order: standard output and errors are not in step."""
    return sorted(UNKNOWN.sub("N", line) for line in lines)
