"""A server with pages, a proxy with faults before it, and a feed: what each browser test plays on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

import fanwire
from helpers.browser.page import Page, Tabs
from helpers.http_proxy import HttpProxy
from helpers.serving import Book
from helpers.wait import PROCESS, until

PAGES = Path(__file__).parents[2] / "browser" / "pages"
PINGS = {"ping_interval": 5.0, "ping_timeout": 5.0}
PATIENT = {"patience": 1000}
"""For a page whose transport is looked at: it gives a WebSocket two seconds, SSE three, and a ping one."""


class Stage:
    """A server whose room `feed` is fed, while entered. Clients publish into `up`, are seen in `lobby`, and may ask for
    `echo`.

    Args:
        config: of the server.
        tick: how many times a second the feed leaves; 0: each message at once.
        options: of the server.

    Attributes:
        server: the server.
        proxy: the proxy before it.
        count: how many messages were published in `feed`. Message number n has the payload `{"n": n}`.
    """

    def __init__(self, config: dict[str, Any] | None = None, *, tick: int = 0, **options: Any) -> None:
        self._folders = {"pages": PAGES}
        app = Starlette(
            routes=[
                Route(
                    "/fanwire.js",
                    lambda r: FileResponse(
                        PAGES.parents[2] / "python/fanwire/browser/fanwire.js", media_type="text/javascript"
                    ),
                ),
                Route("/drip", drip),
                Route("/{folder}/{name}", self._file),
            ]
        )
        self.server = Book(PINGS | (config or {}), app=app, mount="", **options)
        self._scheme = "https" if "tls" in options else "http"
        self.server.room("feed", history=1_000_000, history_bytes=1 << 28, tick=tick)
        self.server.room("up", publish=True, history=1_000_000)
        self.server.room("lobby", presence=True)
        self.server.on("echo", Any)(echo)
        self.count = 0
        self._feeding: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Stage:
        await self.server.__aenter__()
        self.proxy = HttpProxy("127.0.0.1", self.server.port or 0)
        await self.proxy.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.rest()
        # The server first: clients hear of its end by the proxy, and those that poll are not waited for.
        self.proxy.allow()
        await self.server.__aexit__(*error)
        await self.proxy.__aexit__(*error)

    def publish(self, count: int = 1) -> None:
        """Publishes the next messages of the feed."""
        for _ in range(count):
            self.count += 1
            self.server.publish("feed", {"n": self.count})

    def feed(self, per_second: int) -> None:
        """Publishes so many messages a second from now on."""
        self._feeding = asyncio.ensure_future(self._feed(per_second))

    async def rest(self) -> None:
        """Ends the feed."""
        feeding, self._feeding = self._feeding, None
        if feeding is not None:
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding

    def serve(self, folder: Path) -> None:
        """Serves the files of a folder below /files."""
        self._folders["files"] = folder

    def url(self, page: str = "reader.html", port: int | None = None, **options: Any) -> str:
        """The address of a page, by the proxy unless another port is named; `options` are what its script reads."""
        base = f"{self._scheme}://127.0.0.1:{port or self.proxy.port}"
        return f"{base}/pages/{page}?options={quote(json.dumps(options))}"

    async def reader(self, tabs: Tabs, port: int | None = None, *, in_window: bool = False, **options: Any) -> Page:
        """Opens a page that reads the feed, and waits until it has joined."""
        page = await tabs.open(self.url(port=port, **options), in_window=in_window)
        await page.until("window.room?.name === 'feed'", "the page has joined")
        return page

    async def complete(self, page: Page, seconds: float = PROCESS) -> list[dict[str, Any]]:
        """Waits for a page to have all of the feed; returns what it got, without a gap, a repetition or a disorder."""
        await page.until(f"got.at(-1)?.n >= {self.count}", f"the page has message {self.count}", seconds)
        got: list[dict[str, Any]] = await page.evaluate("got")
        numbers = [message["n"] for message in got]
        assert numbers == list(range(numbers[0], self.count + 1))
        assert await page.evaluate("gaps") == []
        return got

    async def kept(self, room: str) -> list[Any]:
        """The payloads of all messages of a room with a history."""
        found: list[Any] = []
        after = fanwire.Position("", 0)
        while more := await self.server.history(room, after=after, limit=1000):
            found += [message.data for message in more]
            after = more[-1].position
        return found

    async def joined(self, count: int = 1) -> None:
        """Waits for that many members of the feed."""
        await until(lambda: self.server.count("feed") == count, f"the feed has {count} members")

    async def _file(self, request: Request) -> Response:
        path = self._folders.get(request.path_params["folder"], PAGES) / request.path_params["name"]
        return FileResponse(path) if path.is_file() else Response(status_code=404)

    async def _feed(self, per_second: int) -> None:
        loop = asyncio.get_running_loop()
        start, before = loop.time(), self.count
        while True:
            await asyncio.sleep(0.01)
            self.publish(min(per_second, int((loop.time() - start) * per_second) - (self.count - before)))


async def drip(request: Request) -> Response:
    """A stream of the application's that says "do not buffer", and then a little now and then."""

    async def parts() -> AsyncIterator[bytes]:
        while not await request.is_disconnected():
            yield b"drop\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(parts(), headers={"X-Accel-Buffering": "no"})


def echo(connection: fanwire.Connection, payload: Any) -> Any:
    """Answers with what was asked."""
    return payload
