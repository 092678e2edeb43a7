"""The table of a node's links of fallback transports, by their tokens."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from fanwire.transports.exchange import UNKNOWN, LinkReply, LinkRequest
from fanwire.transports.fallback_link import FallbackLink
from fanwire.transports.link_tokens import LinkTokens

__all__ = ["FallbackLinks"]


class FallbackLinks:
    """The table. A link is in it until the engine has ended it, and a little longer if its close event waits for a
    poll. On the loop's thread only.

    Args:
        tokens: makes the tokens.
    """

    def __init__(self, tokens: LinkTokens) -> None:
        self.tokens = tokens
        self._links: dict[str, FallbackLink] = {}
        self._leaving: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()

    def __len__(self) -> int:
        return len(self._links)

    def add(self, link: FallbackLink) -> None:
        """Adds a link that has begun."""
        self._links[link.token] = link

    def find(self, token: str) -> FallbackLink | None:
        """The link with this token; None: there is none."""
        return self._links.get(token)

    def removed(self, link: FallbackLink) -> None:
        """A link has ended."""
        if not link.has_farewell:
            self._links.pop(link.token, None)
            return
        self._leaving[link.token] = asyncio.get_running_loop().call_later(FAREWELL, self._forget, link.token)
        if len(self._leaving) > FAREWELLS:
            self._forget(next(iter(self._leaving)))

    async def answer(self, request: LinkRequest) -> LinkReply:
        """Carries out a request of a client for a link of this node."""
        link = self._links.get(request.token)
        if link is None:
            return UNKNOWN
        try:
            return await link.answer(request)
        finally:
            if link.token in self._leaving and not link.has_farewell:
                # The poll has taken it.
                self._forget(link.token)

    def close(self) -> None:
        """The server has stopped: forgets all links."""
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()
        self._links.clear()

    def _forget(self, token: str) -> None:
        timer = self._leaving.pop(token, None)
        if timer is not None:
            timer.cancel()
        self._links.pop(token, None)


FAREWELL = 10.0
"""Seconds for which a close event waits for a poll: a client polls again within a round trip."""

FAREWELLS = 10_000
"""Links whose close event may wait. Clients of others learn from the 404 that their link has ended."""
