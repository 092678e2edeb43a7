"""Beside an ASGI application: the server runs while the application does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from helpers.listening import free_port
from helpers.serving import Book, take
from helpers.wait import PROCESS, until, within
from starlette.types import Message

import fanwire
from fanwire.listening.listeners import Tcp


async def test_fastapi_starts_and_stops_it() -> None:
    server = Book()
    app = FastAPI(lifespan=server.lifespan)

    @app.post("/say")
    async def say() -> int:
        return server.publish("a", "said")

    to_app: asyncio.Queue[Message] = asyncio.Queue()
    from_app: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    running = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await within(from_app.get()))["type"] == "lifespan.startup.complete"
    async with server.client("/a") as client:
        (route,) = (route for route in app.routes if getattr(route, "path", "") == "/say")
        assert await route.endpoint() == 1
        assert await take(client, 1) == ["said"]
        await to_app.put({"type": "lifespan.shutdown"})
        await within(client.wait_closed())
        assert client.close_code == 1001
    assert (await within(from_app.get()))["type"] == "lifespan.shutdown.complete"
    await within(running)
    with pytest.raises(fanwire.Closed):
        server.publish("a", "x")


async def test_an_error_of_the_application_stops_it_too() -> None:
    server = Book()

    async def fail() -> None:
        async with server.lifespan(None):
            assert server.publish("a", "x") == 1
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    with pytest.raises(fanwire.Closed):
        server.publish("a", "x")


PROGRAM = """
import fanwire, uvicorn
from fastapi import FastAPI

server = fanwire.Server("{host}", {port}, insecure=True)
app = FastAPI(lifespan=server.lifespan)

if __name__ == "__main__":
    uvicorn.run({app}, {options})
"""


@pytest.fixture
def port() -> int:
    """A free port."""
    return free_port()


@pytest.mark.parametrize(
    ("host", "app", "options"),
    [
        ("127.0.0.1", "app", "port={port}"),
        ("0.0.0.0", "app", 'host="localhost", port={port}'),
        # uvicorn's own process binds the port before its children start. It kills those that take longer than this.
        ("127.0.0.1", '"program:app"', "port={port}, workers=2, timeout_worker_healthcheck=120"),
    ],
)
def test_on_one_port_it_says_what_to_do(host: str, app: str, options: str, port: int, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(host=host, port=port, app=app, options=options.format(port=port)))
    process = subprocess.Popen(
        [sys.executable, str(program)], stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True
    )
    try:
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if "Server(app=app)" in line:
                break
        assert f"{host}:{port} is taken" in told, told
        assert "reuse_port=True" in told
    finally:
        # With its children, for which uvicorn itself would wait.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PROCESS)


class Quiet(uvicorn.Server):
    """uvicorn within a program that keeps its signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await within(reader.read())
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("how", ["ports", "addresses", "sockets"])
async def test_two_ports_or_addresses_are_fine(how: str, port: int) -> None:
    server = Book()
    app = FastAPI(lifespan=server.lifespan)

    @app.get("/port")
    async def tell() -> int:
        return server.port

    host = "127.0.0.1"
    bound = None
    if how == "addresses":
        server._listen_at(Tcp("127.0.0.2", port))
    elif how == "sockets":
        # Then the settings of uvicorn say nothing of its port.
        server._listen_at(Tcp("127.0.0.1", port))
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, host=host, port=port, log_config=None, loop="none")
    beside = Quiet(config)
    serving = asyncio.ensure_future(beside.serve(sockets=[bound] if bound is not None else None))
    await until(lambda: beside.started or serving.done())
    own = bound.getsockname()[1] if bound is not None else port
    assert json.loads(await get(own, "/port")) == server.port
    async with server.client("/a") as client:
        server.publish("a", "x")
        assert await take(client, 1) == ["x"]
    beside.should_exit = True
    await within(serving)
    assert not server._is_running


async def test_whoever_has_its_port_the_error_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Book()
        server._listen_at(Tcp("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(OSError, match=r"Server\(app=app\)") as error:
            async with server.lifespan(None):
                pass
        assert error.value.errno == errno.EADDRINUSE
        # By itself it knows of no application.
        with pytest.raises(OSError, match="in use") as error:
            await server.start()
        assert "app=" not in str(error.value)
