"""Forgetting the value of a key on all nodes. On the loop's thread, but for `forget`.

Nodes that hear the room learn of it in the order of its messages: by a parcel in a live room, by an entry of the log in
a room with a history. Other nodes may have the value as well, from when they heard the room or published to it. So an
order goes to all nodes, which finds those that were cut off, too. It takes away only values that are older than itself.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from fanwire._engine import Engine, EngineError, Overloaded
from fanwire.cluster.followed import Followed
from fanwire.cluster.following import Following
from fanwire.cluster.live import LiveRooms
from fanwire.cluster.orders import Order, Orders
from fanwire.cluster.parcel import Parcel
from fanwire.cluster.storing import Storing, check_key
from fanwire.cluster.tasks import Tasks
from fanwire.policy import Policies, RoomPolicy

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
    ) -> None:
        self._engine = engine
        self._policies = policies
        self._live = live
        self._storing = storing
        self._orders = orders
        self._following = following
        self._tasks = tasks

    def forget(self, room: str, key: str) -> bool:
        """Forgets a key, from any thread. Returns whether it has a value at this node.

        Raises:
            ValueError: the key is too long.
            Overloaded: too much waits; nothing was forgotten.
        """
        check_key(key)
        policy = self._policies.of(room)
        if policy.history > 0:
            parcel = self._storing.take_forgetting(key)
            self._tasks.on_loop(self._store, policy, room, parcel)
            return self._engine.has_value(room, key)
        was_there, ts_us = self._engine.forget(room, key)
        self._live.send(room, Parcel(b"", key=key, delivery="latest", forgotten_us=ts_us))
        self._tasks.on_loop(self._orders.give, Order(FORGET, room, key=key, ts_us=ts_us))
        return was_there

    def obey(self, order: Order) -> None:
        """Another node has forgotten a key."""
        if order.whom is None or order.key is None:
            logger.error("an order to forget names no room or no key")
            return
        followed = self._following.rooms.get(order.whom)
        if followed is None or followed.log is None:
            self._forget_older(order.whom, order.key, order.ts_us)
        else:
            # What the log says comes first, and then nothing is left to do; unless the log no longer says it.
            asyncio.get_running_loop().call_later(LOG_FIRST, self._after_the_log, followed, order)

    def _after_the_log(self, followed: Followed, order: Order) -> None:
        if not followed.is_over and followed.catching is not None and not followed.catching.done():
            asyncio.get_running_loop().call_later(LOG_FIRST, self._after_the_log, followed, order)
        elif order.key is not None:
            self._forget_older(followed.room, order.key, order.ts_us)

    def _store(self, policy: RoomPolicy, room: str, parcel: Parcel) -> None:
        stored = self._storing.append(policy, room, parcel, (), None)
        stored.add_done_callback(partial(self._stored, room, parcel))

    def _stored(self, room: str, parcel: Parcel, stored: asyncio.Future[int]) -> None:
        if stored.cancelled() or stored.exception() is not None or parcel.key is None:
            return
        order = Order(FORGET, room, key=parcel.key, ts_us=parcel.ts_ms * 1000)
        self._orders.give(order)
        # This node's own orders do not come back, and it may not follow the room.
        self.obey(order)

    def _forget_older(self, room: str, key: str, ts_us: int, attempt: int = 0) -> None:
        try:
            self._engine.forget_older(room, key, ts_us, self._policies.of(room).history == 0)
        except Overloaded as error:
            if attempt >= ATTEMPTS:
                logger.error("room %r: a key that another node has forgotten is kept: %s", room, error)
                return
            loop = asyncio.get_running_loop()
            loop.call_later(RETRY, self._forget_older, room, key, ts_us, attempt + 1)
        except EngineError as error:
            # The node ends, and its values with it.
            logger.debug("room %r: %s", room, error)


FORGET = "forget"
"""What such an order is called."""

LOG_FIRST = 1.0
"""Seconds for the entry of the log to come before the order is obeyed."""

RETRY = 0.1
"""Seconds until a key is forgotten that could not be, because the engine's queues were full."""

ATTEMPTS = 100
"""Times that this is tried: queues that are full for ten seconds are those of a node in trouble."""
