"""The parts of uvicorn that are used, and how they differ from uvicorn alone: there is no listener, log, clock or
signal handler."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Literal

import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fanwire.config import Config

__all__ = ["MUTED", "Flow", "UnknownLength", "UvicornState", "disconnect", "settings", "tell_end"]


def settings(
    app: Any, config: Config, *, root_path: str = "", lifespan: Literal["off", "auto"] = "off"
) -> uvicorn.Config:
    """Returns the settings of uvicorn for an ASGI application.

    Args:
        app: the application.
        config: the limits of the server; those of WebSockets apply to the application's, too.
        root_path: the prefix of all paths, which a proxy may have removed.
        lifespan: "auto": run the application's `lifespan`; "off": do not.
    """
    found = uvicorn.Config(
        app,
        loop="none",
        http=HttpToolsProtocol,
        ws=WebSocketsSansIOProtocol,
        ws_max_size=config.max_message,
        ws_ping_interval=config.ping_interval or None,
        ws_ping_timeout=config.ping_timeout,
        lifespan=lifespan,
        interface="asgi3",
        # Without these uvicorn would change the loggers of the process and read its environment.
        log_config=None,
        workers=1,
        proxy_headers=False,
        server_header=False,
        root_path=root_path,
    )
    # uvicorn passes the value to the loop's timers, which take fractions of a second.
    found.timeout_keep_alive = config.http_keepalive  # type: ignore[assignment]  # declared as an int
    found.load()
    return found


class UvicornState:
    """The state that uvicorn's protocols share, in place of its `ServerState`. The date header needs no timer.

    Attributes:
        total_requests: counted by uvicorn.
        connections: the protocols that have a transport.
        tasks: the tasks that answer requests.
    """

    def __init__(self) -> None:
        self.total_requests = 0
        self.connections: set[Any] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of every answer: `Date`."""
        now = int(time.time())
        if now != self._second:
            self._second, self._headers = now, [(b"date", formatdate(now, usegmt=True).encode())]
        return self._headers


class Flow(FlowControl):
    """uvicorn's flow control, which tells when reading resumes: bytes that are already held come before those in the
    transport.

    Args:
        transport: the transport of the connection.
        resumed: called when the connection is to be read again.
    """

    def __init__(self, transport: asyncio.Transport, resumed: Callable[[], None]) -> None:
        super().__init__(transport)
        self._resumed = resumed

    def resume_reading(self) -> None:
        """The application takes more of the body."""
        if self.read_paused:
            self.read_paused = False
            self._resumed()


class UnknownLength(int):
    """The expected length of an answer without a length: every byte that is sent belongs to it."""

    def __lt__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    def __sub__(self, other: object) -> UnknownLength:
        return self

    __hash__ = int.__hash__


def disconnect(cycle: RequestResponseCycle) -> None:
    """Tells the application that the peer of this request has disconnected, unless it has answered."""
    if not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()


def tell_end(cycle: RequestResponseCycle, has_ended: Callable[[], bool]) -> None:
    """Makes an application notice the end of its peer as the ASGI specification says.

    `send` raises `ConnectionResetError` after the peer has disconnected, and lets other tasks run. uvicorn alone drops
    what is sent then, so an application that only sends would never end. `receive` returns `http.disconnect` after a
    peer has closed its sending side behind its request; what is sent still goes out.

    Args:
        cycle: one request.
        has_ended: whether the peer has closed its sending side.
    """
    send, receive = cycle.send, cycle.receive
    is_whole = False

    async def send_or_raise(message: Any) -> None:
        if cycle.disconnected:
            raise ConnectionResetError("the peer has disconnected")
        await send(message)
        if message.get("more_body"):
            await asyncio.sleep(0)

    async def receive_to_the_end() -> Any:
        nonlocal is_whole
        message = await receive()
        if is_whole and has_ended():
            return {"type": "http.disconnect"}
        is_whole = message["type"] == "http.request" and not message.get("more_body", False)
        return message

    cycle.send = send_or_raise  # type: ignore[method-assign]  # there is no other place between the two
    cycle.receive = receive_to_the_end  # type: ignore[method-assign]  # as above


MUTED = logging.Logger("fanwire.http", logging.CRITICAL + 1)
"""Replaces uvicorn's loggers, and logs nothing: Fanwire logs errors itself, at a limited rate."""
