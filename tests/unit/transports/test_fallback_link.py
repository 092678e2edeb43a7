"""One link: its requests, and what the engine tells of it."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

from helpers.wait import until, within

from fanwire.errors import Closed
from fanwire.transports.exchange import BUSY, NOT_POLLED, NOTHING, TAKEN, UNKNOWN, LinkReply, LinkRequest
from fanwire.transports.fallback_link import LONG_POLL, SSE, FallbackLink
from fanwire.transports.link_slots import MOST


class Side:
    """A link, its engine, and who has removed it."""

    def __init__(self, transport: str, patience: float = 60.0) -> None:
        self.engine = mock.Mock()
        self.engine.post.side_effect = lambda conn, link, lines, is_binary, close: len(lines)
        self.names: tuple[int, int] | None = (3, 7)
        self.removed: list[FallbackLink] = []
        self.link = FallbackLink(
            self.engine, "token", transport, is_binary=True, poll_timeout=60.0, patience=patience,
            names=lambda: self.names, removed=self.removed.append,
        )  # fmt: skip

    async def ask(self, **fields: Any) -> asyncio.Task[LinkReply]:
        task = asyncio.ensure_future(self.link.answer(LinkRequest("token", **fields)))
        await asyncio.sleep(0)
        return task


async def test_posts_go_to_the_engine() -> None:
    side = Side(SSE)
    post = await side.ask(number=1, body=b"{}")
    side.link.read(2)
    assert await within(post) is TAKEN
    side.engine.post.assert_called_once_with(3, 7, b"{}", True, None)


async def test_polls_go_to_the_engine() -> None:
    side = Side(LONG_POLL)
    poll = await side.ask(received=5)
    side.link.deliver(b"data: 1\n\n")
    assert await within(poll) == LinkReply(200, b"data: 1\n\n")
    side.engine.poll.assert_called_once_with(3, 7, 5)


async def test_an_event_stream_is_not_polled() -> None:
    assert await within(await Side(SSE).ask()) is NOT_POLLED


async def test_a_link_that_carries_nothing_any_more_takes_no_posts() -> None:
    side = Side(LONG_POLL)
    side.names = None
    assert await within(await side.ask(number=1, body=b"{}")) is UNKNOWN
    side.engine.post.assert_not_called()


async def test_an_engine_that_has_ended_takes_nothing() -> None:
    side = Side(LONG_POLL)
    side.engine.post.side_effect = Closed()
    side.engine.poll.side_effect = Closed()
    assert await within(await side.ask(number=1, body=b"{}")) is TAKEN
    poll = await side.ask()
    side.link.gone("cut")
    assert await within(poll) is UNKNOWN


async def test_too_many_requests_at_once() -> None:
    side = Side(SSE)
    posts = [await side.ask(number=1, body=b"{}") for _ in range(MOST)]
    assert await within(await side.ask(number=1, body=b"{}")) is BUSY
    side.link.read(2)
    assert [await within(post) for post in posts] == [TAKEN] * MOST
    assert await within(await side.ask(number=1, body=b"{}")) is TAKEN


async def test_its_end() -> None:
    side = Side(LONG_POLL)
    poll, post = await side.ask(), await side.ask(number=1, body=b"{}")
    side.link.gone("unanswered")
    assert await within(poll) is UNKNOWN
    assert await within(post) is UNKNOWN
    assert side.removed == [side.link]


async def test_a_client_that_asks_for_nothing_is_given_up() -> None:
    side = Side(LONG_POLL, 0.01)
    poll = await side.ask()
    await asyncio.sleep(0.05)
    side.engine.cut.assert_not_called()
    side.link.deliver(b"data: 1\n\n")
    await within(poll)
    await until(lambda: side.engine.cut.called)
    side.engine.cut.assert_called_once_with(3, 7)
    # An event stream ends with its connection.
    assert Side(SSE, 0.01).link._watch is None


async def test_polls_replace_each_other_without_end() -> None:
    side = Side(LONG_POLL)
    polls = []
    for _ in range(1000):
        polls.append(await side.ask())
        await asyncio.sleep(0)
    for _ in polls[1:]:
        side.link.deliver(b"")
    side.link.deliver(b"data: 1\n\n")
    replies = [await within(poll) for poll in polls]
    assert replies[-1].body == b"data: 1\n\n"
    assert replies[:-1] == [NOTHING] * 999
