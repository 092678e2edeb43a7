"""How a server ends: nothing published before is lost, and nothing keeps it for longer than it may take."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from helpers.script import Script, run
from helpers.serving import Book, take
from helpers.wait import until, within
from helpers.wire import Peer, close_frame, request
from websockets.asyncio.client import connect

import fanwire

EXITS = int(os.environ.get("FANWIRE_EXITS", "3"))
"""`make soak` has 30."""


async def test_what_was_published_before_the_stop_arrives_before_the_end() -> None:
    # All of it may wait for a client, with 256 bytes for each message.
    async with Book({"drain_timeout": 15, "connection_bytes": 8 << 20}) as server:
        clients = [await server.client("/a") for _ in range(10)]
        published = 0

        def burst() -> None:
            nonlocal published
            try:
                while published < 5000:
                    assert server.publish("a", str(published + 1)) == published + 1
                    published += 1
            except fanwire.FanwireError:
                pass

        thread = threading.Thread(target=burst)
        thread.start()
        await until(lambda: published > 500)
        for number in range(100):
            server.broadcast(f"last {number}")
        stop = asyncio.ensure_future(server.stop())
        for client in clients:
            got = [message async for message in client]
            assert client.close_code == 1001
            assert client.close_reason == "the server is shutting down"
            assert [message for message in got if message.startswith("last")] == [f"last {n}" for n in range(100)]
            numbers = [int(message) for message in got if not message.startswith("last")]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) > 500
        assert await within(stop)
        await asyncio.to_thread(thread.join)
        assert {conn.close_code for conn in server.closed} == {1001}
        assert len(server.closed) == 10


async def test_a_stalled_reader_does_not_keep_it(caplog: pytest.LogCaptureFixture) -> None:
    server = Book({"drain_timeout": 2, "close_timeout": 10, "connection_bytes": 8 << 20})
    async with server, await server.peer("/a", rcvbuf=4096), server.client("/a") as fast:
        for _ in range(300):
            server.publish("a", bytes(10_000))
        # The end alone has to come within the timeout.
        assert [len(message) for message in await take(fast, 300)] == [10_000] * 300
        stop = asyncio.ensure_future(server.stop())
        await within(fast.wait_closed())
        assert fast.close_code == 1001
        assert not await within(stop)
        # Who was cut off is told to the application like everybody else.
        await server.ended(2)
        assert {conn.close_code for conn in server.closed} == {1001}
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "1 connections did not close within 2 s and are cut off"
    ]


async def test_handlers_that_still_run_are_waited_for_then_cancelled() -> None:
    server = Book()
    ends: list[str] = []

    @server.on_message
    async def hear(conn: fanwire.Connection, message: str) -> None:
        ends.append("began")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async with server, server.client() as client:
        await client.send("x")
        await until(lambda: ends)
        stop = asyncio.ensure_future(server.stop())
        await within(client.wait_closed())
        await within(stop)
    assert ends == ["began", "cancelled"]


async def test_it_can_start_again() -> None:
    server = Book()
    for _ in range(3):
        async with server, server.client("/a") as client:
            assert server.publish("a", "again") == 1
            assert await take(client, 1) == ["again"]
            with pytest.raises(RuntimeError, match="already runs"):
                await server.start()
            stops = await within(asyncio.gather(server.stop(), server.stop(), client.wait_closed()))
            assert stops == [True, True, None]
        assert await server.stop()


async def test_a_port_in_use_is_an_error_and_no_obstacle_later() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        server = fanwire.Server(port=sock.getsockname()[1], insecure=True)
        for _ in range(2):
            with pytest.raises(OSError, match="in use"):
                await server.start()
    async with server, Book.client(server) as client:
        server.broadcast("now")
        assert await take(client, 1) == ["now"]


async def test_peers_that_are_not_in_yet_do_not_keep_it() -> None:
    async with Book() as server, await server.dial() as silent, await server.dial() as half:
        await half.send(request()[:40])
        async with server.client():
            pass
        assert await within(server.stop())
        silent.close()


SERVE = """
    import asyncio, logging
    import fanwire
    logging.basicConfig(level=logging.WARNING)
    server = fanwire.Server(port=0, insecure=True, config=fanwire.Config(drain_timeout=float(sys.argv[1])))

    @server.on_connect
    def welcome(conn):
        conn.join("a")
        server.publish("a", server.port)
        if server.count("a") == 1:
            print(server.port, flush=True)

    async def main():
        serving = asyncio.ensure_future(server.serve())
        while not server.port:
            await asyncio.sleep(0.01)
        print(server.port, flush=True)
        await serving
        print("stopped", flush=True)

    if sys.argv[2] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(loop: str, number: signal.Signals) -> None:
    with Script(SERVE, "10", loop) as script:
        port = int(await asyncio.to_thread(script.line))
        async with connect(f"ws://127.0.0.1:{port}", proxy=None) as client:
            assert await take(client, 1) == [str(port)]
            script.process.send_signal(number)
            await within(client.wait_closed())
            assert client.close_code == 1001
        assert await asyncio.to_thread(script.end) == (0, f"{port}\nstopped\n", "")


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_second_signal_ends_at_once(loop: str) -> None:
    with Script(SERVE, "600", loop) as script:
        port = int(await asyncio.to_thread(script.line))
        async with await Peer.dial("127.0.0.1", port) as peer:
            await peer.upgrade()
            script.process.send_signal(signal.SIGTERM)
            assert (await peer.closed())[0] == 1001
            script.process.send_signal(signal.SIGTERM)
            status, _, _ = await asyncio.to_thread(script.end)
            assert status == -signal.SIGTERM


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_second_ctrl_c_is_not_taken_for_the_failure_of_what_it_comes_in(loop: str) -> None:
    leave = """
    import os, signal

    @server.on_disconnect
    def leave(conn):
        os.kill(os.getpid(), signal.SIGINT)
    """
    main = "    async def main():"
    with Script(SERVE.replace(main, f"{leave}\n{main}"), "600", loop) as script:
        port = int(await asyncio.to_thread(script.line))
        async with await Peer.dial("127.0.0.1", port) as leaves, await Peer.dial("127.0.0.1", port) as stays:
            await leaves.upgrade()
            await stays.upgrade()
            script.process.send_signal(signal.SIGINT)
            assert (await leaves.closed())[0] == 1001
            await leaves.send(close_frame(1001))
            status, _, errors = await asyncio.to_thread(script.end)
            # By the signal itself, and so without a KeyboardInterrupt that something could take for its own.
            assert (status, errors) == (-signal.SIGINT, "")


