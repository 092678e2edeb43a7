"""Inputs of the application on their way to all rooms of a client. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from fanwire.client.codec import Envelope, ProcessedInfo, convert
from fanwire.client.fields import room_of, seq_of
from fanwire.client.outgoing import INPUT, Outgoing
from fanwire.client.registry import Registry
from fanwire.client.room_inputs import PendingInput, RoomInputs
from fanwire.errors import RequestFailed

__all__ = ["SentInputs"]


class SentInputs:
    """Sends inputs, and tells which of them the server has not processed.

    Args:
        out: sends messages.
        registry: the rooms of the client.
    """

    __slots__ = ("_out", "_registry")

    def __init__(self, out: Outgoing, registry: Registry) -> None:
        self._out = out
        self._registry = registry

    def send(self, name: str, data: Any) -> int:
        """Sends an input to a room; returns its number.

        Raises:
            RequestFailed: the room is not joined.
            TypeError, ValueError: the input cannot be encoded or is too large.
        """
        room = self._registry.get(name)
        if room is None or room.is_leaving:
            raise RequestFailed("not_joined", f"the client is not in room {name!r}")
        if room.inputs is None:
            room.inputs = RoomInputs()
        self._out.input(name, room.inputs.next, data)
        return room.inputs.sent(data)

    def pending(self, name: str, seq: int) -> list[PendingInput]:
        """The inputs to a room that are not in its messages up to a number."""
        room = self._registry.get(name)
        return [] if room is None or room.inputs is None else room.inputs.pending(seq)

    def processed(self, envelope: Envelope) -> None:
        """The server has processed inputs."""
        room = self._registry.get(room_of(envelope))
        number, seq = convert(envelope, ProcessedInfo).number, seq_of(envelope)
        if room is not None and room.inputs is not None:
            room.inputs.answered(number, seq)

    def refused(self, envelope: Envelope) -> bool:
        """Whether an error answers an input. It is not pending any more."""
        if envelope.re is UNSET or envelope.room is UNSET:
            return False
        number = envelope.re.removeprefix(INPUT)
        room = self._registry.get(envelope.room)
        if number == envelope.re or not number.isdecimal():
            return False
        return room is not None and room.inputs is not None and room.inputs.refused(int(number))
