"""A node among others: messages of other nodes go to its engine, and what is published here goes to the others.

*Live rooms* have no history. Members here are served at once, other nodes get the same message. A node that misses one
on the way knows it, because each node numbers what it sends to each room (`LiveRooms`).

*Rooms with a history* have a log. A message is stored (`LoggedPublishing`), gets its number in the log, and comes back
to each node that hears the room, this one too: so all nodes have one order. Each stored message says which number came
before it; what is missing is read from the log (`CatchUp`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from typing import Any

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane
from fanwire.cluster.announcements import SessionMoved, pack_announcement
from fanwire.cluster.append_queue import AppendQueue
from fanwire.cluster.backplane_events import BackplaneEvents
from fanwire.cluster.catch_up import CatchUp
from fanwire.cluster.faults import Faults
from fanwire.cluster.forgetting import FORGET, Forgetting
from fanwire.cluster.history import read_history
from fanwire.cluster.live_rooms import LiveRooms
from fanwire.cluster.liveness import Liveness
from fanwire.cluster.logged_publishing import LoggedPublishing, check_key
from fanwire.cluster.newest_values import NewestValues
from fanwire.cluster.node_message import NodeMessage
from fanwire.cluster.presence_sync import PresenceSync
from fanwire.cluster.revocations import ClusterRevocation, Revocations
from fanwire.cluster.room_logs import RoomLogs
from fanwire.cluster.subscriptions import Subscriptions
from fanwire.cluster.tasks import Tasks
from fanwire.cluster.user_messages import UserMessages
from fanwire.config import Config
from fanwire.rooms.node import Node, NodeListener
from fanwire.rooms.rules import Policies, RoomPolicy

__all__ = ["Cluster"]


class Cluster(Node):
    """A node that shares its rooms with other nodes by a backplane; the methods are described in `Node`.

    Args:
        engine: has the members of this node.
        backplane: connects the nodes.
        policies: of the rooms, the same at all nodes.
        config: the limits.
        faults: counts and logs what fails; None: a new one.
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        policies: Policies,
        config: Config,
        faults: Faults | None = None,
    ) -> None:
        super().__init__(engine)
        self._faults = faults = faults or Faults()
        # Before the start nothing of it is called: the backplane is not open.
        self._listener: NodeListener
        self._id = node = secrets.randbits(63)
        self._backplane = backplane
        self._policies = policies
        tasks = self._tasks = Tasks(faults)
        logs = self._logs = RoomLogs(backplane, config.history_bytes, tasks)
        live = self._live = LiveRooms(engine, backplane, node, config.max_rooms, faults)
        append_queue = self._append_queue = AppendQueue(backplane, config.append_timeout, tasks.spawn, faults)
        logged = self._logged = LoggedPublishing(append_queue, logs, node, config)
        self._revocations = Revocations(backplane, append_queue, node, self._apply, faults)
        # Apart from the others: there may be very many, and the log keeps a number of each.
        self._forgotten_keys = Revocations(backplane, append_queue, node, self._apply, faults, FORGET)
        presence = self._presence = PresenceSync(
            backplane,
            node,
            lambda room: self._listener.present_here(room),
            lambda change: self._listener.remote_member_changed(*change),
            lambda node: self._liveness.sighted(node),
            faults,
        )
        self._liveness = Liveness(engine, backplane, node, live, presence, faults)
        values = self._values = NewestValues(
            engine,
            backplane,
            node,
            tasks,
            lambda room: self._subscriptions.live_since(room),
            self._forgotten_keys.caught_up,
            faults,
        )
        catch_up = CatchUp(
            engine, backplane, logs, tasks, logged.excluded, lambda room: self._listener.renewed(room), faults
        )
        subscriptions = self._subscriptions = Subscriptions(
            backplane, logs, live, values, catch_up, presence, tasks, self._liveness.others, faults
        )
        self._forgetting = Forgetting(
            engine, policies, live, logged, self._forgotten_keys, subscriptions, tasks, config.append_items
        )
        self._users = UserMessages(
            backplane, node, config.max_nesting, tasks, lambda *message: self._listener.for_user(*message), faults
        )
        self._events = BackplaneEvents(
            node,
            policies,
            tasks,
            logs,
            live,
            values,
            catch_up,
            presence,
            self._users,
            subscriptions,
            self._revocations,
            self._forgotten_keys,
            self._liveness.heartbeats,
            lambda session: self._listener.apply("moved", session, ""),
            faults,
        )

    # Start, stop and state.

    async def start(self, listener: NodeListener) -> None:
        """Connects to the backplane, makes the logs, and begins heartbeats. The listener hears of other nodes."""
        self._listener = listener
        await self._backplane.open(self._events)
        for policy in self._policies:
            if policy.history > 0:
                await self._logs.declare(self._logs.of(policy))
        for revocations in (self._revocations, self._forgotten_keys):
            await revocations.start()
        await self._values.start()
        self._liveness.restart()
        self._tasks.keep("heartbeats", self._liveness.run())

    async def stop(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for messages that are being stored, then disconnects."""
        await self._append_queue.close(timeout)
        self._subscriptions.stop()
        self._events.stop()
        await self._tasks.end()
        await self._backplane.close()
        self._faults.close()

    @property
    def is_ready(self) -> bool:
        """Whether the backplane is connected, and this node hears its own heartbeats."""
        return self._backplane.is_up and not self._tasks.dead and not self._liveness.is_deaf

    @property
    def nodes(self) -> int:
        """The number of nodes whose heartbeats come, and this one."""
        return 1 + len(self._liveness.heartbeats.others)

    @property
    def tag(self) -> str:
        """A prefix for the ids of members, from the first 24 bits of the node's id."""
        return f"{self._id >> 39:x}."

    @property
    def gauges(self) -> dict[str, int]:
        """The state of the cluster as this node knows it, by the names of metrics."""
        return {
            "backplane_up": int(self.is_ready),
            "nodes": self.nodes,
            "waiting_appends": self._logged.waiting,
            "subscribed_rooms": len(self._subscriptions.rooms),
        }

    def note(self, kind: str, why: object) -> None:
        """Counts and logs a fault."""
        self._faults.note(kind, why)

    # Publishing.

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
    ) -> int | None:
        """Publishes on all nodes. Returns None for a room with a history, where the log gives the number later."""
        policy = self._policies.of(room)
        if policy.history > 0:
            message = self._logged.take(policy, payload, json, key, delivery)
            self._tasks.on_loop(self._logged.append, policy, room, message, exclude, None)
            return None
        return self._publish_live(room, payload, json, key, exclude, delivery)

    def _publish_live(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None,
        exclude: Sequence[int],
        delivery: str | None,
    ) -> int:
        check_key(key)
        seq = self.engine.publish(room, payload, json, key, exclude, delivery)
        self._live.send(room, NodeMessage(payload, json, key, delivery))
        return seq

    def publish_acked(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        id: str | None = None,
    ) -> int | Awaitable[int]:
        """Publishes on all nodes. For a room with a history it returns an awaitable, which gives the number."""
        policy = self._policies.of(room)
        if policy.history == 0:
            return self._publish_live(room, payload, json, key, exclude, delivery)
        message = self._logged.take(policy, payload, json, key, delivery)
        # Shielded: a caller that no longer waits has published all the same.
        return asyncio.shield(self._logged.append(policy, room, message, exclude, id))

    async def history(
        self, policy: RoomPolicy, room: str, after: tuple[str, int] | None, limit: int
    ) -> tuple[str, list[tuple[int, bytes]]]:
        """Reads the messages of a room from its log, as `Node.history` describes."""
        return await read_history(self._backplane, self._logs, policy, room, after, limit)

    def forget(self, room: str, key: str) -> bool:
        """Forgets the newest value of a key on all nodes."""
        return self._forgetting.forget(room, key)

    # Rooms that have members here.

    def prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None = None) -> Awaitable[None] | None:
        """Subscribes to a room that a client is about to join; the awaitable ends when its messages come here."""
        return self._subscriptions.prepare(policy, room, since)

    def entered(self, room: str) -> None:
        """Counts a member of a room."""
        self._tasks.on_loop(self._subscriptions.enter, self._policies.of(room), room)

    def left(self, room: str) -> None:
        """Counts a member less. Some time after the last one the subscription ends."""
        self._tasks.on_loop(self._subscriptions.leave, room)

    # Members and users.

    def member_came(self, room: str, id: str, info: Any) -> None:
        """Tells other nodes of a new member here."""
        self._tasks.on_loop(self._presence.came, room, id, info)

    def member_went(self, room: str, id: str) -> None:
        """Tells other nodes that a member here has left."""
        self._tasks.on_loop(self._presence.went, room, id)

    def remote_members(self, room: str) -> dict[str, Any]:
        """The members of a room at other nodes, by id."""
        return self._presence.members(room)

    def user_came(self, subject: str) -> None:
        """Begins to receive messages for a user."""
        self._users.subscribe(subject)

    def user_left(self, subject: str) -> None:
        """Ends that."""
        self._users.unsubscribe(subject)

    def send_to_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """Sends a message to the user's connections at other nodes."""
        self._tasks.on_loop(self._users.send, subject, NodeMessage(payload, json, None, delivery))

    def revoke(self, what: str, whom: str | None, reason: str = "", room: str = "") -> None:
        """Revokes on all other nodes. A node that is cut off catches up when it is back, within an hour."""
        self._tasks.on_loop(self._revocations.give, ClusterRevocation(what, whom, reason, room=room))

    def moved_here(self, session: str) -> None:
        """Tells other nodes that this one has taken over a session."""
        self._backplane.tell(pack_announcement(SessionMoved(self._id, session)))

    def _apply(self, revocation: ClusterRevocation) -> None:
        if revocation.what == FORGET:
            self._forgetting.apply(revocation)
        else:
            self._listener.apply(revocation.what, revocation.whom, revocation.reason, revocation.room)
