"""A server without sockets that decides about newcomers, and notes what became of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import fanwire
from helpers.fake.engine import FakeEngine
from helpers.fake.link import Link
from helpers.hosted import Hosted


class NotingEngine(FakeEngine):
    """Notes what is decided about newcomers.

    Attributes:
        accepted: by request: the session's encoding, the first message and the rate.
        batched: by request: whether the client gets batches.
        deltas: by request: whether the client takes deltas.
        resumed: by request: the arguments of `resume` but for the request.
        refused: by request: status, headers and reason.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.accepted: dict[int, tuple[str | None, bytes, float]] = {}
        self.batched: dict[int, bool] = {}
        self.deltas: dict[int, bool] = {}
        self.resumed: dict[int, tuple[Any, ...]] = {}
        self.refused: dict[int, tuple[int, list[str], str]] = {}

    def accept(
        self,
        request: int,
        session: str | None = None,
        first: bytes = b"",
        rate: float = 1.0,
        batch: bool = False,
        delta: bool = False,
    ) -> int | None:
        link = super().accept(request, session, first, rate, batch, delta)
        if link is not None:
            self.accepted[request] = (session, first, rate)
            self.batched[request] = batch
            self.deltas[request] = delta
        return link

    def resume(self, conn: int, request: int, *rest: Any) -> int | None:
        link = super().resume(conn, request, *rest)
        if link is not None:
            self.resumed[request] = (conn, *rest)
        return link

    def refuse(self, request: int, status: int, headers: Sequence[str] = (), reason: str = "", *about: str) -> None:
        assert request not in self.accepted
        super().refuse(request, status, headers, reason, *about)
        self.refused[request] = (status, list(headers), reason)


class NewcomerHost(Hosted):
    """A server, and its newcomers. Nothing is waited for, and what is told of connections is not heard.

    Attributes:
        links: the links of the newcomers, by request.
    """

    engine: NotingEngine

    def __init__(self, authenticate: Any = None, **options: Any) -> None:
        super().__init__(authenticate, engine=NotingEngine, **options)
        self.links: dict[int, Link] = {}
        self.start()

    def ask(
        self, target: str = "/", subprotocol: str | None = None, headers: bytes = b"", transport: str = "websocket"
    ) -> int:
        """A request comes; returns its id."""
        link = self.engine.ask(target.encode(), subprotocol, headers, transport=transport)
        self.links[link.request] = link
        self._hear()
        return link.request

    def leave(self, request: int) -> None:
        """The peer of a request leaves."""
        self.links[request].leaves()
        self._hear()

    def _hear(self) -> None:
        for kind, request, detail in self.engine.events():
            if kind == "request":
                self.handshakes.begin(request, detail)
            elif kind == "gone":
                self.handshakes.gone(request)

    @property
    def connections(self) -> list[fanwire.Connection]:
        """Those that were let in."""
        return list(self.registry.connections.values())


def welcome_of(encoded: bytes) -> dict[str, Any]:
    """The payload of a first message."""
    welcome = json.loads(encoded)
    assert welcome["type"] == "welcome"
    found: dict[str, Any] = welcome["payload"]
    return found
