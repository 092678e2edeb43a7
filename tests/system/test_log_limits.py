"""No client can fill a disk: of each kind of line some are written, the rest is counted."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from helpers.serving import Book
from helpers.site import site
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire

pytestmark = pytest.mark.logs_errors


def size(caplog: pytest.LogCaptureFixture) -> int:
    """Bytes of the log."""
    return len(caplog.text)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_that_raises_for_each_message_writes_one_traceback(
    is_async: bool, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Book({"message_rate": 0, "byte_rate": 0})

    def fail(conn: fanwire.Connection, payload: Any) -> Any:
        raise ValueError(payload)

    async def fail_later(conn: fanwire.Connection, payload: Any) -> Any:
        raise LookupError(payload)

    handler = fail_later if is_async else fail
    server.on("fail")(handler)
    async with server, await Talk.open(server, codec=codec) as talk:
        for number in range(300):
            assert (await talk.ask("fail", payload=number))["type"] == "error"
        name = f"{handler.__module__}.{handler.__qualname__}"
        count = server.metrics.get_sample_value("fanwire_handler_errors_total", {"handler": name})
        left_out = server.metrics.get_sample_value("fanwire_suppressed_log_lines_total", {"level": "error"})
        assert (count, left_out) == (300, 299)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    kind = "LookupError" if is_async else "ValueError"
    assert lines[0].startswith(f"handler {name} failed for <Connection 0x")
    place = f"test_log_limits.py:{handler.__code__.co_firstlineno + 1}"
    assert lines[1:] == [f"299 more lines of this kind were left out: {name}, {kind}, {place}"]


async def test_clients_that_come_and_fail_write_little(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = Book({"address_handshake_rate": 0, "handshake_rate": 0}, authenticate=lambda request: 1 / 0)
    async with server:
        for _ in range(200):
            async with await server.dial() as peer:
                await peer.send(
                    b"GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                assert b" 500 " in await peer.end()
    assert size(caplog) < 20_000


async def test_a_handler_of_http_that_raises_writes_one_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Any) -> Any:
        raise ValueError("x" * 100)

    async with Book(app=site(get_fail=fail)) as server:
        for _ in range(50):
            async with await server.dial() as peer:
                await peer.send(b"GET /fail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert b" 500 " in await peer.end()
    assert caplog.text.count("Traceback") == 1
    assert "49 more lines of this kind were left out" in caplog.text


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_the_client_logs_no_line_for_each_connection(encoding: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    async with Book() as server:
        for _ in range(3):
            async with fanwire.connect(server.url, encoding=encoding, token="secret") as client:
                assert client.state is fanwire.ConnectionState.OPEN
    records = [record for record in caplog.records if record.name.partition(".")[0] in ("picows", "fanwire")]
    assert not [record.getMessage() for record in records if record.name.startswith("picows")]
    assert "secret" not in caplog.text
    assert not [record for record in records if record.name == "fanwire.client"]


async def test_nothing_goes_to_the_loops_own_handler_of_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    server = Book()

    async def fail(*args: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError

    server._handlers.on_connect = server._handlers.on_disconnect = None
    for moment in ("on_connect", "on_disconnect", "on_message"):
        getattr(server, moment)(fail)
    async with server:
        for _ in range(5):
            client = await server.client()
            await within(client.wait_closed())
        await until(lambda: not server.connections)
    assert not told
    assert caplog.text.count("Traceback") == 1
