"""Python programs of their own, for what ends or limits a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import TracebackType

from helpers.wait import PROCESS

TESTS = Path(__file__).parents[1]


class Script:
    """A running program."""

    def __init__(self, code: str, *arguments: str) -> None:
        prelude = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        # A process started in the background by a shell ignores Ctrl-C, and its children would, too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(code), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def line(self) -> str:
        """The next line of its output. The test's own timeout is the deadline."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"it has ended: {self.process.communicate(timeout=PROCESS)}")
        return line.strip()

    def say(self, line: str) -> None:
        """A line of its input, which ends with `end`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        """Waits for its end: status, output and errors."""
        out, err = self.process.communicate(timeout=2 * PROCESS)
        return self.process.returncode, out, err

    def __enter__(self) -> Script:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def run(code: str, *arguments: str) -> tuple[int, str, str]:
    """Runs a program to its end."""
    with Script(code, *arguments) as script:
        return script.end()
