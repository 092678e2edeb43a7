"""Forgetting the newest value of a key on all nodes.

Nodes that hear the room are told in the order of its messages: by a node message in a live room, by an entry of the log
in a room with a history. Other nodes may still have the value, because they heard the room before or published to it.
So a revocation goes to all nodes; one that was cut off reads it later. It removes only values older than itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial

from fanwire._engine import Engine
from fanwire.cluster.live_rooms import LiveRooms
from fanwire.cluster.logged_publishing import LoggedPublishing, check_key
from fanwire.cluster.node_message import NodeMessage
from fanwire.cluster.revocations import ClusterRevocation, Revocations
from fanwire.cluster.subscription import Subscription
from fanwire.cluster.subscriptions import Subscriptions
from fanwire.cluster.tasks import Tasks
from fanwire.errors import ENGINE_ERRORS, Overloaded
from fanwire.rooms.rules import Policies, RoomPolicy

__all__ = ["FORGET", "Forgetting"]

logger = logging.getLogger("fanwire.cluster")


class Forgetting:
    """Forgets keys here, and has other nodes forget them. On the loop's thread, except for `forget`.

    Args:
        engine: has the values of this node.
        policies: of the rooms.
        live: sends node messages of live rooms.
        logged: appends to the logs of rooms with a history.
        revocations: those of keys.
        subscriptions: the rooms that are heard here.
        tasks: runs calls on the loop.
        most: forgotten keys that may wait to be sent, `append_items`.
    """

    def __init__(
        self,
        engine: Engine,
        policies: Policies,
        live: LiveRooms,
        logged: LoggedPublishing,
        revocations: Revocations,
        subscriptions: Subscriptions,
        tasks: Tasks,
        most: int,
    ) -> None:
        self._engine = engine
        self._policies = policies
        self._live = live
        self._logged = logged
        self._revocations = revocations
        self._subscriptions = subscriptions
        self._tasks = tasks
        self._most = most
        # Forgotten keys that no revocation has named yet: room, key, microseconds since 1970.
        self._waiting: deque[tuple[str, str, int]] = deque()
        self._is_giving = False

    def forget(self, room: str, key: str) -> bool:
        """Forgets a key, from any thread. Returns whether it had a value at this node.

        Raises:
            ValueError: the key is longer than 65,535 bytes.
            Overloaded: `append_items` keys wait already; nothing was forgotten.
        """
        check_key(key)
        policy = self._policies.of(room)
        if len(self._waiting) >= self._most:
            full = Overloaded("too many forgotten keys wait to be told to other nodes (append_items); try again later")
            full.limit = "append_items"
            raise full
        if policy.history > 0:
            node_message = self._logged.take_forgetting(key)
            self._tasks.on_loop(self._store, policy, room, node_message)
            return self._engine.has_value(room, key)
        was_there, ts_us = self._engine.forget(room, key)
        self._live.send(room, NodeMessage(b"", key=key, delivery="latest", forgotten_us=ts_us))
        self._tasks.on_loop(self._announce, room, key, ts_us)
        return was_there

    def apply(self, revocation: ClusterRevocation) -> None:
        """Forgets the keys that another node has forgotten."""
        for room, key, ts_us in revocation.keys:
            subscription = self._subscriptions.rooms.get(room)
            if subscription is None or subscription.log is None:
                self._forget_older(room, key, ts_us)
            else:
                # The entry of the log comes first as a rule, and does it. The log may have lost the entry.
                asyncio.get_running_loop().call_later(LOG_FIRST, self._after_the_log, subscription, key, ts_us)

    def _after_the_log(self, subscription: Subscription, key: str, ts_us: int) -> None:
        if (
            not subscription.is_over
            and subscription.catch_up_task is not None
            and not subscription.catch_up_task.done()
        ):
            asyncio.get_running_loop().call_later(LOG_FIRST, self._after_the_log, subscription, key, ts_us)
        else:
            self._forget_older(subscription.room, key, ts_us)

    def _store(self, policy: RoomPolicy, room: str, node_message: NodeMessage) -> None:
        stored = self._logged.append(policy, room, node_message, (), None)
        stored.add_done_callback(partial(self._stored, room, node_message))

    def _stored(self, room: str, node_message: NodeMessage, stored: asyncio.Future[int]) -> None:
        if stored.cancelled() or stored.exception() is not None or node_message.key is None:
            return
        ts_us = node_message.ts_ms * 1000
        self._announce(room, node_message.key, ts_us)
        # This node skips its own revocations, and it may not hear the room.
        self.apply(ClusterRevocation(FORGET, None, keys=[(room, node_message.key, ts_us)]))

    def _announce(self, room: str, key: str, ts_us: int) -> None:
        """Adds a key to the next revocation, which has all keys that wait by then."""
        self._waiting.append((room, key, ts_us))
        if not self._is_giving:
            self._is_giving = True
            asyncio.get_running_loop().call_soon(self._give)

    def _give(self, given: asyncio.Future[None] | None = None) -> None:
        size = 0
        keys: list[tuple[str, str, int]] = []
        while self._waiting and len(keys) < KEYS and size < KEY_BYTES:
            room, key, ts_us = self._waiting.popleft()
            keys.append((room, key, ts_us))
            size += len(room) + len(key)
        self._is_giving = bool(keys)
        if keys:
            self._revocations.give(ClusterRevocation(FORGET, None, keys=keys)).add_done_callback(self._give)

    def _forget_older(self, room: str, key: str, ts_us: int, attempt: int = 0) -> None:
        try:
            self._engine.forget_older(room, key, ts_us, self._policies.of(room).history == 0)
        except Overloaded as error:
            if attempt >= ATTEMPTS:
                logger.error("room %r: a key that another node has forgotten is kept: %s", room, error)
                return
            loop = asyncio.get_running_loop()
            loop.call_later(RETRY, self._forget_older, room, key, ts_us, attempt + 1)
        except ENGINE_ERRORS as error:
            # The engine has stopped, so its values are gone.
            logger.debug("room %r: %s", room, error)


FORGET = "forget"
"""The `what` of revocations of keys, and their room in the log."""

KEYS = 1000
"""The most keys in one revocation."""

KEY_BYTES = 64 << 10
"""Characters of rooms and keys after which a revocation takes no more."""

LOG_FIRST = 1.0
"""Seconds from a revocation until it is applied, so that the entry of the log comes first."""

RETRY = 0.1
"""Seconds until the next attempt, when the engine's queues were full."""

ATTEMPTS = 100
"""Attempts to forget a key: ten seconds. An engine whose queues are full for longer has failed."""
