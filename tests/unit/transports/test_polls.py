"""Polls: one waits at a time, and each takes one batch."""

from __future__ import annotations

import asyncio

import pytest
from helpers.wait import within

from fanwire.transports.exchange import BEHIND, NOTHING, UNKNOWN, LinkReply
from fanwire.transports.polls import Polls, farewell_in

CLOSE = b"event: close\ndata: {}\n\n"
FAREWELL = b'data: {}\n\nevent: close\ndata: {"code":4503,"reason":""}\n\n'


@pytest.fixture
def asked() -> list[int]:
    return []


@pytest.fixture
def polls(asked: list[int]) -> Polls:
    return Polls(asked.append, lambda: asked.append(-1))


async def begun(polls: Polls, received: int = 0) -> asyncio.Task[LinkReply]:
    task = asyncio.ensure_future(polls.take(received, 60))
    await asyncio.sleep(0)
    return task


async def test_a_poll_takes_one_batch(polls: Polls, asked: list[int]) -> None:
    poll = await begun(polls, 7)
    polls.deliver(b"data: 1\n\n")
    assert await within(poll) == LinkReply(200, b"data: 1\n\n")
    assert asked == [7]


async def test_a_poll_waits_only_so_long(polls: Polls) -> None:
    assert await within(polls.take(0, 0.001)) is NOTHING


async def test_a_newer_poll_takes_the_place_of_the_older(polls: Polls) -> None:
    old = await begun(polls)
    new = await begun(polls)
    assert await within(old) is NOTHING
    # The engine says so too.
    polls.deliver(b"")
    assert not new.done()
    polls.deliver(b"data: 1\n\n")
    assert (await within(new)).body == b"data: 1\n\n"


async def test_a_batch_whose_poll_waits_no_longer_is_for_the_next(polls: Polls, asked: list[int]) -> None:
    assert await within(polls.take(5, 0.001)) is NOTHING
    polls.deliver(b"data: 1\n\n")
    assert not polls.has_farewell
    assert await within(polls.take(5, 60)) == LinkReply(200, b"data: 1\n\n")
    assert asked == [5, -1]
    # It has received more: the engine begins behind that.
    assert await within(polls.take(6, 0.001)) is NOTHING
    polls.deliver(b"data: 2\n\n")
    poll = await begun(polls, 7)
    assert asked == [5, -1, 6, 7]
    polls.deliver(b"data: 3\n\n")
    assert (await within(poll)).body == b"data: 3\n\n"


async def test_a_client_that_leaves_loses_nothing(polls: Polls) -> None:
    poll = await begun(polls)
    poll.cancel()
    await asyncio.sleep(0)
    polls.deliver(b"data: 1\n\n")
    assert (await within(polls.take(0, 60))).body == b"data: 1\n\n"


async def test_the_close_event_behind_a_batch_that_was_not_taken() -> None:
    for received, body in ((3, b"data: 1\n\n" + CLOSE), (4, CLOSE)):
        one = Polls(lambda received: None, lambda: None)
        assert await within(one.take(3, 0.001)) is NOTHING
        one.deliver(b"data: 1\n\n")
        one.deliver(CLOSE)
        one.end("over")
        assert (await within(one.take(received, 60))).body == body
        assert await within(one.take(received, 60)) is UNKNOWN


async def test_the_close_event_waits_for_a_poll(polls: Polls) -> None:
    polls.deliver(FAREWELL)
    polls.end("over")
    assert polls.has_farewell
    assert await within(polls.take(0, 60)) == LinkReply(200, FAREWELL)
    assert not polls.has_farewell
    assert await within(polls.take(0, 60)) is UNKNOWN


@pytest.mark.parametrize(("cause", "reply"), [("reset", BEHIND), ("unanswered", UNKNOWN), ("over", UNKNOWN)])
async def test_the_end_of_the_link(polls: Polls, cause: str, reply: LinkReply) -> None:
    poll = await begun(polls)
    polls.end(cause)
    assert await within(poll) is reply
    assert await within(polls.take(0, 60)) is reply


@pytest.mark.parametrize(
    ("events", "begin"),
    [
        (FAREWELL, 10), (FAREWELL[10:], 0), (b"data: event: close\n\n", -1), (b"", -1),
        (b"data: a\ndata: event: close\n\n", -1), (b"event: binary\ndata: eA==\n\n", -1),
    ],
)  # fmt: skip
def test_the_close_event(events: bytes, begin: int) -> None:
    assert farewell_in(events) == begin
