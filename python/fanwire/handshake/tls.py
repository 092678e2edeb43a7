"""New clients whose TLS is in the event loop: from an accepted socket to a connection, a refusal, or HTTP.

The engine accepts them, and reads and answers the decrypted bytes, as it does for connections.
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
    """The table of these clients. On the loop's thread only.

    Args:
        engine: accepts them.
        context: the server's TLS context; None: the server has no TLS.
        timeout: seconds for a TLS handshake, and for a client to close after a refusal.
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
        """A client has connected: its TLS handshake begins."""
        sock = socket.socket(fileno=fd)
        encrypted = Encrypted(self._engine, lambda: (id, id), lambda: self.newcomers.pop(id, None))
        self.newcomers[id] = encrypted
        encrypted.handshake = self._spawn(self._shake_hands(sock, encrypted))
        encrypted.handshake.add_done_callback(lambda task: self._shaken(id, sock, encrypted))

    def let_in(self, id: int, names: Callable[[], tuple[int, int] | None]) -> Encrypted | None:
        """A client was accepted, and the engine has other ids for it from now on, see `Encrypted`. Returns the
        client's transport; None: it has no TLS."""
        encrypted = self.newcomers.pop(id, None)
        if encrypted is not None:
            encrypted.accepted(names)
        return encrypted

    def hand_over(self, id: int) -> Encrypted | None:
        """Gives the transport of a client with plain HTTP to the caller; None: the client has left."""
        return self.newcomers.pop(id, None)

    def told(self, kind: str, id: int, detail: Any) -> None:
        """Takes the engine's events "data", "read" and "finish"."""
        encrypted = self.newcomers.get(id)
        if encrypted is None:
            return
        if kind == "data":
            encrypted.deliver(detail)
        elif kind == "read":
            encrypted.read(detail)
        else:
            encrypted.end(False)
            # A client that does not read, or does not close, must not keep the transport.
            asyncio.get_running_loop().call_later(self._timeout, encrypted.abort)

    def close(self) -> None:
        """The server has stopped: ends all of them."""
        for encrypted in list(self.newcomers.values()):
            encrypted.abort()

    async def _shake_hands(self, sock: socket.socket, encrypted: Encrypted) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: encrypted, sock, ssl=self._context, ssl_handshake_timeout=self._timeout
            )
        except (OSError, asyncio.TimeoutError) as error:
            # The client has left, or does not use TLS, so it gets no answer.
            logger.debug("a TLS handshake has failed: %r", error)

    def _shaken(self, id: int, sock: socket.socket, encrypted: Encrypted) -> None:
        encrypted.handshake = None
        if not encrypted.is_there:
            # The handshake has failed, or was cancelled, perhaps before its first step.
            sock.close()
            self.newcomers.pop(id, None)
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.feed(id, id, None)
