"""What may stand in a message of a client, right and wrong, in both encodings: strategies of hypothesis."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from fanwire.protocol.table import ClientType, ServerType

FIELDS = ["type", "id", "room", "key", "re", "encoding", "payload", "ts", "seq", "ack"]
TYPES_OF_PROTOCOL = list(dict.fromkeys([*get_args(ClientType), *get_args(ServerType)]))
"""All that protocol/protocol.toml has: a new type is tried by itself."""
TYPES = [*TYPES_OF_PROTOCOL, "publish", "publish", "echo", "order", "x" * 64, "x" * 65, ""]

NUMBERS = [
    "0", "-0", "-1", "1.0", "-0.0", "1e400", "-1E+400", "1e-400", "5e-324", "1.7976931348623157e308",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
    "-9223372036854775809", "123456789012345678901234567890", "1" * 400, "1" * 5000, "01", "+1", "1.", ".5", "NaN",
    "-Infinity", "0x1", "1e",
]  # fmt: skip
STRINGS = [
    '""', r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', r'"\u0000"', '"\u0001"', r'"\x"', r'"\u12"', '"', "'a'",
    '"AP8B"', '"AP8"', '"\u00e9"', '"__proto__"', r'"\u0074ype"', '"\uffff"', '"\U0010ffff"',
]  # fmt: skip

DEPTHS = st.sampled_from([1, 2, 30, 127, 128, 254, 255, 300, 990, 1_000, 5_000, 100_000])


def _array(parts: list[str]) -> str:
    return f"[{','.join(parts)}]"


def _object(parts: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in parts) + "}"


def _deep(around: tuple[str, str], depth: int, inner: str, missing: bool) -> str:
    return around[0] * depth + inner + around[1] * (depth - missing)


_names = st.sampled_from(FIELDS).map(json.dumps) | st.sampled_from(STRINGS) | st.text(max_size=5).map(json.dumps)
_leaves = st.one_of(
    st.sampled_from(["null", "true", "false", "{}", "[]", "", " ", ",", "nul"]),
    st.sampled_from(NUMBERS),
    st.sampled_from(STRINGS),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=20).map(json.dumps),
    st.sampled_from(TYPES).map(json.dumps),
)

texts = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(_array),
        # A key may be there twice.
        st.lists(st.tuples(_names, inner), max_size=4).map(_object),
        st.builds(_deep, st.sampled_from([("[", "]"), ('{"a":', "}"), ("[{},", "]")]), DEPTHS, inner, st.booleans()),
    ),
    max_leaves=6,
)
"""JSON, most of it valid."""

_hashable = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary())
_times = st.datetimes(timezones=st.just(datetime.timezone.utc))

values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        _hashable,
        st.sampled_from([math.nan, math.inf, -1, 2**63, 2**64 - 1, -(2**63)]),
        st.sampled_from(TYPES),
        _times,
        st.builds(msgspec.msgpack.Ext, st.integers(-128, 127).filter(lambda code: code != -1), st.binary()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=5) | st.sampled_from(FIELDS), inner, max_size=4),
        st.dictionaries(_hashable | st.tuples(_hashable), inner, max_size=3),
    ),
    max_leaves=6,
)
"""What MessagePack can say."""

_pack = msgspec.msgpack.Encoder().encode

packed: st.SearchStrategy[bytes] = st.one_of(
    values.map(_pack),
    st.builds(
        lambda opening, depth, inner: opening * depth + _pack(inner),
        st.sampled_from([b"\x91", b"\x81\xa1a", b"\x92\x80", b"\x81\x90", b"\xdc\x00\x01"]),
        DEPTHS,
        values,
    ),
    # Sizes that are not there, timestamps that cannot be, text that is none, and a byte that means nothing.
    st.sampled_from([
        b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x05", b"\xc7\x0c\xff" + b"\xff" * 12, b"\xd7\xff" + b"\xff" * 8, b"\xa2\xff\xfe",
        b"\xc1", b"\xa3\xed\xa0\x80",
    ]),
)  # fmt: skip
"""MessagePack, most of it valid."""


def _json_envelope(fields: list[tuple[str, str]]) -> str:
    return _object([(json.dumps(name), value) for name, value in fields])


def _packed_envelope(fields: list[tuple[Any, bytes]]) -> bytes:
    # By hand, so that a field may be there twice.
    return b"\xde" + len(fields).to_bytes(2, "big") + b"".join(_pack(name) + value for name, value in fields)


_numbers = st.sampled_from(NUMBERS) | st.integers().map(str)
_known = st.one_of(
    st.builds('{{"count":{}}}'.format, _numbers),
    st.builds('{{"since":{{"epoch":{},"seq":{}}}}}'.format, _leaves, _numbers),
    st.builds('{{"price":{},"items":[{},{}]}}'.format, _numbers, _numbers, _leaves),
    st.builds('{{"token":{}}}'.format, _leaves),
)
"""What some types ask for, nearly."""

_packed_numbers = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([-1, 0, 2**63, 2**64 - 1]) | st.floats()
_packed_known = st.one_of(
    st.fixed_dictionaries({"count": _packed_numbers}),
    st.fixed_dictionaries({"since": st.fixed_dictionaries({"epoch": st.text(max_size=3), "seq": _packed_numbers})}),
    st.fixed_dictionaries({"price": _packed_numbers, "items": st.lists(_packed_numbers, max_size=2)}),
    st.fixed_dictionaries({"token": values}),
).map(_pack)

_types = st.sampled_from(TYPES)
_ids = st.sampled_from(["r", "r", "r", "s"]) | st.text(min_size=1, max_size=8)


def _fields(encode: Any, name: Any, anything: Any, known: Any) -> st.SearchStrategy[Any]:
    right = st.tuples(
        st.tuples(st.just("type"), _types.map(encode)),
        st.tuples(st.sampled_from(["id", "re", "room", "key"]), _ids.map(encode)),
        st.tuples(st.just("payload"), anything | known),
    ).map(list)
    return st.builds(lambda first, more: first + more, right, st.lists(st.tuples(name, anything), max_size=3))


json_envelopes: st.SearchStrategy[str] = _fields(json.dumps, st.sampled_from(FIELDS), texts, _known).map(_json_envelope)
packed_envelopes: st.SearchStrategy[bytes] = _fields(
    _pack, st.sampled_from(FIELDS) | _hashable, packed, _packed_known
).map(_packed_envelope)


def broken(whole: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The same with a part missing, twice, or somewhere else."""

    def cut(data: Any, first: float, second: float, how: int) -> Any:
        start, end = sorted((int(first * len(data)), int(second * len(data))))
        return [data[:start], data[:start] + data[end:], data[:end] + data[start:], data[start:] + data[:start]][how]

    place = st.floats(0, 1)
    return st.builds(cut, whole, place, place, st.integers(0, 3))


json_frames: st.SearchStrategy[str] = st.one_of(json_envelopes, broken(json_envelopes), texts, st.text())
packed_frames: st.SearchStrategy[bytes] = st.one_of(packed_envelopes, broken(packed_envelopes), packed, st.binary())
