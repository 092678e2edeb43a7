"""Publishes for programs that are no node and send their messages over the backplane (`fanwire.Publisher`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fanwire.backplane.base import Backplane
from fanwire.backplane.publish_exchange import (
    ASK,
    HERE,
    NODES,
    PUBLISH,
    PUBLISHERS,
    RESULTS,
    PublishExchange,
    pack_exchange,
    unpack_exchange,
)
from fanwire.cluster.faults import Faults
from fanwire.cluster.tasks import Tasks

__all__ = ["PublishRequests"]


class PublishRequests:
    """Answers publishers. On the loop's thread only.

    Args:
        backplane: carries the messages.
        tag: of this node.
        publish: publishes a JSON list of messages, and returns a status and a body as `POST /publish`.
        tasks: runs publishing.
        faults: counts and logs what fails.
    """

    def __init__(
        self,
        backplane: Backplane,
        tag: str,
        publish: Callable[[bytes], Awaitable[tuple[int, bytes]]],
        tasks: Tasks,
        faults: Faults,
    ) -> None:
        self._backplane = backplane
        self._tag = tag
        self._publish = publish
        self._tasks = tasks
        self._faults = faults
        self._running = 0

    async def start(self) -> None:
        """Begins to hear publishers.

        Raises:
            Unavailable: the backplane is away.
        """
        await self._backplane.hear(NODES)
        await self._backplane.hear(NODES + self._tag)

    def heard(self, data: bytes) -> None:
        """Takes a message of a publisher. One that cannot be read is counted and dropped."""
        try:
            asked = unpack_exchange(data)
        except ValueError as error:
            self._faults.note("malformed", error)
            return
        if asked.kind == ASK:
            self._answer(asked, PublishExchange(HERE, self._tag, asked.number))
        elif asked.kind == PUBLISH:
            if self._running >= MOST:
                self._answer(asked, PublishExchange(RESULTS, self._tag, asked.number, 503, BUSY))
                return
            self._running += 1
            self._tasks.spawn(self._do(asked))

    async def _do(self, asked: PublishExchange) -> None:
        try:
            status, body = await self._publish(asked.body)
            self._answer(asked, PublishExchange(RESULTS, self._tag, asked.number, status, body))
        finally:
            self._running -= 1

    def _answer(self, asked: PublishExchange, answer: PublishExchange) -> None:
        if not self._backplane.send(PUBLISHERS + asked.sender, pack_exchange(answer)):
            # The publisher asks again.
            self._faults.note("publisher", "an answer to a publisher could not be sent")


MOST = 1000
"""Batches that may be published at once. Beyond it publishers are told to come later."""

BUSY = b'{"code":"overloaded","text":"the server has too many messages waiting, try again later","retry":true}'
