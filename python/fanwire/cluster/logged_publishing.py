"""Publishing to rooms with a history: a message is packed, counted while it waits, and appended to the room's log."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Sequence
from hashlib import sha256

from fanwire._engine import Overloaded
from fanwire.cluster.append_queue import Appends
from fanwire.cluster.node_message import KEY_MAX, Parcel, pack
from fanwire.cluster.room_logs import Logs
from fanwire.config import Config
from fanwire.rooms.rules import RoomPolicy
from fanwire.values.arguments import check_delivery

__all__ = ["Storing"]


class Storing:
    """See the module's head.

    Args:
        appends: the way into the logs.
        logs: says which log is whose.
        node: this one.
        config: the limits.
    """

    def __init__(self, appends: Appends, logs: Logs, node: int, config: Config) -> None:
        self._appends = appends
        self._logs = logs
        self._node = node
        self._config = config
        self._lock = threading.Lock()
        self._bytes = 0
        # Members that do not get a message, until it comes back.
        self._excluded: dict[int, Sequence[int]] = {}
        self.waiting = 0

    def take(
        self, policy: RoomPolicy, payload: bytes | str, json: bool, key: str | None, delivery: str | None
    ) -> Parcel:
        """Takes a message that is to be stored, from any thread; `append` has to follow.

        Raises:
            ValueError: it could never be delivered.
            Overloaded: too much waits already.
        """
        size = len(payload) if isinstance(payload, bytes) else len(payload.encode())
        # What the engine will ask of it when it is too late to tell the publisher.
        if size + OVERHEAD > self._config.connection_bytes:
            raise ValueError(f"a message of {size} bytes can never be sent: connection_bytes allows no more")
        if delivery is not None:
            check_delivery(delivery)
        check_key(key)
        if key is not None and (delivery or policy.delivery) != "latest":
            raise ValueError("a key is for the delivery class latest")
        self._make_room(len(payload))
        return Parcel(payload, json, key, delivery, time.time_ns() // 1_000_000, self._node, secrets.randbits(63))

    def take_forgetting(self, key: str) -> Parcel:
        """The same for a key that is forgotten.

        Raises:
            Overloaded: too much waits already.
        """
        self._make_room(0)
        now_us = time.time_ns() // 1000
        number = secrets.randbits(63)
        return Parcel(b"", False, key, "latest", now_us // 1000, self._node, number, forgotten_us=now_us)

    def _make_room(self, size: int) -> None:
        with self._lock:
            if self.waiting >= self._config.append_items or self._bytes >= self._config.append_bytes:
                full = Overloaded("too much waits to be stored (append_items, append_bytes); try again later")
                full.limit = "append_items" if self.waiting >= self._config.append_items else "append_bytes"
                raise full
            self.waiting += 1
            self._bytes += size

    def append(
        self, policy: RoomPolicy, room: str, parcel: Parcel, exclude: Sequence[int], id: str | None
    ) -> asyncio.Future[int]:
        """Puts it on its way, on the loop's thread. The future gets its number."""
        if exclude:
            if len(self._excluded) >= EXCLUDED:
                # Of a message that never came back.
                del self._excluded[next(iter(self._excluded))]
            self._excluded[parcel.number] = sorted(exclude)
        # The rooms of a policy share a log, whose ids must differ.
        name = f"{self._node:x}-{parcel.number:x}" if id is None else sha256(f"{room}\0{id}".encode()).hexdigest()
        stored = self._appends.put(self._logs.of(policy), room, pack(parcel), name, waits=policy.when_away == "wait")
        stored.add_done_callback(lambda done: self._give_back(parcel))
        return stored

    def excluded(self, parcel: Parcel) -> Sequence[int]:
        """Who does not get a message that has come back."""
        # Kept: the engine may have to be asked again. The oldest are forgotten.
        return self._excluded.get(parcel.number, ()) if parcel.origin == self._node else ()

    def _give_back(self, parcel: Parcel) -> None:
        with self._lock:
            self.waiting -= 1
            self._bytes -= len(parcel.payload)


def check_key(key: str | None) -> None:
    """Looks whether a key fits into a parcel.

    Raises:
        ValueError: it does not.
    """
    if key is not None and len(key.encode()) > KEY_MAX:
        raise ValueError(f"a key has at most {KEY_MAX} bytes")


OVERHEAD = 270
"""Bytes that the engine adds to a message when it counts what waits, its longest header included."""

EXCLUDED = 10_000
"""Messages whose excluded members are remembered: all that may be on their way, by `append_items`."""
