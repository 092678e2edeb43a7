"""The newest values of live rooms, fetched by a node that begins to hear one.

Without them its members would wait for each value until it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

import msgspec

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane, Unavailable
from fanwire.cluster.announcements import ValuesQuery, pack_announcement
from fanwire.cluster.faults import Faults
from fanwire.cluster.tasks import Tasks
from fanwire.errors import ENGINE_ERRORS
from fanwire.timing.deadline import within

__all__ = ["VALUES", "NewestValues"]

logger = logging.getLogger("fanwire.cluster")


class ValuesAnswer(msgspec.Struct, array_like=True, frozen=True):
    """Some of the values that a node has of a room.

    Attributes:
        node: the id of the node that answers.
        room: the name of the room.
        values: packed node messages.
        is_last: whether no more answers follow.
    """

    node: int
    room: str
    values: list[bytes]
    is_last: bool


class NewestValues:
    """Asks other nodes for their newest values, and answers them. On the loop's thread only.

    Args:
        engine: has the values of this node.
        backplane: carries questions and answers.
        node: the id of this node.
        tasks: runs answering.
        since: returns since when a live room is heard here, in milliseconds since 1970; None: it is not.
        settled: waits until this node has forgotten the keys that other nodes have forgotten.
        faults: counts and logs what fails.
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        node: int,
        tasks: Tasks,
        since: Callable[[str], int | None],
        settled: Callable[[], Awaitable[None]],
        faults: Faults,
    ) -> None:
        self._engine = engine
        self._backplane = backplane
        self._node = node
        self._tasks = tasks
        self._since = since
        self._settled = settled
        self._faults = faults
        self._asked: dict[str, tuple[set[int], asyncio.Event]] = {}

    async def start(self) -> None:
        """Subscribes to the answers of other nodes.

        Raises:
            Unavailable: the backplane is away. The subscription begins when it is back.
        """
        await self._backplane.hear(VALUES + name_of(self._node))

    async def fetch(self, room: str, others: Collection[int] | None) -> None:
        """Asks for the values of a room, and waits up to `PATIENCE` seconds for the answers of all other nodes.

        Args:
            room: the name of a room that is heard by now.
            others: the other nodes; None: they are not known yet, so the whole time is waited.
        """
        self.ask([room])
        if others is not None and not others:
            return
        left, done = self._asked[room] = set(others or ()), asyncio.Event()
        try:
            await within(done.wait(), PATIENCE)
        except asyncio.TimeoutError:
            # Later answers are taken, too.
            logger.debug("room %r: %d nodes have not said what values they have", room, len(left))
        finally:
            del self._asked[room]

    def ask(self, rooms: Iterable[str]) -> None:
        """Asks other nodes for the values of some rooms."""
        names = list(rooms)
        for begin in range(0, len(names), ASKED):
            self._backplane.tell(pack_announcement(ValuesQuery(self._node, names[begin : begin + ASKED])))

    def answer(self, question: ValuesQuery) -> None:
        """Answers another node."""
        self._tasks.spawn(self._answer_all(question))

    def heard(self, data: bytes) -> None:
        """Takes an answer of another node."""
        try:
            answer = _decode(data)
            since_ms = self._since(answer.room)
            if since_ms is not None:
                self._engine.take_values(answer.room, since_ms, answer.values)
        except (ValueError, *ENGINE_ERRORS) as error:
            self._faults.note("malformed", f"{error} (values)")
            return
        if answer.is_last and answer.room in self._asked:
            left, done = self._asked[answer.room]
            left.discard(answer.node)
            if not left:
                done.set()

    async def _answer_all(self, question: ValuesQuery) -> None:
        # A node that was cut off must not send values of keys that were forgotten meanwhile.
        await self._settled()
        for room in question.rooms:
            await self._answer(VALUES + name_of(question.node), room)

    async def _answer(self, whom: str, room: str) -> None:
        # A room may have 100,000 values: collected in another thread, and sent in portions.
        values = await asyncio.get_running_loop().run_in_executor(None, self._engine.values, room)
        begin = 0
        while True:
            end, size = begin, 0
            while end < len(values) and size < PORTION:
                size += len(values[end])
                end += 1
            answer = ValuesAnswer(self._node, room, values[begin:end], end == len(values))
            if not self._backplane.send(whom, _encode(answer)):
                self._faults.note("unsent", f"too much waits to be sent (values of room {room!r})")
                raise Unavailable("too many messages to NATS wait to be sent")
            if answer.is_last:
                return
            begin = end
            await asyncio.sleep(0)


def name_of(node: int) -> str:
    """The id of a node, as names of the backplane have it."""
    return f"{node:x}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ValuesAnswer).decode

VALUES = "v"
"""The first character of the backplane's names for answers to a node."""

PATIENCE = 0.1
"""Seconds to wait for all answers: some round trips."""

ASKED = 1000
"""The most rooms in one question."""

PORTION = 128 << 10
"""Bytes of values after which an answer takes no more."""
