"""Where the requests of clients enter, whichever node has their link: this one, or another that is asked."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from fanwire.transports.exchange import UNAVAILABLE, UNKNOWN, LinkReply, LinkRequest
from fanwire.transports.fallback_links import FallbackLinks
from fanwire.transports.link_slots import LinkSlot, LinkSlots
from fanwire.transports.link_tokens import tag_of

__all__ = ["LinkGate"]

Forward = Callable[[str, LinkRequest], Awaitable[LinkReply] | None]
"""Asks the node with a tag; None: there is no such node."""


class LinkGate:
    """Answers the requests of one port. On the loop's thread only.

    Args:
        links: the links of this node.
        forward: asks another node.
    """

    def __init__(self, links: FallbackLinks, forward: Forward) -> None:
        self._links = links
        self._forward = forward
        # Links of other nodes that have answered, by token; those that were asked last are last.
        self._elsewhere: OrderedDict[str, LinkSlots] = OrderedDict()
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answer(self, request: LinkRequest) -> LinkReply:
        """Carries out a request."""
        tag = tag_of(request.token)
        if tag is None:
            return UNKNOWN
        if tag == self._links.tokens.tag:
            return await self._links.answer(request)
        if self._closing.done():
            return UNAVAILABLE
        asked = self._forward(tag, request)
        if asked is None:
            self._elsewhere.pop(request.token, None)
            return UNKNOWN
        reply = await self._unless_closing(asyncio.ensure_future(asked))
        self._note(request.token, reply)
        return reply

    def slot(self, token: str) -> LinkSlot | None:
        """A slot for an HTTP connection whose request names a link; None: the connection counts like any other, because
        the link is unknown or has enough of them. A link of another node is known when that has answered once."""
        link = self._links.find(token)
        slots = self._elsewhere.get(token) if link is None else link.slots
        return None if slots is None else slots.take()

    def close(self) -> None:
        """The server stops: requests that wait for another node are to be sent to another one."""
        if not self._closing.done():
            self._closing.set_result(None)

    async def _unless_closing(self, asked: asyncio.Future[LinkReply]) -> LinkReply:
        try:
            ends: list[asyncio.Future[Any]] = [asked, self._closing]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else UNAVAILABLE
        finally:
            asked.cancel()

    def _note(self, token: str, reply: LinkReply) -> None:
        if reply.status == UNKNOWN.status:
            self._elsewhere.pop(token, None)
        elif reply.status in (200, 204):
            self._elsewhere.setdefault(token, LinkSlots())
            self._elsewhere.move_to_end(token)
            if len(self._elsewhere) > ELSEWHERE:
                self._elsewhere.popitem(last=False)


ELSEWHERE = 100_000
"""Links of other nodes that are remembered, 300 bytes each: as many as a node has connections."""
