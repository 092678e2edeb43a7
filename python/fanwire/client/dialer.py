"""Connects: one transport after the other, until one has brought a first message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from fanwire.client.chooser import Chooser, ends_round, told
from fanwire.client.failures import Failure
from fanwire.client.heartbeat import WELCOME
from fanwire.client.link import ClientLink, LinkTarget, Unreachable
from fanwire.client.long_poll_link import LongPollLink
from fanwire.client.sse_link import SseLink
from fanwire.client.websocket_link import WebSocketLink
from fanwire.timing.deadline import within

__all__ = ["dial_best", "dial_round"]

logger = logging.getLogger("fanwire.client")

FEATURES = {"batch": "1", "delta": "1"}
"""The fields of the query that ask for batches and deltas (docs/protocol.md)."""
LINKS: dict[str, type[ClientLink]] = {link.transport: link for link in (WebSocketLink, SseLink, LongPollLink)}


async def dial_round(chooser: Chooser, target: LinkTarget, query: Mapping[str, str]) -> ClientLink:
    """Tries the transports of a round; returns the first link that has brought a message. It has no owner yet.

    Raises:
        Unreachable: none has.
    """
    errors: list[tuple[str, Unreachable]] = []
    order = chooser.round()
    for number, (transport, seconds) in enumerate(order):
        is_last = number + 1 == len(order)
        try:
            return await _dial(transport, target, query, seconds, WELCOME if is_last else None)
        except Unreachable as error:
            errors.append((transport, error))
            if is_last or ends_round(transport, error):
                break
            logger.info("transport %s: %s; trying %s", transport, error, order[number + 1][0])
    chooser.failed()
    raise told(errors)


async def dial_best(chooser: Chooser, target: LinkTarget, query: Mapping[str, str]) -> ClientLink:
    """Tries the best transport only; returns a link that has brought a message. It has no owner yet.

    Raises:
        Unreachable: it has not.
    """
    return await _dial(chooser.best, target, query, chooser.limit(chooser.best), None)


async def _dial(
    transport: str, target: LinkTarget, query: Mapping[str, str], seconds: float, welcome: float | None
) -> ClientLink:
    """Tries one transport.

    Args:
        transport: its name.
        target: the server.
        query: of the session.
        seconds: for the answer, and for the first message unless `welcome` says otherwise.
        welcome: seconds for the first message after the answer.
    """
    link = LINKS[transport](target)
    started = asyncio.get_running_loop().time()
    try:
        await link.connect({**query, **FEATURES}, seconds)
        left = started + seconds - asyncio.get_running_loop().time() if welcome is None else welcome
        try:
            await within(link.begun(), max(0.0, left))
        except asyncio.TimeoutError as error:
            raise Unreachable("the first message did not come in time", Failure.NETWORK) from error
    except BaseException:
        # The loop may end now, and would leave the connection to the garbage collector.
        link.abort()
        raise
    return link
