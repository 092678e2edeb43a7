"""A server starts in any event loop, again and again; a start that fails, and a stop, leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fastapi import FastAPI
from fastapi.testclient import TestClient
from helpers.serving import Book, take
from helpers.site import site
from helpers.wait import DEADLINE, until, until_sync, within
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

import fanwire
from fanwire.backplane.base import Unavailable
from fanwire.backplane.memory import MemoryBackplane, MemoryBus
from fanwire.backplane.nats import NATS


async def _own(request: Request) -> Response:
    return Response("mine")


ONE = fanwire.Server(port=0, insecure=True, api_keys=["key"], app=site(get_mine=_own), mount="")
TWO = fanwire.Server(port=0, insecure=True, config=fanwire.Config(drain_timeout=2.0, drain_spread=0))
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

for _server in (ONE, TWO):
    _server.room("r", join=True, publish=True, history=10)
    _server.on("echo")(lambda conn, payload: payload)


def threads() -> set[str]:
    """The threads of this process, those of extension modules too."""
    return {path.name for path in Path("/proc/self/task").iterdir()}


def descriptors() -> set[str]:
    """What is open, by number and target."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(f"{path.name} {path.readlink()}")
    return found


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """Fails when the test leaves a thread or a descriptor."""
    # libuv keeps the threads with which it looks up names.
    for loop in LOOPS:
        run(loop, resolve())
    gc.collect()
    before = threads(), descriptors()
    yield

    def is_clean() -> bool:
        gc.collect()
        return threads() <= before[0] and descriptors() <= before[1]

    until_sync(is_clean, "no thread and no descriptor is left")


async def resolve() -> None:
    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)


