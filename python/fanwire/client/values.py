"""The newest values of a room whose values may come as deltas (docs/protocol.md, deltas). Pure.

The rule it keeps: the application has values of its own. What it does to one, and what a later delta does, changes no
other.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import UNSET

from fanwire.client.codec import Envelope, Unreadable

__all__ = ["DeltaOutcome", "RoomValues", "merge"]


class DeltaOutcome(Enum):
    """What became of a message."""

    WHOLE = "whole"
    """Its payload is the whole value."""
    UNREADABLE = "unreadable"
    """It is a delta to a value that could not be decoded, or cannot be decoded itself."""
    MISSING = "missing"
    """It is a delta to a value that the client does not have."""


class RoomValues:
    """The newest value of each key of one room. The server bounds their number (`max_keys` of its room)."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        # By key: the number and the value; `Unreadable` stands for a value that could not be decoded.
        self._values: dict[str, tuple[int, Any]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def take(self, envelope: Envelope, seq: int) -> DeltaOutcome:
        """Takes the next message of the room. Of a delta the payload becomes the whole value.

        Args:
            envelope: the message.
            seq: its number.
        """
        key = "" if envelope.key is UNSET else envelope.key
        payload = envelope.payload
        if envelope.type == "forgotten":
            self._values.pop(key, None)
            return DeltaOutcome.WHOLE
        if envelope.base is UNSET:
            if isinstance(payload, (dict, Unreadable)):
                self._values[key] = (seq, _kept(payload))
            else:
                # No delta to it can come.
                self._values.pop(key, None)
            return DeltaOutcome.UNREADABLE if isinstance(payload, Unreadable) else DeltaOutcome.WHOLE
        known = self._values.get(key)
        if known is None or known[0] != envelope.base:
            return DeltaOutcome.MISSING
        before = known[1]
        if isinstance(payload, Unreadable) or isinstance(before, Unreadable):
            lost = payload if isinstance(payload, Unreadable) else before
            self._values[key] = (seq, lost)
            envelope.payload = lost
            return DeltaOutcome.UNREADABLE
        value = merge(before, payload)
        self._values[key] = (seq, value)
        envelope.payload = _kept(value)
        return DeltaOutcome.UNREADABLE if isinstance(envelope.payload, Unreadable) else DeltaOutcome.WHOLE


def merge(value: Any, patch: Any) -> Any:
    """Applies a merge patch (RFC 7396 section 2). Maps of `value` are changed in place."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(value, dict):
        value = {}
    for name, new in patch.items():
        if new is None:
            value.pop(name, None)
        elif isinstance(new, dict):
            value[name] = merge(value.get(name), new)
        else:
            value[name] = new
    return value


def _kept(value: Any) -> Any:
    try:
        return copied(value)
    except RecursionError as error:
        return Unreadable(str(error))


def copied(value: Any) -> Any:
    """A copy of a decoded value that shares no map and no list with it."""
    if isinstance(value, dict):
        return {name: copied(inner) if isinstance(inner, (dict, list)) else inner for name, inner in value.items()}
    if isinstance(value, list):
        return [copied(inner) if isinstance(inner, (dict, list)) else inner for inner in value]
    return value
