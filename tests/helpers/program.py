"""`python -m fanwire` as a process of its own, whose lines are waited for with a deadline."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from helpers.wait import PROCESS


class Program:
    """A running command. It is killed at the latest when its `with` ends.

    Args:
        args: of the command.
        env: variables on top of ours. Of those of ours FANWIRE_... are left out: they are settings.
        cwd: where it runs; None: here.
        launcher: what starts it, with the command behind.
        fds: descriptors that it inherits.
    """

    def __init__(
        self,
        *args: str,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        launcher: Sequence[str] = (),
        fds: Collection[int] = (),
    ) -> None:
        # A process started in the background by a shell ignores Ctrl-C, and its children would, too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [*launcher, sys.executable, *WARNINGS, "-m", "fanwire", *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**without_settings(os.environ), **(env or {})},
                cwd=cwd,
                pass_fds=fds,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin = self.process.stdin
        self.out = Lines(self.process.stdout, "stdout")
        self.err = Lines(self.process.stderr, "stderr")

    def feed(self, text: bytes, *, end: bool = False) -> None:
        """Writes to its standard input."""
        self.stdin.write(text)
        self.stdin.flush()
        if end:
            self.stdin.close()

    def url(self) -> str:
        """Waits for the line that says where it listens."""
        while not (found := re.search(r"\b(?:wss?|http)(?:://|\+unix:)[^\s,]+", self.out.next())):
            # What a program prints when it is imported.
            pass
        return found[0].rstrip("/")

    def kill(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def exit_code(self, seconds: float = PROCESS) -> int:
        """Waits for its end."""
        return self.process.wait(seconds)

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PROCESS)
        for lines in (self.out, self.err):
            lines.join()
            if kind is not None:
                sys.stdout.write(f"{lines.name}: {lines.rest()}\n")
        if not self.stdin.closed:
            self.stdin.close()


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process for one that runs `fanwire serve`: FANWIRE_... there are settings, here of tests."""
    return {name: value for name, value in environ.items() if not name.startswith("FANWIRE_")}


class Lines:
    """The lines of a pipe, read by a thread so that waiting for one can end."""

    def __init__(self, pipe: IO[bytes], name: str) -> None:
        self.name = name
        self._pipe = pipe
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def next(self) -> str:
        """The next line, without its end."""
        line = self._lines.get(timeout=PROCESS)
        if line is None:
            self._lines.put(None)
        assert line is not None, f"{self.name} has ended"
        return line

    def until(self, part: str) -> str:
        """Skips to the line with this part."""
        while part not in (line := self.next()):
            pass
        return line

    def rest(self) -> list[str]:
        """What is left, to the end."""
        lines = []
        while (line := self._lines.get(timeout=PROCESS)) is not None:
            lines.append(line)
        self._lines.put(None)
        return lines

    def join(self) -> None:
        """Waits for the end of the pipe."""
        self._thread.join(PROCESS)
        # `close` would wait for the thread, which is still reading.
        assert not self._thread.is_alive(), f"{self.name} is still held by a process"
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            self._lines.put(line.decode(errors="backslashreplace").removesuffix("\n"))
        self._lines.put(None)


WARNINGS = ("-W", "error", "-W", "default::ResourceWarning")
"""As in the tests, but uvloop, closed in haste, never ends when its warning of an open transport is raised."""
