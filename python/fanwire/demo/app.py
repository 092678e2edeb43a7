"""The demo's server: who is let in, and the tasks that publish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from fanwire.connection import Connection
from fanwire.demo.feeds import feed_quotes, feed_readings, feed_ticks
from fanwire.demo.people import PEOPLE, write
from fanwire.demo.rooms import ROOMS, declare
from fanwire.demo.site import site
from fanwire.errors import Closed, Refused
from fanwire.identity.identity import ANONYMOUS, Anonymous, Identity
from fanwire.identity.request import Request
from fanwire.server import Server

__all__ = ["Demo"]

logger = logging.getLogger("fanwire.demo")


class Demo:
    """A server with a page at `/`, and tasks that publish to its rooms.

    Args:
        port: the port; 0: any free one.

    Attributes:
        server: has to be run by the caller.
    """

    def __init__(self, port: int) -> None:
        # No mount: sessions are at /, beside the page, and raw rooms at /rooms/NAME.
        self.server = Server("127.0.0.1", port, authenticate=self._visitor, app=site(), mount="")
        self._tasks: list[asyncio.Task[None]] = []
        declare(self.server)
        self.server.on_connect(self._welcome)

    @property
    def page(self) -> str:
        """The URL of the page, when the server listens."""
        return f"http://127.0.0.1:{self.server.port}/"

    def begin(self) -> None:
        """Begins to publish; the tasks end with the server."""
        for feed in (feed_quotes, feed_ticks, feed_readings):
            self._spawn(feed(self.server))
        for name, (pause, stay) in PEOPLE.items():
            self._spawn(write(self.page.replace("http", "ws", 1), name, pause, stay))

    # Clients.

    def _visitor(self, request: Request) -> Identity | Anonymous:
        # Any website may open a connection to 127.0.0.1 in a visitor's browser. Only the demo's page gets in.
        ours = {f"http://{host}:{self.server.port}" for host in ("127.0.0.1", "localhost")}
        if request.headers.get("Origin", self.page.rstrip("/")) not in ours:
            raise Refused(403, "another site's page")
        if request.path != "/" and request.path.removeprefix("/rooms/") not in ROOMS:
            raise Refused(404, f"no room: {request.path!r}")
        # The demo believes every name. Another server looks for the user whose token it is.
        name = request.credential(("header", "subprotocol", "query"))
        return ANONYMOUS if name is None else Identity(subject=name[:NAME_MAX])

    def _welcome(self, conn: Connection) -> None:
        if conn.identity is not None:
            conn.info = {"name": conn.identity.subject}
        if conn.request.path != "/":
            conn.join(conn.request.path.removeprefix("/rooms/"))

    # Tasks.

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(_tell)
        self._tasks.append(task)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Closed):
        logger.error("a task of the demo has ended", exc_info=error)


NAME_MAX = 40
"""Characters of a visitor's name: what fits on a line of a phone."""
