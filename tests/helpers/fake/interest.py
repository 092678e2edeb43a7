"""Which members a message is for, found by a look at each of them."""

from __future__ import annotations

import json
from typing import Any

from helpers.fake.message import Message
from helpers.fake.settings import RoomSettings


class Interest:
    """The attributes and filters of the members of one room.

    Attributes:
        attributes: by connection and name, a list of values.
        filters: by connection.
        everything: the connections that get every message.
    """

    def __init__(self) -> None:
        self.attributes: dict[int, dict[str, list[Any]]] = {}
        self.filters: dict[int, Any] = {}
        self.everything: set[int] = set()

    def change(self, conn: int, change: dict[str, Any]) -> None:
        """Changes the attributes that are named."""
        own = self.attributes.setdefault(conn, {})
        own.update({name: listed(value) for name, value in change.items()})
        kept = {name: values for name, values in own.items() if values}
        if kept:
            self.attributes[conn] = kept
        else:
            del self.attributes[conn]

    def leave(self, conn: int) -> None:
        """Forgets a member."""
        self.attributes.pop(conn, None)
        self.filters.pop(conn, None)
        self.everything.discard(conn)

    def wants(self, conn: int, message: Message) -> bool:
        """Whether a member gets a message."""
        if message.role != "data" or conn in self.everything:
            return True
        audience = json.loads(message.audience or b"{}")
        own = self.attributes.get(conn)
        if "where" in audience and (own is None or not holds(audience["where"], own)):
            return False
        tags = {name: listed(value) for name, value in audience.get("tags", {}).items()}
        return conn not in self.filters or holds(self.filters[conn], tags)


def document_of(change: dict[str, Any]) -> bytes:
    """A change of attributes as JSON."""
    try:
        return json.dumps(change, default=_listed, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        why = "numbers must be finite" if "float" in str(error) else error
        raise TypeError(f"attributes must consist of texts, numbers, bools and lists of them: {why}") from None


def _listed(value: Any) -> list[Any]:
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"a value is {value!r}")


def holds(expression: dict[str, Any], values: dict[str, list[Any]]) -> bool:
    """Whether an expression holds for named values."""
    return all(_part_holds(name, wanted, values) for name, wanted in expression.items())


def _part_holds(name: str, wanted: Any, values: dict[str, list[Any]]) -> bool:
    if name == "and":
        return all(holds(part, values) for part in wanted)
    if name == "or":
        return any(holds(part, values) for part in wanted)
    if name == "not":
        return not holds(wanted, values)
    own = values.get(name, [])
    if not isinstance(wanted, dict):
        return any(same(value, wanted) for value in own)
    ((operator, wanted),) = wanted.items()
    if operator == "range":
        low, high = wanted
        numbers = [value for value in own if isinstance(value, (int, float)) and not isinstance(value, bool)]
        return any((low is None or low <= value) and (high is None or value <= high) for value in numbers)
    return any(same(value, one) for value in own for one in (wanted if operator == "in" else [wanted]))


def same(value: Any, other: Any) -> bool:
    """Whether two values are equal: True is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def listed(value: Any) -> list[Any]:
    """The values of a name."""
    return value if isinstance(value, list) else [] if value is None else [value]


def check_interest(name: str, settings: RoomSettings, what: str) -> None:
    """Raises ValueError unless the rule of a room allows it."""
    if not settings.interest:
        raise ValueError(f'{what} needs a room with interest, and the rule of room "{name}" does not have it')
