"""Publishing from anywhere: many threads, handlers, before the start and after the stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.serving import Book, take
from helpers.wait import until, within

import fanwire

THREADS = 8
EACH = 500


@pytest.mark.parametrize("shards", [1, 3])
async def test_every_client_sees_the_one_order(shards: int) -> None:
    # All of it may wait for a client, with 256 bytes for each message: its loop gets little time beside the threads.
    async with Book({"shards": shards, "connection_bytes": 4 * THREADS * EACH * 256}) as server:
        clients = [await server.client("/a") for _ in range(5)]
        seqs: list[list[int]] = [[] for _ in range(THREADS)]
        at_once = threading.Barrier(THREADS)

        def work(thread: int) -> None:
            at_once.wait(10)
            for number in range(EACH):
                seqs[thread].append(server.publish("a", f"{thread}/{number}"))

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS) as pool:
            await within(asyncio.gather(*(loop.run_in_executor(pool, work, thread) for thread in range(THREADS))))
        # Unique, without gaps, and rising for each thread.
        assert sorted(seq for mine in seqs for seq in mine) == list(range(1, THREADS * EACH + 1))
        assert all(mine == sorted(mine) for mine in seqs)
        by_seq = {seq: f"{thread}/{number}" for thread in range(THREADS) for number, seq in enumerate(seqs[thread])}
        expected = [by_seq[seq] for seq in range(1, THREADS * EACH + 1)]
        for client in clients:
            assert await take(client, THREADS * EACH) == expected
            await client.close()


async def test_joins_and_leaves_from_other_threads() -> None:
    async with Book() as server, server.client() as client:
        (conn,) = server.opened

        def work() -> None:
            for _ in range(200):
                conn.join("a")
                server.publish("a", "x")
                conn.leave("a")
            conn.send("end")

        await within(asyncio.to_thread(work))
        assert await take(client, 201) == ["x"] * 200 + ["end"]
        # A close from another thread is like any other.
        await within(asyncio.to_thread(conn.close, 4000, "thread"))
        await within(client.wait_closed())
        assert client.close_code == 4000


async def test_publish_within_handlers() -> None:
    server = fanwire.Server(port=0, insecure=True)

    @server.on_connect
    def welcome(conn: fanwire.Connection) -> None:
        conn.join("a")
        server.publish("a", "connected")

    @server.on_message
    def echo(conn: fanwire.Connection, message: str) -> None:
        server.publish("a", message)
        server.publish("a", message, exclude=conn)

    @server.on_disconnect
    def bye(conn: fanwire.Connection) -> None:
        server.publish("a", f"left {conn.close_code}")

    async with server, Book.client(server) as one:
        async with Book.client(server) as two:
            await two.send("hi")
            assert await take(two, 2) == ["connected", "hi"]
        assert await take(one, 5) == ["connected", "connected", "hi", "hi", "left 1000"]


async def test_publish_needs_a_running_server() -> None:
    server = Book()
    calls: list[Callable[[], object]] = [
        lambda: server.publish("a", "x"),
        lambda: server.broadcast("x"),
        lambda: server.forget("a", "k"),
        lambda: server.count("a"),
        lambda: server.stats(),
    ]
    for call in calls:
        with pytest.raises(fanwire.Closed, match="not running"):
            call()
    async with server:
        assert server.publish("a", "x") == 1
        async with server.client():
            pass
        gone = await server.ended()
    for call in calls:
        with pytest.raises(fanwire.Closed, match="not running"):
            call()
    for of_connection in (lambda: gone.send("x"), lambda: gone.join("a"), lambda: gone.close()):
        with pytest.raises(fanwire.Closed):
            of_connection()
    assert issubclass(fanwire.Closed, fanwire.FanwireError)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (TypeError, lambda server: server.publish(7, "x")),
        (TypeError, lambda server: server.publish(None, "x")),
        (TypeError, lambda server: server.publish(b"a", "x")),
        (TypeError, lambda server: server.publish("a", object())),
        (TypeError, lambda server: server.publish("a", {"x": object()})),
        (TypeError, lambda server: server.publish("a", "x", 5)),
        (TypeError, lambda server: server.publish("a", "x", exclude=5)),
        (TypeError, lambda server: server.publish("a", "x", delivery=5)),
        (TypeError, lambda server: server.broadcast(object())),
        (ValueError, lambda server: server.publish("", "x")),
        (ValueError, lambda server: server.publish("x" * 256, "x")),
        (ValueError, lambda server: server.publish("\u00e9" * 128, "x")),
        (ValueError, lambda server: server.publish("\ud800", "x")),
        (ValueError, lambda server: server.publish("a", "\ud800")),
        (ValueError, lambda server: server.publish("a", "x", key="k")),
        (ValueError, lambda server: server.publish("a", "x", delivery="often")),
        (ValueError, lambda server: server.publish("a", bytes(2 << 20))),
        (ValueError, lambda server: server.room("a", delivery="often")),
        (ValueError, lambda server: server.opened[0].join("")),
        (ValueError, lambda server: server.opened[0].send("x", delivery="often")),
        (TypeError, lambda server: server.opened[0].send(object())),
        (TypeError, lambda server: server.opened[0].join(5)),
        (ValueError, lambda server: server.on_connect(print)),
    ],
)
async def test_wrong_arguments(kind: type[Exception], call: Callable[[Book], object]) -> None:
    async with Book() as server, server.client("/a") as client:
        with pytest.raises(kind):
            call(server)
        assert server.publish("a", "1") == 1
        assert await take(client, 1) == ["1"]


async def test_a_full_queue_refuses_and_takes_nothing() -> None:
    server = Book({"queue_items": 100, "connection_bytes": 64 << 20})
    async with server, server.client("/a") as client:
        published = refused = 0
        while refused < 3:
            assert published < 1_000_000
            try:
                assert server.publish("a", str(published + 1)) == published + 1
                published += 1
            except fanwire.Overloaded:
                refused += 1
        assert await take(client, published) == [str(number) for number in range(1, published + 1)]
        assert server.stats()["refused"] == 3


async def test_a_client_that_a_thread_has_joined_leaves_after_it() -> None:
    called: list[str] = []
    server = Book()
    server.on_join(lambda conn, room: called.append(f"join {room}"))
    server.on_leave(lambda conn, room: called.append(f"leave {room}"))
    async with server, server.client():
        (conn,) = server.opened
        thread = threading.Thread(target=conn.join, args=("a",))
        thread.start()
        thread.join()
        conn.leave("a")
        await until(lambda: len(called) == 2)
        assert called == ["join a", "leave a"]
