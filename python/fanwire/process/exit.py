"""A server that is the whole program: its process ends soon after it, whatever of the application runs on."""

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
    """Tells of an error as Python does; returns the exit status."""
    traceback.print_exception(type(error), error, error.__traceback__)
    return 1


def run_whole(main: Main, tell: Callable[[BaseException], int] = failed) -> None:
    """Runs a coroutine on uvloop. What is left when it has returned, such as a handler that swallows its cancellation
    or a function in a thread of a pool, has a second to end; then it is named in the log, and the process ends.

    In another thread than the main one it waits for all that is left, since the process is somebody else's.

    Args:
        main: gets the signals of the process, to be handled and released by it.
        tell: is called with what it has raised, if the process ends here. Returns the exit status.

    Raises:
        Exception: what the coroutine has raised.
        KeyboardInterrupt: Ctrl-C, before the coroutine handled signals.
    """
    import uvloop  # not for those who bring their own loop

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
    """Runs it to its end, which a Ctrl-C brings about."""
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
    """Cancels all tasks and shuts the loop's pool of threads; returns what has not ended in time."""
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
    """Waits for tasks, but at least for a turn of the loop."""
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.01, deadline - time.monotonic()))


def name_of_task(task: asyncio.Task[Any]) -> str:
    """What the log calls a task. Those of handlers that do not end were given a name."""
    name = task.get_name()
    return " > ".join(names_within(task)) if name.startswith("Task-") else name


def busy_threads(before: set[threading.Thread], deadline: float) -> list[str]:
    """The threads for which Python would wait, and which do not end in time.

    Args:
        before: those that the program had before it ran the server. It may end them afterwards.
        deadline: until when they are waited for.
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
    """The functions that a thread runs, each calling the next; None: it is one of a pool, and waits for work."""
    names: list[str] = []
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module not in OF_POOLS and not module.startswith("anyio."):
            names.append(f"{module}.{getattr(frame.f_code, 'co_qualname', frame.f_code.co_name)}")
        frame = frame.f_back
    return " > ".join(names[: -DEPTH - 1 : -1]) or None


def end_process(left: list[str], error: BaseException | None, tell: Callable[[BaseException], int]) -> None:
    """Ends the process without what is left. What Python does at its end would wait for that."""
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
"""Seconds for what is left of the application when the server has stopped."""

DEPTH = 3
"""Functions of a thread that are named, from the first on."""

POLL = 0.02
"""Seconds between looks at threads."""

OF_POOLS = frozenset({"threading", "queue", "concurrent.futures.thread", "asyncio.base_events"})
"""Modules whose functions a thread of a pool is in while it has nothing to do."""
