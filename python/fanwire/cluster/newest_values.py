"""The newest values of live rooms, for nodes that begin to hear one: a node has what it has heard, values change when
they like, and whoever comes late would wait for each. On the loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

import msgspec

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane, Unavailable
from fanwire.cluster.announcements import Values, pack_word
from fanwire.cluster.faults import Troubles
from fanwire.cluster.tasks import Tasks
from fanwire.errors import ENGINE_ERRORS
from fanwire.timing.deadline import within

__all__ = ["VALUES", "SharedValues"]

logger = logging.getLogger("fanwire.cluster")


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """Some of the values that a node has of a room.

    Attributes:
        node: who answers.
        room: its name.
        values: parcels.
        is_last: that was all.
    """

    node: int
    room: str
    values: list[bytes]
    is_last: bool


class SharedValues:
    """See the module's head.

    Args:
        engine: where the values are.
        backplane: the way to the other nodes.
        node: this one.
        tasks: where answering goes on.
        since: returns since when a live room is heard here, in milliseconds since 1970; None: it is not.
        settled: waits until what other nodes have forgotten is forgotten here.
        troubles: is told what goes wrong.
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        node: int,
        tasks: Tasks,
        since: Callable[[str], int | None],
        settled: Callable[[], Awaitable[None]],
        troubles: Troubles,
    ) -> None:
        self._engine = engine
        self._backplane = backplane
        self._node = node
        self._tasks = tasks
        self._since = since
        self._settled = settled
        self._troubles = troubles
        self._asked: dict[str, tuple[set[int], asyncio.Event]] = {}

    async def start(self) -> None:
        """Hears what others answer.

        Raises:
            Unavailable: as soon as the backplane is back.
        """
        await self._backplane.hear(VALUES + name_of(self._node))

    async def fetch(self, room: str, others: Collection[int] | None) -> None:
        """Gets what the others have of a room that is heard from now on, and waits for them a moment.

        Args:
            room: its name.
            others: the other nodes; None: they are not known yet.
        """
        self.ask([room])
        if others is not None and not others:
            return
        left, done = self._asked[room] = set(others or ()), asyncio.Event()
        try:
            await within(done.wait(), PATIENCE)
        except asyncio.TimeoutError:
            # What comes later is taken all the same.
            logger.debug("room %r: %d nodes have not said what values they have", room, len(left))
        finally:
            del self._asked[room]

    def ask(self, rooms: Iterable[str]) -> None:
        """Asks the others for the values of rooms that are heard from now on."""
        names = list(rooms)
        for begin in range(0, len(names), ASKED):
            self._backplane.tell(pack_word(Values(self._node, names[begin : begin + ASKED])))

    def answer(self, question: Values) -> None:
        """Another node asks."""
        self._tasks.spawn(self._answer_all(question))

    def heard(self, data: bytes) -> None:
        """Another node has answered."""
        try:
            answer = _decode(data)
            since_ms = self._since(answer.room)
            if since_ms is not None:
                self._engine.take_values(answer.room, since_ms, answer.values)
        except (ValueError, *ENGINE_ERRORS) as error:
            self._troubles.note("malformed", f"{error} (values)")
            return
        if answer.is_last and answer.room in self._asked:
            left, done = self._asked[answer.room]
            left.discard(answer.node)
            if not left:
                done.set()

    async def _answer_all(self, question: Values) -> None:
        # A node that was cut off must not give away what was forgotten meanwhile.
        await self._settled()
        for room in question.rooms:
            await self._answer(VALUES + name_of(question.node), room)

    async def _answer(self, whom: str, room: str) -> None:
        # There may be very many: off the loop, and in portions.
        values = await asyncio.get_running_loop().run_in_executor(None, self._engine.values, room)
        begin = 0
        while True:
            end, size = begin, 0
            while end < len(values) and size < PORTION:
                size += len(values[end])
                end += 1
            answer = Answer(self._node, room, values[begin:end], end == len(values))
            if not self._backplane.send(whom, _encode(answer)):
                self._troubles.note("unsent", f"too much waits to be sent (values of room {room!r})")
                raise Unavailable("too much waits to be sent")
            if answer.is_last:
                return
            begin = end
            await asyncio.sleep(0)


def name_of(node: int) -> str:
    """What a node is called in names."""
    return f"{node:x}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode

VALUES = "v"
"""What begins the names under which the backplane carries answers to a node."""

PATIENCE = 0.1
"""Seconds for the answers of all: some round trips."""

ASKED = 1000
"""Rooms in one question."""

PORTION = 128 << 10
"""Bytes of one answer, and the last value of it."""
