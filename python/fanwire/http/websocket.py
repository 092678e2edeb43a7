"""A WebSocket of the application's own, on a path where Fanwire is not: uvicorn's protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fanwire.http.shared import HttpShared
from fanwire.http.transport import HttpTransport
from fanwire.http.uvicorn import MUTED

__all__ = ["HttpWebSocket"]


class HttpWebSocket(WebSocketsSansIOProtocol):
    """The protocol of a transport whose upgrade is the application's.

    Args:
        shared: what the connections of the server have in common.
        client: the peer's address and port; None: it has none that means anything.
        is_secure: whether the peer speaks TLS.
        gone: is called once, when the transport is lost.
    """

    def __init__(
        self, shared: HttpShared, client: tuple[str, int] | None, is_secure: bool, gone: Callable[[], object]
    ) -> None:
        super().__init__(shared.uvicorn, shared.state, shared.app_state)  # type: ignore[arg-type]
        self.logger = MUTED
        self._write_timeout = shared.config.write_timeout
        self._client = client
        self._is_secure = is_secure
        self._gone = gone
        self._transport: HttpTransport
        # What has come before the application has accepted. uvicorn would answer it before the 101.
        self._early = b""

    def begin(self, transport: asyncio.Transport, head: bytes, rest: bytes) -> None:
        """Takes over a transport.

        Args:
            transport: its protocol until now was HTTP's.
            head: the upgrade request.
            rest: what has come behind it.
        """
        transport.set_protocol(self)
        self.connection_made(transport)
        super().data_received(head)
        if rest:
            self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        """Frames have come."""
        if self.handshake_complete:
            super().data_received(data)
        else:
            self._early += data
            self._transport.pause_reading()

    async def send(self, message: Any) -> None:
        """See ASGI."""
        await super().send(message)
        if self._early and self.handshake_complete:
            early, self._early = self._early, b""
            self._transport.resume_reading()
            super().data_received(early)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        # What comes behind a close frame is not looked at.
        self._transport = HttpTransport(cast("asyncio.Transport", transport), self._write_timeout, lambda: True)
        super().connection_made(self._transport)  # type: ignore[arg-type]
        self.client = self._client
        self.scheme = "wss" if self._is_secure else "ws"

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._transport.lost()
        try:
            super().connection_lost(exc)
        finally:
            self._gone()

    def eof_received(self) -> None:
        """The peer sends no more: the transport is closed next."""
        self._transport.flush()

    def pause_writing(self) -> None:
        """The peer is slow to read."""
        self._transport.pause_writing()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._transport.resume_writing()
        super().resume_writing()

    def abort(self) -> None:
        """Ends the transport at once."""
        self._transport.abort()
