"""The transport long-poll: messages come by requests that wait, and go by POST. It works where a proxy holds every
response back until it is complete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fanwire.client.event_stream import EventStream, TooLong
from fanwire.client.http_answer import HttpAnswer
from fanwire.client.http_link import OK, HttpLink
from fanwire.client.link import MESSAGE_MAX, LinkOwner, LinkTarget
from fanwire.client.post_queue import insist
from fanwire.codes import CloseCode

__all__ = ["LongPollLink"]

PAUSE = 1.0
"""Seconds from one poll to the next where nothing has come: a proxy may answer in the place of the server."""
POLL_TIMEOUT = 120.0
"""Seconds for the answer to a poll. The server's `poll_timeout` is 25 by default, and proxies give up after 60."""


class LongPollLink(HttpLink):
    """One link of requests that wait.

    Args:
        target: the server.
    """

    transport = "long-poll"

    def __init__(self, target: LinkTarget) -> None:
        super().__init__(target)
        self._answer = HttpAnswer(0, {})
        self._is_adopted = asyncio.Event()
        self._asked = 0.0

    async def connect(self, query: Mapping[str, str], seconds: float) -> None:
        """Opens the link, in so many seconds at most."""
        opening = {"transport": "long-poll", "protocol": self.target.codec.subprotocol, **query}
        self._answer = await self._open(lambda: self._getting.exchange("GET", opening), seconds)
        self._begin()

    def adopt(self, owner: LinkOwner) -> None:
        """Gives the link its owner; polls begin."""
        super().adopt(owner)
        self._is_adopted.set()

    async def _read(self) -> str:
        answer: HttpAnswer | None = self._answer
        while answer is not None and answer.status in (OK, NOTHING):
            try:
                events = EventStream(2 * MESSAGE_MAX).feed(answer.body)
            except TooLong as error:
                self._violation(CloseCode.TOO_BIG, str(error))
                return str(error)
            for event in events:
                self._take(event)
            await self._is_adopted.wait()
            if self._owner is None or self._name is None:
                return "a poll was answered without a message"
            if not events:
                await asyncio.sleep(self._rest())
            received = await self._owner.link_count(self)
            answer = await self._poll(received)
        return "a poll was not answered" if answer is None else f"a poll was answered with {answer.status}"

    async def _poll(self, received: int) -> HttpAnswer | None:
        query = {"link": self._name or "", "received": str(received)}
        self._asked = asyncio.get_running_loop().time()
        return await insist(lambda: self._getting.exchange("GET", query), POLL_TIMEOUT)

    def _rest(self) -> float:
        """Seconds until the next poll."""
        return max(0.0, self._asked + PAUSE - asyncio.get_running_loop().time())


NOTHING = 204
