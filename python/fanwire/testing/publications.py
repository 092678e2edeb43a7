"""What a server has published, seen at its node: without any client, and before any delivery."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from fanwire.rooms.node import Node
from fanwire.values.arguments import check_room

__all__ = ["Publications", "PublishedRoom", "RecordedPublish"]

MOST = 10_000
"""Publications that are kept; then the oldest are dropped. A test that publishes more looks at a client's room."""


@dataclass(frozen=True)
class RecordedPublish:
    """One message that was published to a room.

    Attributes:
        room: the name of the room.
        data: the value as clients get it: bytes, str, or a value of JSON.
        key: the key in a room of "latest" values; None: it has none.
        delivery: the delivery class that the publish has named; None: that of the room.
    """

    room: str
    data: Any
    key: str | None = None
    delivery: str | None = None


class Publications:
    """All that is published at a server, by the application, by clients and over HTTP: the newest 10,000. From any
    thread.

    A publish that is refused at once is not among them, and neither is a message of another node.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: deque[RecordedPublish] = deque(maxlen=MOST)
        self._rooms: dict[str, PublishedRoom] = {}

    def __iter__(self) -> Iterator[RecordedPublish]:
        """The publications of all rooms, in their order."""
        with self._lock:
            return iter(list(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def room(self, name: str) -> PublishedRoom:
        """The publications of one room: those that there are, and those to come. `expect` reads them like the messages
        of a client's room. There is one object for each room."""
        check_room(name)
        with self._lock:
            if name not in self._rooms:
                self._rooms[name] = PublishedRoom(name, [one for one in self._all if one.room == name])
            return self._rooms[name]

    def watch(self, node: Node) -> None:
        """Notes what a node publishes from here on."""
        publish, publish_acked = node.publish, node.publish_acked

        def noted(room: str, payload: bytes | str, json: bool, *rest: Any, **options: Any) -> Any:
            done = publish(room, payload, json, *rest, **options)
            self._note(room, payload, json, rest, options)
            return done

        def noted_acked(room: str, payload: bytes | str, json: bool, *rest: Any, **options: Any) -> Any:
            done = publish_acked(room, payload, json, *rest, **options)
            self._note(room, payload, json, rest, options)
            return done

        setattr(node, "publish", noted)  # noqa: B010 - mypy refuses an assignment to a method
        setattr(node, "publish_acked", noted_acked)  # noqa: B010 - as above

    def _note(
        self, room: str, payload: bytes | str, json: bool, rest: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        # The order of `Node.publish`: key, exclude, delivery.
        key = options.get("key", rest[0] if rest else None)
        delivery = options.get("delivery", rest[2] if len(rest) > 2 else None)
        publication = RecordedPublish(room, orjson.loads(payload) if json else payload, key, delivery)
        with self._lock:
            self._all.append(publication)
            reader = self._rooms.get(room)
        if reader is not None:
            reader._add(publication)


class PublishedRoom:
    """The publications of one room, in their order. Iterate over it with `async for`, or give it to `expect`.

    Attributes:
        name: the name of the room.
    """

    def __init__(self, name: str, before: Iterable[RecordedPublish]) -> None:
        self.name = name
        self._all: deque[RecordedPublish] = deque(before, maxlen=MOST)
        self._waiting: deque[RecordedPublish] = deque(self._all, maxlen=MOST)
        self._wake: Callable[[], None] | None = None

    @property
    def data(self) -> list[Any]:
        """The data of all publications so far, read or not."""
        return [publication.data for publication in list(self._all)]

    def __aiter__(self) -> PublishedRoom:
        return self

    async def __anext__(self) -> RecordedPublish:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(ready.set)

        while not self._waiting:
            ready.clear()
            self._wake = wake
            try:
                # It may have come from another thread meanwhile.
                if not self._waiting:
                    await ready.wait()
            finally:
                self._wake = None
        return self._waiting.popleft()

    def _add(self, publication: RecordedPublish) -> None:
        self._all.append(publication)
        self._waiting.append(publication)
        wake = self._wake
        if wake is not None:
            wake()

    def __repr__(self) -> str:
        return f"<PublishedRoom {self.name!r}>"
