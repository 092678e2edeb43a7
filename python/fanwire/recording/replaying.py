"""Replays a recording: publishes its messages again, at their times or faster."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fanwire.errors import FanwireError, Overloaded, RequestFailed
from fanwire.publisher.publication import Publication, PublishFailed
from fanwire.recording.reading import Recording
from fanwire.recording.record import RecordedGap, RecordedMessage
from fanwire.values.checks import check_function, described

if TYPE_CHECKING:
    from fanwire.client import Client
    from fanwire.publisher import AsyncPublisher

__all__ = ["ReplayReport", "ReplayServer", "replay"]


class ReplayServer(Protocol):
    """A server that replays: `fanwire.Server`."""

    def _publish_recorded(self, room: str, record: RecordedMessage) -> None:
        """Publishes a message in a room as it was recorded."""


@dataclass(frozen=True)
class ReplayReport:
    """What `replay` has done.

    Attributes:
        messages: how many messages were published.
        missing: how many messages of the recording are missing there, by its gaps.
        left_out: forgotten keys that were not replayed, because a client or a publisher cannot forget keys.
        seconds: how long it took.
        mean_lateness: the mean of the seconds that messages were published after their time; 0.0 at speed `inf`.
        max_lateness: the most of these seconds.
    """

    messages: int
    missing: int
    left_out: int
    seconds: float
    mean_lateness: float
    max_lateness: float


async def replay(
    recording: Recording,
    target: ReplayServer | AsyncPublisher | Client,
    *,
    speed: float = 1.0,
    room: Callable[[str], str] | None = None,
) -> ReplayReport:
    """Publishes the messages of a recording again, with the time between them that they had. It can be cancelled at any
    message. The recording's blocks are read on the event loop; each takes some milliseconds.

    Example::

        async def again() -> None:
            recording = fanwire.open_recording("recordings", rooms="quotes.*")
            report = await fanwire.replay(recording, server, speed=2.0, room=lambda name: "replay." + name)
            print(report.messages, report.max_lateness)

    Args:
        recording: what is replayed, with its rooms and times.
        target: a running `Server` gets all as it was: kind, bytes, key, delivery class, forgotten keys. An
            `AsyncPublisher` or a `Client` publishes the values by its own means; forgotten keys are left out.
        speed: how much faster than recorded: 1.0: as it was; 2.0: twice as fast; `math.inf`: as fast as possible.
        room: the room for the messages of a recorded room; None: the same.

    Returns:
        How much was published, and how late. If the target is overloaded, the replay waits, and is late.

    Raises:
        TypeError, ValueError: an argument is invalid.
        FanwireError: the target has refused a message. The error says which, and how many were published before; its
            `__cause__` is the error of the target.
    """
    if not isinstance(recording, Recording):
        raise TypeError(f"recording must be what open_recording returns, got {described(recording)}")
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not speed > 0:
        raise ValueError(f"speed must be a number above 0, got {described(speed)}")
    if room is not None:
        check_function("room", room, plain=True, takes=("room",))
    return await _Replay(_sink_of(target), float(speed), room or str).run(recording)


def _sink_of(target: Any) -> Sink:
    if hasattr(target, "_publish_recorded"):
        return ServerSink(target)
    # Who has an object of a class has imported it. What this target does not need is not imported on the event loop.
    for module, name, sink in (
        ("fanwire.client.client", "Client", ClientSink),
        ("fanwire.publisher.asynchronous", "AsyncPublisher", PublisherSink),
    ):
        if module in sys.modules and isinstance(target, getattr(sys.modules[module], name)):
            return sink(target)
    raise TypeError(f"target must be a Server, an AsyncPublisher or a Client, got {described(target)}")


class Sink(Protocol):
    """Where a replay publishes."""

    async def publish(self, room: str, record: RecordedMessage) -> bool:
        """Publishes a message, perhaps later. Returns False if it leaves it out."""

    async def flush(self) -> None:
        """Publishes what waits."""

    async def close(self) -> None:
        """Gives up what was not flushed."""


class _NotTaken(Exception):
    """The target has refused a message for good, with the error that is the `__cause__`.

    Attributes:
        unpublished: messages that the sink has taken and that were not published.
    """

    def __init__(self, room: str, record: RecordedMessage, error: Exception, unpublished: int = 0) -> None:
        where = f"message {record.seq} of room {record.room!r}"
        super().__init__(f"{where} cannot be published in room {room!r}: {error}")
        self.unpublished = unpublished
        self.__cause__ = error


class _Replay:
    def __init__(self, sink: Sink, speed: float, room: Callable[[str], str]) -> None:
        self._sink = sink
        self._speed = speed
        self._room_of = room
        self._rooms: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._first_ns: int | None = None
        self._messages = self._missing = self._left_out = 0
        self._late_sum = self._late_max = 0.0

    async def run(self, recording: Recording) -> ReplayReport:
        turn = self._loop.time()
        try:
            for block in recording.blocks():
                for entry in block:
                    if isinstance(entry, RecordedGap):
                        self._missing += entry.missing
                        continue
                    if self._speed != math.inf:
                        await self._wait(entry.time_ns)
                    if await self._sink.publish(self._name(entry.room), entry):
                        self._messages += 1
                    else:
                        self._left_out += 1
                    if self._loop.time() - turn > TURN:
                        await asyncio.sleep(0)
                        turn = self._loop.time()
                await asyncio.sleep(0)
            await self._sink.flush()
        except _NotTaken as failed:
            published = self._messages - failed.unpublished
            raise FanwireError(f"{failed}; {published} messages were published before") from failed.__cause__
        finally:
            await self._sink.close()
        seconds = self._loop.time() - self._begun
        mean = self._late_sum / max(1, self._messages + self._left_out)
        return ReplayReport(self._messages, self._missing, self._left_out, seconds, mean, self._late_max)

    async def _wait(self, time_ns: int) -> None:
        if self._first_ns is None:
            self._first_ns = time_ns
            self._begun = self._loop.time()
        due = self._begun + (time_ns - self._first_ns) / 1e9 / self._speed
        early = due - self._loop.time()
        if early > 0:
            await self._sink.flush()
            early = due - self._loop.time()
            if early > 0:
                await asyncio.sleep(early)
        late = max(0.0, self._loop.time() - due)
        self._late_sum += late
        self._late_max = max(self._late_max, late)

    def _name(self, room: str) -> str:
        name = self._rooms.get(room)
        if name is None:
            # Bounded by the names of the recording, which come back at any time.
            if len(self._rooms) >= NAMES:
                self._rooms.clear()
            name = self._rooms[room] = self._room_of(room)
        return name


class ServerSink:
    """Publishes at a server of this process."""

    def __init__(self, server: ReplayServer) -> None:
        self._server = server

    async def publish(self, room: str, record: RecordedMessage) -> bool:
        while not self._took(room, record):  # noqa: ASYNC110 - nothing tells that a queue has space again
            # The readers, or the backplane, are slower than the replay.
            await asyncio.sleep(AGAIN)
        return True

    async def flush(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def _took(self, room: str, record: RecordedMessage) -> bool:
        try:
            self._server._publish_recorded(room, record)
        except Overloaded:
            return False
        except (TypeError, ValueError) as error:
            raise _NotTaken(room, record, error) from error
        return True


class PublisherSink:
    """Publishes by a publisher, in batches of what is due together."""

    def __init__(self, publisher: AsyncPublisher) -> None:
        self._publisher = publisher
        self._batch: list[tuple[str, RecordedMessage]] = []

    async def publish(self, room: str, record: RecordedMessage) -> bool:
        if record.kind == "forgotten":
            return False
        # Before the message is taken: if this fails, it is not among those that the sink has.
        if len(self._batch) >= BATCH:
            await self.flush()
        self._batch.append((room, record))
        return True

    async def flush(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        publications = [Publication(room, one.data, _key_of(one), one.delivery) for room, one in batch]
        try:
            await self._publisher.publish_many(publications)
        except PublishFailed as failed:
            places = [place for place, result in enumerate(failed.results) if isinstance(result, FanwireError)]
            raise _NotTaken(*batch[places[0]], failed, len(places)) from failed

    async def close(self) -> None:
        self._batch.clear()


class ClientSink:
    """Publishes by a client, which has the rights for it. Some messages are under way at the same time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._under_way: list[tuple[str, RecordedMessage, asyncio.Task[int]]] = []

    async def publish(self, room: str, record: RecordedMessage) -> bool:
        if record.kind == "forgotten":
            return False
        if len(self._under_way) >= UNDER_WAY:
            await self.flush()
        task = asyncio.ensure_future(self._client.publish(room, record.data, _key_of(record)))
        self._under_way.append((room, record, task))
        return True

    async def flush(self) -> None:
        while self._under_way:
            room, record, task = self._under_way[0]
            while (wait := await self._answered(room, record, task)) is not None:
                await asyncio.sleep(wait)
                task = asyncio.ensure_future(self._client.publish(room, record.data, _key_of(record)))
                self._under_way[0] = (room, record, task)
            del self._under_way[0]

    async def _answered(self, room: str, record: RecordedMessage, task: asyncio.Task[int]) -> float | None:
        """Waits for the answer of a server. Returns the seconds after which to try again; None: it was published."""
        try:
            await task
        except RequestFailed as error:
            if not error.retry:
                raise _NotTaken(room, record, error, len(self._under_way)) from error
            return 1.0 if error.retry_after_ms is None else error.retry_after_ms / 1000
        return None

    async def close(self) -> None:
        tasks = [task for _, _, task in self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _key_of(record: RecordedMessage) -> str | None:
    """The key to publish with. A message without a key in a room of latest values has the key ""."""
    return record.key or None


BATCH = 500
"""Messages of a batch of a publisher."""

UNDER_WAY = 64
"""Messages of a client without an answer."""

TURN = 0.005
"""Seconds after which other tasks of the event loop run."""

AGAIN = 0.01
"""Seconds after which an overloaded server is tried again."""

NAMES = 100_000
"""Names of rooms that are remembered."""
