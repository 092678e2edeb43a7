"""One POST or poll of a link on a connection, in place of uvicorn's request and response: answered in one write, and
no ASGI application is called for it. Clients of fallback transports send these requests all the time.

The other requests for links, preflights and mistakes, go through the ASGI application as all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from fanwire.http.body_reader import AsgiReceive
from fanwire.http.head import Headers
from fanwire.http.link_routes import LinkRoutes
from fanwire.http.uvicorn import MUTED

__all__ = ["LinkCycle"]


class LinkCycle(RequestResponseCycle):
    """The request and its answer. uvicorn's protocol runs it like one of its own.

    Args:
        routes: carries out the request.
        method: "GET" or "POST".
        query: of the request.
        headers: of the request.
        failed: called with an error of the server, which is a bug; the client is answered with 500.
        others: the other arguments of uvicorn's class.
    """

    def __init__(
        self,
        routes: LinkRoutes,
        method: str,
        query: str,
        headers: Headers,
        failed: Callable[[BaseException], object],
        **others: Any,
    ) -> None:
        self._is_disconnected = False
        self._running: asyncio.Task[Any] | None = None
        super().__init__(
            scope={},  # type: ignore[typeddict-item]  # no application sees it
            logger=MUTED,
            access_logger=MUTED,
            access_log=False,
            message_event=asyncio.Event(),
            **others,
        )
        self._routes = routes
        self._request = method, query, headers
        self._failed = failed

    @property
    def disconnected(self) -> bool:
        """Whether the client has left. The connection sets it, and for such a client nothing waits any more."""
        return self._is_disconnected

    @disconnected.setter
    def disconnected(self, is_disconnected: bool) -> None:
        self._is_disconnected = is_disconnected
        if is_disconnected and self._running is not None:
            self._running.cancel()

    async def run_asgi(self, app: Any) -> None:
        """Answers the request. uvicorn calls it by this name."""
        if self.disconnected:
            return
        self._running = asyncio.current_task()
        # Most bodies came with their heads.
        body = None if self.more_body else bytes(self.body)
        try:
            status, headers, content = await self._routes.carry_out(
                *self._request, cast("AsgiReceive", self.receive), body
            )
        except ConnectionError:
            # The client has left in the middle of its body.
            return
        except asyncio.CancelledError:
            # The server stops, unless the client has left.
            status, headers, content = STOPPED
        except Exception as error:  # noqa: BLE001 - it is logged, and the client answered
            self._failed(error)
            status, headers, content = FAILED
        finally:
            self._running = None
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self._answer(status, headers, content)

    def _answer(self, status: int, headers: Headers, content: bytes) -> None:
        parts = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
            if name == b"connection":
                self.keep_alive = False
        if status != HTTPStatus.NO_CONTENT:
            parts.append(b"content-length: %d\r\n" % len(content))
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", content)
        self.transport.write(b"".join(parts))
        self.response_started = self.response_complete = True
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


STOPPED = 503, [(b"retry-after", b"1")], b""

FAILED = 500, [(b"connection", b"close")], b""
