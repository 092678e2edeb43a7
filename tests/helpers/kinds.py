"""Values of an application, of all sorts of types."""

from __future__ import annotations

import dataclasses
import enum
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
import pydantic


@dataclasses.dataclass
class Quote:
    symbol: str
    price: float
    _hidden: int = 1


@dataclasses.dataclass
class Slotted:
    __slots__ = ("at", "rest")
    at: datetime
    rest: Any


class Point(NamedTuple):
    x: int
    y: Decimal


class Level(enum.IntEnum):
    HIGH = 3


class Side(str, enum.Enum):
    BUY = "buy"


class Ratio(float, enum.Enum):
    HALF = 0.5


class Pair(enum.Enum):
    BOTH = (1, date(2026, 1, 2))


class Text(str):
    def __str__(self) -> str:
        return "other"


class Number(int):
    def __repr__(self) -> str:
        return "other"


class Real(float):
    pass


class Order(msgspec.Struct, rename="camel", tag="order", omit_defaults=True):
    unit_price: Decimal
    sent_at: datetime
    note: str = ""
    legs: list[Any] = []


class Row(msgspec.Struct, array_like=True):
    a: int
    b: Any


class Model(pydantic.BaseModel):
    unit_price: Decimal = pydantic.Field(alias="unitPrice")
    at: datetime
    tag: Annotated[str, pydantic.PlainSerializer(str.upper)] = "x"
    side: Side = Side.BUY
    left_out: int = pydantic.Field(1, exclude=True)


@pydantic.dataclasses.dataclass
class Checked:
    price: Decimal
    at: date


NOON = datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=timezone.utc)
ODD_ZONE = timezone(timedelta(minutes=53, seconds=28))


class Free(pydantic.BaseModel):
    any_value: Any = pydantic.Field(None, alias="anyValue")
    maybe: float = 0.0
