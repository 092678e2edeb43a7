"""Several processes at one place, each a node of its own; the kernel gives each its share of the connections."""

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
from fanwire.cli.failure import Failure
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
    """Runs this program so many times more, with the same arguments, until a signal. One that ends is started again.
    A second signal kills them.

    Args:
        count: how many.
        listeners: where they listen, all at the same place. Bound while they run.
        backlog: as in `Listeners.bind`.
        env: variables for them.
        stop_timeout: seconds until one that was told to stop is killed.
        ready: called once all listen.

    Returns:
        The second signal, by which this process has to end next; None: there was one only.

    Raises:
        Failure: the address cannot be used, or a worker does not start.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    signalled: list[signal.Signals] = []
    workers: list[subprocess.Popen[bytes]] = []

    def stop(number: signal.Signals) -> None:
        signalled.append(number)
        stopping.set()
        if len(signalled) > 1:
            # What is left to do here takes a moment, and leaves nothing behind. A third one does not wait for it.
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
        raise Failure(error.strerror or str(error)) from error
    with contextlib.closing(listeners), tempfile.TemporaryDirectory(prefix="fanwire-") as directory:
        fds: tuple[int, ...] = ()
        if isinstance(listeners.place, Tcp):
            # Each listens by itself, and the kernel gives each its share.
            env = {**env, PORT_VARIABLE: str(listeners.port)}
        else:
            # They take connections from the same sockets.
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
                raise Failure("a worker did not start; it has said why")
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
            # No client waits at a socket from which no worker takes it.
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
    """Where a worker listens, which shares a place with the others.

    Args:
        place: the place as they were told.
    """
    if isinstance(place, Tcp):
        return place._replace(port=int(os.environ[PORT_VARIABLE]), reuse_port=True)
    return Inherited(tuple(map(int, os.environ[FDS_VARIABLE].split(","))), is_ours=True)


@contextlib.asynccontextmanager
async def shared_metrics(server: Server) -> AsyncIterator[None]:
    """In a worker: a scrape of its server gets the metrics of all workers. Otherwise: nothing is done."""
    if DIRECTORY_VARIABLE not in os.environ:
        yield
        return
    directory, worker, count = map(os.environ.__getitem__, (DIRECTORY_VARIABLE, NUMBER_VARIABLE, COUNT_VARIABLE))
    metrics = WorkerMetrics(server.metrics, Path(directory), int(worker), int(count))
    try:
        await metrics.start()
    except OSError as error:
        # A long path, say. It serves all the same.
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
    """In a worker: it listens."""
    fd = int(os.environ[READY_VARIABLE])
    with contextlib.suppress(OSError):
        # Nothing waits for one that was started again.
        os.write(fd, b"\n")
    os.close(fd)


def _start(env: dict[str, str], number: int, fds: tuple[int, ...]) -> tuple[subprocess.Popen[bytes], int]:
    """A worker, and the end of the pipe by which it says that it is ready. Its output is the program's own."""
    said, ready = os.pipe()
    try:
        worker = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "fanwire", *sys.argv[1:]],
            env={**env, NUMBER_VARIABLE: str(number), READY_VARIABLE: str(ready)},
            stdin=subprocess.DEVNULL,
            pass_fds=(*fds, ready),
            # Ctrl-C at the terminal is for the first process, which tells the others.
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
"""Seconds between looks at whether all are there."""

RESTART = 0.5
"""Seconds until one that has ended is started again."""
