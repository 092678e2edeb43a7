"""The engine refuses what comes too fast, and the interpreter what the engine leaves to it. Whatever a message looks
like, it is answered and counted as if the interpreter had read it."""

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
from hostile.documents import TYPES_OF_PROTOCOL
from hostile.test_fuzz_reports import JSON_PIECES, NAMES, PACKED_PIECES
from hypothesis import given
from hypothesis import strategies as st

from fanwire.protocol.envelopes import JSON, MSGPACK, Codec, Refusal
from fanwire.protocol.session import UNCOUNTED
from fanwire.runtime.reports import Received

#: One message, and from then on each is too much: a thousandth of one would be enough, and takes 1000 s.
FULL = {"message_rate": 1e-6, "message_burst": 1, "byte_rate": 0.0, "max_refused": 1 << 30}
TYPES = st.sampled_from([*TYPES_OF_PROTOCOL, "own", "", "x" * 65])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 1 << 63), st.floats(allow_nan=False), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries(
    {"type": TYPES},
    optional={
        "id": st.one_of(NAMES, VALUES), "re": NAMES, "room": st.one_of(NAMES, VALUES), "key": NAMES,
        "encoding": st.sampled_from([None, "base64", 1]), "payload": VALUES, "other": VALUES,
    },
)  # fmt: skip

Said = tuple[str, str | None, str | None]


def said_of(codec: Codec, data: str | bytes) -> tuple[Said | None, bool]:
    """What the interpreter says of a message that comes too fast: its error, and whether it counts."""
    try:
        incoming = codec.decode(data)
    except Refusal as refusal:
        about = refusal.about
        return (refusal.code, about and about.id, about and about.room), True
    counts = incoming.type not in UNCOUNTED
    if incoming.type in {"ping", "pong"}:
        return None, counts
    if incoming.type == "received":
        try:
            codec.plain(incoming, Received)
        except Refusal as refusal:
            return (refusal.code, incoming.id, incoming.room), counts
        return None, counts
    return ("rate_limited", incoming.id, incoming.room), counts


class Flood:
    """A server, and a client of it that has used up what it may send."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.server = Book(dict(FULL))
        self.counted = 1

    async def open(self) -> None:
        await self.server.start()
        self.talk = await Talk.open(self.server, codec=self.codec.name)
        await self.talk.ask("leave", room="nowhere")
        self.session = self.server.opened[0]._session

    async def close(self) -> None:
        self.talk.cut()
        await self.server.stop()

    async def agrees(self, frames: list[str | bytes]) -> None:
        """Says these, and hears what the interpreter would say of them, in any order."""
        expected = []
        for data in frames:
            said, counts = said_of(self.codec, data)
            self.counted += counts
            if said is not None:
                expected.append(said)
            await self.talk.socket.send(data)
        # It is left to the interpreter, and answered behind all others.
        end = {"type": "received", "id": "the end", "payload": {"count": -1}}
        await self.talk.socket.send(json.dumps(end) if self.codec is JSON else msgspec.msgpack.encode(end))
        found: list[Said] = []
        while (message := await self.talk.hear()).get("re") != "the end":
            if message["type"] == "error":
                found.append((message["payload"]["code"], message.get("re"), message.get("room")))
        assert sorted(map(repr, found)) == sorted(map(repr, expected))
        assert self.session is not None
        assert self.session.received == self.counted


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
def test_engine_and_interpreter_refuse_and_count_alike(codec: Codec) -> None:
    flood = Flood(codec)
    loop = uvloop.new_event_loop()
    run = loop.run_until_complete

    @fuzz(60)
    @given(FIELDS, SEEDS)
    def agree(fields: dict[str, Any], seed: int) -> None:
        frames: list[str | bytes] = []
        if codec is JSON:
            texts = mutants(json.dumps(fields, ensure_ascii=bool(seed % 3)), seed, JSON_PIECES)
            # The engine skips payloads, and so does not see half of a surrogate pair in one. The interpreter does.
            frames += [text for text in texts if "\\ud8" not in text]
        else:
            frames += mutants(msgspec.msgpack.encode(fields), seed, PACKED_PIECES)
        run(flood.agrees(frames))

    asyncio.set_event_loop(loop)
    try:
        run(flood.open())
        try:
            agree()
        finally:
            run(flood.close())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
