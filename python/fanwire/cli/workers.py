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
from functools import partial
from pathlib import Path

from fanwire.backplane.child import end_with_parent
from fanwire.cli.failure import CommandFailed
from fanwire.cli.life_signs import LifeSigns
from fanwire.cli.worker_process import LONGEST_LOOK, WorkerProcess
from fanwire.listening.listeners import Inherited, Listeners, Place, Tcp
from fanwire.metrics.process import with_process
from fanwire.metrics.workers import WorkerMetrics
from fanwire.process.signals import NUMBERS, is_free
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
    *,
    worker_timeout: float = 0.0,
    reloads: bool = False,
) -> signal.Signals | None:
    """Runs workers, which are this program with the same arguments, until a signal. A worker that ends is started
    again, and one whose event loop does not run is told in the log. A second signal kills them.

    Args:
        count: the number of workers.
        listeners: the address that they share. It is bound while they run.
        backlog: as in `Listeners.bind`.
        env: more environment variables for them.
        stop_timeout: seconds until a worker that does not stop is killed.
        ready: is called when all workers listen.
        worker_timeout: seconds after which a worker whose event loop does not run is killed; 0: never.
        reloads: whether SIGHUP is passed on to the workers, which then read their certificates again.

    Returns:
        The second signal, by which this process has to end; None: there was only one.

    Raises:
        CommandFailed: the address cannot be used, or a worker does not start.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    signalled: list[signal.Signals] = []
    workers: list[WorkerProcess] = []

    def stop(number: signal.Signals) -> None:
        signalled.append(number)
        stopping.set()
        if len(signalled) > 1:
            # The rest takes a moment. A third signal ends this process at once.
            for worker in workers:
                worker.process.kill()
            for other in NUMBERS:
                loop.remove_signal_handler(other)
                signal.signal(other, signal.SIG_DFL)

    def reload() -> None:
        for worker in workers:
            # Does nothing if the worker has ended.
            worker.process.send_signal(signal.SIGHUP)

    for number in NUMBERS:
        loop.add_signal_handler(number, stop, number)
    if reloads and is_free(signal.SIGHUP):
        loop.add_signal_handler(signal.SIGHUP, reload)
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
            for index in range(count):
                worker = _start(env, index, fds, Path(directory))
                workers.append(worker)
            await _until_begun(workers)
            ready()
            restarts = [0] * count
            looked = loop.time()
            while not stopping.is_set():
                elapsed, looked = min(loop.time() - looked, LONGEST_LOOK), loop.time()
                for index, worker in enumerate(workers):
                    if not worker.has_ended():
                        worker.look(elapsed, worker_timeout)
                        continue
                    logger.error("%s has ended with %s; starting it again", worker, worker.process.returncode)
                    worker.close()
                    await asyncio.sleep(RESTART)
                    again = {**env, RESTARTS_VARIABLE: str(restarts[index] + 1)}
                    try:
                        workers[index] = _start(again, index, fds, Path(directory))
                        restarts[index] += 1
                    except OSError as error:
                        # The others serve. There may be memory, processes or descriptors for it later.
                        logger.error("%s cannot be started again now: %s", worker, error)
                try:
                    await within(stopping.wait(), WATCH)
                except asyncio.TimeoutError:
                    continue
        finally:
            # First, so that no client waits at a socket without a worker.
            listeners.close()
            for worker in workers:
                worker.process.terminate()
            end = loop.time() + stop_timeout
            for worker in workers:
                while not worker.has_ended() and loop.time() < end:  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.02)
                if not worker.has_ended():
                    worker.process.kill()
                    worker.process.wait()
                worker.close()
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
    restarts = int(os.environ.get(RESTARTS_VARIABLE, "0"))
    metrics = WorkerMetrics(partial(with_process, server.metrics), Path(directory), int(worker), int(count), restarts)
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


def tell_ready(server: Server) -> None:
    """Tells the parent that this worker listens, and from then on that its event loop runs. Called in that loop."""
    directory = Path(os.environ[DIRECTORY_VARIABLE])
    LifeSigns(int(os.environ[READY_VARIABLE]), directory, server._health.note).begin()


async def _until_begun(workers: list[WorkerProcess]) -> None:
    """Waits until each worker listens or has ended.

    Raises:
        CommandFailed: one has ended.
    """
    while not all(worker.has_begun or worker.has_ended() for worker in workers):
        await asyncio.sleep(START)
        for worker in workers:
            worker.look()
    if not all(worker.has_begun for worker in workers):
        raise CommandFailed("a worker did not start; its error is printed above")


def _start(env: dict[str, str], number: int, fds: tuple[int, ...], directory: Path) -> WorkerProcess:
    """Starts a worker, with the writing end of a pipe for its signs of life."""
    signs, ready = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "fanwire", *sys.argv[1:]],
            env={**env, NUMBER_VARIABLE: str(number), READY_VARIABLE: str(ready)},
            stdin=subprocess.DEVNULL,
            pass_fds=(*fds, ready),
            # Ctrl-C at the terminal must reach only the parent, which stops the workers.
            start_new_session=True,
            preexec_fn=_before_program,
        )
    except BaseException:
        os.close(signs)
        raise
    finally:
        os.close(ready)
    return WorkerProcess(number, process, signs, directory)


def _before_program() -> None:
    end_with_parent()
    # A reload that comes before the worker handles it must not end it. The worker reads its certificates after this.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


RESTARTS_VARIABLE = "FANWIRE_WORKER_RESTARTS"
"""Set for workers that were started again: how often their number was."""

PORT_VARIABLE = "FANWIRE_WORKER_PORT"
"""Set for workers at an address of TCP: the port that they share."""

FDS_VARIABLE = "FANWIRE_WORKER_FDS"
"""Set for other workers: the descriptors of the sockets that they share, with commas between."""

NUMBER_VARIABLE = "FANWIRE_WORKER_NUMBER"
"""Set for workers: which one it is, from 0."""

READY_VARIABLE = "FANWIRE_WORKER_READY"
"""Set for workers: the descriptor of a pipe, to which each writes when it listens, and then its signs of life."""

COUNT_VARIABLE = "FANWIRE_WORKER_COUNT"
"""Set for workers: how many there are."""

DIRECTORY_VARIABLE = "FANWIRE_WORKER_DIRECTORY"
"""Set for workers: where each has the socket by which it tells the others its metrics, and where the parent puts the
names of those that do not answer."""

WATCH = 0.5
"""Seconds between checks whether all workers run."""

START = 0.02
"""Seconds between checks whether all workers have begun to listen."""

RESTART = 0.5
"""Seconds until a worker that has ended is started again."""
