"""Worker processes at one address, each a node. The kernel distributes the connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fanwire.backplane.child import end_with_parent
from fanwire.cli.failure import CommandFailed
from fanwire.listening.listeners import Inherited, Listeners, Place, Tcp
from fanwire.observability.worker_metrics import WorkerMetrics
from fanwire.process.signals import NUMBERS
from fanwire.server import Server
from fanwire.timing.deadline import within

__all__ = ["NUMBER_VARIABLE", "is_worker", "place_of_worker", "run_workers", "shared_metrics", "tell_ready"]

logger = logging.getLogger("fanwire")


async def run_workers(
    count: int,
    listeners: Listeners,
    backlog: int,
    env: dict[str, str],
    stop_timeout: float,
    ready: Callable[[], object],
) -> signal.Signals | None:
    """Runs workers, which are this program with the same arguments, until a signal. A worker that ends is started
    again. A second signal kills them.

    Args:
        count: the number of workers.
        listeners: the address that they share. It is bound while they run.
        backlog: as in `Listeners.bind`.
        env: more environment variables for them.
        stop_timeout: seconds until a worker that does not stop is killed.
        ready: is called when all workers listen.

    Returns:
        The second signal, by which this process has to end; None: there was only one.

    Raises:
        CommandFailed: the address cannot be used, or a worker does not start.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    signalled: list[signal.Signals] = []
    workers: list[subprocess.Popen[bytes]] = []

    def stop(number: signal.Signals) -> None:
        signalled.append(number)
        stopping.set()
        if len(signalled) > 1:
            # The rest takes a moment. A third signal ends this process at once.
            for worker in workers:
                worker.kill()
            for other in NUMBERS:
                loop.remove_signal_handler(other)
                signal.signal(other, signal.SIG_DFL)

    for number in NUMBERS:
        loop.add_signal_handler(number, stop, number)
    try:
        sockets = await listeners.reserve(backlog)
    except OSError as error:
        raise CommandFailed(error.strerror or str(error)) from error
    with contextlib.closing(listeners), tempfile.TemporaryDirectory(prefix="fanwire-") as directory:
        fds: tuple[int, ...] = ()
        if isinstance(listeners.place, Tcp):
            # Each binds its own socket (SO_REUSEPORT).
            env = {**env, PORT_VARIABLE: str(listeners.port)}
        else:
            # They accept from the same sockets.
            fds = tuple(sock.fileno() for sock in sockets)
            env = {**env, FDS_VARIABLE: ",".join(map(str, fds))}
        env = {**os.environ, **env, DIRECTORY_VARIABLE: directory, COUNT_VARIABLE: str(count)}
        try:
            waits = []
            for place in range(count):
                worker, said = _start(env, place, fds)
                workers.append(worker)
                waits.append(loop.run_in_executor(None, _wait_ready, said))
            if not all(await asyncio.gather(*waits)):
                raise CommandFailed("a worker did not start; its error is printed above")
            ready()
            while not stopping.is_set():
                for place, worker in enumerate(workers):
                    if worker.poll() is not None:
                        logger.error("worker %d has ended with %s; starting it again", worker.pid, worker.returncode)
                        await asyncio.sleep(RESTART)
                        workers[place], said = _start(env, place, fds)
                        os.close(said)
                try:
                    await within(stopping.wait(), WATCH)
                except asyncio.TimeoutError:
                    continue
        finally:
            # First, so that no client waits at a socket without a worker.
            listeners.close()
            for worker in workers:
                worker.terminate()
            end = loop.time() + stop_timeout
            for worker in workers:
                while worker.poll() is None and loop.time() < end:  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.02)
                if worker.poll() is None:
                    worker.kill()
                    worker.wait()
    return signalled[1] if len(signalled) > 1 else None


def is_worker() -> bool:
    """Whether this process was started by `run_workers`."""
    return NUMBER_VARIABLE in os.environ


def place_of_worker(place: Place) -> Place:
    """The place at which a worker listens, which it shares with the others.

    Args:
        place: the place of the settings.
    """
    if isinstance(place, Tcp):
        return place._replace(port=int(os.environ[PORT_VARIABLE]), reuse_port=True)
    return Inherited(tuple(map(int, os.environ[FDS_VARIABLE].split(","))), is_ours=True)


@contextlib.asynccontextmanager
async def shared_metrics(server: Server) -> AsyncIterator[None]:
    """In a worker, has a scrape of its server get the metrics of all workers. Otherwise does nothing."""
    if DIRECTORY_VARIABLE not in os.environ:
        yield
        return
    directory, worker, count = map(os.environ.__getitem__, (DIRECTORY_VARIABLE, NUMBER_VARIABLE, COUNT_VARIABLE))
    metrics = WorkerMetrics(server.metrics, Path(directory), int(worker), int(count))
    try:
        await metrics.start()
    except OSError as error:
        # For example the path is too long. The worker serves all the same.
        logger.warning("a scrape gets the metrics of one worker only: %s", error)
        yield
        return
    server._expose(metrics.exposition)
    try:
        yield
    finally:
        server._expose(None)
        await metrics.stop()


def tell_ready() -> None:
    """Tells the parent that this worker listens."""
    fd = int(os.environ[READY_VARIABLE])
    with contextlib.suppress(OSError):
        # The pipe of a worker that was started again is closed.
        os.write(fd, b"\n")
    os.close(fd)


def _start(env: dict[str, str], number: int, fds: tuple[int, ...]) -> tuple[subprocess.Popen[bytes], int]:
    """Starts a worker; returns it, and the end of a pipe at which it reports that it listens."""
    said, ready = os.pipe()
    try:
        worker = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "fanwire", *sys.argv[1:]],
            env={**env, NUMBER_VARIABLE: str(number), READY_VARIABLE: str(ready)},
            stdin=subprocess.DEVNULL,
            pass_fds=(*fds, ready),
            # Ctrl-C at the terminal must reach only the parent, which stops the workers.
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    except BaseException:
        os.close(said)
        raise
    finally:
        os.close(ready)
    return worker, said


def _wait_ready(said: int) -> bool:
    try:
        return bool(os.read(said, 1))
    finally:
        os.close(said)


PORT_VARIABLE = "FANWIRE_WORKER_PORT"
"""Set for workers at an address of TCP: the port that they share."""

FDS_VARIABLE = "FANWIRE_WORKER_FDS"
"""Set for other workers: the descriptors of the sockets that they share, with commas between."""

NUMBER_VARIABLE = "FANWIRE_WORKER_NUMBER"
"""Set for workers: which one it is, from 0."""

READY_VARIABLE = "FANWIRE_WORKER_READY"
"""Set for workers: the descriptor of a pipe, to which each writes when it listens."""

COUNT_VARIABLE = "FANWIRE_WORKER_COUNT"
"""Set for workers: how many there are."""

DIRECTORY_VARIABLE = "FANWIRE_WORKER_DIRECTORY"
"""Set for workers: where each has the socket by which it tells the others its metrics."""

WATCH = 0.5
"""Seconds between checks whether all workers run."""

RESTART = 0.5
"""Seconds until a worker that has ended is started again."""
