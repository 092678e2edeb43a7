"""What clients report of what has come, and of what their applications have taken."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fanwire._engine import Engine
from fanwire.ages import Ages
from fanwire.connection import Connection
from fanwire.policy import Policies
from fanwire.session import Session
from fanwire.wire import Incoming, Room

__all__ = ["ROOMS_MAX", "Reports"]

ROOMS_MAX = 1024
"""Rooms of one report. A client is in 128 by its own wish, and its application may have joined more for it."""

ROOMS_FOR_ONE = 16
"""Rooms that one report may name and count as one: with more, each of them costs as much as the report itself."""

Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


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
    """Passes them on to the engine, and looks how old was what was taken.

    Args:
        engine: needs to know what it need not keep, and what it may send.
        policies: of the rooms.
        ages: gets the ages.
    """

    def __init__(self, engine: Engine, policies: Policies, ages: Ages) -> None:
        self._engine = engine
        self._policies = policies
        self._ages = ages

    def take(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        """Takes a message `received`. What it says of a room that the connection is not in is ignored: the client may
        have been sent out of it meanwhile. For each `ROOMS_FOR_ONE` rooms or less that it
        names it counts as one report.

        Raises:
            Refusal: `invalid_payload`.
        """
        report: Received = session.codec.plain(incoming, Received)
        self._engine.received(connection.id, report.count)
        if report.taken is None:
            return
        # The engine, which reads no payloads, has counted it as one.
        more = (len(report.taken) - 1) // ROOMS_FOR_ONE
        if more > 0:
            self._engine.charge(connection.id, more)
        # A client that has taken nothing yet has a window all the same.
        is_told = False
        for room, taken in report.taken.items():
            if room not in connection.rooms:
                continue
            is_told = True
            self._engine.taken(connection.id, room, min(taken.count, report.count))
            if taken.ts is not None:
                self._ages.note(self._policies.of(room).pattern, self._engine.now_ms - taken.ts)
        if not is_told:
            self._engine.taken(connection.id, "", 0)
