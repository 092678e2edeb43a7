"""Reduction of a value by one step towards JSON's types; docs/values.md has the table. Pure.

numpy and pydantic are never imported: their values exist only if the application has imported them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

import msgspec

__all__ = ["Unfit", "reduce", "short", "short_key"]


class Unfit(Exception):
    """The table does not allow a value. The text has the whole reason: there is no cause in other code."""


class _UnfitType(Unfit, TypeError):
    pass


def reduce(value: Any) -> Any:
    """Reduces a value by one step; values inside may need more steps.

    Raises:
        TypeError, ValueError: the value is not in the table; the text says what it must be.
    """
    kind: type = type(value)
    return (_USUAL.get(kind) or _reducer(kind))(value)


@lru_cache(maxsize=1024)
def _reducer(kind: type) -> Callable[[Any], Any]:
    if issubclass(kind, Enum):
        return _value_of
    if issubclass(kind, (datetime, date, time)):
        return kind.isoformat
    if issubclass(kind, Decimal):
        return _digits
    if issubclass(kind, UUID):
        return UUID.__str__
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, (numpy.generic, numpy.ndarray)):
        return _from_numpy
    if issubclass(kind, msgspec.Struct):
        return _from_struct
    if hasattr(kind, "__pydantic_serializer__"):
        return _from_pydantic
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
        return lambda value: {name: getattr(value, name) for name in names}
    for base, reducer in _BASES:
        if issubclass(kind, base):
            return reducer
    return _refuse


def _value_of(value: Enum) -> Any:
    return value.value


def _digits(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError(f"must be a finite number, got Decimal({str(value)!r})")
    return str(value)


def _from_struct(value: msgspec.Struct) -> Any:
    return msgspec.to_builtins(value, builtin_types=_LEFT_TO_US, enc_hook=reduce)


def _from_pydantic(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        dump = value.model_dump
    else:
        dump = partial(type(value).__pydantic_serializer__.to_python, value)
    # pydantic's JSON mode changes some values, which are refused first.
    python = dump(mode="python", by_alias=True)
    config = getattr(type(value), "model_config", {})
    _check_pydantic(python, "", "ser_json_bytes" in config)
    try:
        return dump(mode="json", by_alias=True)
    except ValueError:
        # It has a type that pydantic does not know; the table may have it.
        return python


def _check_pydantic(value: Any, path: str, takes_bytes: bool) -> None:
    """Refuses values that pydantic's JSON mode would change, unless the model is configured for that."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise _Within(path, f"must have str as keys, got {short(key)} of type {type(key).__name__}")
            _check_pydantic(inner, f"{path}.{short_key(key)}", takes_bytes)
    elif isinstance(value, (list, tuple, Set)):
        for index, inner in enumerate(value):
            _check_pydantic(inner, f"{path}[{index}]", takes_bytes)
    elif isinstance(value, float) and value - value != 0:
        raise _Within(path, f"must be a finite number, got {float(value)}")
    elif isinstance(value, (bytes, bytearray, memoryview)) and not takes_bytes:
        raise _Within(path, f"must not be {type(value).__name__}: bytes can only be a whole message")


class _Within(Unfit, ValueError):
    """A value inside the reduced one is not allowed; `path` leads from that to it."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(text)
        self.path = path


def _from_numpy(value: Any) -> Any:
    if getattr(value, "mask", False) is not False and value.mask.any():
        raise ValueError("must not be masked: masked values are unknown")
    kind = value.dtype.kind
    if kind == "M":
        # As integers, `item` and `tolist` would lose the unit.
        numpy = sys.modules["numpy"]
        if numpy.isnat(value).any():
            raise ValueError("must be a time, got NaT")
        return numpy.datetime_as_string(value).tolist()
    if kind not in _NUMPY_KINDS or value.dtype.itemsize > _NUMPY_BYTES.get(kind, sys.maxsize):
        raise _UnfitType(
            f"must be a numpy value of whole numbers, floats up to 64 bits, booleans or text, got {value.dtype}"
        )
    return value.tolist()


def _refuse_bytes(value: Any) -> Any:
    raise _UnfitType(f"must not be {type(value).__name__}: bytes can only be a whole message")


def _refuse(value: Any) -> Any:
    raise _UnfitType(f"must be of a type that can be sent ({_NAMES}), got {type(value).__name__}")


_NAMES = (
    "None, bool, int, float, str, dict, list, tuple, set, datetime, date, time, UUID, Decimal, Enum, dataclass, "
    "msgspec Struct, pydantic model, numpy value; bytes as the whole message"
)
"""The types of the table, for the text of errors."""

_USUAL: dict[type, Callable[[Any], Any]] = {datetime: datetime.isoformat, Decimal: _digits, date: date.isoformat}
"""Reducers of the most usual types, without a search."""

_BASES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((bytes, bytearray, memoryview), _refuse_bytes),
    (float, float),
    # Of these orjson takes subclasses, and msgspec does not.
    (str, str.__str__),
    (int, int.__index__),
    (Mapping, dict),
    ((tuple, list, Set, deque), list),
)
"""Reducers by base class; the first that matches is used."""

_LEFT_TO_US = (bytes, bytearray, memoryview, datetime, date, time, timedelta, UUID, Decimal)
"""Types that msgspec must leave to `reduce`."""

_NUMPY_KINDS = frozenset("biufUO")
_NUMPY_BYTES = {"f": 8}


def short(value: Any) -> str:
    """The `repr` of a value, of bounded length."""
    # Python has no text for integers of more than 4,300 digits.
    if isinstance(value, int) and value.bit_length() > 256:
        return f"one of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}\N{HORIZONTAL ELLIPSIS}"


def short_key(key: str) -> str:
    """A key in a path, of bounded length."""
    return key if len(key) <= 40 else f"{key[:40]}\N{HORIZONTAL ELLIPSIS}"
