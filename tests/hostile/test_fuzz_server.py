"""Real servers, real sockets: whatever a session says is answered in the protocol's words and not in the log, and
whatever frames come, the messages in them are heard up to the first that breaks a rule, which gets its close code."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
import uvloop
from helpers.fuzz import fuzz
from helpers.serving import Book
from helpers.talk import Talk
from helpers.utf8 import is_beginning, is_utf8
from helpers.wait import until, within
from helpers.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame
from hostile.documents import json_frames, packed_frames
from hostile.heads import PIPELINED, inputs
from hypothesis import example, given
from hypothesis import strategies as st

Run = Callable[[Coroutine[Any, Any, Any]], Any]

UNLIMITED = {
    "message_rate": 0.0, "byte_rate": 0.0, "ping_rate": 0.0, "max_refused": 1 << 30, "max_rooms_per_connection": 0,
    "handshake_rate": 0.0, "address_handshake_rate": 0.0,
}  # fmt: skip
MAX_MESSAGE = 300
LONGEST = 200_000
"""Characters of a message that is certainly no more than the server takes."""


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on a loop that stays: hypothesis knows no coroutines."""
    loop = request.param()
    yield loop.run_until_complete
    loop.close()


class Order(msgspec.Struct):
    price: float
    items: list[int]


class Sessions:
    """A server and two of its clients, one of each encoding, in one another's rooms."""

    def __init__(self) -> None:
        self.server = Book(dict(UNLIMITED))
        self.server.room("*", publish=True, presence=True, history=10)
        self.server.on("echo")(lambda conn, payload: payload)
        self.server.on("order", Order)(lambda conn, payload: payload.price)
        self.talks: dict[str, Talk] = {}
        self._probes = map("probe-{}".format, itertools.count())

    async def start(self) -> Sessions:
        await self.server.start()
        for codec in ("json", "msgpack"):
            self.talks[codec] = await Talk.open(self.server, codec=codec)
            await self.talks[codec].ask("join", room="r")
        # The first has to hear that the second has joined.
        for talk in self.talks.values():
            await self._listen(talk)
        return self

    async def stop(self) -> None:
        for talk in self.talks.values():
            talk.cut()
        await self.server.stop()

    async def say(self, codec: str, frames: list[Any]) -> None:
        """Says all of it, and listens until everybody has heard what there is to hear."""
        for data in frames:
            if len(data) > LONGEST:
                continue
            await within(self.talks[codec].socket.send(data))
        for each in (codec, *self.talks):
            await self._listen(self.talks[each])
        assert len(self.server.closed) == 0

    async def _listen(self, talk: Talk) -> None:
        probe = next(self._probes)
        await talk.say("probe", id=probe)
        while True:
            message = await talk.hear()
            error = message["payload"]["code"] if message["type"] == "error" else ""
            assert error != "internal", message
            if message.get("re") == probe:
                assert error == "unknown_type"
                return
            if talk.received % 100 == 0:
                await talk.say("received", payload={"count": talk.received})


@pytest.fixture(scope="module")
def sessions(run: Run) -> Iterator[Sessions]:
    sessions = run(Sessions().start())
    yield sessions
    run(sessions.stop())


def published(value: Any) -> list[bytes]:
    """What cannot all be said in JSON."""
    return [msgspec.msgpack.encode({"type": "publish", "id": "1", "room": "r", "payload": value})]


@fuzz(60)
@given(frames=st.lists(json_frames, min_size=1, max_size=5))
def test_sessions_in_json(run: Run, sessions: Sessions, frames: list[str]) -> None:
    run(sessions.say("json", frames))


@fuzz(60)
@example(frames=published({1: 2}))
@example(frames=published([b"bytes"]))
@example(frames=published(msgspec.msgpack.Ext(5, b"")))
@given(frames=st.lists(packed_frames, min_size=1, max_size=5))
def test_sessions_in_msgpack(run: Run, sessions: Sessions, frames: list[bytes]) -> None:
    run(sessions.say("msgpack", frames))


