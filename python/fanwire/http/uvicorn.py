"""What is used of uvicorn, and where it is told to be otherwise than it is by itself: it has no listener, no log, no
clock and no signals here.
"""

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

__all__ = ["MUTED", "Flow", "State", "UnknownLength", "disconnect", "settings", "tell_end"]


def settings(
    app: Any, config: Config, *, root_path: str = "", lifespan: Literal["off", "auto"] = "off"
) -> uvicorn.Config:
    """Settings of uvicorn for an ASGI application.

    Args:
        app: the application.
        config: the server's limits, of which those of WebSockets hold for the application's, too.
        root_path: a prefix of its paths, which a proxy may have taken off.
        lifespan: whether the application's `lifespan` is run.
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
        # Without these, uvicorn changes loggers of the process and reads its environment.
        log_config=None,
        workers=1,
        proxy_headers=False,
        server_header=False,
        root_path=root_path,
    )
    # The loop's timers take fractions of a second, and uvicorn only hands them on.
    found.timeout_keep_alive = config.http_keepalive  # type: ignore[assignment]
    found.load()
    return found


class State:
    """What uvicorn's protocols of one server share: its `ServerState`, with a date that needs no timer.

    Attributes:
        total_requests: as uvicorn counts them.
        connections: the protocols that have a transport.
        tasks: those in which requests are answered.
    """

    def __init__(self) -> None:
        self.total_requests = 0
        self.connections: set[Any] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer."""
        now = int(time.time())
        if now != self._second:
            self._second, self._headers = now, [(b"date", formatdate(now, usegmt=True).encode())]
        return self._headers


class Flow(FlowControl):
    """Control of one connection's flow that tells when reading goes on: what has come already is before what is still
    in the transport.

    Args:
        transport: the connection's.
        resumed: is called when it is to be read again.
    """

    def __init__(self, transport: asyncio.Transport, resumed: Callable[[], None]) -> None:
        super().__init__(transport)
        self._resumed = resumed

    def resume_reading(self) -> None:
        """The application takes more."""
        if self.read_paused:
            self.read_paused = False
            self._resumed()


class UnknownLength(int):
    """In place of the length that an answer still has to have: whatever is sent is part of it."""

    def __lt__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    def __sub__(self, other: object) -> UnknownLength:
        return self

    __hash__ = int.__hash__


def disconnect(cycle: RequestResponseCycle) -> None:
    """Tells the application that the peer of this request is gone, unless it has answered."""
    if not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()


def tell_end(cycle: RequestResponseCycle, has_ended: Callable[[], bool]) -> None:
    """Has an application hear of its peer's end as ASGI has it.

    `send` raises once the peer is gone, and lets others have their turns of the loop. uvicorn swallows what is sent
    then: an application that does nothing but send would never end. `receive` tells of a peer that has ended its side
    behind its request, and may be gone; what is sent still goes out.

    Args:
        cycle: one request.
        has_ended: whether the peer sends no more.
    """
    send, receive = cycle.send, cycle.receive
    is_whole = False

    async def send_or_raise(message: Any) -> None:
        if cycle.disconnected:
            raise ConnectionResetError("the peer is gone")
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

    cycle.send = send_or_raise  # type: ignore[method-assign]
    cycle.receive = receive_to_the_end  # type: ignore[method-assign]


MUTED = logging.Logger("fanwire.http", logging.CRITICAL + 1)
"""In place of uvicorn's loggers: what goes wrong is logged by fanwire, at a limited rate."""
