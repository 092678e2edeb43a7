"""A WebSocket server by hand, right and wrong: a script writes each frame to the client."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from helpers.scripted import WELCOME
from helpers.wait import within
from helpers.wire import CLOSE, TEXT, accept_of, frame

RSV1 = 4
"""The reserved bit of a compressed message, as `helpers.wire.frame` counts them."""


class FramePeer:
    """A connection of the client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self.head = head
        self._reader = reader
        self._writer = writer

    def write(self, opcode: int, payload: bytes, **options: Any) -> None:
        """Writes a frame; the options are those of `helpers.wire.frame`."""
        self._writer.write(frame(opcode, payload, mask=False, **options))

    def say(self, kind: str, **fields: Any) -> None:
        """Writes a message in a frame of its own."""
        self.write(TEXT, json.dumps({"type": kind, **fields}).encode())

    def welcome(self) -> None:
        """Writes the first message."""
        self.say("welcome", payload=WELCOME)

    async def frame(self) -> tuple[int, bytes]:
        """Reads a frame: its first byte and its payload, without the mask."""
        first, second = await within(self._reader.readexactly(2))
        assert second >= 128, "the client has not masked a frame"
        size = second & 127
        if size == 126:
            (size,) = struct.unpack("!H", await within(self._reader.readexactly(2)))
        elif size == 127:
            (size,) = struct.unpack("!Q", await within(self._reader.readexactly(8)))
        key = await within(self._reader.readexactly(4))
        data = await within(self._reader.readexactly(size))
        stream = (key * (size // 4 + 1))[:size]
        return first, (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")

    async def closed(self) -> tuple[int, str]:
        """Reads up to the close frame; returns its code and reason, and ends the connection."""
        while True:
            first, payload = await self.frame()
            if first & 15 == CLOSE:
                self._writer.transport.abort()
                return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


@asynccontextmanager
async def frame_server(script: Callable[[FramePeer], Awaitable[None]], extensions: str | None) -> AsyncIterator[str]:
    """Answers each upgrade, and runs the script with it; yields the URL. A script that raises fails the test.

    Args:
        script: gets each connection.
        extensions: lines of `Sec-WebSocket-Extensions`, one for each line of the text; None: there are none.
    """
    failures: list[BaseException] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            key = head.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
            lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
            lines += [f"Sec-WebSocket-Accept: {accept_of(key)}", "Sec-WebSocket-Protocol: fanwire.v1.json"]
            lines += [f"Sec-WebSocket-Extensions: {line}" for line in (extensions or "").splitlines()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            await script(FramePeer(reader, writer, head))
        except (OSError, EOFError):
            pass
        except Exception as error:  # noqa: BLE001 - raised at the end
            failures.append(error)
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not as a coroutine: asyncio would log that it was cancelled.
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 24)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not failures, failures
