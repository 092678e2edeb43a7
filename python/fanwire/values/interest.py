"""Conditions over the attributes of members, and tags of messages: what `publish` takes as `where` and `tags`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, TypeAlias

import orjson

from fanwire.values.checks import described

__all__ = ["Between", "InterestValue", "Where", "audience_of", "between", "filter_of", "where"]

InterestValue: TypeAlias = "str | int | float | bool"
"""A value of an attribute or a tag. Values of different types are never equal; 1 and 1.0 are."""


class Between:
    """A range of numbers, both ends included. `between` makes it.

    Args:
        low: the lowest number; None: no bound.
        high: the highest number; None: no bound.
    """

    __slots__ = ("high", "low")

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low = low
        self.high = high

    def __repr__(self) -> str:
        return f"between({self.low}, {self.high})"


def between(low: float | None = None, high: float | None = None) -> Between:
    """A range of numbers for `where`, both ends included.

    Args:
        low: the lowest number; None: no bound.
        high: the highest number; None: no bound.

    Raises:
        TypeError: a bound is no number.
        ValueError: a bound is infinite or NaN, or `low` is above `high`.

    Example::

        server.publish("zone", "dragon", where=fanwire.where(level=fanwire.between(10, 20)))
    """
    for name, bound in (("low", low), ("high", high)):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, (int, float))):
            raise TypeError(f"{name} must be a number or None, got {described(bound)}")
        if isinstance(bound, float) and not isfinite(bound):
            raise ValueError(f"{name} must be finite, or None for no bound, got {bound}")
    if low is not None and high is not None and low > high:
        raise ValueError(f"low must not be above high, got {low} and {high}")
    return Between(low, high)


class Where:
    """A condition over the attributes of members. `where` makes it. Combine conditions with `&` (and), `|` (or) and
    `~` (not). It never changes, so it may be kept and used again.

    Attributes:
        document: the condition in its JSON form (docs/interest.md).
    """

    __slots__ = ("_json", "document")

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """The JSON form as bytes."""
        if self._json is None:
            self._json = _encoded("where", self.document)
        return self._json

    def __and__(self, other: Where) -> Where:
        return Where({"and": [self.document, other.document]}) if isinstance(other, Where) else NotImplemented

    def __or__(self, other: Where) -> Where:
        return Where({"or": [self.document, other.document]}) if isinstance(other, Where) else NotImplemented

    def __invert__(self) -> Where:
        return Where({"not": self.document})

    def __repr__(self) -> str:
        return f"<Where {self.json.decode()}>"


def where(**attributes: InterestValue | Iterable[InterestValue] | Between) -> Where:
    """A condition that holds for members whose attributes have these values. With several names all must hold.

    Args:
        **attributes: by name: a value; a list or set of values, of which the member has one at least; or a range that
            `between` makes. A name that the member does not have is no match, and an empty list matches no member.

    Raises:
        TypeError: there is no name, or a value is of a wrong type.

    Example::

        near = fanwire.where(cell=[16, 17, 18]) & ~fanwire.where(team="red")
        server.publish("zone", {"event": "explosion"}, where=near)
    """
    if not attributes:
        raise TypeError("where needs the name of an attribute at least")
    document: dict[str, Any] = {}
    for name, wanted in attributes.items():
        if isinstance(wanted, Between):
            document[name] = {"range": [wanted.low, wanted.high]}
        elif isinstance(wanted, (str, int, float)):
            document[name] = wanted
        elif isinstance(wanted, Iterable) and not isinstance(wanted, (bytes, Mapping)):
            document[name] = {"in": list(wanted)}
        else:
            raise TypeError(f"{name} must be a value, a list of values or a range, got {described(wanted)}")
    return Where(document)


def audience_of(where: Where | Mapping[str, Any] | None, tags: Mapping[str, Any] | None) -> bytes | None:
    """Whom a message is for, in the form in which the engine takes it; None: it has neither a condition nor tags.

    Raises:
        TypeError: one of them is of the wrong type.
    """
    if where is None and tags is None:
        return None
    parts = []
    if where is not None:
        if not isinstance(where, Where):
            if not isinstance(where, Mapping):
                raise TypeError(f"where must be a fanwire.Where or its JSON form, got {described(where)}")
            where = Where(where)
        parts.append(b'"where":' + where.json)
    if tags is not None:
        if not isinstance(tags, Mapping):
            raise TypeError(f"tags must be a dict of names and values, got {described(tags)}")
        parts.append(b'"tags":' + _encoded("tags", tags))
    return b"{" + b",".join(parts) + b"}"


def filter_of(filter: Any) -> bytes:
    """A filter of a client, in the form in which the engine takes it.

    Raises:
        TypeError: it contains a value that JSON does not have.
    """
    return _encoded("filter", filter)


def _encoded(what: str, document: Any) -> bytes:
    try:
        found = orjson.dumps(document, default=_listed)
        # These would become null, which means "no bound" in a range: a condition would hold for more members.
        if b"null" in found and _has_infinite(document):
            raise ValueError("numbers must be finite")
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} must consist of texts, numbers, bools and lists of them: {error}") from None
    return found


def _has_infinite(document: Any) -> bool:
    if isinstance(document, float):
        return not isfinite(document)
    if isinstance(document, Mapping):
        return any(map(_has_infinite, document.values()))
    return isinstance(document, (list, tuple, set, frozenset)) and any(map(_has_infinite, document))


def _listed(value: Any) -> Any:
    # Sets of values are natural for attributes.
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"a value is {described(value)}")
