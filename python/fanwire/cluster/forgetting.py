"""Forgetting the value of a key on all nodes. On the loop's thread, but for `forget`.

Nodes that hear the room learn of it in the order of its messages: by a parcel in a live room, by an entry of the log in
a room with a history. Other nodes may have the value as well, from when they heard the room or published to it. So an
order goes to all nodes, which finds those that were cut off, too. It takes away only values that are older than itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial

from fanwire._engine import Engine
from fanwire.cluster.live_rooms import LiveRooms
from fanwire.cluster.logged_publishing import Storing, check_key
from fanwire.cluster.node_message import Parcel
from fanwire.cluster.revocations import Order, Orders
from fanwire.cluster.subscription import Followed
from fanwire.cluster.subscriptions import Following
from fanwire.cluster.tasks import Tasks
from fanwire.errors import ENGINE_ERRORS, Overloaded
from fanwire.rooms.rules import Policies, RoomPolicy

__all__ = ["FORGET", "Forgetting"]

logger = logging.getLogger("fanwire.cluster")


class Forgetting:
    """See the module's head.

    Args:
        engine: where the values are.
        policies: of the rooms.
        live: sends to other nodes what happens in live rooms.
        storing: stores what happens in rooms with a history.
        orders: reaches all nodes.
        following: the rooms that are heard here.
        tasks: where waiting goes on.
        most: keys whose orders may wait.
    """

    def __init__(
        self,
        engine: Engine,
        policies: Policies,
        live: LiveRooms,
        storing: Storing,
        orders: Orders,
        following: Following,
        tasks: Tasks,
        most: int,
    ) -> None:
        self._engine = engine
        self._policies = policies
        self._live = live
        self._storing = storing
        self._orders = orders
        self._following = following
        self._tasks = tasks
        self._most = most
        # Keys of which other nodes are still to be told by an order.
        self._waiting: deque[tuple[str, str, int]] = deque()
        self._is_giving = False

    def forget(self, room: str, key: str) -> bool:
        """Forgets a key, from any thread. Returns whether it has a value at this node.

        Raises:
            ValueError: the key is too long.
            Overloaded: too much waits; nothing was forgotten.
        """
        check_key(key)
        policy = self._policies.of(room)
        if len(self._waiting) >= self._most:
            full = Overloaded("too many forgotten keys wait to be told to other nodes (append_items); try again later")
            full.limit = "append_items"
            raise full
        if policy.history > 0:
            parcel = self._storing.take_forgetting(key)
            self._tasks.on_loop(self._store, policy, room, parcel)
            return self._engine.has_value(room, key)
        was_there, ts_us = self._engine.forget(room, key)
        self._live.send(room, Parcel(b"", key=key, delivery="latest", forgotten_us=ts_us))
        self._tasks.on_loop(self._order, room, key, ts_us)
        return was_there

    def obey(self, order: Order) -> None:
        """Another node has forgotten some keys."""
        for room, key, ts_us in order.keys:
            followed = self._following.rooms.get(room)
            if followed is None or followed.log is None:
                self._forget_older(room, key, ts_us)
            else:
                # What the log says comes first, and then nothing is left to do; unless the log no longer says it.
                asyncio.get_running_loop().call_later(LOG_FIRST, self._after_the_log, followed, key, ts_us)

    def _after_the_log(self, followed: Followed, key: str, ts_us: int) -> None:
        if not followed.is_over and followed.catching is not None and not followed.catching.done():
            asyncio.get_running_loop().call_later(LOG_FIRST, self._after_the_log, followed, key, ts_us)
        else:
            self._forget_older(followed.room, key, ts_us)

    def _store(self, policy: RoomPolicy, room: str, parcel: Parcel) -> None:
        stored = self._storing.append(policy, room, parcel, (), None)
        stored.add_done_callback(partial(self._stored, room, parcel))

    def _stored(self, room: str, parcel: Parcel, stored: asyncio.Future[int]) -> None:
        if stored.cancelled() or stored.exception() is not None or parcel.key is None:
            return
        ts_us = parcel.ts_ms * 1000
        self._order(room, parcel.key, ts_us)
        # This node's own orders do not come back, and it may not follow the room.
        self.obey(Order(FORGET, None, keys=[(room, parcel.key, ts_us)]))

    def _order(self, room: str, key: str, ts_us: int) -> None:
        """Other nodes are told by an order, with all keys that wait meanwhile."""
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
            self._orders.give(Order(FORGET, None, keys=keys)).add_done_callback(self._give)

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
            # The node ends, and its values with it.
            logger.debug("room %r: %s", room, error)


FORGET = "forget"
"""What such an order is called."""

KEYS = 1000
"""Keys in one order."""

KEY_BYTES = 64 << 10
"""Characters of them, and the last one."""

LOG_FIRST = 1.0
"""Seconds for the entry of the log to come before the order is obeyed."""

RETRY = 0.1
"""Seconds until a key is forgotten that could not be, because the engine's queues were full."""

ATTEMPTS = 100
"""Times that this is tried: queues that are full for ten seconds are those of a node in trouble."""
