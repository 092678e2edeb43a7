"""Inputs: what players send to the application's loop, with numbers that the server echoes.

On the loop's thread only, except `_left`.

An input waits as the bytes of its JSON, because the value of some brackets takes twenty times as much. With a schema it
is read twice: when it comes, so that a wrong one is refused, and when it is taken.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Annotated, Any, NamedTuple

import msgspec

from fanwire.connection import Connection
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Incoming, Refusal, read
from fanwire.protocol.session import Session
from fanwire.protocol.table import SEQ_MAX
from fanwire.rooms.rules import matcher

__all__ = ["INPUT_BYTES", "MAX_WAITING", "MOST_WAITING", "Input", "InputCommand", "Inputs"]


class InputPayload(msgspec.Struct):
    """The payload of `input`."""

    number: Annotated[int, msgspec.Meta(ge=1, le=SEQ_MAX)]
    data: msgspec.Raw = msgspec.Raw()


class Input(NamedTuple):
    """An input of a player.

    Attributes:
        connection: the player's.
        number: the client's number of the input in this room. Numbers grow; one may be missing if too many have waited,
            or the client has lost its session.
        data: what the client has sent, an instance of the `schema` if there is one.
    """

    connection: Connection
    number: int
    data: Any


class Waiting(NamedTuple):
    """An input that was not taken.

    Attributes:
        number: the client's.
        cost: what it counts.
        data: the bytes of the payload, as `Codec.document` gives them.
        is_json: of these.
    """

    number: int
    cost: int
    data: bytes | str
    is_json: bool


class Player:
    """What one client has sent to one room."""

    __slots__ = ("connection", "last", "processed", "waiting")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.last = 0
        # The last one that was taken, if the client has not been told; 0: it has.
        self.processed = 0
        self.waiting: deque[Waiting] = deque()


class Inputs:
    """The inputs of players in the rooms that match a pattern. `Server.inputs` makes it.

    Args:
        pattern: of the rooms.
        schema: the type of the inputs; None: any value.
        max_waiting: inputs of a player in a room that may wait for `take`. In all rooms together so many kilobytes may.
    """

    def __init__(self, pattern: str, schema: Any, max_waiting: int) -> None:
        self.pattern = pattern
        self.schema = schema
        self.max_waiting = max_waiting
        self._most_bytes = max(INPUT_BYTES + INPUT_COST, max_waiting * 1024)
        self._matches = matcher(pattern)
        self._rooms: dict[str, dict[int, Player]] = {}
        # What the inputs of each connection count, by its id.
        self._held: Counter[int] = Counter()
        # Guards what `_left` changes from other threads.
        self._lock = threading.Lock()
        # Rooms of which inputs were taken whose players have not been told.
        self._taken: set[str] = set()
        # Called with the room when inputs were taken.
        self._was_taken: Callable[[str], object] = bool

    def take(self, room: str) -> list[Input]:
        """Takes all inputs to a room since the last call: those of each player together, in their order. They count as
        processed: what the application publishes in the same tick includes them, and the players are told so right
        before it.

        Call it in a function of `Server.tick`, and publish before that has returned. Where functions of several rates
        take the inputs of one room, it leaves when none of them runs.

        Args:
            room: the name of the room.

        Example::

            inputs = server.inputs("zone.*")

            @server.tick(30)
            def step(tick: fanwire.Tick) -> None:
                for one in inputs.take("zone.1"):
                    server.publish("zone.1", one.data, key=str(one.connection.id))
        """
        found: list[tuple[Connection, Waiting]] = []
        with self._lock:
            for player in self._rooms.get(room, {}).values():
                if player.waiting:
                    found += [(player.connection, one) for one in player.waiting]
                    player.processed = player.waiting[-1].number
                    self._drop(player)
        if found:
            self._taken.add(room)
            self._was_taken(room)
        return [
            Input(connection, one.number, value)
            for connection, one in found
            if (value := self._value(one)) is not REFUSED
        ]

    def _value(self, one: Waiting) -> Any:
        try:
            return read(one.data, one.is_json, self.schema)
        except Refusal:
            # The schema has functions of the application, which have let it pass when it came.
            return REFUSED

    def _begin(self, was_taken: Callable[[str], object]) -> None:
        """Begins with a start of the server. After a loop that was closed without a stop, players of before are left:
        connections of the new run may have their ids."""
        with self._lock:
            self._rooms.clear()
            self._held.clear()
            self._taken.clear()
        self._was_taken = was_taken

    def _put(self, connection: Connection, room: str, number: int, data: bytes | str, is_json: bool, size: int) -> bool:
        """Adds an input. A number that is not higher than the last was there before, and is ignored; with 1 the client
        begins anew. Nothing is added for a client that has left the room.

        Args:
            connection: the player's.
            room: the name of the room.
            number: the client's number.
            data: the bytes of the payload, which were checked.
            is_json: of the bytes.
            size: how many bytes the client has sent.

        Returns:
            Whether nothing was dropped. False: the oldest of the player in this room were, because too much waits; or
            this one, because all that waits is in other rooms.
        """
        with self._lock:
            if room not in connection.rooms:
                return True
            players = self._rooms.setdefault(room, {})
            player = players.get(connection.id)
            if player is None:
                player = players[connection.id] = Player(connection)
            if number == 1:
                player.last = 0
            if number <= player.last:
                return True
            player.last = number
            cost, waiting, is_whole = size + INPUT_COST, player.waiting, True
            while waiting and (len(waiting) >= self.max_waiting or self._held[connection.id] + cost > self._most_bytes):
                self._held[connection.id] -= waiting.popleft().cost
                is_whole = False
            if self._held[connection.id] + cost > self._most_bytes:
                return False
            waiting.append(Waiting(number, cost, data, is_json))
            self._held[connection.id] += cost
            return is_whole

    def _left(self, connection: Connection, room: str) -> None:
        """Forgets a player who has left a room. From any thread."""
        with self._lock:
            players = self._rooms.get(room)
            player = None if players is None else players.pop(connection.id, None)
            if player is not None:
                self._drop(player)
                if not players:
                    del self._rooms[room]

    def _untold(self, rooms: Collection[str]) -> list[tuple[Connection, str, int]]:
        """The last numbers of some rooms that were taken and that the players have not been told: connection, room and
        number."""
        found = []
        with self._lock:
            for room in self._taken.intersection(rooms):
                self._taken.discard(room)
                for player in self._rooms.get(room, {}).values():
                    if player.processed:
                        found.append((player.connection, room, player.processed))
                        player.processed = 0
        return found

    def _drop(self, player: Player) -> None:
        whose = player.connection.id
        self._held[whose] -= sum(one.cost for one in player.waiting)
        if not self._held[whose]:
            del self._held[whose]
        player.waiting.clear()


class InputCommand:
    """Takes the inputs of clients.

    Args:
        inputs: what the application has declared. The first pattern that matches counts.
        limits: counts what exceeds a limit.
    """

    def __init__(self, inputs: list[Inputs], limits: Limits) -> None:
        self._inputs = inputs
        self._limits = limits

    def take(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        """Takes a message `input`. It has no answer.

        Raises:
            Refusal: the room takes no inputs, the client is not in it, or the payload is wrong.
        """
        room = incoming.room
        if room is None:
            raise Refusal("bad_message", "input needs a room", path="$.room")
        if room not in connection.rooms:
            raise Refusal("not_joined", f"the client is not in room {room!r}")
        inputs = next((one for one in self._inputs if one._matches(room)), None)
        if inputs is None:
            raise Refusal("forbidden", f"room {room!r} takes no inputs")
        if len(incoming.payload) > INPUT_BYTES:
            raise Refusal("invalid_payload", f"an input must have at most {INPUT_BYTES} bytes")
        payload: InputPayload = session.codec.plain(incoming, InputPayload)
        nested = msgspec.structs.replace(incoming, payload=payload.data)
        data, is_json = session.codec.document(nested, self._limits.config.max_nesting)
        if inputs.schema is not None:
            read(data, is_json, inputs.schema)
        if not inputs._put(connection, room, payload.number, data, is_json, len(incoming.payload)):
            self._limits.count("max_waiting")


REFUSED = object()
"""What an input is that its schema does not let pass a second time."""

INPUT_BYTES = 4096
"""The most bytes of an input: a controller's state has some tens."""

INPUT_COST = 128
"""What an input counts besides its bytes: the objects around them."""

MAX_WAITING = 64
"""The default of inputs of a player that wait: two seconds at 30 a second. So a player holds 64 KiB at most."""

MOST_WAITING = 10_000
"""The most of them: 10 MB of a player."""
