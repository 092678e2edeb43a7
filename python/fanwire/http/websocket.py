"""A WebSocket of the application, on a path where Fanwire is not: uvicorn's protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fanwire.http.shared import HttpShared
from fanwire.http.transport import HttpTransport
from fanwire.http.uvicorn import MUTED
from fanwire.tls.info import TLSInfo

__all__ = ["TLS_EXTENSION", "HttpWebSocket"]

TLS_EXTENSION = "fanwire.tls"
"""The name of the `TLSInfo` in the `extensions` of a scope (ASGI)."""


class HttpWebSocket(WebSocketsSansIOProtocol):
    """The protocol of a transport that was upgraded to a WebSocket of the application.

    Args:
        shared: the state that all connections of the server share.
        client: the peer's address and port; None: a Unix socket.
        is_secure: whether the peer speaks TLS.
        tls: the TLS that it speaks to the engine; None: none.
        gone: called once, when the transport is lost.
    """

    def __init__(
        self,
        shared: HttpShared,
        client: tuple[str, int] | None,
        is_secure: bool,
        tls: TLSInfo | None,
        gone: Callable[[], object],
    ) -> None:
        super().__init__(shared.uvicorn, shared.state, shared.app_state)  # type: ignore[arg-type]  # no `ServerState`
        self.logger = MUTED
        # The one below logs each header at DEBUG, tokens among them. It has looked at the level already.
        self.conn.logger, self.conn.debug = MUTED, False
        self._write_timeout = shared.config.write_timeout
        self._client = client
        self._is_secure = is_secure
        self._tls = tls
        self._gone = gone
        self._transport: HttpTransport
        # Frames that came before the application has accepted: uvicorn would answer them before the 101.
        self._early = b""

    def begin(self, transport: asyncio.Transport, head: bytes, rest: bytes) -> None:
        """Takes over a transport from the HTTP protocol.

        Args:
            transport: the transport.
            head: the upgrade request.
            rest: the bytes that came after it.
        """
        transport.set_protocol(self)
        self.connection_made(transport)
        super().data_received(head)
        if self._tls is not None and self.handshake_initiated and not self.handshake_complete:
            # The application is called in a later turn of the loop.
            self.scope["extensions"][TLS_EXTENSION] = self._tls  # type: ignore[assignment]  # our own
        if rest:
            self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        """Passes frames to uvicorn, or keeps them until the application has accepted."""
        if self.handshake_complete:
            super().data_received(data)
        else:
            self._early += data
            self._transport.pause_reading()

    async def send(self, message: Any) -> None:
        """Sends a message of the application (ASGI). After it has accepted, frames that came early are read."""
        await super().send(message)
        if self._early and self.handshake_complete:
            early, self._early = self._early, b""
            self._transport.resume_reading()
            super().data_received(early)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts with the transport."""
        # Bytes after a close frame need not be read before closing.
        self._transport = HttpTransport(cast("asyncio.Transport", transport), self._write_timeout, lambda: True)
        super().connection_made(self._transport)  # type: ignore[arg-type]  # no `Transport`
        self.client = self._client
        self.scheme = "wss" if self._is_secure else "ws"
        if self._tls is not None:
            self.server = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the application that the peer has disconnected, and calls `gone`."""
        self._transport.lost()
        try:
            super().connection_lost(exc)
        finally:
            self._gone()

    def eof_received(self) -> None:
        """The peer has closed its sending side; the loop closes the transport next."""
        self._transport.flush()

    def pause_writing(self) -> None:
        """The transport's buffer is full, because the peer reads slowly."""
        self._transport.pause_writing()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The transport's buffer has emptied."""
        self._transport.resume_writing()
        super().resume_writing()

    def abort(self) -> None:
        """Closes the transport at once."""
        self._transport.abort()
