"""A handler keeps the event loop for long. Nobody is cut, pings and closes are answered meanwhile, and what was sent is
handled afterwards, in its order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import msgspec
import pytest
from helpers.serving import Book
from helpers.wait import DEADLINE, until
from helpers.wire import BINARY, CLOSE, FIN, PING, PONG, TEXT, close_frame, frame, request

T = TypeVar("T")

PINGS = {"ping_interval": 0.2, "ping_timeout": 2.0, "close_timeout": 0.5}
BUSY = float(os.environ.get("FANWIRE_BUSY", "3"))
"""Seconds for which the loop is blocked in the long test. 10 are what is promised, for `make soak`."""


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
        while (got := self.any_frame())[0] == FIN | PING:
            self.pings += 1
            self.sock.sendall(frame(PONG, got[1]))
        return got

    def any_frame(self) -> tuple[int, bytes]:
        """The next frame."""
        first, size = self.stream.read(2)
        if size == 126:
            (size,) = struct.unpack("!H", self.stream.read(2))
        return first, self.stream.read(size)

    def farewell(self) -> bytes:
        """The close frame, and the end of the connection behind it. Pings before it are not answered: the server has
        perhaps closed its socket, and would reset the connection."""
        while (got := self.any_frame())[0] == FIN | PING:
            pass
        assert got[0] == FIN | CLOSE
        assert self.stream.read() == b""
        return got[1]

    def answer(self) -> None:
        """Answers a ping that has come, if any."""
        try:
            self.frame()
        except TimeoutError:
            # A stream cannot be read any more after that.
            self.stream = self.sock.makefile("rb")

    def holds(self, is_over: Callable[[], object]) -> list[bytes]:
        """Answers pings for some time; what came meanwhile. There have to be pings."""
        found = []
        while not is_over():
            first, payload = self.any_frame()
            if first == FIN | PING:
                self.sock.sendall(frame(PONG, payload))
            else:
                found.append(payload)
        return found

    def serves(self) -> None:
        """Answers pings, and the close, to the end."""
        try:
            while self.frame()[0] != FIN | CLOSE:
                pass
            self.sock.sendall(close_frame(1001))
        except (OSError, ValueError):
            pass

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            # A thread that reads it hears of that.
            self.sock.shutdown(socket.SHUT_RDWR)
        # It keeps the descriptor, too: a test that fails is to leave none to the next one.
        self.stream.close()
        self.sock.close()


class Session(Line):
    """The same with a session. It counts what it should, and keeps what comes meanwhile."""

    def __init__(self, port: int, path: str, codec: str) -> None:
        super().__init__(port, path, f"fanwire.v1.{codec}")
        self.codec = codec
        self.received = 0
        assert self.hear()["type"] == "welcome"

    def say(self, kind: str, **fields: Any) -> None:
        """Sends a message."""
        self.sock.sendall(packed(self.codec, kind, **fields))

    def hear(self) -> dict[str, Any]:
        """The next message."""
        first, payload = self.frame()
        assert first == FIN | (TEXT if self.codec == "json" else BINARY)
        message: dict[str, Any] = (msgspec.json if self.codec == "json" else msgspec.msgpack).decode(payload)
        self.received += message["type"] not in ("welcome", "ping", "pong", "received", "window")
        return message

    def report(self, room: str) -> None:
        """All that has come was taken."""
        now_ms = time.time_ns() // 1_000_000
        taken = {room: {"count": self.received, "ts": now_ms}}
        self.say("received", payload={"count": self.received, "taken": taken})


def packed(codec: str, kind: str, **fields: Any) -> bytes:
    """A message in its frame."""
    message = {"type": kind, **fields}
    if codec == "json":
        return frame(TEXT, json.dumps(message).encode())
    return frame(BINARY, msgspec.msgpack.encode(message))


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
    was_opened: list[bool] = []

    def block() -> None:
        is_blocked.set()
        was_opened.append(gate.wait(DEADLINE + BUSY))

    def run() -> None:
        try:
            others(stack, lambda: (loop.call_soon_threadsafe(block), is_blocked.wait(DEADLINE)))
            # All that they have seen was without the loop.
            assert is_blocked.is_set()
            assert was_opened == []
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
        # Nobody is pinged again before its pong was read.
        for line in lines:
            line.sock.settimeout(0.1)
        ends = time.monotonic() + DEADLINE
        while min(line.pings for line in lines) < 2:
            assert time.monotonic() < ends
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
        assert polite.farewell() == struct.pack("!H", 1001) + b"bye"
        rude.sock.sendall(frame(TEXT, b"before") + frame(TEXT, b"x", rsv=4))
        assert rude.farewell()[:2] == struct.pack("!H", 1002)

    with ExitStack() as stack:
        async with server:
            await meanwhile(server, others, stack)
            ends = {(1001, "client"), (1002, "server")}
            await until(lambda: {(conn.close_code, conn.closed_by) for conn in server.closed} >= ends)
            assert {message for _, message in server.got} == {"last words", "before"}


async def test_a_session_is_told_that_the_server_lives() -> None:
    server = Busy()

    def others(stack: ExitStack, block: Callable[[], object]) -> None:
        with Line(server.port, subprotocol="fanwire.v1.json") as session:
            assert json.loads(session.frame()[1])["type"] == "welcome"
            block()
            session.sock.sendall(frame(TEXT, b'{"type":"ping"}'))
            while json.loads(session.frame()[1])["type"] != "pong":
                pass

    with ExitStack() as stack:
        async with server:
            await meanwhile(server, others, stack)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_for_seconds_nobody_misses_the_loop(codec: str) -> None:
    """Readers, floods, pings, closes and reports go on for as long as the loop is blocked."""
    credit = {"inbox_messages": 64, "inbox_bytes": 64 << 10}
    # A pong may take two thirds of the time: the clients are threads that wait for each other.
    server = Busy(**credit, message_rate=0, byte_rate=0, ping_timeout=BUSY * 2 / 3)
    server.room("quotes", delivery="drop-oldest")
    server.room("*")
    pool = ThreadPoolExecutor(32)
    own = [str(number) for number in range(40)]
    flood = [f"{number:05} {'x' * 1000}" for number in range(3000)]
    # Made before any client comes: it takes a while, and pings would not be answered meanwhile.
    whole = b"".join(frame(TEXT, text.encode()) for text in flood)
    whole_session = b"".join(packed(codec, "message", payload=text) for text in flood)
    floods: list[Future[None]] = []

    def begin(work: Callable[..., T], line: Line, *args: Any) -> Future[T]:
        """Does something with a line, and then keeps it alive."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(work(line, *args))
            except BaseException as error:  # noqa: BLE001 - the thread that waits for it raises it
                result.set_exception(error)
            line.serves()

        pool.submit(run)
        return result

    def publishes() -> int:
        """The rooms flow for all that time, and with more than a window. How many messages each gets."""
        count, end = 0, time.monotonic() + BUSY
        while count < 50 or time.monotonic() < end:
            server.publish("flow", str(count))
            server.publish("quotes", {"n": count, "x": "x" * 1000})
            count += 1
            time.sleep(BUSY / 100)
        server.publish("flow", "end")
        server.publish("quotes", {"n": -1})
        return count

    def reads(line: Line) -> int:
        """Says something, and gets all of a room, in order."""
        for text in own:
            line.sock.sendall(frame(TEXT, text.encode()))
        count = 0
        while (got := line.frame()) != (FIN | TEXT, b"end"):
            assert got == (FIN | TEXT, str(count).encode())
            count += 1
        return count

    def reports(session: Session) -> int:
        """Says something, and gets all of a room of which it would get one window if its reports did not count."""
        for text in own:
            session.say("message", payload=text)
        count = 0
        while True:
            message = session.hear()
            if message["type"] == "message":
                session.report("quotes")
                if message["payload"]["n"] == -1:
                    return count
                assert message["payload"]["n"] == count
                count += 1

    def takes_nothing(session: Session, published: Future[int]) -> int:
        """How many messages it gets all the same."""
        return sum(b"xxxxx" in payload for payload in session.holds(published.done))

    def pings(line: Line) -> None:
        end = time.monotonic() + BUSY
        while (now := time.monotonic()) < end:
            line.sock.sendall(frame(PING, str(now).encode()))
            assert line.frame() == (FIN | PONG, str(now).encode())
            time.sleep(BUSY / 50)

    def closes(line: Line, seconds: float, code: int) -> None:
        end = time.monotonic() + seconds
        assert line.holds(lambda: time.monotonic() >= end) == []
        line.sock.sendall(frame(TEXT, b"last words") + close_frame(code, b"bye"))
        assert line.farewell() == struct.pack("!H", code) + b"bye"

    def others(stack: ExitStack, block: Callable[[], object]) -> None:
        readers = [stack.enter_context(Line(server.port, "/flow")) for _ in range(3)]
        sessions = [stack.enter_context(Session(server.port, "/quotes", codec)) for _ in range(3)]
        for session in sessions:
            while session.hear()["type"] != "joined":
                pass
            session.say("received", payload={"count": session.received, "taken": {}})
        pinging, *closing = (stack.enter_context(Line(server.port)) for _ in range(5))
        sources = [stack.enter_context(Line(server.port)) for _ in range(3)]
        source = stack.enter_context(Session(server.port, "/", codec))
        block()
        # More than their credit and what the kernel takes: these go on when the loop does.
        floods.extend(begin(lambda line: line.sock.sendall(whole), line) for line in sources)
        floods.append(begin(lambda line: line.sock.sendall(whole_session), source))
        published = pool.submit(publishes)
        found = [begin(reads, line) for line in readers] + [begin(reports, session) for session in sessions[:2]]
        held = begin(takes_nothing, sessions[2], published)
        done = [begin(pings, pinging)]
        for number, line in enumerate(closing):
            done.append(begin(closes, line, BUSY * number / len(closing), 4000 + number))
        most = 0
        while not published.done():
            most = max(most, server.stats()["inbound_bytes"])
            time.sleep(0.01)
        assert [future.result(DEADLINE) for future in found] == [published.result()] * 5
        for future in done:
            future.result(DEADLINE)
        assert 10 < held.result(DEADLINE) < 30 < published.result()
        # Each has its credit on the way, and what one read brings besides.
        assert 4 * credit["inbox_bytes"] // 2 < most < 4 * 2 * credit["inbox_bytes"] + 9 * 8192

    with ExitStack() as stack:
        stack.enter_context(pool)
        async with server:
            await meanwhile(server, others, stack)
            total = 5 * len(own) + 4 + 4 * len(flood)
            await until(lambda: len(server.got) >= total, "all that was sent is handled")
            for future in floods:
                future.result(DEADLINE)
            by_connection: dict[int, list[str]] = {}
            for conn, message in server.got:
                by_connection.setdefault(conn, []).append(message)
            wanted = [own] * 5 + [["last words"]] * 4 + [flood] * 4
            assert sorted(by_connection.values()) == sorted(wanted)
            await until(lambda: len(server.closed) == 4)
            assert sorted(conn.close_code or 0 for conn in server.closed) == [4000, 4001, 4002, 4003]
            stats = server.stats()
            assert (stats["closed_unanswered"], stats["closed_slow"]) == (0, 0)
            assert stats["taken_age"]["quotes"]["count"] > 0


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
