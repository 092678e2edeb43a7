"""What can be sent: bytes, text and documents; what is refused, with which words, and for which path."""

from __future__ import annotations

import collections
import collections.abc
import enum
import math
import uuid
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import orjson
import pydantic
import pytest
from helpers.kinds import (
    NOON,
    Free,
    Level,
    Quote,
    Real,
    Row,
    Side,
    Text,
)
from helpers.wait import PROCESS
from hypothesis import given
from hypothesis import strategies as st

from fanwire.values.encoding import InvalidDocument, document, encode, from_json, from_msgpack, packed, plain


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"ab", (b"ab", False)),
        ("ab\u20ac", ("ab\u20ac", False)),
        (bytearray(b"ab"), (b"ab", False)),
        (memoryview(b"abcd")[::2], (b"ac", False)),
        (np.bytes_(b"ab"), (b"ab", False)),
        (Side.BUY, ("buy", False)),
        (Text("ab"), ("ab", False)),
        (np.str_("ab"), ("ab", False)),
        (None, (b"null", True)),
        (Decimal("1.10"), ("1.10", False)),
        (date(2026, 1, 2), ("2026-01-02", False)),
        (Level.HIGH, (b"3", True)),
        ({"b": 1, "a": 2}, (b'{"b":1,"a":2}', True)),
    ],
)
def test_a_message_is_bytes_or_text_or_a_document(data: Any, expected: tuple[bytes | str, bool]) -> None:
    payload, is_json = encode(data)
    assert (payload, is_json) == expected
    assert isinstance(payload, type(expected[0]))


class Evil(msgspec.Struct):
    fine: int
    bad_one: Any = msgspec.field(name="badOne")


def cycle() -> list[Any]:
    ring: list[Any] = [1]
    ring.append({"again": ring})
    return ring


UNKNOWN = (
    "must be of a type that can be sent (None, bool, int, float, str, dict, list, tuple, set, datetime, date, time, "
    "UUID, Decimal, Enum, dataclass, msgspec Struct, pydantic model, numpy value; bytes as the whole message)"
)