@pytest.mark.parametrize("count", [-1, 1 << 63, 1 << 64, 10**30])
def test_numbers_that_cannot_be(run: Run, sessions: Sessions, count: int) -> None:
    talk = sessions.talks["json"]
    for ask in (
        talk.ask("received", payload={"count": count}),
        talk.ask("join", room="r", payload={"since": {"epoch": "a", "seq": count}}),
    ):
        assert run(ask)["payload"]["code"] == "invalid_payload"


class Frame(NamedTuple):
    """A client's frame, right or wrong."""

    opcode: int
    fin: bool
    payload: bytes
    rsv: int = 0
    mask: bool = True

    def bytes(self) -> bytes:
        return frame(self.opcode, self.payload, fin=self.fin, rsv=self.rsv, mask=self.mask)


class Reader:
    """RFC 6455 sections 5 to 7 as a server reads: `heard` are the messages, and it closes with one of `codes`."""

    def __init__(self) -> None:
        self.heard: list[bytes | str] = []
        self.codes: set[int] = set()
        self._opcode = 0
        self._parts: list[bytes] = []

    def read(self, one: Frame) -> bool:
        """Reads one; False when it was the last."""
        self.codes = set(self._faults(one))
        if not self.codes and one.opcode == CLOSE:
            self.codes = {int.from_bytes(one.payload[:2], "big") if one.payload else 1005}
        if self.codes:
            return False
        if one.opcode in (PING, PONG):
            return True
        self._opcode = one.opcode or self._opcode
        self._parts.append(one.payload)
        if one.fin:
            data, self._parts = b"".join(self._parts), []
            self.heard.append(data.decode() if self._opcode == TEXT else data)
        return True

    def _faults(self, one: Frame) -> Iterator[int]:
        """A frame may have several, and which is found first is not said."""
        if one.rsv or not one.mask or one.opcode not in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
            yield 1002
        if one.opcode >= CLOSE:
            if not one.fin or len(one.payload) > 125 or (one.opcode == CLOSE and not _is_close(one.payload)):
                yield 1002
            if one.opcode == CLOSE and not is_utf8(one.payload[2:]):
                yield 1007
            return
        if (one.opcode == CONT) is not bool(self._parts):
            yield 1002
        data = b"".join([*self._parts, one.payload])
        if len(data) > MAX_MESSAGE:
            yield 1009
        if (one.opcode or self._opcode) == TEXT and not (is_utf8(data) if one.fin else is_beginning(data)):
            yield 1007


def _is_close(payload: bytes) -> bool:
    code = int.from_bytes(payload[:2], "big")
    return not payload or 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


payloads = st.one_of(
    st.binary(max_size=10),
    st.text(max_size=10).map(str.encode),
    st.integers(100, MAX_MESSAGE + 1).map(lambda size: b"x" * size),
    st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x0f\xa0", b"\x03", b"\x03\xe8\xff"]),
)
good = st.builds(
    Frame,
    st.sampled_from([CONT, TEXT, BINARY, PING, PONG]),
    st.booleans(),
    st.text(max_size=8).map(str.encode),
    st.just(0),
    st.just(True),
)
bad = st.builds(
    Frame,
    st.integers(0, 15),
    st.booleans(),
    payloads,
    st.sampled_from([0, 0, 0, 1, 4]),
    st.sampled_from([True, True, True, False]),
)


@fuzz(60)
@given(
    frames=st.lists(good | good | bad, max_size=8),
    cuts=st.lists(st.integers(0, 3000), max_size=4),
)
def test_frames(run: Run, listening: Book, frames: list[Frame], cuts: list[int]) -> None:
    run(check_frames(listening, frames, cuts))


@pytest.fixture(scope="module")
def listening(run: Run) -> Iterator[Book]:
    server = Book({**UNLIMITED, "max_message": MAX_MESSAGE}).listens()
    run(server.start())
    yield server
    run(server.stop())


