"""Plain HTTP to one server over one connection, a request after the other. The transports SSE and long-poll use it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from fanwire.client.dial import dial
from fanwire.client.failures import Failure, reason_of
from fanwire.client.http_answer import AnswerParser, HttpAnswer
from fanwire.client.link import LinkTarget, Unreachable
from fanwire.client.network import Network, network_of
from fanwire.client.watched_context import default_context

__all__ = ["HttpChannel"]

READ = 1 << 16
"""Bytes of one read."""


class HttpChannel:
    """A connection for requests. It is made with the first request, kept, and made anew after it was lost.

    Args:
        target: the server.
    """

    def __init__(self, target: LinkTarget) -> None:
        self._target = target
        self._parts = urlsplit(target.url)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._socket: socket.socket | None = None
        self._answer = AnswerParser()

    @property
    def network(self) -> Network | None:
        """What the kernel knows about the connection; None: the system cannot tell, or there is none."""
        if self._socket is None or self._writer is None:
            return None
        return network_of(self._socket, self._writer.transport.get_write_buffer_size())

    async def exchange(self, method: str, query: Mapping[str, str], body: bytes = b"") -> HttpAnswer:
        """Sends a request and returns its answer. It may be sent twice.

        Raises:
            OSError: there was no whole answer.
            Unreachable: the server cannot be reached, or does not speak HTTP.
        """
        if self._writer is not None:
            # A server may end a connection that it has kept just when the next request comes.
            with suppress(OSError):
                return await self._exchange(method, query, body)
        return await self._exchange(method, query, body)

    async def open(self, query: Mapping[str, str], accept: str) -> HttpAnswer:
        """Sends a GET over a new connection and returns the head of its answer. `read` returns the body.

        Raises:
            OSError: there was no answer.
            Unreachable: the server cannot be reached, or does not speak HTTP.
        """
        self.abort()
        await self._send("GET", query, b"", {"Accept": accept})
        while not self._answer.has_head:
            await self._feed()
        return HttpAnswer(self._answer.status, self._answer.headers)

    async def read(self) -> bytes:
        """The next bytes of the body; none: it has ended.

        Raises:
            OSError: the connection was lost before the end.
            Unreachable: the answer is not HTTP.
        """
        while not self._answer.has_body and not self._answer.is_whole:
            await self._feed()
        return self._answer.taken()

    async def rest(self) -> bytes:
        """The whole body.

        Raises:
            OSError, Unreachable: as `read`.
        """
        while not self._answer.is_whole:
            await self._feed()
        return self._answer.taken()

    def abort(self) -> None:
        """Ends the connection."""
        writer, self._writer, self._reader, self._socket = self._writer, None, None, None
        if writer is not None:
            writer.transport.abort()

    async def _exchange(self, method: str, query: Mapping[str, str], body: bytes) -> HttpAnswer:
        try:
            await self._send(method, query, body, {})
            content = await self.rest()
        except BaseException:
            # The rest of an answer must not be taken for the next one.
            self.abort()
            raise
        answer = HttpAnswer(self._answer.status, self._answer.headers, content)
        if not self._answer.is_kept:
            self.abort()
        return answer

    async def _send(self, method: str, query: Mapping[str, str], body: bytes, headers: Mapping[str, str]) -> None:
        writer = self._writer or await self._connect()
        self._answer = AnswerParser()
        parts = urlsplit(self._target.url_with(query))
        lines = [f"{method} {parts.path or '/'}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
        if body or method == "POST":
            lines += ["Content-Type: text/plain", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in {**headers, **self._target.headers}.items()]
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            await writer.drain()
        except RuntimeError as error:
            # As uvloop says that the server has closed it.
            raise ConnectionResetError(str(error)) from error

    async def _connect(self) -> asyncio.StreamWriter:
        host, is_tls = self._parts.hostname or "", self._parts.scheme == "wss"
        sock: socket.socket | None = None
        try:
            sock = await dial(host, self._parts.port or (443 if is_tls else 80))
            context = (self._target.ssl or default_context()) if is_tls else None
            self._reader, self._writer = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname=host if is_tls else None, limit=2 * READ
            )
            self._socket = sock
            return self._writer
        except OSError as error:
            raise Unreachable(reason_of(error), Failure.of_error(error), is_reached=sock is not None) from error
        finally:
            if self._writer is None and sock is not None:
                sock.close()

    async def _feed(self) -> None:
        if self._reader is None:
            raise ConnectionResetError("the connection was lost")
        self._answer.take(await self._reader.read(READ))