REFUSED: list[tuple[Any, str, Any]] = [
    (
        {"orders": [{"price": 1.0}, {"price": math.nan}]},
        "$.orders[1].price must be a finite number, got nan",
        ValueError,
    ),
    ([math.inf], "$[0] must be a finite number, got inf", ValueError),
    ([None, Real(-math.inf)], "$[1] must be a finite number, got -inf", ValueError),
    ({"a": Quote("x", math.nan)}, "$.a.price must be a finite number, got nan", ValueError),
    ({"a": Evil(1, math.nan)}, "$.a.badOne must be a finite number, got nan", ValueError),
    ({"a": Evil(1, {"b": 1j})}, f"$.a.badOne.b {UNKNOWN}, got complex", TypeError),
    ({"a": np.array([[1.0, np.nan]])}, "$.a[0][1] must be a finite number, got nan", ValueError),
    ([np.float32("inf")], "$[0] must be a finite number, got inf", ValueError),
    ([np.datetime64("NaT", "s")], "$[0] must be a time, got NaT", ValueError),
    ([np.ma.array([1, 2], mask=[0, 1])], "$[0] must not be masked", ValueError),
    ([np.ma.masked], "$[0] must not be masked", ValueError),
    ([np.complex64(1)], "$[0] must be a numpy value of whole numbers", TypeError),
    ([np.longdouble(1)], "$[0] must be a numpy value of whole numbers", TypeError),
    ([np.array([b"a"])], "$[0] must be a numpy value of whole numbers", TypeError),
    ([np.timedelta64(1, "s")], "$[0] must be a numpy value of whole numbers", TypeError),
    ({"a": Free(anyValue=math.nan)}, "$.a.anyValue must be a finite number, got nan", ValueError),
    ([Free(anyValue=[{"b": (1, math.inf)}])], "$[0].anyValue[0].b[1] must be a finite number, got inf", ValueError),
    ([Free(maybe=math.nan)], "$[0].maybe must be a finite number, got nan", ValueError),
    ([Free(anyValue=b"x")], "$[0].anyValue must not be bytes", ValueError),
    ([Free(anyValue={1: 2})], "$[0].anyValue must have str as keys, got 1 of type int", ValueError),
    ([Free(anyValue=np.float32("nan"))], "$[0].anyValue must be a finite number, got nan", ValueError),
    ([Free(anyValue=object())], f"$[0].anyValue {UNKNOWN}, got object", TypeError),
    ({"a": Decimal("NaN")}, "$.a must be a finite number, got Decimal('NaN')", ValueError),
    ({"a": 2**64}, "$.a must be an integer from -2**63 to 2**64-1, got 18446744073709551616", ValueError),
    ({"a": 10**400}, "$.a must be an integer from -2**63 to 2**64-1, got one of 1329 bits", ValueError),
    ({"a": 10**5000}, "$.a must be an integer from -2**63 to 2**64-1", ValueError),
    ([-(2**63) - 1], "$[0] must be an integer from -2**63 to 2**64-1", ValueError),
    ({"a": {"b": b"x"}}, "$.a.b must not be bytes: bytes can only be a whole message", TypeError),
    ([memoryview(b"x")], "$[0] must not be memoryview", TypeError),
    ({"a": [1, {2: 3}]}, "$.a[1] must have str as keys, got 2 of type int", TypeError),
    ({None: 1}, "the value must have str as keys, got None", TypeError),
    ({"a": "\ud800"}, "$.a must be Unicode text, and has the lone surrogate \\ud800", ValueError),
    ({"\udc00": 1}, "the value must be Unicode text, and has the lone surrogate \\udc00", ValueError),
    ("\ud800", "the value must be Unicode text, and has the lone surrogate \\ud800", ValueError),
    (cycle(), "$[1].again must not contain itself", ValueError),
    ({"a": object()}, f"$.a {UNKNOWN}, got object", TypeError),
    ({"a": timedelta(1)}, f"$.a {UNKNOWN}, got timedelta", TypeError),
    (Quote, f"the value {UNKNOWN}, got type", TypeError),
    ((n for n in [1]), f"the value {UNKNOWN}, got generator", TypeError),
    ([msgspec.UNSET], f"$[0] {UNKNOWN}, got UnsetType", TypeError),
    ({"x" * 1000: [1j]}, f"$.{'x' * 40}\N{HORIZONTAL ELLIPSIS}[0] must be", TypeError),
]


@pytest.mark.parametrize(("value", "text", "kind"), REFUSED, ids=[text[:60] for _, text, _ in REFUSED])
def test_what_cannot_be_carried_is_refused_with_its_path(value: Any, text: str, kind: Any) -> None:
    for call in (encode, document, lambda value: plain(value)) if not isinstance(value, str) else (encode, document):
        with pytest.raises(kind) as refused:
            call(value)
        assert str(refused.value).startswith(text)
        assert len(str(refused.value)) < 700


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: Row(1, inner)])
def test_depth_is_limited_by_exactly_so_many_levels(wrap: Any) -> None:
    value: Any = 1
    for _ in range(10):
        value = wrap(value)
    encode(value, 10)
    for deeper in (wrap(value), [None, *[value] * 20]):
        with pytest.raises(ValueError, match="must not be nested deeper than 10 levels"):
            encode(deeper, 10)
    # Brackets in strings and beside each other are no depth.
    encode(["[" * 100, *[[]] * 100], 10)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested deeper than 200"):
        encode(deep)


def test_what_is_wrong_in_a_class_of_the_application_is_told_with_the_path() -> None:
    class Broken(pydantic.BaseModel):
        @pydantic.model_serializer
        def wrong(self) -> Any:
            raise ValueError("no")

    with pytest.raises(ValueError, match=r"\$\.a\[0\].*no"):
        encode({"a": [Broken()]})


