"""A handler keeps the event loop for long. Nobody is cut, pings and closes are answered meanwhile, and what was sent is
handled afterwards, in its order."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from helpers.serving import Book
from helpers.wait import DEADLINE, until
from helpers.wire import BINARY, CLOSE, FIN, PING, PONG, TEXT, close_frame, frame, request

PINGS = {"ping_interval": 0.2, "ping_timeout": 0.2, "close_timeout": 0.5}


class Line:
    """A client in a thread, which the server's loop does not keep."""

    def __init__(self, port: int, path: str = "/", subprotocol: str | None = None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.stream = self.sock.makefile("rb")
        head = {} if subprotocol is None else {"Sec-WebSocket-Protocol": subprotocol}
        self.sock.sendall(request(path, head))
        while self.stream.readline() != b"\r\n":
            pass
        self.pings = 0

    def frame(self) -> tuple[int, bytes]:
        """The next frame that is no ping; pings are answered."""
        while True:
            first, size = self.stream.read(2)
            if size == 126:
                (size,) = struct.unpack("!H", self.stream.read(2))
            payload = self.stream.read(size)
            if first != FIN | PING:
                return first, payload
            self.pings += 1
            self.sock.sendall(frame(PONG, payload))

    def answer(self) -> None:
        """Answers a ping that has come, if any."""
        try:
            self.frame()
        except TimeoutError:
            # A stream cannot be read any more after that.
            self.stream = self.sock.makefile("rb")

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.sock.close()


class Busy(Book):
    """A server that notes what it is sent, and by whom."""

    def __init__(self, **config: Any) -> None:
        super().__init__({**PINGS, **config})
        self.got: list[tuple[int, Any]] = []
        self.on_message(lambda conn, message: self.got.append((conn.id, message)))


async def meanwhile(
    server: Busy, others: Callable[[ExitStack, Callable[[], object]], object], stack: ExitStack
) -> None:
    """Runs the others' side in a thread; the loop is blocked from their word on until they are done."""

    gate, is_blocked = threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        is_blocked.set()
        gate.wait(DEADLINE)

    def run() -> None:
        try:
            others(stack, lambda: (loop.call_soon_threadsafe(block), is_blocked.wait(DEADLINE)))
            assert server.got == []
            assert server.closed == []
        finally:
            gate.set()

    await asyncio.to_thread(run)


async def test_who_is_there_stays_and_what_was_sent_is_handled_in_order() -> None:
    server = Busy(inbox_messages=8)

    def others(stack: ExitStack, block: Callable[[], object]) -> None:
        lines = [stack.enter_context(Line(server.port, "/a")) for _ in range(4)]
        block()
        for line in lines:
            # More than may be on its way.
            line.sock.sendall(b"".join(frame(TEXT, str(number).encode()) for number in range(100)))
        # Rooms flow from other threads.
        server.publish("a", "from a thread")
        for line in lines[:2]:
            assert line.frame() == (FIN | TEXT, b"from a thread")
        # Several times as long as a pong may take, which nobody could send who is not read.
        for line in lines:
            line.sock.settimeout(0.1)
        for _ in range(15):
            for line in lines:
                line.answer()

    with ExitStack() as stack:
        async with server:
            await meanwhile(server, others, stack)
            await until(lambda: len(server.got) == 400)
            for conn in {conn for conn, _ in server.got}:
                assert [message for of, message in server.got if of == conn] == [str(number) for number in range(100)]
            assert server.closed == []
            assert server.stats()["closed_unanswered"] == 0


async def test_pings_closes_and_violations_are_answered_meanwhile() -> None:
    server = Busy()

    def others(stack: ExitStack, block: Callable[[], object]) -> None:
        polite, rude, quiet = (stack.enter_context(Line(server.port)) for _ in range(3))
        block()
        quiet.sock.sendall(frame(PING, b"there?"))
        assert quiet.frame() == (FIN | PONG, b"there?")
        polite.sock.sendall(frame(TEXT, b"last words") + close_frame(1001, b"bye"))
        assert polite.frame() == (FIN | CLOSE, struct.pack("!H", 1001) + b"bye")
        assert polite.stream.read() == b""
        rude.sock.sendall(frame(TEXT, b"before") + frame(TEXT, b"x", rsv=4))
        first, payload = rude.frame()
        assert (first, payload[:2]) == (FIN | CLOSE, struct.pack("!H", 1002))
        assert rude.stream.read() == b""

    with ExitStack() as stack:
        async with server:
            await meanwhile(server, others, stack)
            ends = {(1001, "client"), (1002, "server")}
            await until(lambda: {(conn.close_code, conn.closed_by) for conn in server.closed} >= ends)
            assert {message for _, message in server.got} == {"last words", "before"}


async def test_a_session_is_told_that_the_server_lives() -> None:
    server = Busy()

    def others(stack: ExitStack, block: Callable[[], object]) -> None:
        session = stack.enter_context(Line(server.port, subprotocol="fanwire.v1.json"))
        assert json.loads(session.frame()[1])["type"] == "welcome"
        block()
        session.sock.sendall(frame(TEXT, b'{"type":"ping"}'))
        while json.loads(session.frame()[1])["type"] != "pong":
            pass

    with ExitStack() as stack:
        async with server:
            await meanwhile(server, others, stack)


async def test_a_byte_at_a_time_is_as_good_as_all_at_once() -> None:
    async with Book().listens() as server, await server.peer() as peer:
        peer.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        whole = (
            frame(TEXT, "größe".encode(), fin=False) + frame(PING, b"p") + frame(0, b"!") + frame(BINARY, bytes(130))
        )
        for byte in whole + close_frame(1000, b"bye"):
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert await peer.frame() == (FIN | PONG, b"p")
        assert await peer.frame() == (FIN | CLOSE, b"\x03\xe8bye")
        assert (await server.ended()).close_code == 1000
        assert server.heard == ["größe!", bytes(130)]
