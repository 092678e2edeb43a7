"""What values become within a document: each row of the table in docs/values.md."""

from __future__ import annotations

import collections
import collections.abc
import types
import uuid
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import orjson
import pydantic
import pytest
from helpers.kinds import (
    NOON,
    ODD_ZONE,
    Checked,
    Free,
    Level,
    Model,
    Number,
    Order,
    Pair,
    Point,
    Quote,
    Ratio,
    Real,
    Row,
    Side,
    Slotted,
    Text,
)

from fanwire.values.encoding import document, packed, plain


class Chosen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(ser_json_bytes="base64")
    data: bytes = b"\xff"


class Priced(pydantic.BaseModel):
    price: Decimal

    @pydantic.field_serializer("price", when_used="json")
    def cents(self, price: Decimal) -> int:
        return int(price * 100)


VALUES: list[tuple[Any, Any]] = [
    (True, True),
    (1.0, 1.0),
    (-0.0, -0.0),
    (2**64 - 1, 2**64 - 1),
    (-(2**63), -(2**63)),
    (960.4539460352057, 960.4539460352057),
    (Number(5), 5),
    (Real(1.5), 1.5),
    (Ratio.HALF, 0.5),
    (Pair.BOTH, [1, "2026-01-02"]),
    ("null", "null"),
    ("\U0001f600\x00\u2028", "\U0001f600\x00\u2028"),
    ((1, "a"), [1, "a"]),
    (Point(1, Decimal("1.10")), [1, "1.10"]),
    ({3}, [3]),
    (frozenset({"a"}), ["a"]),
    (collections.deque([1, 2]), [1, 2]),
    ({"a": 1}.keys(), ["a"]),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(list, a=[1]), {"a": [1]}),
    (collections.Counter("aa"), {"a": 2}),
    (collections.UserDict(a=1), {"a": 1}),
    (collections.ChainMap({"a": 1}, {"b": Decimal(2)}), {"b": "2", "a": 1}),
    (types.MappingProxyType({"a": {1}}), {"a": [1]}),
    ({Side.BUY: 1, Text("k"): 2}, {"buy": 1, "k": 2}),
    (NOON, "2026-01-02T12:00:00.000005+00:00"),
    (datetime(2026, 1, 2), "2026-01-02T00:00:00"),
    (datetime(2026, 1, 2, tzinfo=ODD_ZONE), "2026-01-02T00:00:00+00:53:28"),
    (date(1, 1, 2), "0001-01-02"),
    (time(1, 2, 3), "01:02:03"),
    (time(1, 2, tzinfo=timezone.utc), "01:02:00+00:00"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal("1.10"), "1.10"),
    (Decimal("1E+3"), "1E+3"),
    (Quote("EUR", 1.25), {"symbol": "EUR", "price": 1.25, "_hidden": 1}),
    (Slotted(NOON, {Decimal("1")}), {"at": NOON.isoformat(), "rest": ["1"]}),
    (Order(Decimal("1.5"), NOON), {"type": "order", "unitPrice": "1.5", "sentAt": NOON.isoformat()}),
    (Order(Decimal("1.5"), NOON, legs=[Quote("E", 1.0), np.int8(1)]), {
        "type": "order", "unitPrice": "1.5", "sentAt": NOON.isoformat(),
        "legs": [{"symbol": "E", "price": 1.0, "_hidden": 1}, 1],
    }),
    (Row(1, NOON), [1, NOON.isoformat()]),
    (Row(1, {Side.BUY: [Text("v"), Number(2), Real(1.5), Level.HIGH, Pair.BOTH]}),
     [1, {"buy": ["v", 2, 1.5, 3, [1, "2026-01-02"]]}]),
    (Model(unitPrice=Decimal("1.50"), at=NOON, tag="a"), {
        "unitPrice": "1.50", "at": "2026-01-02T12:00:00.000005Z", "tag": "A", "side": "buy",
    }),
    (Checked(Decimal("1.50"), date(2026, 1, 2)), {"price": "1.50", "at": "2026-01-02"}),
    (Free(anyValue=np.array([1.5])), {"anyValue": [1.5], "maybe": 0.0}),
    (Free(anyValue=Order(Decimal("1"), NOON)), {
        "anyValue": {"type": "order", "unitPrice": "1", "sentAt": NOON.isoformat()}, "maybe": 0.0,
    }),
    (Free(anyValue=pydantic.SecretStr("x")), {"anyValue": "**********", "maybe": 0.0}),
    (Chosen(), {"data": "_w=="}),
    (Priced(price=Decimal("1.50")), {"price": 150}),
    (np.float64(0.1), 0.1),
    (np.float32(0.1), 0.10000000149011612),
    (np.int8(-5), -5),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.bool_(True), True),
    (np.array(5), 5),
    (np.array([[1.5, 2.5], [0.1, 0.2]]), [[1.5, 2.5], [0.1, 0.2]]),
    (np.array([1, 2])[::-1], [2, 1]),
    (np.ma.array([1, 2]), [1, 2]),
    (np.array(["a", "b"]), ["a", "b"]),
    (np.array([Decimal("1"), None], dtype=object), ["1", None]),
    (np.datetime64("2026-01-02T00:00:00.123456789"), "2026-01-02T00:00:00.123456789"),
    (np.array(["2026-01-02"], dtype="datetime64[D]"), ["2026-01-02"]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=[repr(value)[:40] for value, _ in VALUES])
@pytest.mark.parametrize("has_null", [False, True])
def test_a_value_within_a_document(value: Any, expected: Any, has_null: bool) -> None:
    # A null, or a type that orjson does not know, leads another way to the same.
    besides = {"null": None, "time": time(tzinfo=timezone.utc)} if has_null else {}
    encoded = document({"value": [value], **besides})
    arrived = orjson.loads(encoded)["value"][0]
    assert (arrived, type(arrived)) == (expected, type(expected))
    assert msgspec.msgpack.decode(packed(encoded))["value"] == [expected]
    assert plain([value]) == [expected]