def test_numpy_is_not_imported_for_values_without_it() -> None:
    import subprocess
    import sys

    code = (
        "import sys, decimal; from fanwire.values.encoding import encode; encode({'a': decimal.Decimal(1), 'b': {1}});"
        "sys.exit('numpy' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=PROCESS, check=False).returncode == 0


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"a":1e400}', "$.a"), (b'{"a":[18446744073709551616]}', "$.a[0]"), (b'["\\ud800"]', "$[0]"),
        (b'{"a":1,"a":2}', "$.a"), (b'{"a":NaN}', "$.a"), (b'["\xff"]', "$"), (b"", "$"), (b"{", "$"), (b'"\\ud800"',
        "$"), (b"[" * 65 + b"]" * 65, "$" + "[0]" * 64),
    ],
)  # fmt: skip
def test_json_that_cannot_be_carried_is_refused_with_its_path(data: bytes, path: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        from_json(data)
    assert refused.value.path == path
    assert str(refused.value) == f"{path} {refused.value.text}"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [b"x"]}, "$.a[0]"), ({"a": NOON}, "$.a"), ([msgspec.msgpack.Ext(5, b"x")], "$[0]"), ({"a": {1: 2}},
        "$.a"), ([math.nan], "$[0]"), ([-math.inf], "$[0]"), (math.nan, "$"), (NOON, "$"),
    ],
)  # fmt: skip
def test_msgpack_that_cannot_be_carried_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        from_msgpack(msgspec.msgpack.encode(value))
    assert refused.value.path == path


def test_documents_from_outside_are_messages_of_the_same_three_kinds() -> None:
    assert from_json(b' { "a" : 1.0 } ') == (b' { "a" : 1.0 } ', True)
    assert from_json(b'\n"a\\u20ac"') == ("a\u20ac", False)
    assert from_msgpack(msgspec.msgpack.encode({"a": 1.0, "b": 2**64 - 1})) == (
        b'{"a":1.0,"b":18446744073709551615}',
        True,
    )
    assert from_msgpack(msgspec.msgpack.encode("a\u20ac")) == ("a\u20ac", False)
    for size in (0, 300, 70_000):
        assert from_msgpack(msgspec.msgpack.encode(b"x" * size)) == (b"x" * size, False)
    for broken in (b"", b"\xc4", b"\xc4\x02a", b"\xc4\x01ab", b"\xa1\xff", b"\x01\x02", b"\xc1"):
        with pytest.raises(InvalidDocument):
            from_msgpack(broken)


leaves = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text() | st.binary() | st.decimals()
    | st.uuids() | st.datetimes(timezones=st.none() | st.timezones()) | st.dates() | st.times() | st.sampled_from(Side)
    | st.characters(categories=["Cs"])
)  # fmt: skip
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.builds(Row,
    st.integers(), inner)
)  # fmt: skip


@given(values)
def test_a_value_arrives_or_is_refused(value: Any) -> None:
    refusal = ""
    try:
        payload, is_json = encode(value)
    except (TypeError, ValueError) as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith(("$", "the value "))
        return
    if not is_json:
        assert payload == told(value)
        return
    assert isinstance(payload, bytes)
    arrived = orjson.loads(payload)
    assert msgspec.json.decode(payload) == arrived == msgspec.msgpack.decode(packed(payload))
    assert from_json(payload, 200)[0] == from_msgpack(packed(payload), 200)[0] or isinstance(arrived, str)
    assert arrived == told(value)


def told(value: Any) -> Any:
    """What the table says of a value, by other means."""
    if isinstance(value, Row):
        return [value.a, told(value.b)]
    if isinstance(value, list):
        return [told(one) for one in value]
    if isinstance(value, dict):
        return {key: told(one) for key, one in value.items()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, (Decimal, uuid.UUID)) else value


@pytest.mark.parametrize(
    "value", [1j, {"x": [1j]}, {"x": b"bytes"}, {"x": float("nan")}, {1: 2}, {"x": np.longdouble(1)}]
)
def test_the_traceback_of_a_refused_value_has_one_error_in_it(value: object) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        encode(value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_the_traceback_of_a_value_whose_own_code_fails_has_that_error_in_it() -> None:
    class Broken(collections.abc.Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            raise ValueError("broken")

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    with pytest.raises(ValueError, match=r"^\$\.x broken$") as raised:
        encode({"x": Broken()})
    assert isinstance(raised.value.__cause__, ValueError)
