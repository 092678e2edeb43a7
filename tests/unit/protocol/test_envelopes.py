"""Envelopes: what is taken, what is refused, and with which words."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import decimal
import json
import uuid
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.protocol.envelopes import JSON, MSGPACK, SUBPROTOCOLS, Codec, Incoming, Refusal

CODECS = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)


def frame(codec: Codec, value: Any) -> bytes | str:
    return json.dumps(value) if codec is JSON else msgspec.msgpack.encode(value)


class Order(msgspec.Struct):
    price: float
    items: list[int]


class Model(pydantic.BaseModel):
    price: float
    items: list[int]


@dataclasses.dataclass
class Plain:
    price: float
    items: list[int]


@CODECS
def test_an_envelope_is_taken_with_its_payload_unread(codec: Codec) -> None:
    incoming = codec.decode(frame(codec, {"type": "x", "id": "1", "room": "r", "payload": {"a": [1]}, "new": 1}))
    assert (incoming.type, incoming.id, incoming.room, incoming.re) == ("x", "1", "r", None)
    assert codec.payload(incoming) == {"a": [1]}
    assert codec.payload(codec.decode(frame(codec, {"type": "x"}))) is None


@CODECS
@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({}, "$"),
        ([], "$"),
        ("text", "$"),
        ({"type": 1}, "$.type"),
        ({"type": ""}, "$.type"),
        ({"type": "x" * 65}, "$.type"),
        ({"type": "x", "id": ""}, "$.id"),
        ({"type": "x", "id": "1" * 65}, "$.id"),
        ({"type": "x", "room": "r" * 256}, "$.room"),
        ({"type": "x", "re": 5}, "$.re"),
    ],
)
def test_what_is_no_envelope_is_refused_with_the_field(codec: Codec, value: Any, path: str) -> None:
    with pytest.raises(Refusal) as refused:
        codec.decode(frame(codec, value))
    assert (refused.value.code, refused.value.path) == ("bad_message", path)


@pytest.mark.parametrize(
    ("codec", "data", "code"),
    [
        (JSON, b"{}", "bad_encoding"),
        (MSGPACK, "{}", "bad_encoding"),
        (JSON, "", "bad_message"),
        (JSON, '{"type":"x"', "bad_message"),
        (JSON, '{"type":"x"} {}', "bad_message"),
        (MSGPACK, b"", "bad_message"),
        (MSGPACK, b"\xc1", "bad_message"),
        (MSGPACK, b"\x81\xa4type\xa1\xff", "bad_message"),
        (JSON, "[" * 100_000, "bad_message"),
    ],
)
def test_what_is_no_document_is_refused(codec: Codec, data: bytes | str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        codec.decode(data)
    assert refused.value.code == code


@CODECS
@pytest.mark.parametrize("schema", [Order, Model, Plain])
def test_schemas_of_every_kind(codec: Codec, schema: Any) -> None:
    good = codec.decode(frame(codec, {"type": "x", "payload": {"price": 1.5, "items": [1, 2]}}))
    order = codec.payload(good, schema)
    assert isinstance(order, schema)
    assert (order.price, order.items) == (1.5, [1, 2])
    bad = codec.decode(frame(codec, {"type": "x", "payload": {"price": 1.5, "items": [1, "two"]}}))
    with pytest.raises(Refusal) as refused:
        codec.payload(bad, schema)
    assert refused.value.code == "invalid_payload"
    assert refused.value.path is not None
    assert refused.value.path.startswith("$.items[")
    missing = codec.decode(frame(codec, {"type": "x"}))
    with pytest.raises(Refusal):
        codec.payload(missing, schema)


@CODECS
def test_deep_nesting_is_an_error_and_no_crash(codec: Codec) -> None:
    deep = '{"type":"x","payload":' + "[" * 50_000 + "]" * 50_000 + "}"
    data = deep if codec is JSON else b"\x82\xa4type\xa1x\xa7payload" + b"\x91" * 50_000 + b"\xc0"
    with pytest.raises(Refusal):
        codec.payload(codec.decode(data))


def test_base64_payloads_are_bytes() -> None:
    text = base64.b64encode(b"\x00\xff").decode()
    for payload, expected in ((text, b"\x00\xff"), ("%", None), (5, None)):
        incoming = JSON.decode(json.dumps({"type": "x", "encoding": "base64", "payload": payload}))
        if expected is not None:
            assert JSON.payload(incoming) == expected
        else:
            with pytest.raises(Refusal):
                JSON.payload(incoming)


@CODECS
def test_absent_fields_are_left_out(codec: Codec) -> None:
    encoded = codec.encode({"type": "x", "re": None, "payload": {"a": None}})
    module = msgspec.json if codec is JSON else msgspec.msgpack
    assert module.decode(encoded) == {"type": "x", "payload": {"a": None}}


def test_what_a_reply_says() -> None:
    refusal = Refusal("overloaded", "later", path="$.a", retry=True, retry_after=1.5)
    assert refusal.payload() == {
        "code": "overloaded", "text": "later", "retry": True, "path": "$.a", "retry_after_ms": 1500,
    }  # fmt: skip
    assert Refusal("x", "y").payload() == {"code": "x", "text": "y", "retry": False}


def test_payloads_go_on_as_what_they_are() -> None:
    for codec, value, expected in (
        (JSON, "text", ("text", False)),
        (MSGPACK, "text", ("text", False)),
        (MSGPACK, b"\x00", (b"\x00", False)),
        (JSON, {"a": 1}, (b'{"a": 1}', True)),
        (MSGPACK, {"a": 1}, (b'{"a":1}', True)),
        (JSON, None, (b"null", True)),
    ):
        assert codec.document(codec.decode(frame(codec, {"type": "x", "payload": value}))) == expected
    assert JSON.document(JSON.decode('{"type":"x"}')) == (b"null", True)


@CODECS
def test_an_encoding_that_is_not_known_is_refused(codec: Codec) -> None:
    incoming = codec.decode(frame(codec, {"type": "x", "payload": "eA==", "encoding": "gzip"}))
    with pytest.raises(Refusal) as refused:
        codec.payload(incoming)
    assert (refused.value.code, refused.value.path) == ("bad_message", "$.encoding")


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ('{"a":[1,NaN]}', "$.a[1]"),
        ('"\\ud800"', "$"),
        ("[1,]", "$[1]"),
        ("[" * 100_000 + "]" * 100_000, "$" + "[0]" * 200),
    ],
)
def test_of_a_message_whose_payload_is_broken_it_is_said_which_and_where(payload: str, path: str) -> None:
    with pytest.raises(Refusal) as refused:
        JSON.decode(f'{{"type":"x","payload":{payload},"id":"7"}}')
    assert (refused.value.code, (refused.value.path or "")[:400]) == ("invalid_payload", path[:400])
    assert refused.value.about is not None
    assert refused.value.about.id == "7"


def test_of_a_packed_message_that_is_too_deep_it_is_said_which() -> None:
    data = b"\x83\xa4type\xa1x\xa7payload" + b"\x91" * 50_000 + b"\xc0\xa2id\xa17"
    with pytest.raises(Refusal) as refused:
        MSGPACK.decode(data)
    assert refused.value.code == "invalid_payload"
    assert refused.value.about is not None
    assert refused.value.about.id == "7"


@CODECS
def test_levels_are_limited_by_the_server_that_asks(codec: Codec) -> None:
    incoming = codec.decode(frame(codec, {"type": "x", "payload": [[[1]]]}))
    assert codec.payload(incoming, None, 3) == [[[1]]]
    for schema in (None, list[Any], Any):
        with pytest.raises(Refusal) as refused:
            codec.payload(incoming, schema, 2)
        assert (refused.value.code, refused.value.path) == ("invalid_payload", "$[0][0]")


class Times(msgspec.Struct):
    at: datetime.datetime
    day: datetime.date
    price: decimal.Decimal
    id: uuid.UUID
    data: bytes


class StrictTimes(pydantic.BaseModel, strict=True):
    at: datetime.datetime
    day: datetime.date
    price: decimal.Decimal
    id: uuid.UUID
    data: bytes


@CODECS
@pytest.mark.parametrize("schema", [Times, StrictTimes])
def test_schemas_read_text_of_times_decimals_uuids_and_bytes_in_both_encodings(codec: Codec, schema: Any) -> None:
    at, day = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), datetime.date(2026, 1, 2)
    text = base64.b64encode(b"\x01").decode() if schema is Times else "\x01"
    payload = {"at": at.isoformat(), "day": "2026-01-02", "price": "1.10", "id": str(uuid.UUID(int=1)), "data": text}
    read = codec.payload(codec.decode(frame(codec, {"type": "x", "payload": payload})), schema)
    assert (read.at, read.day, str(read.price), read.id) == (at, day, "1.10", uuid.UUID(int=1))
    assert read.data == b"\x01"


@CODECS
@pytest.mark.parametrize("schema", [bytes, Any])
def test_a_schema_reads_a_whole_message_of_bytes(codec: Codec, schema: Any) -> None:
    envelope = {"payload": "AP8=", "encoding": "base64"} if codec is JSON else {"payload": b"\x00\xff"}
    assert codec.payload(codec.decode(frame(codec, {"type": "x", **envelope})), schema) == b"\x00\xff"
    with pytest.raises(Refusal):
        codec.payload(codec.decode(frame(codec, {"type": "x", **envelope})), Order)


@CODECS
def test_replies_hold_the_same_values_in_both_encodings(codec: Codec) -> None:
    module = msgspec.json if codec is JSON else msgspec.msgpack
    value = {
        "at": datetime.date(2026, 1, 2),
        "model": Model(price=1.5, items=[1]),
        "price": decimal.Decimal("1.1"),
        "s": {1},
    }
    expected = {"at": "2026-01-02", "model": {"price": 1.5, "items": [1]}, "price": "1.1", "s": [1]}
    assert module.decode(codec.encode({"type": "reply", "payload": value})) == {"type": "reply", "payload": expected}
    told = module.decode(codec.encode({"type": "reply", "payload": b"\x00"}))
    assert told == (
        {"type": "reply", "payload": "AA==", "encoding": "base64"}
        if codec is JSON
        else {"type": "reply", "payload": b"\x00"}
    )
    for bad in ({"a": float("nan")}, {"a": b"x"}, {1: 2}, {"a": 2**64}):
        with pytest.raises((TypeError, ValueError), match=r"^(the value|\$)"):
            codec.encode({"type": "reply", "payload": bad})


def test_the_names() -> None:
    assert SUBPROTOCOLS == {"fanwire.v1.json": JSON, "fanwire.v1.msgpack": MSGPACK}


@given(st.text() | st.binary())
def test_anything_is_an_envelope_or_refused(data: bytes | str) -> None:
    for codec in (JSON, MSGPACK):
        # Any other exception would end a connection.
        with contextlib.suppress(Refusal):
            incoming = codec.decode(data)
            assert isinstance(incoming, Incoming)
            codec.payload(incoming)
