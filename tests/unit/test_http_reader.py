"""The body of a request: its size, its time, and the time that a slow link gets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol

from fanwire.gateway.http_reader import read_body


def request() -> Any:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    return SimpleNamespace(content=StreamReader(protocol, 1 << 16, loop=loop))


async def test_a_body_is_read_to_its_end() -> None:
    one = request()
    one.content.feed_data(b"ab")
    reading = asyncio.ensure_future(read_body(one, 4, 10.0, 1))
    await asyncio.sleep(0)
    one.content.feed_data(b"cd")
    one.content.feed_eof()
    assert await reading == b"abcd"


async def test_one_that_is_too_large_is_not_read_to_its_end() -> None:
    one = request()
    one.content.feed_data(b"abcde")
    with pytest.raises(web.HTTPRequestEntityTooLarge):
        await read_body(one, 4, 10.0, 1)


async def test_one_that_stops_has_an_end() -> None:
    one = request()
    one.content.feed_data(b"abc")
    with pytest.raises(asyncio.TimeoutError):
        await read_body(one, 10, 0.05, 1000)


async def test_one_that_comes_at_the_least_rate_has_the_time_it_takes() -> None:
    one = request()
    reading = asyncio.ensure_future(read_body(one, 10_000, 0.2, 1000))
    for _ in range(10):
        one.content.feed_data(bytes(300))
        await asyncio.sleep(0.05)
    one.content.feed_eof()
    assert len(await reading) == 3000


async def test_one_that_drips_is_over_however_long_it_goes_on() -> None:
    one = request()
    reading = asyncio.ensure_future(read_body(one, 10_000, 0.1, 1000))
    while not reading.done():
        one.content.feed_data(b"x")
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.TimeoutError):
        await reading
