"""What an application relies on every day, over real sockets and with an independent client."""

from __future__ import annotations

import asyncio
import logging

import orjson
import pytest
from helpers.serving import Book, take
from helpers.wait import until, within
from helpers.wire import BINARY, FIN, TEXT, close_frame, frame
from websockets.exceptions import ConnectionClosed

import fanwire


async def test_members_get_what_is_published_and_others_do_not() -> None:
    async with Book() as server, server.client("/a") as one, server.client("/a,b") as two, server.client("/b") as three:
        assert server.publish("a", "1") == 1
        assert server.publish("b", "2") == 1
        assert server.publish("a", "3") == 2
        server.broadcast("end")
        assert await take(one, 3) == ["1", "3", "end"]
        assert await take(two, 4) == ["1", "2", "3", "end"]
        assert await take(three, 2) == ["2", "end"]


async def test_exclude_takes_one_connection_or_many() -> None:
    async with Book() as server, server.client("/a") as one, server.client("/a") as two, server.client("/a") as three:
        first, second, third = server.opened
        server.publish("a", "not first", exclude=first)
        server.publish("a", "only first", exclude=[third, second])
        server.broadcast("not second", exclude=second)
        server.broadcast("only second", exclude=(conn for conn in (first, third)))
        server.broadcast("end")
        assert await take(one, 3) == ["only first", "not second", "end"]
        assert await take(two, 3) == ["not first", "only second", "end"]
        assert await take(three, 3) == ["not first", "not second", "end"]


async def test_leave_ends_what_comes_but_not_what_waits() -> None:
    async with Book() as server, server.client("/a") as client:
        (conn,) = server.opened
        server.publish("a", "before")
        conn.leave("a")
        conn.leave("a")
        conn.leave("never joined")
        server.publish("a", "after")
        conn.send("end")
        assert await take(client, 2) == ["before", "end"]
        await until(lambda: server.count("a") == 0)


async def test_a_second_join_changes_nothing() -> None:
    async with Book() as server, server.client("/a") as client:
        (conn,) = server.opened
        assert server.publish("a", "1") == 1
        assert conn.join("a") == 1
        server.publish("a", "2")
        assert await take(client, 2) == ["1", "2"]
        await until(lambda: server.count("a") == 1)
        conn.leave("a")
        await until(lambda: server.count("a") == 0)


async def test_join_tells_the_number_before_the_first_message() -> None:
    async with Book() as server, server.client() as client:
        (conn,) = server.opened
        assert conn.join("empty") == 0
        for number in range(1, 4):
            assert server.publish("room", str(number)) == number
        assert conn.join("room") == 3
        assert server.publish("room", "4") == 4
        assert await take(client, 1) == ["4"]


@pytest.mark.parametrize(
    ("data", "opcode", "payload"),
    [
        ("gr\u00fc\u00dfe", TEXT, "gr\u00fc\u00dfe".encode()),
        ("", TEXT, b""),
        (b"\x00\xff", BINARY, b"\x00\xff"),
        (bytearray(b"ab"), BINARY, b"ab"),
        (memoryview(b"abcd")[::2], BINARY, b"ac"),
        ({"a": [1, 2.5, None, "x"]}, TEXT, b'{"a":[1,2.5,null,"x"]}'),
        (None, TEXT, b"null"),
        (7, TEXT, b"7"),
        ("x" * 125, TEXT, b"x" * 125),
        (b"x" * 126, BINARY, b"x" * 126),
        (b"x" * 65_535, BINARY, b"x" * 65_535),
        (b"x" * 65_536, BINARY, b"x" * 65_536),
        (b"x" * 1_000_000, BINARY, b"x" * 1_000_000),
    ],
    ids=[
        "str",
        "empty str",
        "bytes",
        "bytearray",
        "memoryview",
        "dict",
        "None",
        "int",
        "125",
        "126",
        "65535",
        "65536",
        "1 MB",
    ],
)
async def test_payloads_arrive_byte_for_byte(data: object, opcode: int, payload: bytes) -> None:
    async with Book() as server, await server.peer("/a") as peer:
        for send in (
            lambda: server.publish("a", data),
            lambda: server.broadcast(data),
            lambda: server.opened[0].send(data),
        ):
            send()
            assert await peer.frame() == (FIN | opcode, payload)


async def test_messages_from_clients() -> None:
    async with Book().listens() as server, server.client() as client:
        sent = ["text", b"bytes", "", b"", "\u20ac" * 1000, bytes(1_000_000)]
        for message in sent:
            await client.send(message)
        await client.send(["frag", "men", "ted"])
        await until(lambda: len(server.heard) == len(sent) + 1)
        assert server.heard == [*sent, "fragmented"]


async def test_request_identity_and_metadata() -> None:
    def who(request: fanwire.Request) -> str:
        assert request.headers["x-token"] == "secret"
        return request.query["name"]

    async with Book(authenticate=who) as server:
        async with server.client("/ro%C3%B6m?name=me&x", additional_headers={"X-Token": "secret"}):
            (conn,) = server.connections
            assert conn.identity == "me"
            assert conn.state is fanwire.ConnectionState.OPEN
            assert conn.request.path == "/ro\u00f6m"
            assert conn.request.query == {"name": "me", "x": ""}
            assert conn.request.remote == "127.0.0.1"
            assert not conn.request.is_secure
            assert "secret" not in repr(conn)
            conn.metadata["seen"] = 1
            assert conn.metadata["seen"] == 1
        ended = await server.ended()
        assert ended is conn
        assert ended.state is fanwire.ConnectionState.CLOSED
        assert server.connections == []


