"""Running a server as the whole program: the process ends soon after the server, even if tasks or threads still run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from fanwire.handlers.calls import names_within
from fanwire.process.signals import Signals

__all__ = ["failed", "run_whole"]

logger = logging.getLogger("fanwire")

Main = Callable[[Signals], Coroutine[Any, Any, None]]


def failed(error: BaseException) -> int:
    """Prints the traceback of an error; returns the exit status 1."""
    traceback.print_exception(type(error), error, error.__traceback__)
    return 1


def run_whole(main: Main, tell: Callable[[BaseException], int] = failed) -> None:
    """Runs a coroutine on uvloop. When it has returned, tasks and threads of the application that still run, such as a
    handler that ignores its cancellation, have a second to end. Then they are named in the log, and the process ends.

    In another thread than the main one it waits for all of them, since the process belongs to another program.

    Args:
        main: gets the signals of the process, which it handles and releases.
        tell: is called with an error of the coroutine, if the process ends here. Returns the exit status.

    Raises:
        Exception: any error of the coroutine.
        KeyboardInterrupt: Ctrl-C before the coroutine handled signals.
    """
    import uvloop  # here: programs with a loop of their own need not load it

    signals = Signals()
    if threading.current_thread() is not threading.main_thread() or asyncio._get_running_loop() is not None:
        uvloop.run(main(signals))
        return
    threads = set(threading.enumerate())
    loop = uvloop.new_event_loop()
    try:
        try:
            run_main(loop, main(signals), signals)
        finally:
            deadline = time.monotonic() + LEFT
            left = [*loop.run_until_complete(end_tasks(loop, deadline)), *busy_threads(threads, deadline)]
            if left:
                end_process(left, sys.exc_info()[1], tell)
            loop.close()
    finally:
        signals.restore()


def run_main(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, None], signals: Signals) -> None:
    """Runs a coroutine to its end. Ctrl-C cancels it."""
    task = loop.create_task(main)
    try:
        loop.run_until_complete(task)
    except KeyboardInterrupt:
        signals.end_at_once()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                loop.run_until_complete(task)
        raise


async def end_tasks(loop: asyncio.AbstractEventLoop, deadline: float) -> list[str]:
    """Cancels all tasks and shuts down the loop's thread pool; returns the names of tasks that do not end in time."""
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await wait_until(deadline, *tasks)
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            about = {"message": "a task failed when it was cancelled", "exception": error, "task": task}
            loop.call_exception_handler(about)
    late = [task for task in tasks if not task.done()]
    # Not cancelled when it is late: uvloop would wait for the threads all the same, and block the loop.
    await wait_until(deadline, loop.create_task(loop.shutdown_asyncgens()))
    if hasattr(loop, "shutdown_default_executor"):
        await wait_until(deadline, loop.create_task(loop.shutdown_default_executor()))
    return [name_of_task(task) for task in late if not task.done()]


async def wait_until(deadline: float, *tasks: asyncio.Task[Any]) -> None:
    """Waits for tasks until the deadline, for 10 ms at least."""
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.01, deadline - time.monotonic()))


def name_of_task(task: asyncio.Task[Any]) -> str:
    """The name of a task in the log: its own, or the names of its coroutines."""
    name = task.get_name()
    return " > ".join(names_within(task)) if name.startswith("Task-") else name


def busy_threads(before: set[threading.Thread], deadline: float) -> list[str]:
    """The busy threads that Python would wait for at its exit, and that do not end in time.

    Args:
        before: threads that ran before the server, which are ignored.
        deadline: the end of waiting, in seconds of `time.monotonic`.
    """
    while True:
        frames = sys._current_frames()
        busy = []
        for thread in threading.enumerate():
            name = None if thread in before or thread.daemon else function_of(frames.get(thread.ident or 0))
            if name is not None:
                busy.append(f"{name} in the thread {thread.name!r}")
        if not busy or time.monotonic() >= deadline:
            return busy
        time.sleep(POLL)


def function_of(frame: FrameType | None) -> str | None:
    """The functions that a thread runs, each of which calls the next; None: a thread of a pool that waits for work."""
    names: list[str] = []
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module not in OF_POOLS and not module.startswith("anyio."):
            names.append(f"{module}.{getattr(frame.f_code, 'co_qualname', frame.f_code.co_name)}")
        frame = frame.f_back
    return " > ".join(names[: -DEPTH - 1 : -1]) or None


def end_process(left: list[str], error: BaseException | None, tell: Callable[[BaseException], int]) -> None:
    """Ends the process without waiting for tasks and threads, as Python's own exit would."""
    logger.warning("the process ends without waiting for %s", ", ".join(left))
    is_interrupted = isinstance(error, KeyboardInterrupt)
    status = 0 if error is None or is_interrupted else tell(error)
    with contextlib.suppress(Exception):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    if is_interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    os._exit(status)


LEFT = 1.0
"""Seconds for tasks and threads of the application after the server has stopped."""

DEPTH = 3
"""The most functions of a thread that are named, from the outermost on."""

POLL = 0.02
"""Seconds between checks of the threads."""

OF_POOLS = frozenset({"threading", "queue", "concurrent.futures.thread", "asyncio.base_events"})
"""Modules whose functions an idle thread of a pool runs."""
