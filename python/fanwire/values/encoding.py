"""The encoder of values for server and client. Pure; docs/values.md has the table.

A message is bytes (binary), a str (text) or a JSON document. The values of a document arrive unchanged at each reader,
in JSON and in MessagePack; a value that cannot is refused with its path.

| value | arrives as |
|---|---|
| `None`, `bool`, `str` | the same; a str without lone surrogates |
| `int` | the same, from -2**63 to 2**64-1 |
| `float` | the same; not NaN, not infinite |
| `dict`, any `Mapping` | a map; its keys are str |
| `list`, `tuple`, `NamedTuple`, `deque`, `set`, `frozenset`, any `Set` | a list |
| `bytes`, `bytearray`, `memoryview` | bytes, as the whole message only, not inside of a document |
| `datetime`, `date`, `time` | the text of `isoformat()` |
| `UUID` | its text |
| `Decimal` | the text of its digits; not NaN, not infinite |
| `Enum` | its value |
| dataclass | a map of its fields |
| msgspec `Struct` | as msgspec writes it: `rename`, `tag`, `omit_defaults` and `array_like` hold |
| pydantic model or dataclass | what `model_dump(mode="json", by_alias=True)` gives, where that changes no value |
| numpy scalar | what `item()` gives; `datetime64` the text of its digits |
| numpy array | a list of these, nested by its dimensions |

A subclass is encoded as its base. Other types are refused: `complex`, `timedelta`, generators, objects.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import msgspec
import orjson

from fanwire._engine import check_json, glance, is_surely_finite, json_to_msgpack, msgpack_to_json, payload_of
from fanwire.values.reduction import Unfit, reduce, short, short_key

__all__ = [
    "MAX_NESTING",
    "NESTING_LIMIT",
    "InvalidDocument",
    "document",
    "encode",
    "from_json",
    "from_msgpack",
    "packed",
    "plain",
    "without_payload",
]

MAX_NESTING = 64
"""The default of `Config.max_nesting`, levels of lists and maps: documents have a dozen, and readers in all languages
can take 64."""

NESTING_LIMIT = 200
"""The largest `Config.max_nesting`: orjson writes 254 levels, some of which the protocol needs."""


class InvalidDocument(ValueError):
    """A document from outside has a value that cannot be carried exactly.

    Attributes:
        path: of the value, such as `$.orders[3].price`; `$` is the whole document.
        text: what is wrong with it.
    """

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path} {text}")
        self.path = path
        self.text = text


def encode(data: Any, max_nesting: int = NESTING_LIMIT) -> tuple[bytes | str, bool]:
    """Encodes a message.

    Args:
        data: a value of the table above.
        max_nesting: levels of lists and maps that it may have.

    Returns:
        The payload, and whether it is a JSON document: bytes are then that document and otherwise a binary message; a
        str is a text message.

    Raises:
        TypeError: a value in it is of a type that is not in the table; the text names its path.
        ValueError: a value in it cannot be carried exactly; the text names its path.

    ::

        encode({"price": 1.08})  # (b'{"price":1.08}', True)
        encode({"orders": [{"price": float("nan")}]})  # ValueError: $.orders[0].price must be a finite number, got nan
    """
    # The usual types first: each publish calls this.
    kind = type(data)
    if kind is dict:
        return document(data, max_nesting), True
    if kind is bytes or (kind is str and data.isascii()):
        return data, False
    if isinstance(data, Enum):
        return encode(data.value, max_nesting)
    if isinstance(data, str):
        return _Walk(0).text(data), False
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), False
    encoded = document(data, max_nesting)
    if encoded.startswith(b'"'):
        # Such as a time: raw clients must get it without the quotes of JSON.
        text: str = orjson.loads(encoded)
        return text, False
    return encoded, True


def document(value: Any, max_nesting: int = NESTING_LIMIT) -> bytes:
    """Encodes a value as a JSON document, also if it is a text.

    Raises:
        TypeError, ValueError: as `encode`.
    """
    try:
        encoded = orjson.dumps(value, reduce, _OPTIONS)
    except TypeError:
        # orjson does not say where the error is, and refuses some values of the table.
        encoded = None
    if encoded is None:  # not above, or the walk's own error would come with that of orjson
        return _Walk(max_nesting).document(value)
    seen = glance(encoded, max_nesting)
    if seen and (seen > 1 or (not is_surely_finite(value) and _may_have_non_finite(value))):
        return _Walk(max_nesting).document(value)
    return encoded


def plain(value: Any, max_nesting: int = MAX_NESTING) -> Any:
    """A value as readers get it, of dict, list, str, int, float, bool and None only.

    Raises:
        TypeError, ValueError: as `encode`.
    """
    return value if value is None else orjson.loads(document(value, max_nesting))


def packed(encoded: bytes) -> bytes:
    """The MessagePack form of a document that `document` has made."""
    translated = json_to_msgpack(encoded, _DEEPEST)
    if isinstance(translated, bytes):
        return translated
    raise InvalidDocument(*translated)


def from_json(data: bytes, max_nesting: int = MAX_NESTING) -> tuple[bytes | str, bool]:
    """Takes a JSON document from outside: checked, and as `encode` returns it. A document that is a string is a text.

    Raises:
        InvalidDocument: it is no JSON (RFC 8259), or holds what cannot be carried exactly: an integer beyond 64 bits,
            a float that is not finite, a lone surrogate, a key twice in one map, or too many levels.
    """
    fault = check_json(data, max_nesting)
    if fault is not None:
        raise InvalidDocument(*fault)
    if data.lstrip(b" \t\r\n").startswith(b'"'):
        text: str = orjson.loads(data)
        return text, False
    return data, True


def from_msgpack(data: bytes, max_nesting: int = MAX_NESTING) -> tuple[bytes | str, bool]:
    """Takes a MessagePack document from outside, and turns it into JSON. One that is bytes is a binary message.

    Raises:
        InvalidDocument: it is no MessagePack, or holds what cannot be carried exactly: bytes inside, an extension, a
            float that is not finite, a key that is no string or comes twice, or too many levels.
    """
    if data[:1] in _BIN:
        try:
            return msgspec.msgpack.decode(data, type=bytes), False
        except msgspec.DecodeError as error:
            raise InvalidDocument("$", f"must be MessagePack: {error}") from error
    translated = msgpack_to_json(data, max_nesting)
    if not isinstance(translated, bytes):
        raise InvalidDocument(*translated)
    if translated.startswith(b'"'):
        text: str = orjson.loads(translated)
        return text, False
    return translated, True


def without_payload(frame: bytes | str) -> tuple[bytes, bytes] | None:
    """Takes the payload out of an envelope that cannot be decoded because the payload is too deep or broken.

    Args:
        frame: JSON as a str, MessagePack as bytes.

    Returns:
        The envelope with null as its payload, and the payload; None: it is no map with a payload.
    """
    is_json = isinstance(frame, str)
    data = frame.encode(errors="replace") if isinstance(frame, str) else frame
    found = payload_of(data, is_json)
    if found is None:
        return None
    begin, end = found
    return b"".join((data[:begin], b"null" if is_json else b"\xc0", data[end:])), data[begin:end]


class _Walk:
    """Encodes a value in Python, with the path of an error. Slow: only for values that orjson refuses."""

    def __init__(self, max_nesting: int) -> None:
        self._max_nesting = max_nesting
        self._levels = 0
        # The path of the current value. After an error it is the path of the error.
        self._path: list[str] = []
        self._inside: set[int] = set()

    def document(self, value: Any) -> bytes:
        """The JSON document of a value."""
        try:
            return orjson.dumps(self.plain(value))
        except RecursionError as error:
            raise ValueError(f"{self._at} is nested deeper than the stack of this process allows now") from error

    def plain(self, value: Any) -> Any:
        """The value in JSON's types. Two calls for each level: the stack is the caller's, and may be short."""
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str) and not isinstance(value, Enum):
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, Enum):
            if not -(1 << 63) <= value < 1 << 64:
                raise ValueError(f"{self._at} must be an integer from -2**63 to 2**64-1, got {short(value)}")
            return int.__index__(value)
        if isinstance(value, float) and not isinstance(value, Enum):
            if value - value != 0:
                raise ValueError(f"{self._at} must be a finite number, got {float(value)}")
            return float(value)
        # Kept alive until the end, so that no new value gets the id of a freed one.
        entered: list[Any] = []
        while not isinstance(value, (dict, list, tuple)) or isinstance(value, Enum):
            self._enter(value, entered)
            value = self._reduced(value)
            if value is None or isinstance(value, (str, int, float)):
                break
        else:
            self._enter(value, entered)
            if self._levels >= self._max_nesting:
                raise ValueError(f"{self._at} must not be nested deeper than {self._max_nesting} levels")
            self._levels += 1
            value = self._map(value) if isinstance(value, dict) else self._list(value)
            self._levels -= 1
            self._inside.difference_update(map(id, entered))
            return value
        value = self.plain(value)
        self._inside.difference_update(map(id, entered))
        return value

    def _enter(self, value: Any, entered: list[Any]) -> None:
        if id(value) in self._inside:
            raise ValueError(f"{self._at} must not contain itself")
        self._inside.add(id(value))
        entered.append(value)

    def _reduced(self, value: Any) -> Any:
        try:
            return reduce(value)
        except (TypeError, ValueError) as error:
            if isinstance(value, msgspec.Struct):
                # msgspec does not say which field has the error.
                names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
                self._map({shown: getattr(value, name) for name, shown in names})
            # Neither the table nor the value's class says where the error is.
            kind = TypeError if isinstance(error, TypeError) else ValueError
            self._path.append(getattr(error, "path", ""))
            raise kind(f"{self._at} {error}") from (None if isinstance(error, Unfit) else error)

    def _map(self, value: dict[Any, Any]) -> dict[str, Any]:
        found = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{self._at} must have str as keys, got {short(key)} of type {type(key).__name__}")
            name = self.text(key)
            self._path.append(f".{short_key(name)}")
            found[name] = self.plain(inner)
            self._path.pop()
        return found

    def _list(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        found = []
        for index, inner in enumerate(value):
            self._path.append(f"[{index}]")
            found.append(self.plain(inner))
            self._path.pop()
        return found

    def text(self, text: str) -> str:
        """Returns a text as a plain str, or raises ValueError if it has a lone surrogate."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            surrogate = f"\\u{ord(text[error.start]):04x}"
            raise ValueError(f"{self._at} must be Unicode text, and has the lone surrogate {surrogate}") from None
        return str.__str__(text)

    @property
    def _at(self) -> str:
        path = "".join(["$", *self._path])
        if path == "$":
            return "the value"
        return path if len(path) <= _PATH_MAX else f"{path[:_PATH_MAX]}\N{HORIZONTAL ELLIPSIS}"


def _may_have_non_finite(value: Any) -> bool:
    """Whether a null that orjson has written may stand for NaN or infinity."""
    try:
        return _NON_FINITE.search(msgspec.msgpack.encode(value, enc_hook=reduce)) is not None
    except Exception:  # noqa: BLE001 - `_Walk` reports the error, if there is one
        return True


_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""orjson leaves out fields that begin with an underscore, and seconds of a time zone's offset."""

_BIN = frozenset({b"\xc4", b"\xc5", b"\xc6"})
"""First bytes of MessagePack's bytes."""

_NON_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""A float in MessagePack whose exponent has all bits set, or other bytes that look like it."""

_DEEPEST = 256
"""The most levels of a document with the protocol's own around it."""

_PATH_MAX = 400
"""The most characters of a path in an error."""
