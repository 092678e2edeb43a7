"""Reports of clients (`received`) that the engine leaves to Python.

The engine applies reports that are valid and begin with their type. Reports that come here are invalid, and are
refused, or their fields have another order.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from fanwire._engine import Engine
from fanwire.connection import Connection
from fanwire.protocol.envelopes import Incoming, RoomName
from fanwire.protocol.session import Session
from fanwire.protocol.table import SEQ_MAX, TAKEN_ROOMS

__all__ = ["ROOMS_MAX", "ReceivedReports"]

ROOMS_MAX = TAKEN_ROOMS
"""The most rooms of one report. A client may join 128 by default, and the application may add it to more."""

Number = Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class Taken(msgspec.Struct):
    """How far the client's application has read one room.

    Attributes:
        count: it has read the room's messages among the first `count` counted messages of the session.
        ts: the time of publishing of the newest message that it has read, in milliseconds since 1970; None: unknown.
    """

    count: Number
    ts: Number | None = None


class Received(msgspec.Struct):
    """The payload of `received`.

    Attributes:
        count: the number of counted messages that have come to the client.
        taken: how far the application has read, by room; None: the client does not report it.
    """

    count: Number
    taken: Annotated[dict[RoomName, Taken], msgspec.Meta(max_length=ROOMS_MAX)] | None = None


class ReceivedReports:
    """Passes reports on to the engine.

    Args:
        engine: forgets acknowledged messages, and sends more of rooms that are read.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        """Applies a message `received`.

        Raises:
            Refusal: `invalid_payload`: the payload is invalid.
        """
        report: Received = session.codec.plain(incoming, Received)
        taken = report.taken
        rooms = None if taken is None else [(room, one.count, one.ts) for room, one in taken.items()]
        self._engine.report(connection.id, report.count, rooms)
