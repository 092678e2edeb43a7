"""Publishing to rooms with a history: a message is packed, counted while it waits, and appended to a log."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Sequence
from hashlib import sha256

from fanwire._engine import Overloaded, check_audience
from fanwire.cluster.append_queue import AppendQueue
from fanwire.cluster.node_message import KEY_MAX, NodeMessage, pack
from fanwire.cluster.room_logs import RoomLogs
from fanwire.config import Config
from fanwire.protocol.table import KEYED
from fanwire.rooms.rules import RoomPolicy
from fanwire.values.arguments import check_delivery

__all__ = ["LoggedPublishing"]


class LoggedPublishing:
    """Appends messages to the logs of rooms. Bounded by `append_items` and `append_bytes`.

    Args:
        append_queue: appends them in order.
        logs: the log of each policy.
        node: the id of this node.
        config: the limits.

    Attributes:
        waiting: the number of messages that are not stored yet.
    """

    def __init__(self, append_queue: AppendQueue, logs: RoomLogs, node: int, config: Config) -> None:
        self._append_queue = append_queue
        self._logs = logs
        self._node = node
        self._config = config
        self._lock = threading.Lock()
        self._bytes = 0
        # Members that do not get a message, by its number: needed when it comes back from the log.
        self._excluded: dict[int, Sequence[int]] = {}
        self.waiting = 0

    def take(
        self,
        policy: RoomPolicy,
        payload: bytes | str,
        json: bool,
        key: str | None,
        delivery: str | None,
        audience: bytes | None = None,
    ) -> NodeMessage:
        """Checks and counts a message, from any thread; `append` has to follow.

        Raises:
            ValueError: it could never be delivered: it is too large, or its key, delivery class or audience is wrong.
            Overloaded: `append_items` messages or `append_bytes` bytes wait already.
        """
        size = len(payload) if isinstance(payload, bytes) else len(payload.encode())
        # The engine checks this again on delivery, when it is too late to tell the publisher.
        if size + OVERHEAD > self._config.connection_bytes:
            limit = self._config.connection_bytes
            raise ValueError(
                f"a message of {size} bytes can never be sent: with {OVERHEAD} bytes of overhead it is larger than "
                f"connection_bytes ({limit})"
            )
        if delivery is not None:
            check_delivery(delivery)
        check_key(key)
        if key is not None and (delivery or policy.delivery) not in KEYED:
            raise ValueError("a key needs the delivery class latest")
        if audience is not None:
            if not policy.interest:
                raise ValueError(f"where and tags need a room with interest, and the rule {policy.pattern!r} has none")
            fault = check_audience(audience)
            if fault is not None:
                raise ValueError(" ".join(fault))
        self._make_room(len(payload))
        now_ms = time.time_ns() // 1_000_000
        number = secrets.randbits(63)
        return NodeMessage(payload, json, key, delivery, now_ms, self._node, number, audience=audience)

    def take_forgetting(self, key: str) -> NodeMessage:
        """Counts a message that says that a key is forgotten; `append` has to follow.

        Raises:
            Overloaded: `append_items` messages or `append_bytes` bytes wait already.
        """
        self._make_room(0)
        now_us = time.time_ns() // 1000
        number = secrets.randbits(63)
        return NodeMessage(b"", False, key, "latest", now_us // 1000, self._node, number, forgotten_us=now_us)

    def _make_room(self, size: int) -> None:
        with self._lock:
            if self.waiting >= self._config.append_items or self._bytes >= self._config.append_bytes:
                full = Overloaded(
                    "too many messages wait to be stored (limits append_items, append_bytes): try again later"
                )
                full.limit = "append_items" if self.waiting >= self._config.append_items else "append_bytes"
                raise full
            self.waiting += 1
            self._bytes += size

    def append(
        self, policy: RoomPolicy, room: str, node_message: NodeMessage, exclude: Sequence[int], id: str | None
    ) -> asyncio.Future[int]:
        """Queues a message for its log, on the loop's thread. The future gets its number, or raises `Unavailable`.

        Args:
            policy: of the room.
            room: its name.
            node_message: what `take` or `take_forgetting` has returned.
            exclude: ids of members that do not get it.
            id: the message is stored once for each id; None: it has none.
        """
        if exclude:
            if len(self._excluded) >= EXCLUDED:
                # The oldest: its message never came back.
                del self._excluded[next(iter(self._excluded))]
            self._excluded[node_message.number] = sorted(exclude)
        # The rooms of a policy share a log, so the id contains the room.
        name = f"{self._node:x}-{node_message.number:x}" if id is None else sha256(f"{room}\0{id}".encode()).hexdigest()
        stored = self._append_queue.put(
            self._logs.of(policy), room, pack(node_message), name, waits=policy.when_away == "wait"
        )
        stored.add_done_callback(lambda done: self._give_back(node_message))
        return stored

    def excluded(self, node_message: NodeMessage) -> Sequence[int]:
        """The members that do not get a message that has come back from the log."""
        # Not removed: the engine may be overloaded, and asked again.
        return self._excluded.get(node_message.number, ()) if node_message.origin == self._node else ()

    def _give_back(self, node_message: NodeMessage) -> None:
        with self._lock:
            self.waiting -= 1
            self._bytes -= len(node_message.payload)


def check_key(key: str | None) -> None:
    """Checks that a key fits into a node message.

    Raises:
        ValueError: it is too long.
    """
    if key is not None and len(key.encode()) > KEY_MAX:
        raise ValueError(f"a key has at most {KEY_MAX} bytes, got {len(key.encode())}")


OVERHEAD = 270
"""Bytes that the engine adds to each message when it counts waiting bytes: overhead and the longest header."""

EXCLUDED = 10_000
"""Messages whose excluded members are remembered: as many as may wait by the default of `append_items`."""
