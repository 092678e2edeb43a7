"""The WebSocket by which a browser is driven: commands with answers, and events. Both protocols have one shape."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from helpers.wait import PROCESS, within

Event = Callable[[str, dict[str, Any], str | None], None]
"""Gets the name of an event, what it says, and the session that it is of (Chromium)."""


class Refused(Exception):
    """The browser did not do what it was told."""


class Remote:
    """One connection to a browser, until `close`.

    Args:
        socket: the connection.
        on_event: is called with each event.
    """

    def __init__(self, socket: ClientConnection, on_event: Event) -> None:
        self._socket, self._on_event = socket, on_event
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def connect(cls, url: str, on_event: Event) -> Remote:
        """Connects to the browser; a document may be of any size."""
        socket = await within(connect(url, compression=None, proxy=None, max_size=None, ping_interval=None), PROCESS)
        return cls(socket, on_event)

    async def ask(self, method: str, params: dict[str, Any] | None = None, /, **more: Any) -> dict[str, Any]:
        """Sends a command and returns its result.

        Args:
            method: its name.
            params: its arguments.
            more: fields beside them, such as `sessionId`.

        Raises:
            Refused: the browser answers with an error, or is gone.
        """
        self._last += 1
        number = self._last
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(json.dumps({"id": number, "method": method, "params": params or {}, **more}))
            answer = await within(waiting, PROCESS)
        except ConnectionClosed as error:
            raise Refused(f"{method}: the browser is gone") from error
        finally:
            del self._waiting[number]
        if "error" in answer:
            # Chromium has a map there, Firefox a code, and the text beside it.
            raise Refused(f"{method}: {answer['error']} {answer.get('message', '')}")
        result: dict[str, Any] = answer["result"]
        return result

    async def close(self) -> None:
        """Ends the connection; the browser stays."""
        await self._socket.close()
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self._socket:
                message = json.loads(text)
                if (number := message.get("id")) is None:
                    self._on_event(message["method"], message["params"], message.get("sessionId"))
                elif (waiting := self._waiting.get(number)) is not None and not waiting.done():
                    waiting.set_result(message)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Refused("the browser has closed the connection"))
