"""What clients report of what has come, and of what their applications have taken, where the engine leaves it to the
interpreter.

The engine takes the reports that are right and have their type first: these never come here. What comes is wrong, and
is refused, or it is written in another way."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fanwire._engine import Engine
from fanwire.connection import Connection
from fanwire.protocol.envelopes import Incoming, Room
from fanwire.protocol.session import Session
from fanwire.protocol.table import SEQ_MAX, TAKEN_ROOMS

__all__ = ["ROOMS_MAX", "Reports"]

ROOMS_MAX = TAKEN_ROOMS
"""Rooms of one report. A client is in 128 by its own wish, and its application may have joined more for it."""

Number = Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class Taken(msgspec.Struct):
    """What the application has taken of one room.

    Attributes:
        count: all of the room among the session's first so many counted messages.
        ts: when the newest message that it has taken was published, in milliseconds since 1970; None: not said.
    """

    count: Number
    ts: Number | None = None


class Received(msgspec.Struct):
    """The payload of `received`.

    Attributes:
        count: counted messages that have come.
        taken: what the application has taken, by room; None: this client does not say.
    """

    count: Number
    taken: Annotated[dict[Room, Taken], msgspec.Meta(max_length=ROOMS_MAX)] | None = None


class Reports:
    """Passes them on to the engine.

    Args:
        engine: needs to know what it need not keep, and what it may send.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        """Takes a message `received`.

        Raises:
            Refusal: `invalid_payload`.
        """
        report: Received = session.codec.plain(incoming, Received)
        taken = report.taken
        rooms = None if taken is None else [(room, one.count, one.ts) for room, one in taken.items()]
        self._engine.report(connection.id, report.count, rooms)
