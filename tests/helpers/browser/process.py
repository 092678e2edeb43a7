"""A browser's processes, with a profile of their own: started, stopped as by a laptop's sleep, continued, ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from helpers.wait import PROCESS, until_sync

PROGRAMS = {"chromium": ("chromium", "chromium-browser"), "firefox": ("firefox-esr", "firefox")}
START = 1.5 * PROCESS
"""Seconds until a browser has to listen: its first start reads hundreds of megabytes."""


def program_of(name: str) -> str | None:
    """Where a browser's program is; None: it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS[name])), None)


class Process:
    """A browser, from the constructor to `end`.

    Args:
        command: what starts it.
        folder: its home. It keeps its profile there, and writes its log.
        ready: says where it can be driven, or None while it cannot.
    """

    def __init__(self, command: Sequence[str], folder: Path, ready: Callable[[], str | None]) -> None:
        self.log = folder / "output.log"
        home = {"HOME": str(folder), "TMPDIR": str(folder)}
        home |= {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA", "STATE")}
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=kept | home | {"MOZ_CRASHREPORTER_DISABLE": "1", "MOZ_REMOTE_SETTINGS_DEVTOOLS": "1"},
                start_new_session=True,
            )
        self._family: list[psutil.Process] = []

        def there() -> str | None:
            assert self._process.poll() is None, f"{command[0]} has ended: {self._said()}"
            return ready()

        try:
            self.url = str(until_sync(there, f"{command[0]} listens", START))
        except BaseException:
            self.end()
            raise

    def pause(self) -> None:
        """Stops all its processes, as the sleep of a laptop does; sockets stay as they are."""
        self._family = self._members()
        for process in self._family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continues those that were stopped."""
        for process in self._family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        self._family = []

    def end(self) -> None:
        """Ends it, and each process that it has started."""
        self.go_on()
        members = self._members()
        for process in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(PROCESS)
        psutil.wait_procs(members, PROCESS)

    def _members(self) -> list[psutil.Process]:
        try:
            own = psutil.Process(self._process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]
