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
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane, Log
from fanwire.cluster.announcements import SessionMoved, pack_announcement
from fanwire.cluster.backplane_events import BackplaneEvents
from fanwire.cluster.faults import Faults
from fanwire.cluster.heartbeats import tag_of_node
from fanwire.cluster.history import read_history
from fanwire.cluster.logged_publishing import check_key
from fanwire.cluster.node_message import NodeMessage
from fanwire.cluster.parts import join_parts
from fanwire.cluster.revocations import ClusterRevocation
from fanwire.config import Config
from fanwire.rooms.node import Node, NodeListener
from fanwire.rooms.rules import Policies, RoomPolicy
from fanwire.transports.exchange import LinkReply, LinkRequest

__all__ = ["Cluster"]


class Cluster(Node):
    """A node that shares its rooms with other nodes by a backplane; the methods are described in `Node`.

    Args:
        engine: has the members of this node.
        backplane: connects the nodes.
        policies: of the rooms, the same at all nodes.
        config: the limits.
        faults: counts and logs what fails; None: a new one.
        appended: gets the seconds from publishing to the backplane's answer, and "stored" or "failed".
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        policies: Policies,
        config: Config,
        faults: Faults | None = None,
        appended: Callable[[float, str], object] = lambda seconds, result: None,
    ) -> None:
        super().__init__(engine)
        # Before the start nothing of it is called: the backplane is not open.
        self._listener: NodeListener
        self._id = node = secrets.randbits(63)
        self._backplane = backplane
        self._policies = policies
        self._noting: asyncio.Future[None] | None = None
        self._parts = parts = join_parts(
            engine, backplane, node, policies, config, lambda: self._listener, faults or Faults(), appended
        )
        self._events = BackplaneEvents(
            parts, node, policies, self._room_found, lambda session: self._listener.apply("moved", session, "")
        )

    # Start, stop and state.

    async def start(self, listener: NodeListener) -> None:
        """Connects to the backplane, makes the logs, and begins heartbeats. The listener hears of other nodes."""
        self._listener = listener
        await self._backplane.open(self._events)
        for policy in self._policies:
            if policy.history > 0:
                await self._parts.logs.declare(self._parts.logs.of(policy))
        for revocations in (self._parts.revocations, self._parts.forgotten_keys):
            await revocations.start()
        await self._parts.values.start()
        await self._parts.forwarding.start()
        await self._parts.publish_requests.start()
        await self._parts.questions.start()
        self._parts.liveness.restart()
        self._parts.tasks.keep("heartbeats", self._parts.liveness.run())

    async def stop(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for messages that are being stored, then disconnects."""
        await self._parts.append_queue.close(timeout)
        self.tickets.close()
        self._parts.subscriptions.stop()
        self._events.stop()
        await self._parts.tasks.end()
        await self._backplane.close()
        self._parts.faults.close()

    @property
    def is_ready(self) -> bool:
        """Whether the backplane is connected, and this node hears its own heartbeats."""
        return self._backplane.is_up and not self._parts.tasks.dead and not self._parts.liveness.is_deaf

    @property
    def why_not_ready(self) -> list[str]:
        """Why `is_ready` is false, in words."""
        reasons = [f"the task {name!r} of the cluster has ended, restart the server" for name in self._parts.tasks.dead]
        if not self._backplane.is_up:
            reasons.append("the backplane is away; this node connects to it again by itself")
        elif self._parts.liveness.is_deaf:
            reasons.append("this node does not hear its own heartbeats over the backplane; it connects to it anew")
        return reasons

    @property
    def troubles(self) -> list[str]:
        """What does not work now although `is_ready` is true, in words."""
        why = self._parts.append_queue.trouble
        return [] if why is None else [f"messages of rooms with a history cannot be stored: {why}"]

    @property
    def others(self) -> list[str]:
        """The tags of the other nodes whose heartbeats come."""
        return sorted(map(tag_of_node, self._parts.liveness.heartbeats.others))

    @property
    def nodes(self) -> int:
        """The number of nodes whose heartbeats come, and this one."""
        return 1 + len(self._parts.liveness.heartbeats.others)

    @property
    def tag(self) -> str:
        """A prefix for the ids of members and links, from the first 24 bits of the node's id."""
        return tag_of_node(self._id)

    @property
    def gauges(self) -> dict[str, int]:
        """The state of the cluster as this node knows it, by the names of metrics."""
        return {
            "backplane_up": int(self.is_ready),
            "nodes": self.nodes,
            "waiting_appends": self._parts.logged.waiting,
            "subscribed_rooms": len(self._parts.subscriptions.rooms),
        }

    @property
    def has_viewers(self) -> bool:
        """Whether operators look at the readings at another node."""
        return self._parts.liveness.has_viewers

    def note(self, kind: str, why: object) -> None:
        """Counts and logs a fault."""
        self._parts.faults.note(kind, why)

    # Publishing.

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        audience: bytes | None = None,
    ) -> int | None:
        """Publishes on all nodes. Returns None for a room with a history, where the log gives the number later."""
        if self.about_to_publish is not None:
            self.about_to_publish(room)
        policy = self._policies.of(room)
        if policy.history > 0:
            message = self._parts.logged.take(policy, payload, json, key, delivery, audience)
            self._about_to_store(room)
            self._parts.tasks.on_loop(self._parts.logged.append, policy, room, message, exclude, None)
            return None
        return self._publish_live(room, payload, json, key, exclude, delivery, audience)

    def _publish_live(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None,
        exclude: Sequence[int],
        delivery: str | None,
        audience: bytes | None,
        ticket: int = 0,
    ) -> int | None:
        check_key(key)
        seq = self.engine.publish(room, payload, json, key, exclude, delivery, ticket, audience)
        self._parts.live.send(room, NodeMessage(payload, json, key, delivery, audience=audience))
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
        audience: bytes | None = None,
    ) -> int | Awaitable[int]:
        """Publishes on all nodes. For a room with a history it returns an awaitable, which gives the number."""
        if self.about_to_publish is not None:
            self.about_to_publish(room)
        policy = self._policies.of(room)
        if policy.history == 0:
            ticket = self.tickets.new()
            seq = self._publish_live(room, payload, json, key, exclude, delivery, audience, ticket)
            return self.tickets.wait(ticket) if seq is None else seq
        message = self._parts.logged.take(policy, payload, json, key, delivery, audience)
        self._about_to_store(room)
        # Shielded: a caller that no longer waits has published all the same.
        return asyncio.shield(self._parts.logged.append(policy, room, message, exclude, id))

    def _about_to_store(self, room: str) -> None:
        """Tells those who read patterns of a room with a history, here and at other nodes."""
        self._parts.patterns.about_to_send(room, None)
        if self.found is not None and room not in self.found_rooms:
            self._parts.tasks.on_loop(self._found_here, room)

    def _found_here(self, room: str) -> None:
        if self.found is not None:
            self.found(room)

    async def history(
        self, policy: RoomPolicy, room: str, after: tuple[str, int] | None, limit: int, before: int | None = None
    ) -> tuple[str, list[tuple[int, bytes]]]:
        """Reads the messages of a room from its log, as `Node.history` describes."""
        subscription = self._parts.subscriptions.rooms.get(room)
        told = {} if subscription is None else {subscription.source: subscription.epoch}
        return await read_history(self._backplane, self._parts.logs, policy, room, after, limit, before, told)

    def epoch(self, policy: RoomPolicy, room: str) -> str | Awaitable[str | None]:
        """The epoch that this node tells its members or, of a room without members here, that of the log."""
        subscription = self._parts.subscriptions.rooms.get(room)
        if subscription is not None and subscription.is_on:
            return subscription.epoch
        return self._parts.logs.epoch(self._parts.logs.of(policy), room)

    def forget(self, room: str, key: str) -> bool:
        """Forgets the newest value of a key on all nodes."""
        return self._parts.forgetting.forget(room, key)

    # Rooms that have members here.

    def prepare(
        self, policy: RoomPolicy, room: str, since: tuple[str, int] | None = None, last: int | None = None
    ) -> Awaitable[None] | None:
        """Subscribes to a room that a client is about to join; the awaitable ends when its messages come here."""
        return self._parts.subscriptions.prepare(policy, room, since, last)

    # Subscriptions of this node's program.

    def joins_at_once(self, policy: RoomPolicy) -> bool:
        """Rooms with a history are read from their log."""
        return policy.history == 0

    def start_of(self, policy: RoomPolicy, begin: Mapping[str, tuple[str, int]]) -> tuple[str, int] | None:
        """A position of the room's log from before its announcement."""
        log = self._parts.logs.of(policy)
        return self._parts.starts.before(log, begin.get(log.name))

    async def stored_rooms(self) -> list[str]:
        """The rooms that have messages in the logs."""
        found: list[str] = []
        for log in self._all_logs:
            await self._parts.logs.declare(log)
            found += await self._backplane.rooms(log)
        return found

    async def ends(self) -> Mapping[str, tuple[str, int]]:
        """Where the logs end now."""
        return await self._parts.starts.note(self._all_logs)

    def begin_pattern(self, pattern: str) -> None:
        """Has the other nodes tell of the rooms that match a pattern."""
        if self._noting is None or self._noting.done():
            self._noting = self._parts.tasks.spawn(self._parts.starts.keep_noting(self._all_logs))
        self._parts.patterns.begin(pattern)

    def end_pattern(self, pattern: str) -> None:
        """Ends that."""
        self._parts.patterns.end(pattern)
        if not self._parts.patterns.is_reading and self._noting is not None:
            self._noting.cancel()
            self._noting = None

    @property
    def _all_logs(self) -> list[Log]:
        return [self._parts.logs.of(policy) for policy in self._policies if policy.history > 0]

    def _room_found(self, room: str) -> None:
        if self.found is not None:
            self.found(room)
        if self.about_to_publish is not None:
            self.about_to_publish(room)

    def entered(self, room: str) -> None:
        """Counts a member of a room."""
        self._parts.tasks.on_loop(self._parts.subscriptions.enter, self._policies.of(room), room)

    def left(self, room: str) -> None:
        """Counts a member less. Some time after the last one the subscription ends."""
        self._parts.tasks.on_loop(self._parts.subscriptions.leave, room)

    # Members and users.

    def member_came(self, room: str, id: str, info: Any) -> None:
        """Tells other nodes of a new member here."""
        self._parts.tasks.on_loop(self._parts.presence.came, room, id, info)

    def member_went(self, room: str, id: str) -> None:
        """Tells other nodes that a member here has left."""
        self._parts.tasks.on_loop(self._parts.presence.went, room, id)

    def remote_members(self, room: str) -> dict[str, Any]:
        """The members of a room at other nodes, by id."""
        return self._parts.presence.members(room)

    def user_came(self, subject: str) -> None:
        """Begins to receive messages for a user."""
        self._parts.users.subscribe(subject)

    def user_left(self, subject: str) -> None:
        """Ends that."""
        self._parts.users.unsubscribe(subject)

    def send_to_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """Sends a message to the user's connections at other nodes."""
        self._parts.tasks.on_loop(self._parts.users.send, subject, NodeMessage(payload, json, None, delivery))

    def revoke(self, what: str, whom: str | None, reason: str = "", room: str = "") -> None:
        """Revokes on all other nodes. A node that is cut off catches up when it is back, within an hour."""
        self._parts.tasks.on_loop(self._parts.revocations.give, ClusterRevocation(what, whom, reason, room=room))

    def forward(self, tag: str, request: LinkRequest) -> Awaitable[LinkReply] | None:
        """Asks the node with a tag to carry out a client's request for one of its links."""
        return self._parts.forwarding.ask(tag, request)

    async def ask_nodes(self, tags: Collection[str], question: bytes, timeout: float) -> dict[str, bytes]:
        """Asks other nodes a question of an operator."""
        return await self._parts.questions.ask(tags, question, timeout)

    def moved_here(self, session: str) -> None:
        """Tells other nodes that this one has taken over a session."""
        self._backplane.tell(pack_announcement(SessionMoved(self._id, session)))
