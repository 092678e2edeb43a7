"""Any bytes as a message, at the server and at the client: taken and then good for all that follows, or refused in the
protocol's words. Any other exception would be a connection's end, or a page in the log for everyone who likes to fill
one."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import msgspec
import orjson
import pydantic
import pytest
from helpers.fuzz import SEEDS, fuzz, mutants
from hostile.documents import json_frames, packed_frames
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client import codec as client
from fanwire.client.errors import ProtocolError
from fanwire.protocol.envelopes import JSON, MSGPACK, Codec, Incoming, Refusal
from fanwire.rooms.commands import Join
from fanwire.runtime.reports import Received
from fanwire.values.encoding import packed as as_msgpack


class Order(msgspec.Struct):
    price: float
    items: list[int]
    note: str = ""


class Model(pydantic.BaseModel):
    price: float
    items: list[int]
    inner: dict[str, Any] = {}


@dataclasses.dataclass
class Plain:
    price: float
    items: list[int]


SCHEMAS = [None, Order, Model, Plain, Received, Join | None, list[int], dict[str, Any], Any, str, bytes, float]
CODES = {"bad_encoding", "bad_message", "invalid_payload"}
KINDS: list[type[msgspec.Struct]] = [
    client.Welcome, client.JoinedInfo, client.MemberInfo, client.SkippedInfo, client.ErrorInfo, client.Closing,
    client.Count,
]  # fmt: skip


JSON_PIECES = [
    '"',
    "\\",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "1e999",
    "-",
    "9" * 20,
    "null",
    "\x00",
    "\u20ac",
    " ",
]
PACKED_PIECES = [
    b"\x80", b"\x81", b"\x90", b"\x91", b"\xa0", b"\xa1a", b"\xc0", b"\xc1", b"\xc4\x01", b"\xc7\x01\x05", b"\xcb",
    b"\xcf", b"\xd3", b"\xd6\xff", b"\xdc\xff\xff", b"\xdd", b"\xdf", b"\xff", b"\x00", b"\x7f" * 4,
]  # fmt: skip


def decode(codec: Codec, data: bytes) -> Any:
    return msgspec.json.decode(data) if codec is JSON else msgspec.msgpack.decode(data)


def check_refusal(refusal: Refusal, incoming: Incoming | None = None) -> None:
    """What is refused can be told."""
    assert refusal.code in CODES
    about = {} if incoming is None else {"re": incoming.id, "room": incoming.room}
    for codec in (JSON, MSGPACK):
        told = decode(codec, codec.encode({"type": "error", **about, "payload": refusal.payload()}))
        assert told["payload"]["code"] == refusal.code


def check_server(codec: Codec, frame: bytes | str) -> None:
    try:
        incoming = codec.decode(frame)
    except Refusal as refusal:
        check_refusal(refusal)
        return
    assert 1 <= len(incoming.type) <= 64
    for schema in SCHEMAS:
        check_payload(codec, incoming, schema)
    try:
        report = codec.plain(incoming, Received)
    except Refusal as refusal:
        check_refusal(refusal, incoming)
    else:
        assert report.count >= 0


def check_payload(codec: Codec, incoming: Incoming, schema: Any) -> None:
    try:
        value = codec.payload(incoming, schema)
    except Refusal as refusal:
        check_refusal(refusal, incoming)
        return
    if schema is None:
        check_echo(codec, value)
        check_published(value, *codec.document(incoming))


def check_echo(codec: Codec, value: Any) -> None:
    """What a handler returns that returns what it got."""
    try:
        encoded = codec.encode({"type": "reply", "payload": value})
    except RecursionError:
        # It was read with the last frames of the stack that there are.
        return
    assert codec.encode(decode(codec, encoded)) == encoded


def check_published(value: Any, data: bytes | str, is_json: bool) -> None:
    """What the engine gets is text, bytes, or JSON that every reader in every encoding reads alike."""
    if not is_json:
        assert data == value
        return
    assert isinstance(data, bytes)
    assert same(orjson.loads(data), value)
    assert same(msgspec.msgpack.decode(as_msgpack(data)), value)


def same(one: Any, other: Any) -> bool:
    # 1 and 1.0 are equal, and not the same.
    return repr(one) == repr(other)


@fuzz(300)
@given(json_frames, SEEDS)
def test_server_json(frame: str, seed: int) -> None:
    for mutant in mutants(frame, seed, JSON_PIECES):
        check_server(JSON, mutant)


@fuzz(300)
@given(packed_frames, SEEDS)
def test_server_msgpack(frame: bytes, seed: int) -> None:
    for mutant in mutants(frame, seed, PACKED_PIECES):
        check_server(MSGPACK, mutant)


def check_client(codec: client.ClientCodec, frame: bytes | str) -> None:
    try:
        envelope = codec.decode(frame)
    except ProtocolError:
        return
    assert isinstance(envelope.type, str)
    for kind in KINDS:
        with contextlib.suppress(ProtocolError):
            assert isinstance(client.convert(envelope, kind), kind)


@fuzz(300)
@given(json_frames, SEEDS)
def test_client_json(frame: str, seed: int) -> None:
    for mutant in mutants(frame, seed, JSON_PIECES):
        check_client(client.ClientCodec("json"), mutant)


@fuzz(300)
@given(packed_frames, SEEDS)
def test_client_msgpack(frame: bytes, seed: int) -> None:
    for mutant in mutants(frame, seed, PACKED_PIECES):
        check_client(client.ClientCodec("msgpack"), mutant)


@fuzz(300)
@given(st.text() | st.binary())
def test_anything(frame: bytes | str) -> None:
    for codec in (JSON, MSGPACK):
        check_server(codec, frame)
        check_client(client.ClientCodec(codec.name), frame)


@pytest.mark.parametrize("depth", [100, 1_000, 10_000, 1_000_000])
def test_depth(depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        document = opening * depth + "1" + closing * depth
        for frame in (document, f'{{"type":"x","payload":{document}}}', f'{{"type":"x","other":{document}}}'):
            check_server(JSON, frame)
            check_client(client.ClientCodec("json"), frame)
    for opened in (b"\x91", b"\x81\xa1a", b"\x81\x91"):
        for packed in (opened * depth + b"\xc0", b"\x82\xa4type\xa1x\xa7payload" + opened * depth + b"\xc0"):
            check_server(MSGPACK, packed)
            check_client(client.ClientCodec("msgpack"), packed)
