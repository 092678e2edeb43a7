"""The engine reads reports, and the interpreter those that the engine leaves to it. Whatever a report looks like, its
client hears and counts what it would if the interpreter read them all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
import uvloop
from helpers.fuzz import SEEDS, fuzz, mutants
from helpers.serving import Book
from helpers.talk import Talk
from hypothesis import given
from hypothesis import strategies as st

from fanwire.protocol.envelopes import JSON, MSGPACK, Codec, Incoming, Refusal
from fanwire.runtime.reports import Received

UNLIMITED = {"message_rate": 0.0, "byte_rate": 0.0, "ping_rate": 0.0, "max_refused": 1 << 30}
NUMBERS = st.one_of(
    st.integers(0, 9), st.sampled_from([1 << 62, (1 << 63) - 1, 1 << 63, -1, 1.0, 1e300, True, None, "1"])
)
NAMES = st.sampled_from(["a", "b", "", "ü" * 255, "ü" * 256, "x" * 64, "x" * 65])
ONES = st.one_of(
    st.fixed_dictionaries({"count": NUMBERS}, optional={"ts": NUMBERS, "more": NUMBERS}), NUMBERS, st.just([1])
)
TAKEN = st.one_of(st.none(), st.dictionaries(NAMES, ONES, max_size=4), st.lists(ONES, max_size=2))
PAYLOADS = st.one_of(
    st.fixed_dictionaries({"count": NUMBERS}, optional={"taken": TAKEN, "more": TAKEN}), NUMBERS, st.just([3])
)
REPORTS = st.fixed_dictionaries(
    {"type": st.just("received")},
    optional={
        "payload": PAYLOADS, "id": st.one_of(NAMES, NUMBERS), "re": NAMES, "room": st.one_of(NAMES, NUMBERS),
        "key": NAMES, "encoding": st.sampled_from([None, "base64", 1]), "other": PAYLOADS,
    },
)  # fmt: skip
JSON_PIECES = ['"', "\\u0061", "\\ud800", "{", "}", "[", "]", ",", ":", "1e999", "-", "9" * 20, "null", " ", "[" * 200]
PACKED_PIECES = [
    b"\x80", b"\x81", b"\x90", b"\x91", b"\xa0", b"\xa1a", b"\xc0", b"\xc1", b"\xc4\x01", b"\xc7\x01\x05", b"\xcb",
    b"\xcf", b"\xd3", b"\xd6\xff", b"\xdc\xff\xff", b"\xff", b"\x00", b"\x91" * 200, b"\xca\x3f\x80\x00\x00",
]  # fmt: skip


def said_of(codec: Codec, data: str | bytes) -> tuple[Incoming | None, str | None, bool]:
    """What the interpreter says of a message: the envelope, the code of the error, and whether it counts."""
    try:
        incoming = codec.decode(data)
    except Refusal as refusal:
        return None, refusal.code, True
    try:
        codec.plain(incoming, Received)
    except Refusal as refusal:
        return incoming, refusal.code, False
    return incoming, None, False


class Reporter:
    """A server, and a client of it that is in the room `a`."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.counted = 0
        self.server = Book(dict(UNLIMITED))

    async def open(self) -> None:
        await self.server.start()
        self.talk = await Talk.open(self.server, "/a", codec=self.codec.name)
        await self.talk.hear("joined")

    async def close(self) -> None:
        self.talk.cut()
        await self.server.stop()

    async def agrees(self, frames: list[str | bytes]) -> None:
        """Says these, and hears what the interpreter says of them."""
        expected = []
        for data in frames:
            incoming, code, counts = said_of(self.codec, data)
            if incoming is not None and incoming.type != "received":
                # It became another type, which is done in the interpreter.
                continue
            self.counted += counts
            if code is not None:
                expected.append(code)
            await self.talk.socket.send(data)
        # Answered in its turn, as errors are.
        await self.talk.socket.send(self.packed({"type": "leave", "id": "end", "room": "nowhere"}))
        self.counted += 1
        found = []
        while (message := await self.talk.hear()).get("re") != "end":
            if message["type"] == "error":
                found.append(message["payload"]["code"])
        assert found == expected
        await self.talk.socket.send(self.packed({"type": "ping"}))
        while (await self.talk.hear())["type"] != "pong":
            pass
        assert (await self.talk.hear("received"))["payload"]["count"] == self.counted

    def packed(self, message: dict[str, Any]) -> str | bytes:
        return json.dumps(message) if self.codec is JSON else msgspec.msgpack.encode(message)


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
def test_engine_and_interpreter_agree_on_reports(codec: Codec) -> None:
    reporter = Reporter(codec)
    loop = uvloop.new_event_loop()
    run = loop.run_until_complete

    @fuzz(60)
    @given(REPORTS, SEEDS)
    def agree(report: dict[str, Any], seed: int) -> None:
        frames: list[str | bytes] = []
        if codec is JSON:
            separators = (",", ":") if seed % 2 else None
            frames += mutants(json.dumps(report, separators=separators, ensure_ascii=bool(seed % 3)), seed, JSON_PIECES)
        else:
            frames += mutants(msgspec.msgpack.encode(report), seed, PACKED_PIECES)
        run(reporter.agrees(frames))

    asyncio.set_event_loop(loop)
    try:
        run(reporter.open())
        agree()
        run(reporter.close())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
