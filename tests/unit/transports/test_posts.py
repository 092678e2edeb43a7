"""POSTs: in order, each once, and answered when they are decoded."""

from __future__ import annotations

import asyncio

import pytest
from helpers.wait import within

from fanwire.transports.exchange import AHEAD, TAKEN, UNKNOWN, UNREADABLE, LinkReply
from fanwire.transports.posts import Posts


class Engine:
    """Notes what it is given; each line has its length."""

    def __init__(self) -> None:
        self.fed: list[bytes] = []

    def feed(self, lines: bytes, close: int | None) -> int:
        if lines == b"broken":
            raise ValueError("no base64")
        if lines:
            self.fed.append(lines)
        return len(lines)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def posts(engine: Engine) -> Posts:
    return Posts(engine.feed)


async def begun(posts: Posts, number: int, lines: bytes) -> asyncio.Task[LinkReply]:
    task = asyncio.ensure_future(posts.take(number, lines))
    await asyncio.sleep(0)
    return task


async def test_a_post_is_answered_when_all_of_it_is_decoded(posts: Posts, engine: Engine) -> None:
    post = await begun(posts, 1, b"12345")
    posts.decoded(4)
    await asyncio.sleep(0)
    assert not post.done()
    posts.decoded(1)
    assert await within(post) is TAKEN
    assert engine.fed == [b"12345"]


async def test_a_post_without_messages_is_answered_at_once(posts: Posts) -> None:
    assert await within(posts.take(1, b"")) is TAKEN
    assert await within(posts.take(2, b"")) is TAKEN


async def test_a_repeated_post_is_done_once(posts: Posts, engine: Engine) -> None:
    first = await begun(posts, 1, b"one")
    again = await begun(posts, 1, b"one")
    assert not again.done()
    posts.decoded(3)
    assert await within(first) is await within(again) is TAKEN
    assert await within(posts.take(1, b"one")) is TAKEN
    assert engine.fed == [b"one"]


async def test_the_next_post_waits_for_the_one_before(posts: Posts, engine: Engine) -> None:
    one, two, twice = await begun(posts, 1, b"1"), await begun(posts, 2, b"22"), await begun(posts, 2, b"22")
    assert engine.fed == [b"1"]
    posts.decoded(1)
    assert await within(one) is TAKEN
    await asyncio.sleep(0)
    assert engine.fed == [b"1", b"22"]
    posts.decoded(2)
    assert await within(two) is await within(twice) is TAKEN
    assert engine.fed == [b"1", b"22"]


async def test_an_old_number_is_answered_while_another_post_waits(posts: Posts) -> None:
    await within(posts.take(1, b""))
    two = await begun(posts, 2, b"2")
    assert await within(posts.take(1, b"other")) is TAKEN
    two.cancel()


async def test_a_number_that_is_too_high(posts: Posts, engine: Engine) -> None:
    assert await within(posts.take(2, b"2")) is AHEAD
    assert await within(posts.take(1 << 62, b"2")) is AHEAD
    assert engine.fed == []


async def test_a_body_that_cannot_be_read_is_not_taken(posts: Posts, engine: Engine) -> None:
    assert await within(posts.take(1, b"broken")) is UNREADABLE
    post = await begun(posts, 1, b"whole")
    posts.decoded(5)
    assert await within(post) is TAKEN
    assert engine.fed == [b"whole"]


async def test_a_client_that_leaves_does_not_undo_its_post(posts: Posts, engine: Engine) -> None:
    first = await begun(posts, 1, b"one")
    again = await begun(posts, 1, b"one")
    first.cancel()
    await asyncio.sleep(0)
    posts.decoded(3)
    assert await within(again) is TAKEN
    assert engine.fed == [b"one"]


async def test_a_post_that_was_decoded_is_taken_though_its_handler_ends_the_link(posts: Posts) -> None:
    post = await begun(posts, 1, b"one")
    posts.decoded(3)
    posts.end()
    # Otherwise the client would take the link for lost, and not wait for its close code.
    assert await within(post) is TAKEN


async def test_the_end_of_the_link_ends_all(posts: Posts) -> None:
    one, two = await begun(posts, 1, b"1"), await begun(posts, 2, b"2")
    posts.end()
    assert await within(one) is await within(two) is UNKNOWN
    assert await within(posts.take(3, b"")) is UNKNOWN
