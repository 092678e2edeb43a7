"""A proxy for HTTP as some companies have them: it blocks upgrades, or holds every response until it is complete. Tests
switch that on and off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

PASS, REFUSE, HANG, RESET = "pass", "refuse", "hang", "reset"
"""What becomes of an upgrade."""

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Middlebox:
    """The proxy.

    Args:
        port: of the server behind it, on 127.0.0.1.

    Attributes:
        upgrades: what becomes of an upgrade.
        holds: whether responses are held until they are complete.
        headers: lines that it adds to the answers of plain requests.
        port: its own.
        requests: the request lines that have come.
    """

    def __init__(self, port: int, *, upgrades: str = PASS, holds: bool = False, headers: bytes = b"") -> None:
        self._behind = port
        self.upgrades = upgrades
        self.holds = holds
        self.headers = headers
        self.port = 0
        self.requests: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Middlebox:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """For clients."""
        return f"ws://127.0.0.1:{self.port}/"

    def cut(self) -> None:
        """Ends all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            # uvloop says with a RuntimeError that a transport is closed.
            with contextlib.suppress(OSError, EOFError, RuntimeError):
                first = await reader.readuntil(b"\r\n\r\n")
                is_upgrade = b"upgrade: websocket" in first.lower()
                self.requests.append(first.split(b"\r\n")[0].decode())
                if is_upgrade and self.upgrades != PASS:
                    await self._block(reader, writer)
                    return
                answers, upstream = await asyncio.open_connection("127.0.0.1", self._behind)
                upstream.write(first)
                if is_upgrade:
                    await _either(_pipe(reader, upstream), _pipe(answers, writer))
                else:
                    await self._forward(first, reader, writer, answers, upstream)
        finally:
            self._writers.discard(writer)
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    async def _block(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.upgrades == REFUSE:
            writer.write(REFUSAL)
            await writer.drain()
        if self.upgrades != RESET:
            await reader.read()

    async def _forward(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        """Requests of one connection, one after the other."""
        while True:
            upstream.write(await reader.readexactly(_length(head) or 0))
            answer = await _first(answers.readuntil(b"\r\n\r\n"), reader)
            answer = answer[:-2] + self.headers + b"\r\n"
            length = 0 if answer.split()[1] in (b"204", b"304") else _length(answer)
            if length is None and not self.holds:
                writer.write(answer)
                await _either(_pipe(answers, writer), reader.read(1))
                return
            body = await _first(answers.read() if length is None else answers.readexactly(length), reader)
            writer.write(answer + body)
            await writer.drain()
            if b"connection: close" in answer.lower():
                await reader.read()
                return
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.split(b"\r\n")[0].decode())
            upstream.write(head)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def _either(*works: Coroutine[Any, Any, Any]) -> None:
    """Runs all until one ends."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first(answer: Coroutine[Any, Any, bytes], client: asyncio.StreamReader) -> bytes:
    """The answer, unless the client leaves first."""
    asked = asyncio.ensure_future(answer)
    left = asyncio.ensure_future(client.read(1))
    try:
        await asyncio.wait({asked, left}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise ConnectionResetError("the client has left")
        return asked.result()
    finally:
        for task in (asked, left):
            task.cancel()
        await asyncio.gather(asked, left, return_exceptions=True)


def _length(head: bytes) -> int | None:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return None
