"""Reads the fields of an envelope that the stream of a room depends on. Pure."""

from __future__ import annotations

from msgspec import UNSET

from fanwire.client.clock_offset import ClockOffset
from fanwire.client.codec import Envelope
from fanwire.client.errors import ProtocolError
from fanwire.client.message import Gap, Message

__all__ = ["message_of", "prev_of", "room_of", "seq_of"]


def message_of(envelope: Envelope, seq: int | None, gap: Gap | None, clock: ClockOffset) -> Message:
    """Returns the application's `Message` of an envelope."""
    message = object.__new__(Message)
    # Every message is made here. The constructor of a frozen dataclass sets each field by a call and takes three times
    # as long.
    fields = {
        "data": None if envelope.payload is UNSET else envelope.payload,
        "room": None if envelope.room is UNSET else envelope.room,
        "seq": seq,
        "prev": None if envelope.prev is UNSET else prev_of(envelope),
        "id": None if envelope.id is UNSET else envelope.id,
        "ts": None if envelope.ts is UNSET else envelope.ts or None,
        "key": None if envelope.key is UNSET else envelope.key,
        "gap": gap,
        "forgotten": envelope.type == "forgotten",
        "_clock": clock,
    }
    object.__setattr__(message, "__dict__", fields)
    return message


def prev_of(envelope: Envelope) -> int | None:
    """Returns the number before that of an envelope (`prev`); None: it is one less."""
    return None if envelope.prev is UNSET or not 0 <= envelope.prev < seq_of(envelope) else envelope.prev


def seq_of(envelope: Envelope) -> int:
    """Returns the number of an envelope.

    Raises:
        ProtocolError: the envelope has no number.
    """
    if envelope.seq is UNSET or envelope.seq < 0:
        raise ProtocolError(f"{envelope.type} without seq")
    return envelope.seq


def room_of(envelope: Envelope) -> str:
    """Returns the room of an envelope.

    Raises:
        ProtocolError: the envelope has no room.
    """
    if envelope.room is UNSET:
        raise ProtocolError(f"{envelope.type} without room")
    return envelope.room
