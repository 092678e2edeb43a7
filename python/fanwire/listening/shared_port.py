"""Finds out whether an application's own server, in the same process, is about to use the same port."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from inspect import iscoroutine
from types import FrameType

import uvicorn

__all__ = ["check_port", "port_taken"]


def check_port(host: str, port: int) -> None:
    """Checks that the uvicorn that runs this task's application will not listen at the same address. It binds its port
    after the start of the application, and would then fail without a helpful reason.

    Args:
        host: where Fanwire is about to listen.
        port: its port.

    Raises:
        OSError: uvicorn has the same address.
    """
    config = _uvicorn_of_this_task()
    if config is not None and port and port == config.port and _overlap(host, config.host):
        raise port_taken(host, port)


def port_taken(host: str, port: int) -> OSError:
    """The error of a port that is in use, perhaps by the application's own server."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return OSError(
        errno.EADDRINUSE,
        f"{address} is taken, perhaps by the server that runs this application. Each of the two needs its own "
        f"port, such as fanwire.Server(port={port + 1 if port < 65_535 else port - 1}). To have both on one port, let "
        "Fanwire serve the application: fanwire.Server(app=app), with server.run() in place of the other server, and "
        "without lifespan=server.lifespan. If another worker of this application has the port (uvicorn --workers): "
        "workers share one with fanwire.Server(reuse_port=True), and need a backplane",
    )


def _uvicorn_of_this_task() -> uvicorn.Config | None:
    """The settings of the uvicorn in whose `lifespan` this task runs; None: there is none, or its sockets are bound."""
    lifespan = next((frame.f_locals.get("self") for frame in _frames(asyncio.current_task())), None)
    for task in asyncio.all_tasks():
        for frame in _frames(task):
            server = frame.f_locals.get("self")
            if isinstance(server, uvicorn.Server) and frame.f_code.co_name == "startup":
                config: uvicorn.Config = server.config
                is_bound = frame.f_locals.get("sockets") or config.fd is not None or config.uds
                if server.lifespan is lifespan and not is_bound:
                    return config
    return None


def _frames(task: asyncio.Task[object] | None) -> Iterator[FrameType]:
    """The frames of the coroutines of a task, each of which awaits the next."""
    coroutine = None if task is None else task.get_coro()
    while iscoroutine(coroutine) and coroutine.cr_frame is not None:
        yield coroutine.cr_frame
        coroutine = coroutine.cr_await


def _overlap(one: str, other: str) -> bool:
    return one == other or any(host in ANY for host in (one, other)) or {one, other} <= LOOPBACK


ANY = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
"""Hosts that mean all addresses of a machine."""

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
