"""Several processes at one port, each a node of its own; the kernel gives each its share of the connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fanwire.backplane.child import end_with_parent
from fanwire.cli.failure import Failure
from fanwire.deadline import within
from fanwire.server import Server
from fanwire.worker_metrics import WorkerMetrics

__all__ = ["PORT_VARIABLE", "run_workers", "shared_metrics"]

logger = logging.getLogger("fanwire")


async def run_workers(
    count: int, host: str, port: int, env: dict[str, str], stop_timeout: float, ready: Callable[[int], object]
) -> None:
    """Runs this program so many times more, with the same arguments, until a signal. One that ends is started again.

    Args:
        count: how many.
        host: where they listen.
        port: at which port; 0: any free one, the same for all.
        env: variables for them.
        stop_timeout: seconds until one that was told to stop is killed.
        ready: called with the port once all listen.

    Raises:
        Failure: the address cannot be used, or a worker does not start.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    with reserve(host, port) as reserved, tempfile.TemporaryDirectory(prefix="fanwire-") as directory:
        port = reserved.getsockname()[1]
        env = {**os.environ, **env, PORT_VARIABLE: str(port)}
        env |= {DIRECTORY_VARIABLE: directory, COUNT_VARIABLE: str(count)}
        workers = [_start(env, place) for place in range(count)]
        try:
            waits = [loop.run_in_executor(None, _wait_ready, worker) for worker in workers]
            if not all(await asyncio.gather(*waits)):
                raise Failure("a worker did not start; it has said why")
            ready(port)
            while not stopping.is_set():
                for place, worker in enumerate(workers):
                    if worker.poll() is not None:
                        logger.error("worker %d has ended with %s; starting it again", worker.pid, worker.returncode)
                        await asyncio.sleep(RESTART)
                        workers[place] = _start(env, place)
                try:
                    await within(stopping.wait(), WATCH)
                except asyncio.TimeoutError:
                    continue
        finally:
            for worker in workers:
                worker.terminate()
            end = loop.time() + stop_timeout
            for worker in workers:
                while worker.poll() is None and loop.time() < end:  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.02)
                if worker.poll() is None:
                    worker.kill()
                    worker.wait()


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds a port for the workers, without listening.

    Raises:
        Failure: the address cannot be used.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        reserved = socket.socket(family, kind, proto)
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind(address)
        except BaseException:
            reserved.close()
            raise
    except OSError as error:
        raise Failure(f"cannot listen at {host}:{port}: {error.strerror}") from error
    return reserved


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


def _start(env: dict[str, str], number: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "fanwire", *sys.argv[1:]],
        env={**env, NUMBER_VARIABLE: str(number)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # Ctrl-C at the terminal is for the first process, which tells the others.
        start_new_session=True,
        preexec_fn=end_with_parent,
    )


def _wait_ready(worker: subprocess.Popen[bytes]) -> bool:
    assert worker.stdout is not None  # noqa: S101 - a pipe
    with worker.stdout as said:
        return bool(said.readline())


PORT_VARIABLE = "FANWIRE_WORKER_PORT"
"""Set for workers: the port that they share."""

NUMBER_VARIABLE = "FANWIRE_WORKER_NUMBER"
"""Set for workers: which one it is, from 0."""

COUNT_VARIABLE = "FANWIRE_WORKER_COUNT"
"""Set for workers: how many there are."""

DIRECTORY_VARIABLE = "FANWIRE_WORKER_DIRECTORY"
"""Set for workers: where each has the socket by which it tells the others its metrics."""

WATCH = 0.5
"""Seconds between looks at whether all are there."""

RESTART = 0.5
"""Seconds until one that has ended is started again."""
