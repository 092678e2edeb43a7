"""The publisher of programs with an event loop."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol

from fanwire.publisher.async_nats_poster import AsyncNatsPoster
from fanwire.publisher.calls import PublishCalls
from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.publication import Publication, Published
from fanwire.publisher.target import PublishTarget
from fanwire.values.interest import Where

__all__ = ["AsyncPublisher"]


class AsyncPoster(Protocol):
    """Carries batches to a server, on an event loop."""

    async def post(self, body: bytes, timeout: float) -> PublishAnswer:
        """Posts a batch and returns the answer."""

    async def close(self) -> None:
        """Ends the connections."""


class AsyncPublisher:
    """Publishes to a Fanwire server from another program with an event loop. It has the methods of `Publisher`, to be
    awaited, and the same arguments.

    ::

        async def main() -> None:
            async with fanwire.AsyncPublisher("http://127.0.0.1:8000", key="key-of-the-server") as publisher:
                await publisher.publish("orders.42", {"state": "paid"})

    It belongs to the event loop of its first message, until it is closed. A cancelled call ends at once, and it is
    unknown whether its messages were published.

    Args:
        url: as in `Publisher`.
        key: as in `Publisher`.
        ssl: as in `Publisher`.
        timeout: as in `Publisher`.
        max_connections: connections at the same time, 1 to 1,000; over NATS, requests over one connection. Further
            calls wait within their timeout.
        prefix: as in `Publisher`.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        ssl: tls.SSLContext | None = None,
        timeout: float = 10.0,
        max_connections: int = 10,
        prefix: str = "fanwire",
    ) -> None:
        target = PublishTarget.of(url, key, ssl, timeout, max_connections, prefix)
        self._poster: AsyncPoster
        if target.is_nats:
            self._poster = AsyncNatsPoster(target)
        else:
            # aiohttp takes a quarter of a second to import: programs with `Publisher` need not have it.
            from fanwire.publisher.async_http_poster import AsyncHttpPoster

            self._poster = AsyncHttpPoster(target)
        self._calls = PublishCalls(target, self._poster.post, asyncio.sleep)

    async def publish(
        self,
        room: str,
        data: Any,
        key: str | None = None,
        *,
        delivery: str | None = None,
        id: str | None = None,
        where: Where | Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Published:
        """Publishes a message, and waits until the server has confirmed it. Arguments, result and errors are those of
        `Publisher.publish`.

        Raises:
            RuntimeError: the publisher belongs to another event loop.
        """
        return await self._calls.publish(Publication(room, data, key, delivery, id, where, tags), timeout)

    async def publish_many(
        self, messages: Iterable[Publication | tuple[Any, ...]], *, timeout: float | None = None
    ) -> list[Published]:
        """Publishes many messages, in batches, one batch at a time. Arguments, result and errors are those of
        `Publisher.publish_many`.

        Raises:
            RuntimeError: the publisher belongs to another event loop.
        """
        return await self._calls.publish_many(messages, timeout)

    async def close(self) -> None:
        """Closes the connections. Later calls raise `Closed`, and so do calls that would have to try again."""
        self._calls.is_closed = True
        await self._poster.close()

    async def __aenter__(self) -> AsyncPublisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
