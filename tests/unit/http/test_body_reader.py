"""The body of a request: its size, its time, and the time that a slow link gets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.wait import within

from fanwire.http.body_reader import TooLarge, read_body
from fanwire.testing import FakeClock


class Body:
    """Of a request, as ASGI has it: parts as they come."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def feed(self, part: bytes) -> None:
        self._messages.put_nowait({"type": "http.request", "body": part, "more_body": True})

    def end(self) -> None:
        self._messages.put_nowait({"type": "http.request"})

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        return await self._messages.get()


async def test_a_body_is_read_to_its_end() -> None:
    one = Body()
    one.feed(b"ab")
    reading = asyncio.ensure_future(read_body(one.receive, 4, 10.0, 1))
    await asyncio.sleep(0)
    one.feed(b"cd")
    one.end()
    assert await reading == b"abcd"


async def test_one_that_is_too_large_is_not_read_to_its_end() -> None:
    one = Body()
    one.feed(b"abcde")
    with pytest.raises(TooLarge):
        await read_body(one.receive, 4, 10.0, 1)


async def test_one_whose_sender_leaves() -> None:
    one = Body()
    one.feed(b"abc")
    one.leave()
    with pytest.raises(ConnectionError):
        await read_body(one.receive, 10, 10.0, 1)


async def test_one_that_stops_has_an_end() -> None:
    one = Body()
    one.feed(b"abc")
    with pytest.raises(asyncio.TimeoutError):
        await read_body(one.receive, 10, 0.05, 1000)


async def test_one_that_comes_at_the_least_rate_has_the_time_it_takes() -> None:
    one = Body()
    with FakeClock(settle=0) as clock:
        reading = asyncio.ensure_future(read_body(one.receive, 10_000, 200.0, 1))
        for _ in range(10):
            one.feed(bytes(300))
            await clock.advance(100)
        one.end()
        assert len(await within(reading)) == 3000


async def test_one_that_drips_is_over_however_long_it_goes_on() -> None:
    one = Body()
    reading = asyncio.ensure_future(read_body(one.receive, 10_000, 0.1, 1000))
    while not reading.done():
        one.feed(b"x")
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.TimeoutError):
        await reading
