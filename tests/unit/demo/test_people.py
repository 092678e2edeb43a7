"""The people of the demo write until its server ends, and do not come back."""

from __future__ import annotations

import asyncio
import logging

import pytest
from helpers.serving import Book
from helpers.wait import within

from fanwire.demo.people import write


async def test_a_person_writes_and_goes_with_the_server(caplog: pytest.LogCaptureFixture) -> None:
    server = Book(mount="")
    server.room("chat", publish=True, history=10)
    heard = asyncio.Event()
    server.on_publish("chat")(lambda conn, message: heard.set())
    async with server:
        writing = asyncio.ensure_future(write(f"ws://127.0.0.1:{server.port}/", "Ada", 0.01, 1000))
        await within(heard.wait())
    with caplog.at_level(logging.DEBUG):
        await within(writing)
    assert "cannot connect" not in caplog.text


async def test_a_person_does_not_come_back_to_a_server_that_stays(caplog: pytest.LogCaptureFixture) -> None:
    server = Book(mount="")
    server.room("chat", publish=True)
    heard = asyncio.Event()
    server.on_publish("chat")(lambda conn, message: heard.set())
    async with server:
        writing = asyncio.ensure_future(write(f"ws://127.0.0.1:{server.port}/", "Ada", 0.01, 1000))
        await within(heard.wait())
        server.opened[0].close(1012, "restart")
        await within(writing)
        assert len(server.opened) == 1
    assert "cannot connect" not in caplog.text


async def test_a_person_whose_line_is_refused_ends_with_that() -> None:
    server = Book(mount="")
    server.room("chat", publish=False)
    async with server:
        await within(write(f"ws://127.0.0.1:{server.port}/", "Ada", 0.01, 1000))