def run(loop: str, work: Any) -> Any:
    """As `asyncio.run` does it, on one of the loops."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(work)


async def use(server: fanwire.Server) -> None:
    async with fanwire.connect(server.url) as client:
        assert await within(client.request("echo", {"n": 1})) == {"n": 1}
        room = await within(client.join("r"))
        assert await within(client.publish("r", "text")) > 0
        assert (await within(anext(room))).data == "text"


async def get(server: fanwire.Server, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nConnection: close\r\n\r\n".encode())
    answer = await within(reader.read())
    writer.close()
    return answer


@pytest.mark.usefixtures("nothing_is_left")
def test_two_servers_of_a_module_run_beside_an_app_that_is_tested_twice() -> None:
    @contextlib.asynccontextmanager
    async def both(app: FastAPI) -> Any:
        async with ONE.lifespan(app), TWO.lifespan(app):
            yield

    for lifespans in ([ONE.lifespan, TWO.lifespan], [both, both]):
        for lifespan in lifespans:
            app = FastAPI(lifespan=lifespan)

            @app.get("/use")
            async def use_them() -> int:
                running = [server for server in (ONE, TWO) if server._is_running]
                for server in running:
                    await use(server)
                return len(running)

            with TestClient(app) as client:
                assert client.get("/use").json() == (2 if lifespan is both else 1)


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loops", [("asyncio", "asyncio"), ("uvloop", "asyncio"), ("asyncio", "uvloop")])
def test_a_server_runs_in_one_loop_after_the_other(loops: tuple[str, str]) -> None:
    async def serve() -> None:
        async with ONE, TWO:
            await use(ONE)
            await use(TWO)
            assert b"mine" in await get(ONE, "/mine")
            assert b" 200 " in await get(ONE, "/readyz")
            await until(lambda: not ONE.connections)
            assert b"fanwire_connections 0.0" in await get(ONE, "/metrics")

    for loop in loops:
        run(loop, serve())


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
def test_the_application_begins_and_ends_with_each_run(loop: str) -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def context(app: Starlette) -> Any:
        seen.append("begin")
        yield
        seen.append("end")

    async def serve() -> None:
        async with server:
            pass

    server = fanwire.Server(port=0, insecure=True, app=Starlette(lifespan=context))
    for _ in range(3):
        run(loop, serve())
    assert seen == ["begin", "end"] * 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
def test_one_whose_loop_has_ended_without_a_stop_can_be_started_again(loop: str) -> None:
    server = Book()

    async def start() -> None:
        await server.start()
        async with server.client("/a"):
            pass

    async def serve() -> None:
        async with server, server.client("/a") as client:
            server.publish("a", "x")
            assert await take(client, 1) == ["x"]

    for _ in range(2):
        run(loop, start())
    run(loop, serve())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_that_raises_while_its_client_connects_ends(loop: str) -> None:
    server = Book()

    async def fail() -> None:
        await server.start()
        client = fanwire.connect(server.url)
        await client.__aenter__()
        # Every task is cancelled now, that of the connection in the turn in which it was made.
        raise ValueError("the program fails")

    async def serve() -> None:
        await server.start()
        assert await server.stop()

    def program() -> None:
        for _ in range(2):
            with pytest.raises(ValueError, match="the program fails"):
                run(loop, fail())
        run(loop, serve())

    ending = threading.Thread(target=program, daemon=True)
    ending.start()
    ending.join(DEADLINE)
    assert not ending.is_alive()


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_that_is_cancelled_stops_its_server(loop: str) -> None:
    server = Book()
    ended: list[int] = []
    server._handlers.on_disconnect = None
    server.on_disconnect(lambda conn: ended.append(conn.id))

    async def serve() -> None:
        async with server:
            client = await server.client("/a")
            me = asyncio.current_task()
            assert me is not None
            asyncio.get_running_loop().call_soon(me.cancel)
            try:
                await asyncio.Event().wait()
            finally:
                client.transport.abort()

    for count in (1, 2):
        with pytest.raises(asyncio.CancelledError):
            run(loop, serve())
        assert len(ended) == count
    assert not server._is_running


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
def test_start_and_stop_say_in_which_loop_a_server_is(loop: str) -> None:
    server = fanwire.Server(port=0, insecure=True)

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="the server already runs, in another event loop"):
            await server.start()
        with pytest.raises(RuntimeError, match="run_coroutine_threadsafe"):
            await server.stop()

    async def serve() -> None:
        starts = await asyncio.gather(server.start(), server.start(), return_exceptions=True)
        assert starts[0] is None
        assert "already" in str(starts[1])
        with pytest.raises(RuntimeError, match=r"the server already runs$"):
            await server.start()
        await asyncio.to_thread(run, loop, elsewhere())
        assert await within(server.stop())
        assert await within(server.stop())

    run(loop, serve())


class Fails(MemoryBackplane):
    async def open(self, listener: Any) -> None:
        raise Unavailable("no")

    async def close(self) -> None:
        await asyncio.Event().wait()


def broken(how: str, port: int) -> fanwire.Server:
    options: dict[str, Any] = {"port": 0, "insecure": True}
    if how == "port":
        options["port"] = port
    elif how == "host":
        options["host"] = "192.0.2.1"
    elif how == "name":
        options["host"] = "no.such.host.invalid"
    elif how == "NATS":
        options["backplane"] = NATS(f"nats://127.0.0.1:{port}")
    elif how == "backplane":
        options["backplane"] = Fails(MemoryBus())
    elif how == "app":

        @contextlib.asynccontextmanager
        async def fail(app: Starlette) -> Any:
            raise ValueError("the application does not start")
            yield

        options["app"] = Starlette(lifespan=fail)
    return fanwire.Server(**options)


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("how", ["port", "host", "name", "NATS", "backplane", "app"])
def test_a_start_that_fails_leaves_nothing(how: str, loop: str) -> None:
    async def fail(server: fanwire.Server) -> None:
        with pytest.raises((OSError, RuntimeError, ValueError, Unavailable)) as error:
            await within(server.start())
        assert "the server" not in str(error.value)
        assert not server._is_running
        assert await server.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if how == "port":
            taken.listen()
        server = broken(how, taken.getsockname()[1])
        for _ in range(2):
            run(loop, fail(server))


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_start_that_is_cancelled_half_way_leaves_nothing(loop: str) -> None:
    class Slow(MemoryBackplane):
        async def open(self, listener: Any) -> None:
            await super().open(listener)
            if is_slow:
                await asyncio.Event().wait()

    is_slow = True
    server = fanwire.Server(port=0, insecure=True, backplane=Slow(MemoryBus()))

    async def fail() -> None:
        starting = asyncio.ensure_future(server.start())
        await asyncio.sleep(0.01)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(starting)
        assert not server._is_running

    async def serve() -> None:
        async with server:
            assert server._is_running

    run(loop, fail())
    is_slow = False
    run(loop, serve())


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_stop_while_it_starts_waits_for_that_and_stops(loop: str) -> None:
    server = fanwire.Server(port=0, insecure=True)

    async def both() -> None:
        starting = asyncio.ensure_future(server.start())
        await asyncio.sleep(0)
        assert await within(server.stop())
        await within(starting)
        assert not server._is_running

    run(loop, both())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_that_is_dropped_ends(loop: str) -> None:
    async def start() -> None:
        server = fanwire.Server(port=0, insecure=True)
        await server.start()

    run(loop, start())


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("loop", LOOPS)
def test_with_tls_and_peers_in_the_middle_of_a_handshake(loop: str, tls: tuple[fanwire.TLS, Any]) -> None:
    server = Book(tls=tls[0])

    async def serve() -> None:
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            _, second = await asyncio.open_connection("localhost", server.port, ssl=tls[1], family=socket.AF_INET)
            second.write(b"GET / HTTP/1.1\r\n")
            assert await within(server.stop(0.1)) in (True, False)
            for each in (writer, second):
                each.transport.abort()
            assert await within(reader.read()) == b""

    for _ in range(2):
        run(loop, serve())
