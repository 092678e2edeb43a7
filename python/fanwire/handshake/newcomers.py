"""Takes the engine's events about clients that are not accepted yet, and passes each to the part that handles it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

from fanwire._engine import Engine
from fanwire.errors import ENGINE_ERRORS
from fanwire.handshake.admission import Handshakes
from fanwire.http.server import HttpSide
from fanwire.metrics import Metrics
from fanwire.observability.fields import write
from fanwire.tls.info import EngineTLS, tls_info

__all__ = ["Newcomers"]

logger = logging.getLogger("fanwire.handshake")


class Newcomers:
    """Takes the events. On the loop's thread only.

    Args:
        engine: has the events.
        handshakes: takes requests for WebSockets.
        http: takes connections with plain HTTP.
        metrics: count log lines that are left out.
        is_ready: whether the server is ready, for health checks.
    """

    def __init__(
        self,
        engine: Engine,
        handshakes: Handshakes,
        http: HttpSide,
        metrics: Metrics,
        is_ready: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._handshakes = handshakes
        self._http = http
        self._metrics = metrics
        self._is_ready = is_ready
        self._timer: asyncio.TimerHandle | None = None
        self.is_open = True

    def take(self, kind: str, id: int, detail: Any) -> None:
        """Takes an event."""
        if kind == "request":
            self._handshakes.begin(id, detail)
        elif kind == "gone":
            self._handshakes.gone(id)
        elif kind == "http":
            self._hand_over(id, *detail)
        else:
            self._log(*detail)

    def open(self) -> None:
        """The server listens. From now on the engine answers health checks of clients that the limits refuse."""
        self._tell_ready()

    def close(self) -> None:
        """The server stops: from now on no client is accepted."""
        self.is_open = False
        self._engine.stop_listening()
        self._handshakes.close()
        self._tell_ready()

    def abort(self) -> None:
        """The server has stopped."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell_ready(self) -> None:
        # The parts that readiness depends on do not report changes, so it is looked at once a second.
        self._engine.set_ready(self._is_ready())
        if self.is_open:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._tell_ready)

    def _hand_over(self, id: int, fd: int, data: bytes, peer: str, is_secure: bool, tls: EngineTLS | None) -> None:
        gone, back = partial(self._engine.left, id), partial(self._take_back, id)
        self._http.take(socket.socket(fileno=fd), data, peer, is_secure, tls_info(tls), gone, back)

    def _take_back(self, id: int, transport: asyncio.Transport, data: bytes) -> None:
        """Gives a connection with plain HTTP back to the engine: its client asks for an upgrade to a WebSocket."""
        try:
            self._engine.take_back(id, transport.get_extra_info("socket").fileno(), data)
        except (OSError, *ENGINE_ERRORS):
            # The process has no free descriptor, or the engine has ended.
            self._engine.left(id)
        # The engine has its own descriptor of the socket. This closes the transport's, which sends nothing.
        transport.set_protocol(asyncio.Protocol())
        transport.abort()

    def _log(self, remote: str, status: int, reason: str, left_out: int, path: str, user_agent: str) -> None:
        """Logs a refusal or a failed TLS handshake, and how many lines before it were left out. The reason is for the
        operator only."""
        if left_out:
            self._metrics.line_suppressed(logging.INFO, left_out)
            logger.info("%d more lines about refusals were left out", left_out)
        if status:
            about = {"address": remote, "path": unquote(path), "user_agent": user_agent}
            write(logger, logging.INFO, {"event": "handshake_refused", "status": status, "why": reason, **about})
        elif remote:
            write(logger, logging.INFO, {"event": "tls_handshake_failed", "why": reason, "address": remote})
        else:
            logger.warning("%s", reason)


LOOK = 1.0
"""Seconds between two checks of the server's readiness."""
