"""`serve` and `run` where Python hands them no signals, and what becomes of the signals of the process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop
from helpers.serving import Book
from helpers.wait import until, within
from starlette.applications import Starlette

import fanwire

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop,
}  # fmt: skip


def signals() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("how", ["asyncio", "uvloop", "run"])
def test_off_the_main_thread_it_serves_until_it_is_stopped(how: str) -> None:
    ready = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    errors: list[BaseException] = []

    def is_ready() -> None:
        loops.append(asyncio.get_running_loop())
        ready.set()

    @contextlib.asynccontextmanager
    async def note_loop(app: Starlette) -> AsyncIterator[None]:
        loops.append(asyncio.get_running_loop())
        yield

    # `run` has no argument for it.
    server = Book(app=Starlette(lifespan=note_loop), mount="") if how == "run" else Book()

    def work() -> None:
        try:
            if how == "run":
                server.run()
            else:
                with asyncio.Runner(loop_factory=LOOPS[how]) as runner:
                    runner.run(server.serve(ready=is_ready))
        except BaseException as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    before = signals()
    thread = threading.Thread(target=work)
    thread.start()

    async def use() -> None:
        await until(lambda: errors or (loops and server.port))
        assert not errors
        async with server.client():
            pass
        stopping = asyncio.run_coroutine_threadsafe(server.stop(), loops[0])
        assert await within(asyncio.wrap_future(stopping))

    asyncio.run(use())
    thread.join(20)
    assert not thread.is_alive()
    assert not errors
    assert signals() == before
    assert len(server.closed) == 1


async def test_on_a_loop_without_signals_it_serves_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *args: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr("asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler", refuse)
    loop = asyncio.get_running_loop()
    if type(loop).__module__ == "uvloop":
        pytest.skip("its methods cannot be replaced")
    server = Book()
    serving = asyncio.ensure_future(server.serve())
    await until(lambda: server._host is not None)
    assert await within(server.stop())
    await within(serving)


async def test_a_stop_ends_serve_and_the_signals_are_as_before() -> None:
    seen: list[int] = []

    def mine(number: int, frame: Any) -> None:
        seen.append(number)

    old = signal.signal(signal.SIGTERM, mine)
    try:
        server = fanwire.Server(port=0, insecure=True)
        for _ in range(2):
            serving = asyncio.ensure_future(server.serve())
            await until(lambda: server._host is not None)
            assert await within(server.stop())
            await within(serving)
            assert signal.getsignal(signal.SIGTERM) is mine
        signal.raise_signal(signal.SIGTERM)
        await until(lambda: seen)
    finally:
        signal.signal(signal.SIGTERM, old)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_it_in_the_main_thread(number: signal.Signals) -> None:
    before = signals()
    server = Book()
    serving = asyncio.ensure_future(server.serve(ready=lambda: signal.raise_signal(number)))
    await within(serving)
    with contextlib.suppress(fanwire.Closed):
        server.publish("a", "x")
        raise AssertionError("it still runs")
    assert signals() == before


async def test_it_says_where_it_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanwire")
    server = Book()
    serving = asyncio.ensure_future(server.serve())
    await until(lambda: server.port)
    await until(lambda: f"listening at {server.url}" in caplog.messages)
    assert await within(server.stop())
    await within(serving)