async def check_frames(server: Book, frames: list[Frame], cuts: list[int]) -> None:
    reader = Reader()
    read = list(itertools.takewhile(reader.read, frames))
    is_whole = len(read) == len(frames)
    # Up to the first wrong one: picows parses one frame ahead, and may find what is wrong with the next before.
    data = b"".join(one.bytes() for one in frames[: len(read) + 1])
    data += close_frame(1000) if is_whole else frame(TEXT, b"late")
    codes = {1000} if is_whole else reader.codes
    server.heard.clear()
    ended = len(server.closed)
    async with await server.peer() as peer:
        edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        for start, end in itertools.pairwise(edges):
            await peer.send(data[start:end])
            await asyncio.sleep(0)
        code, _ = await peer.closed()
        code = 1005 if code is None else code
        assert code in codes
        assert await peer.end() == b""
    await until(lambda: len(server.closed) > ended)
    assert server.closed[-1].close_code == code
    # For the same reason the message before a violation may go with it.
    least = len(reader.heard) - (not is_whole)
    assert server.heard in (reader.heard, reader.heard[:least])


@fuzz(60)
@example(data=PIPELINED, cuts=[20])
@example(data=b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\x00", cuts=None)
@example(data=b"POST /rooms/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", cuts=[40])
@example(data=b"GET / HTTP/1.0\r\n\r\n" + bytes(50), cuts=None)
@given(data=inputs, cuts=st.lists(st.integers(0, 400), max_size=3) | st.none())
def test_heads(run: Run, listening: Book, data: bytes, cuts: list[int] | None) -> None:
    at_once = run(answer_to(listening, [data]))
    edges = range(len(data) + 1) if cuts is None else sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    in_pieces = run(answer_to(listening, [data[start:end] for start, end in itertools.pairwise(edges)]))
    # A peer that ends its side at once may miss the answer. Cuts of plain HTTP are tried in test_fuzz_http.py.
    if at_once and in_pieces and not is_of_http(at_once) and not is_of_http(in_pieces):
        # How the bytes were cut makes no difference.
        assert in_pieces[:12] == at_once[:12]


async def answer_to(server: Book, pieces: list[bytes]) -> bytes:
    """What a peer is answered that says no more, up to the end."""
    async with await server.dial() as peer:
        # One that was answered already may be closed before it has said all; the server resets what comes after that.
        with contextlib.suppress(ConnectionError, RuntimeError):
            for piece in pieces:
                await peer.send(piece)
                await asyncio.sleep(0)
        with contextlib.suppress(OSError, RuntimeError):
            peer.writer.write_eof()
        return await peer.end()


def is_of_http(got: bytes) -> bool:
    """Whether this is an answer of the HTTP side. Otherwise it is nothing, or an upgrade, or a refusal that has nothing
    in it but what the server itself says."""
    if not got or _REFUSAL.fullmatch(got) is not None:
        return False
    assert got.startswith(b"HTTP/1.1 ")
    if got[9:12] != b"101":
        return True
    assert _UPGRADE.match(got), got
    return False


_REFUSAL = re.compile(
    rb"HTTP/1\.1 (?P<status>[45][0-9]{2}) (?P<phrase>[A-Z][A-Za-z -]{2,40})\r\n"
    rb"Content-Type: text/plain; charset=utf-8\r\n"
    rb"Content-Length: [0-9]{1,2}\r\n"
    rb"Connection: close\r\n"
    rb"(?:(?:Sec-WebSocket-Version: 13|Upgrade: websocket|Retry-After: [0-9]{1,5}|WWW-Authenticate: Bearer)\r\n)*"
    rb"\r\n(?P=phrase)\n"
)

_UPGRADE = re.compile(
    rb"HTTP/1\.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    rb"Sec-WebSocket-Accept: [A-Za-z0-9+/]{27}=\r\n(?:Sec-WebSocket-Protocol: fanwire\.v1\.[a-z]+\r\n)?\r\n"
)
