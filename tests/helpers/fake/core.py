"""What all calls of a fake engine have in common: its parts, its end, and the checks of what is published."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from fanwire._engine import Closed, check_audience, check_json
from helpers.fake.clock import Clock
from helpers.fake.fair_queue import FairQueue
from helpers.fake.ids import NEWCOMERS, Ids
from helpers.fake.link import Link
from helpers.fake.message import OVERHEAD, Message, header
from helpers.fake.room import Kept, Room, overloaded
from helpers.fake.rooms import Rooms
from helpers.fake.settings import EngineSettings, check_delivery
from helpers.fake.shard import Shard


class Draft(NamedTuple):
    """What a message is made of."""

    kind: str
    payload: bytes
    role: str = "data"
    key: str | None = None
    delivery: str | None = None
    audience: bytes | None = None


class Core:
    """The parts.

    Args:
        clock: the time; None: one of its own.
        settings: as those of `Engine`. What only sockets and timers need is taken and ignored.

    Attributes:
        is_full: the queue of the shard is full until a test sets this back.
    """

    def __init__(self, clock: Clock | None = None, **settings: Any) -> None:
        known = {name: value for name, value in settings.items() if name in EngineSettings._fields}
        self.settings = EngineSettings(**known)
        self.clock = clock or Clock()
        self.is_full = False
        self.fair_queue = FairQueue()
        self.table = Rooms(self.settings.max_rooms, Kept(self.settings.history_bytes))
        self.table.found = lambda name: self.fair_queue.push("room", 0, name)
        self.shard = Shard(self.settings, self.clock, self.table, self.fair_queue)
        self.newcomer_ids = Ids(NEWCOMERS)
        self.newcomers: dict[int, tuple[Link, str]] = {}
        self.handshakes: dict[int, int] = {}
        self.is_ready = False
        self.epoch = self.table.new_epoch()
        self.numbers = itertools.count(1)
        self.published = 0
        self.refused = 0
        self.is_shut_down = False

    def check(self) -> None:
        """Raises Closed after the end."""
        if self.is_shut_down:
            raise Closed("the engine has been shut down")

    def refuse_if_full(self) -> None:
        """Raises Overloaded if the shard takes nothing."""
        items, size = self.settings.queue_items, self.settings.queue_bytes
        if self.is_full or not items or not size:
            self.refused += 1
            if self.is_full or not items:
                raise overloaded("the queue of a shard", items, "queue_items")
            raise overloaded("the queue of a shard (in bytes)", size, "queue_bytes")

    def check_size(self, payload: bytes) -> None:
        """Raises ValueError if it could never wait for a connection."""
        cost, limit = header(len(payload)) + len(payload) + OVERHEAD, self.settings.connection_bytes
        if cost > limit:
            raise ValueError(
                f"a message of {len(payload)} bytes is too large: with its overhead it takes {cost} bytes, and "
                f"connection_bytes allows {limit}"
            )

    def check_foreign(self, draft: Draft) -> None:
        """Raises ValueError if it is no document though it says so."""
        fault = check_json(draft.payload, self.settings.max_nesting) if draft.kind == "json" and draft.payload else None
        if fault is not None:
            raise ValueError(f"{fault[0]} of a message {fault[1]}")

    def message(self, draft: Draft, id: str | None = None, ack: bool = False) -> Message:
        """A message to no room."""
        return Message(
            role=draft.role, kind=draft.kind, payload=draft.payload, delivery=draft.delivery or "reliable",
            epoch=self.epoch, seq=next(self.numbers), ts_ms=self.clock.now_ms, made_us=self.clock.now_us,
            id=id, ack=ack,
        )  # fmt: skip

    def event(self, room: Room, role: str, payload: str, prefix: str = "e", **fields: Any) -> Message:
        """An event of a room, by its present number."""
        about: dict[str, Any] = {"seq": room.seq, "id": self.next_id(prefix), **fields}
        return Message(
            role=role, kind="json", payload=payload.encode(), room_id=room.id, room=room.name, epoch=room.epoch,
            ts_ms=self.clock.now_ms, made_us=self.clock.now_us, **about,
        )  # fmt: skip

    def next_id(self, prefix: str) -> str:
        """A name for a message that has no place."""
        return f"{prefix}{self.epoch:x}-{next(self.numbers)}"


def draft_of(payload: Any, json: bool, key: str | None, delivery: str | None, audience: bytes | None = None) -> Draft:
    """A draft, if its payload is one and there is such a delivery class."""
    if delivery is not None:
        check_delivery(delivery)
    if audience is not None and (fault := check_audience(audience)) is not None:
        raise ValueError(" ".join(fault))
    if isinstance(payload, str):
        return Draft("json" if json else "text", payload.encode(), key=key, delivery=delivery, audience=audience)
    if not isinstance(payload, bytes):
        raise TypeError(f"payload must be bytes or str, not {type(payload).__name__}")
    return Draft("json" if json else "binary", payload, key=key, delivery=delivery, audience=audience)


def forgetting(key: str) -> Draft:
    """What says that a key has no value any more."""
    return Draft("json", b"", "forgotten", key, "latest")