WHOLE = """
    import asyncio, contextlib, logging, threading, time
    import fanwire
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    logging.basicConfig(level=logging.WARNING, format="%(message)s")

    def thread(request):
        print("begun", flush=True)
        time.sleep(300)

    async def block(request):
        thread(request)

    async def executor(request):
        await asyncio.to_thread(thread, request)

    async def swallow(request):
        print("begun", flush=True)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(300)

    async def idle(request):
        await asyncio.to_thread(print, "begun", flush=True)
        return PlainTextResponse("done")

    routes = [Route(f"/{f.__name__}", f) for f in (thread, block, executor, swallow, idle)]
    server = fanwire.Server(
        port=0, insecure=True, app=Starlette(routes=routes),
        config=fanwire.Config(drain_timeout=float(sys.argv[1])),
    )
    go_on = threading.Event()

    def help():
        while not server.port:
            time.sleep(0.01)
        print(server.port, flush=True)
        go_on.wait()
        print("helped", flush=True)

    # It is the program's own, and not left by the server.
    threading.Thread(target=help, daemon=sys.argv[1] != "10").start()
    server.run()
    print("returned", flush=True)
    go_on.set()
"""


@contextlib.contextmanager
def asked(path: str, timeout: str) -> Iterator[Script]:
    """A whole program with a request under way."""
    with Script(WHOLE, timeout) as script:
        port = int(script.line())
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert script.line() == "begun"
            yield script


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("path", ["/thread", "/block", "/executor", "/swallow"])
def test_a_second_signal_ends_it_whatever_runs_on(path: str, number: signal.Signals) -> None:
    with asked(path, "600") as script:
        script.process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            script.process.wait(0.5)
        # Two that come at once are one, so another one may be needed.
        for _ in range(40):
            script.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                script.process.wait(0.5)
                break
        assert script.end()[:2] == (-number, "")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/thread", "__main__.thread in the thread "), ("/executor", "__main__.thread in the thread "),
     ("/swallow", "handler __main__.swallow of 'GET /swallow'")],
)  # fmt: skip
def test_a_whole_program_ends_soon_after_its_server(path: str, name: str) -> None:
    with asked(path, "0.2") as script:
        script.process.send_signal(signal.SIGTERM)
        status, out, errors = script.end()
    assert (status, out) == (0, "")
    last = errors.splitlines()[-1]
    assert last.startswith("the process ends without waiting for ")
    assert name in last
    if path == "/swallow":
        assert f"{name} does not end, although it was cancelled" in errors


def test_a_program_goes_on_after_its_server_if_nothing_of_it_is_left() -> None:
    with asked("/idle", "10") as script:
        script.process.send_signal(signal.SIGTERM)
        assert script.end() == (0, "returned\nhelped\n", "")


EXIT = """
    import asyncio, threading
    import fanwire

    server = fanwire.Server(port=0, insecure=True)
    server.on_connect(lambda conn: conn.join("a"))

    async def main():
        await server.start()
        from helpers.wire import Peer
        peers = [await (await Peer.dial("127.0.0.1", server.port)).upgrade() for _ in range(5)]
        def publish():
            try:
                while True:
                    server.publish("a", "x" * 100, delivery="drop-oldest")
            except fanwire.FanwireError:
                pass
        threading.Thread(target=publish, daemon=True).start()
        await peers[0].frame()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    print("bye", flush=True)
"""


@pytest.mark.parametrize("attempt", range(EXITS))
def test_the_interpreter_may_go_while_the_threads_run(attempt: int) -> None:
    # Neither stopped nor closed: warnings of unclosed sockets are fair, a crash is not.
    status, out, err = run("import warnings; warnings.simplefilter('ignore')\n" + "\n".join(
        line.removeprefix("    ") for line in EXIT.splitlines()
    ))  # fmt: skip
    assert (status, out) == (0, "bye\n"), err
    assert "panic" not in err
    assert "Fatal" not in err
