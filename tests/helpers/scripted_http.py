"""A server of another make for the transports SSE and long-poll: a test answers each request by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from helpers.scripted import WELCOME

STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "Connection": "close"}


class Asked:
    """One request, and the ways to answer it."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        self.method, target, _ = first.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.path = urlsplit(target).path
        self.query = dict(parse_qsl(urlsplit(target).query))
        self.body = body
        self._writer = writer

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The client's messages in it."""
        return [json.loads(line) for line in self.body.split(b"\n") if line]

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Answers it."""
        lines = [f"HTTP/1.1 {status} A", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        if status != 204:
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    def stream(self) -> None:
        """Begins an event stream."""
        lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in STREAM.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())

    def raw(self, data: bytes) -> None:
        """Writes bytes of the body."""
        self._writer.write(data)

    def say(self, kind: str, **fields: Any) -> None:
        """Writes an event with a message."""
        self.raw(event(kind, **fields))

    def welcome(self, link: str = "L", **fields: Any) -> None:
        """Begins an event stream with the welcome."""
        self.stream()
        self.say("welcome", payload={**WELCOME, "link": link, **fields})

    def cut(self) -> None:
        """Ends the connection."""
        self._writer.transport.abort()


def event(kind: str, **fields: Any) -> bytes:
    """An event with a message."""
    return b"data: " + json.dumps({"type": kind, **fields}).encode() + b"\n\n"


@asynccontextmanager
async def scripted_http(script: Callable[[Asked], Awaitable[None]]) -> AsyncIterator[str]:
    """Calls the script with each request; yields the URL. A script that raises fails the test."""
    failures: list[BaseException] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                asked = Asked(head, b"", writer)
                asked.body = await reader.readexactly(int(asked.headers.get("content-length", 0)))
                await script(asked)
        except (OSError, EOFError, RuntimeError):
            pass
        except Exception as error:  # noqa: BLE001 - raised at the end
            failures.append(error)
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not as a coroutine: asyncio would log that it was cancelled.
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/path?a=1"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not failures, failures
