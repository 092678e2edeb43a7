"""Forwards the requests of clients to the nodes that have their links, and answers those of other nodes.

Request and reply are messages of the backplane, which carries each at most once. A lost message is repeated by the
client: a POST by its number, a poll by its count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from fanwire.backplane.base import Backplane
from fanwire.cluster.faults import Faults
from fanwire.cluster.heartbeats import name_of_tag
from fanwire.cluster.link_parts import ASKED, REPLIED, TAKEN, LinkPart, LinkParts, parts_of, unpack_part
from fanwire.cluster.tasks import Tasks
from fanwire.timing.deadline import within
from fanwire.transports.exchange import UNAVAILABLE, UNKNOWN, LinkReply, LinkRequest

__all__ = ["LINKS", "Forwarding"]

Answer = Callable[[LinkRequest], Awaitable[LinkReply]]


@dataclass
class _Asked:
    """A request that the node with a tag was asked for."""

    tag: str
    is_taken: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    reply: asyncio.Future[LinkReply] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, reply: LinkReply | None) -> None:
        """The node has taken the request, and has answered it if there is a reply."""
        if not self.is_taken.done():
            self.is_taken.set_result(None)
        if reply is not None and not self.reply.done():
            self.reply.set_result(reply)


class Forwarding:
    """Forwards and answers. On the loop's thread only.

    Args:
        backplane: carries the messages.
        tag: of this node.
        is_there: whether heartbeats of the node with a tag come.
        answer: carries out a request for a link of this node.
        timeout: seconds from the moment when the other node has taken a request to its reply.
        tasks: runs the answers.
        faults: counts and logs what fails.
    """

    def __init__(
        self,
        backplane: Backplane,
        tag: str,
        is_there: Callable[[str], bool],
        answer: Answer,
        timeout: float,
        tasks: Tasks,
        faults: Faults,
    ) -> None:
        self._backplane = backplane
        self._tag = tag
        self._is_there = is_there
        self._answer = answer
        self._timeout = timeout
        self._tasks = tasks
        self._faults = faults
        self._asked: dict[int, _Asked] = {}
        self._count = 0
        self._parts = LinkParts(INCOMPLETE)

    async def start(self) -> None:
        """Begins to hear the other nodes.

        Raises:
            Unavailable: the backplane is away.
        """
        await self._backplane.hear(LINKS + self._tag)

    async def ask(self, tag: str, request: LinkRequest) -> LinkReply:
        """Asks the node with a tag. The reply is `UNKNOWN` if there is no such node: its links have ended with it.

        Nothing is sent to a node whose heartbeats do not come, because anyone may invent a tag.
        """
        unseen = await self._unseen(tag)
        if unseen is not None:
            return unseen
        if len(self._asked) >= MOST:
            self._faults.note("forwarding", f"{MOST} requests of links wait for other nodes already")
            return UNAVAILABLE
        self._count += 1
        number, asked = self._count, _Asked(tag)
        self._asked[number] = asked
        try:
            if not self._send(tag, ASKED, number, msgspec.msgpack.encode(request)):
                return UNAVAILABLE
            # A node that does not take the request is dead, or the message was lost. One that has taken it may wait
            # long, for the application or for the next message of a poll.
            await within(asyncio.shield(asked.is_taken), TAKEN_WITHIN)
            return await within(asyncio.shield(asked.reply), self._timeout)
        except asyncio.TimeoutError:
            if not asked.is_taken.done() and not self._is_there(tag):
                return UNKNOWN
            self._faults.note("forwarding", f"node {name_of_tag(tag)} does not answer a request of a link")
            return UNAVAILABLE
        finally:
            del self._asked[number]

    async def _unseen(self, tag: str) -> LinkReply | None:
        """The answer for a node that is not there; None: it is. One that has just started, like this one or the other,
        is heard within a second."""
        # Counts looks: after a standstill of the loop, heartbeats of that time are read between two of them.
        for _ in range(LOOKS):
            if self._is_there(tag):
                return None
            if not self._backplane.is_up:
                return UNAVAILABLE
            await asyncio.sleep(LOOK)
        return None if self._is_there(tag) else UNKNOWN

    def gone(self, tag: str) -> None:
        """The node with a tag is dead: answers what waits for it with `UNKNOWN`."""
        for asked in self._asked.values():
            if asked.tag == tag:
                asked.answer(UNKNOWN)

    def away(self) -> None:
        """The backplane is away: answers what waits for other nodes with `UNAVAILABLE`. Their replies may be lost."""
        for asked in self._asked.values():
            asked.answer(UNAVAILABLE)

    def heard(self, data: bytes) -> None:
        """Takes a message of another node. One that cannot be read is counted and dropped."""
        try:
            part = unpack_part(data)
            message = self._parts.take(part)
            if message is not None:
                self._take(part, message)
        except ValueError as error:
            self._faults.note("malformed", f"{error} (a request of a link)")

    def _take(self, part: LinkPart, message: bytes) -> None:
        if part.kind == ASKED:
            request = msgspec.msgpack.decode(message, type=LinkRequest)
            self._send(part.sender, TAKEN, part.id, b"")
            self._tasks.spawn(self._reply(part.sender, part.id, request))
            return
        asked = self._asked.get(part.id)
        if asked is None:
            # Its client has left, or it has waited too long.
            return
        asked.answer(msgspec.msgpack.decode(message, type=LinkReply) if part.kind == REPLIED else None)

    async def _reply(self, sender: str, id: int, request: LinkRequest) -> None:
        reply = await self._answer(request)
        self._send(sender, REPLIED, id, msgspec.msgpack.encode(reply))

    def _send(self, tag: str, kind: int, id: int, message: bytes) -> bool:
        try:
            parts = list(parts_of(kind, self._tag, id, message, self._backplane.max_bytes))
        except ValueError as error:
            self._faults.note("forwarding", error)
            return False
        return all(self._backplane.send(LINKS + tag, part) for part in parts)


LINKS = "l"
"""The first character of the backplane's names for requests of links; the tag of the node follows."""

MOST = 100_000
"""Requests that may wait for other nodes: as many as a node has connections."""

INCOMPLETE = 1_000
"""Messages of other nodes that may be incomplete. Nearly all have one part."""

LOOKS = 20
"""Looks for the heartbeat of another node."""

LOOK = 0.1
"""Seconds from one look to the next. All of them take twice as long as it is from one heartbeat to the next."""

TAKEN_WITHIN = 2.0
"""Seconds for another node to take a request. NATS needs a millisecond, and a busy event loop some hundred."""
