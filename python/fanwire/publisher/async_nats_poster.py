"""Posts batches over NATS, on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.http_poster import PostFailed
from fanwire.publisher.nats_connections import NatsPublisherConnection
from fanwire.publisher.nats_poster import ASK_AGAIN
from fanwire.publisher.target import PublishTarget
from fanwire.timing.deadline import within

__all__ = ["AsyncNatsPoster"]


class AsyncNatsPoster:
    """Posts to the nodes of a cluster, over one connection. Belongs to the event loop of the first `post`.

    Args:
        target: the NATS server.
    """

    def __init__(self, target: PublishTarget) -> None:
        self._target = target
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: NatsPublisherConnection | None = None
        self._slots = asyncio.Semaphore(target.max_connections)
        self._answers: dict[int, asyncio.Future[PublishAnswer]] = {}
        self._changes: set[asyncio.Future[None]] = set()
        self._under_way: set[asyncio.Future[PublishAnswer]] = set()

    async def post(self, body: bytes, timeout: float) -> PublishAnswer:
        """Posts a batch and returns the answer.

        Args:
            body: a JSON list of messages.
            timeout: seconds until the answer has come.

        Raises:
            PostTooLarge: it is larger than the NATS server allows.
            PostFailed: there was no answer.
            RuntimeError: the connection belongs to another event loop.
        """
        connection = self._opened()
        work = asyncio.ensure_future(within(self._post(connection, body), timeout))
        self._under_way.add(work)
        try:
            await asyncio.wait([work])
        finally:
            # The caller no longer waits.
            self._under_way.discard(work)
            work.cancel()
        if work.cancelled():
            raise PostFailed("the connection to NATS has ended")
        try:
            return work.result()
        except asyncio.TimeoutError as error:
            raise connection.unanswered() from error

    async def close(self) -> None:
        """Closes the connection."""
        connection, self._connection, loop, self._loop = self._connection, None, self._loop, None
        if connection is not None and loop is not None:
            loop.remove_reader(connection.fileno())
            self._end_posts()
            await loop.run_in_executor(None, connection.close)

    async def _post(self, connection: NatsPublisherConnection, body: bytes) -> PublishAnswer:
        async with self._slots:
            await self._until(lambda: connection.is_ready)
            while connection.node is None:
                connection.ask()
                try:
                    await within(self._until(lambda: connection.node is not None), ASK_AGAIN)
                except asyncio.TimeoutError:
                    continue
            number = connection.publish(body)
            answer: asyncio.Future[PublishAnswer] = asyncio.get_running_loop().create_future()
            self._answers[number] = answer
            try:
                return await answer
            finally:
                del self._answers[number]

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changes.add(change)
            try:
                await change
            finally:
                self._changes.discard(change)

    def _opened(self) -> NatsPublisherConnection:
        loop = asyncio.get_running_loop()
        if self._connection is None:
            try:
                self._connection = NatsPublisherConnection(self._target)
            except OSError as error:
                raise PostFailed(str(error)) from error
            self._loop = loop
            loop.add_reader(self._connection.fileno(), self._take, self._connection)
        elif self._loop is not loop:
            raise RuntimeError(
                "the AsyncPublisher belongs to another event loop: make one for each loop, or use fanwire.Publisher"
            )
        return self._connection

    def _take(self, connection: NatsPublisherConnection) -> None:
        try:
            for number, answer in connection.take().items():
                waiting = self._answers.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except PostFailed:
            # It cannot be made again: the next post begins with another.
            if self._loop is not None:
                self._loop.remove_reader(connection.fileno())
            self._connection = None
            self._end_posts()
        for change in self._changes:
            if not change.done():
                change.set_result(None)

    def _end_posts(self) -> None:
        """The connection has ended: its answers do not come, and another one has the same numbers."""
        for work in self._under_way:
            work.cancel()