async def test_a_joiner_gets_the_newest_value_of_each_key_then_the_stream() -> None:
    server = Book()
    server.room("q.*", delivery="latest")
    async with server:
        for number in range(3):
            server.publish("q.1", f"a{number}", key="a")
            server.publish("q.1", f"b{number}", key="b")
        server.publish("q.1", "no key")
        assert server.publish("q.1", "c", key="c") == 8
        assert server.forget("q.1", "c")
        assert not server.forget("q.1", "c")
        async with server.client("/q.1") as client:
            assert await take(client, 3) == ["a2", "b2", "no key"]
            # Not before: it would replace a value that waits.
            server.publish("q.1", "a3", key="a")
            assert await take(client, 1) == ["a3"]
            async with server.client("/q.1") as later:
                assert await take(later, 3) == ["b2", "no key", "a3"]


async def test_handlers_may_be_coroutines_and_run_in_order() -> None:
    server = fanwire.Server(port=0, insecure=True)
    calls: list[object] = []
    gates = [asyncio.Event() for _ in range(3)]

    @server.on_connect
    async def welcome(conn: fanwire.Connection) -> None:
        await gates[0].wait()
        calls.append("connect")

    @server.on_message
    async def hear(conn: fanwire.Connection, message: str) -> None:
        calls.append(f"begin {message}")
        await gates[int(message)].wait()
        calls.append(f"end {message}")

    @server.on_disconnect
    async def bye(conn: fanwire.Connection) -> None:
        calls.append(conn.close_code)

    async with server:
        book = Book.client(server)
        async with book as client:
            await client.send("1")
            await client.send("2")
        assert calls == []
        gates[0].set()
        await until(lambda: calls == ["connect", "begin 1"])
        gates[2].set()
        gates[1].set()
        await until(lambda: len(calls) == 6)
        assert calls == ["connect", "begin 1", "end 1", "begin 2", "end 2", 1000]


async def test_what_a_plain_handler_returns_does_not_matter() -> None:
    server = fanwire.Server(port=0, insecure=True)
    server.on_connect(lambda conn: conn.join("a"))
    server.on_message(lambda conn, message: server.publish("a", message))
    server.on_disconnect(lambda conn: "bye")
    async with server, Book.client(server) as client:
        for number in range(3):
            await client.send(str(number))
        assert await take(client, 3) == ["0", "1", "2"]


async def test_connections_do_not_wait_for_each_others_handlers() -> None:
    server = fanwire.Server(port=0, insecure=True)
    gate = asyncio.Event()

    @server.on_message
    async def hear(conn: fanwire.Connection, message: str) -> None:
        if message == "slow":
            await gate.wait()
        conn.send(message)

    async with server, Book.client(server) as slow, Book.client(server) as fast:
        await slow.send("slow")
        await fast.send("fast")
        assert await take(fast, 1) == ["fast"]
        gate.set()
        assert await take(slow, 1) == ["slow"]


async def test_messages_right_before_the_close_reach_the_handler() -> None:
    async with Book().listens() as server, await server.peer() as peer:
        await peer.send(*(frame(TEXT, b"%d" % number) for number in range(100)), close_frame(1000))
        assert await peer.closed() == (1000, "")
        await peer.end()
        await server.ended()
        assert server.heard == [str(number) for number in range(100)]


async def test_many_messages_wait_for_a_slow_handler_and_none_is_lost() -> None:
    server = Book({"inbox_messages": 4})
    heard = []

    @server.on_message
    async def hear(conn: fanwire.Connection, message: str) -> None:
        await asyncio.sleep(0)
        heard.append(int(message))

    async with server, server.client() as client:
        for number in range(2000):
            await client.send(str(number))
        await until(lambda: len(heard) == 2000)
        assert heard == list(range(2000))


@pytest.mark.logs_errors
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_that_raises_ends_its_connection_alone(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = Book()

    def fail(conn: fanwire.Connection, message: str) -> None:
        if message == "bad":
            raise RuntimeError("the secret of the application")
        conn.send(message)

    async def fail_later(conn: fanwire.Connection, message: str) -> None:
        await asyncio.sleep(0)
        fail(conn, message)

    server.on_message(fail_later if is_async else fail)
    async with server, server.client("/a") as bad, server.client("/a") as good:
        await bad.send("bad")
        await bad.send("after")
        with pytest.raises(ConnectionClosed) as closed:
            await within(bad.recv())
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "internal error")
        ended = await server.ended()
        assert ended.close_code == 1011
        await good.send("fine")
        assert await take(good, 1) == ["fine"]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert f"{ended.id:#x}" in record.getMessage()
    assert record.exc_info is not None


async def test_calls_on_a_connection_that_is_gone_do_nothing() -> None:
    async with Book() as server:
        async with server.client("/a"):
            pass
        gone = await server.ended()
        assert gone.join("a") >= 0
        gone.send("x")
        gone.leave("a")
        gone.close(1000)
        assert server.publish("a", orjson.Fragment(b"{}"), exclude=gone) == 1
        await until(lambda: server.count("a") == 0)
