"""`Connection.spawn`: tasks that run beside the handlers, for as long as a connection lives."""

from __future__ import annotations

import asyncio

import pytest
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire


async def test_a_task_runs_beside_the_handlers_and_ends_before_on_disconnect() -> None:
    server = Book()
    server._handlers.on_disconnect = None
    seen: list[str] = []

    async def tick(conn: fanwire.Connection) -> None:
        try:
            for number in range(1_000_000):
                conn.send(str(number))
                await asyncio.sleep(0.001)
        finally:
            seen.append("cancelled")

    @server.on_message
    def hear(conn: fanwire.Connection, message: str) -> None:
        seen.append(message)
        conn.spawn(tick(conn))

    @server.on_disconnect
    def bye(conn: fanwire.Connection) -> None:
        seen.append("disconnected")

    async with server, server.client() as client:
        await client.send("start")
        assert await take(client, 3) == ["0", "1", "2"]
        await client.send("start")
        await until(lambda: seen == ["start", "start"])
        await client.close()
        await until(lambda: len(seen) == 5)
        assert seen == ["start", "start", "cancelled", "cancelled", "disconnected"]


async def test_it_goes_on_while_the_client_is_away() -> None:
    server = Book()
    gate = asyncio.Event()
    tasks: list[asyncio.Task[str]] = []

    async def work() -> str:
        await gate.wait()
        return "done"

    server.on("start")(lambda conn, payload: tasks.append(conn.spawn(work())))
    async with server:
        first = await Talk.open(server)
        await first.ask("start")
        first.cut()
        await until(lambda: server.opened[0].is_reconnecting)
        gate.set()
        assert await within(tasks[0]) == "done"
        assert server.opened[0].is_reconnecting


@pytest.mark.logs_errors
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_its_error_is_logged_and_the_connection_goes_on(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    server = Book()

    async def fail() -> None:
        raise error

    server.on_message(lambda conn, message: conn.send(message) if message == "x" else conn.spawn(fail()) and None)
    async with server, server.client() as client:
        for _ in range(10):
            await client.send("fail")
        await client.send("x")
        assert await take(client, 1) == ["x"]
        name = f"{__name__}.{fail.__qualname__}"
        await until(lambda: server.metrics.get_sample_value("fanwire_handler_errors_total", {"handler": name}) == 10)
        assert [record.getMessage() for record in caplog.records if name in record.getMessage()] == [
            f"handler {name} failed for {server.opened[0]!r}"
        ]


async def test_what_it_does_not_take() -> None:
    server = Book({"max_connection_tasks": 2})
    async with server, server.client():
        await until(lambda: server.opened)
        (conn,) = server.opened
        with pytest.raises(TypeError, match="coroutine must be a coroutine, got function"):
            conn.spawn(lambda: None)
        coroutine = asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="thread of the server's event loop"):
            await asyncio.to_thread(conn.spawn, coroutine)
        with pytest.raises(RuntimeError, match="reuse already awaited"):
            await coroutine
        tasks = [conn.spawn(asyncio.Event().wait()) for _ in range(2)]
        with pytest.raises(RuntimeError, match=r"max_connection_tasks \(2\)"):
            conn.spawn(asyncio.sleep(0))
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
        await asyncio.sleep(0)
        conn.spawn(asyncio.sleep(0))


async def test_of_a_connection_that_has_ended_it_is_cancelled_at_once() -> None:
    server = Book()
    async with server:
        async with server.client():
            pass
        conn = await server.ended()
        coroutine = asyncio.sleep(0)
        task = conn.spawn(coroutine)
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(RuntimeError, match="reuse already awaited"):
            await coroutine
