"""A client without a session: each message is one frame."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import websockets

__all__ = ["RawClient"]


class RawClient:
    """A plain WebSocket, as a browser's `WebSocket` or a device has it. Use it within `async with`.

    Args:
        url: the URL of the server.
        token: sent as `Authorization: Bearer`; None: none.
        headers: more headers of the request.

    Raises, when it is entered:
        websockets.InvalidStatus: the server has refused the upgrade; `error.response.status_code` says how.
    """

    def __init__(self, url: str, *, token: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        more = dict(headers or {})
        if token is not None:
            more["Authorization"] = f"Bearer {token}"
        # Its own pings would be timers of a `FakeClock`, and no part of what is tested.
        self._connecting = websockets.connect(
            url, additional_headers=more, ping_interval=None, compression=None, proxy=None, max_size=None
        )
        self._url = url
        self._socket: websockets.ClientConnection | None = None

    async def __aenter__(self) -> RawClient:
        self._socket = await self._connecting
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def send(self, message: bytes | str) -> None:
        """Sends a binary or a text message."""
        await self._open.send(message)

    async def close(self, code: int = 1000) -> None:
        """Closes the connection, if it is open."""
        if self._socket is not None:
            await self._socket.close(code)

    @property
    def close_code(self) -> int | None:
        """The close code of a connection that has ended; None: it is open, or was not entered."""
        return None if self._socket is None else self._socket.close_code

    @property
    def name(self) -> str:
        """The URL, for texts of errors."""
        return self._url

    def __aiter__(self) -> RawClient:
        return self

    async def __anext__(self) -> bytes | str:
        """Waits for the next message.

        Raises:
            StopAsyncIteration: the connection has ended, see `close_code`.
        """
        try:
            return await self._open.recv()
        except websockets.ConnectionClosed:
            raise StopAsyncIteration from None

    @property
    def _open(self) -> websockets.ClientConnection:
        if self._socket is None:
            raise RuntimeError("the client is not connected: use it within `async with`")
        return self._socket
