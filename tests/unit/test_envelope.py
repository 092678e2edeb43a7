"""Payloads: what is text, what is binary, what is JSON, and what is none of them."""

from __future__ import annotations

import dataclasses
import datetime
import uuid

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.envelope import encode


@dataclasses.dataclass
class Quote:
    symbol: str
    price: float


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"ab", (b"ab", False)),
        ("ab", ("ab", False)),
        (bytearray(b"ab"), (b"ab", False)),
        (memoryview(b"abcd")[::2], (b"ac", False)),
        (None, (b"null", True)),
        (True, (b"true", True)),
        (1, (b"1", True)),
        ([1, "\u00fc"], ('[1,"\u00fc"]'.encode(), True)),
        ({"b": 1, "a": 2}, (b'{"b":1,"a":2}', True)),
        (Quote("EUR", 1.25), (b'{"symbol":"EUR","price":1.25}', True)),
        (datetime.date(2026, 1, 2), (b'"2026-01-02"', True)),
        (uuid.UUID(int=1), (b'"00000000-0000-0000-0000-000000000001"', True)),
    ],
)
def test_encode(data: object, expected: tuple[bytes | str, bool]) -> None:
    assert encode(data) == expected
    assert type(encode(data)[0]) is type(expected[0])


@pytest.mark.parametrize("data", [object(), {1: 2}, {"a": {"b": {3}}}, 1 << 64, b"a".decode, {"a": "\ud800"}])
def test_what_cannot_be_encoded_is_a_type_error(data: object) -> None:
    with pytest.raises(TypeError):
        encode(data)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json.filter(lambda value: not isinstance(value, str)))
def test_json_comes_back(value: object) -> None:
    payload, is_text = encode(value)
    assert is_text
    assert orjson.loads(payload) == (None if value in (float("inf"), float("-inf")) else _without_infinity(value))


def _without_infinity(value: object) -> object:
    if isinstance(value, list):
        return [_without_infinity(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_infinity(one) for key, one in value.items()}
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
