"""Newcomers for whom the loop speaks TLS: from an accepted socket to a connection, a refusal, or HTTP.

The engine accepts them, and reads and answers what the loop has decrypted, as it does for connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from fanwire._engine import Engine
from fanwire.errors import ENGINE_ERRORS
from fanwire.runtime.tls_transport import Encrypted

__all__ = ["Tls"]

logger = logging.getLogger("fanwire.handshake")


class Tls:
    """The table of them. On the loop's thread only.

    Args:
        engine: accepts them.
        context: of the server's side; None: none will come.
        timeout: seconds that a TLS handshake may take, and then that a peer may take to end after a refusal.
        spawn: runs a coroutine in a task.

    Attributes:
        newcomers: their transports, by the engine's ids.
    """

    def __init__(
        self,
        engine: Engine,
        context: ssl.SSLContext | None,
        timeout: float,
        spawn: Callable[[Awaitable[Any]], asyncio.Future[Any]],
    ) -> None:
        self._engine = engine
        self._context = context
        self._timeout = timeout
        self._spawn = spawn
        self.newcomers: dict[int, Encrypted] = {}

    def begin(self, id: int, fd: int) -> None:
        """One has connected: its TLS handshake begins."""
        sock = socket.socket(fileno=fd)
        encrypted = Encrypted(self._engine, lambda: (id, id), lambda: self.newcomers.pop(id, None))
        self.newcomers[id] = encrypted
        encrypted.handshake = self._spawn(self._shake_hands(sock, encrypted))
        encrypted.handshake.add_done_callback(lambda task: self._shaken(id, sock, encrypted))

    def let_in(self, id: int, names: Callable[[], tuple[int, int] | None]) -> Encrypted | None:
        """One was let in, and has other names from now on; see `Encrypted`. Returns None of one without TLS."""
        encrypted = self.newcomers.pop(id, None)
        if encrypted is not None:
            encrypted.names = names
        return encrypted

    def hand_over(self, id: int) -> Encrypted | None:
        """One speaks plain HTTP, and is the caller's to pass on; None: it has gone."""
        return self.newcomers.pop(id, None)

    def told(self, kind: str, id: int, detail: Any) -> None:
        """The engine has something for one: its events "data", "read" and "finish"."""
        encrypted = self.newcomers.get(id)
        if encrypted is None:
            return
        if kind == "data":
            encrypted.deliver(detail)
        elif kind == "read":
            encrypted.read(detail)
        else:
            encrypted.end(False)
            # A peer that does not read, or does not end, must not keep the transport.
            asyncio.get_running_loop().call_later(self._timeout, encrypted.abort)

    def close(self) -> None:
        """The server has stopped."""
        for encrypted in list(self.newcomers.values()):
            encrypted.abort()

    async def _shake_hands(self, sock: socket.socket, encrypted: Encrypted) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: encrypted, sock, ssl=self._context, ssl_handshake_timeout=self._timeout
            )
        except (OSError, asyncio.TimeoutError) as error:
            # Gone already, or no TLS: it cannot be told anything.
            logger.debug("a TLS handshake has failed: %r", error)

    def _shaken(self, id: int, sock: socket.socket, encrypted: Encrypted) -> None:
        encrypted.handshake = None
        if not encrypted.is_there:
            # It has failed, or was cancelled, perhaps before it began.
            sock.close()
            self.newcomers.pop(id, None)
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.feed(id, id, None)
