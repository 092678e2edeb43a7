"""The demo's server: the page, its rooms, and the task that publishes to them."""

from __future__ import annotations

import asyncio
import logging
import time
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse
from starlette.routing import Route

from fanwire.connection import Connection
from fanwire.demo.readings import Readings, Window
from fanwire.errors import Closed, Overloaded, Refused
from fanwire.identity.identity import ANONYMOUS, Anonymous
from fanwire.identity.request import Request
from fanwire.server import Server

__all__ = ["ROOMS", "Demo", "Statistics", "quantile"]

logger = logging.getLogger("fanwire.demo")

ROOMS = (
    "machine.cpu",
    "machine.memory",
    "machine.network",
    "machine.disk",
    "machine.load",
    "machine.rooms",
    "engine.stats",
)


class Demo:
    """A server with a page at `/`, and a task that publishes to its rooms, which are of latest values.

    Args:
        port: the port; 0: any free one.

    Attributes:
        server: has to be run by the caller.
    """

    def __init__(self, port: int) -> None:
        app = Starlette(routes=[Route("/", self._page)])
        # No mount: the page's WebSockets are at /rooms/NAME.
        self.server = Server("127.0.0.1", port, authenticate=self._room_of, app=app, mount="")
        self._html = files("fanwire.demo").joinpath("page.html").read_bytes()
        self._feeding: asyncio.Task[None] | None = None
        for room in ROOMS:
            self.server.room(room, delivery="latest", max_keys=KEYS_MAX)
        self.server.on_connect(self._subscribe)

    @property
    def page(self) -> str:
        """The URL of the page, when the server listens."""
        return f"http://127.0.0.1:{self.server.port}/"

    def begin(self) -> None:
        """Begins to publish; the task ends with the server."""
        self._feeding = asyncio.ensure_future(self._feed())
        self._feeding.add_done_callback(_tell)

    # Requests.

    async def _page(self, request: HttpRequest) -> HTMLResponse:
        return HTMLResponse(self._html, headers=HEADERS)

    def _room_of(self, request: Request) -> Anonymous:
        # Any website may open a WebSocket to 127.0.0.1 in a visitor's browser. Only the demo's page gets readings.
        ours = {f"http://{host}:{self.server.port}" for host in ("127.0.0.1", "localhost")}
        if request.headers.get("Origin", self.page.rstrip("/")) not in ours:
            raise Refused(403, "another site's page")
        room = request.path.removeprefix("/rooms/")
        if room not in ROOMS:
            raise Refused(404, f"no room: {request.path!r}")
        return ANONYMOUS

    def _subscribe(self, conn: Connection) -> None:
        conn.join(conn.request.path.removeprefix("/rooms/"))

    # Publishing.

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        readings, statistics = Readings(), Statistics()
        due, tick = loop.time(), 0
        while True:
            try:
                for room, key, data in readings.sample():
                    self._publish(room, key, data)
                if tick % (RATE // STATS_RATE) == 0:
                    for room in ROOMS:
                        self._publish("machine.rooms", room, {"room": room, "members": self.server.count(room)})
                    self._publish("engine.stats", "engine", statistics.of(time.monotonic(), self.server.stats()))
            except Closed:
                return
            tick += 1
            # Missed ticks, as of a laptop that slept, are not repeated.
            due = max(due + 1 / RATE, loop.time())
            await asyncio.sleep(due - loop.time())

    def _publish(self, room: str, key: str, data: dict[str, Any]) -> None:
        try:
            # The page measures latency with it: it has the same clock.
            self.server.publish(room, {"t": time.time() * 1e3, **data}, key=key)
        except Overloaded as error:
            logger.warning("a reading of %s is left out: %s", room, error)


class Statistics:
    """The engine's counts, with their rates per second."""

    def __init__(self) -> None:
        self._counts = Window(STATS_WINDOW)
        self._latency = Window(STATS_WINDOW)

    def of(self, now: float, stats: dict[str, Any]) -> dict[str, Any]:
        """The part of the engine's statistics that the page shows, at a time in seconds."""
        counted = {name: float(stats[name]) for name in ("published", "delivered", "bytes", "writes")}
        _, latency = self._latency.add(now, {str(below): float(count) for below, count in stats["latency_us"]})
        buckets = [(int(below), count) for below, count in latency.items()]
        return {
            **{name: stats[name] for name in SHOWN},
            "per_second": {name: round(rate, 1) for name, rate in self._counts.rates(now, counted).items()},
            "p50_us": quantile(buckets, 0.5),
            "p99_us": quantile(buckets, 0.99),
        }


def quantile(buckets: list[tuple[int, float]], share: float) -> int | None:
    """The upper bound of the bucket that reaches the share of all counts; None: there are no counts."""
    rest = share * sum(count for _, count in buckets)
    if rest <= 0:
        return None
    for below, count in buckets:
        rest -= count
        if rest <= 0:
            return below
    return buckets[-1][0]


def _tell(feeding: asyncio.Task[None]) -> None:
    if not feeding.cancelled() and (error := feeding.exception()) is not None:
        logger.error("the readings have ended", exc_info=error)


RATE = 20
"""Readings a second."""

STATS_RATE = 2
"""Readings of the engine a second."""

STATS_WINDOW = 4
"""Samples over which the engine's rates are taken: two seconds."""

KEYS_MAX = 4096
"""The most keys of a room: no machine has as many cores."""

SHOWN = (
    "connections",
    "rooms",
    "published",
    "refused",
    "delivered",
    "bytes",
    "writes",
    "blocked",
    "closed_slow",
    "waiting_bytes",
    "waiting_bytes_limit",
    "drops",
)

HEADERS = {
    "Cache-Control": "no-store",
    # Nothing from other origins. Not every browser accepts 'self' for ws.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
