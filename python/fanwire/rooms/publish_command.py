"""The command of clients that publishes a message in a room, once for each id."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from hashlib import sha256
from inspect import isawaitable
from typing import Any

from fanwire.connection import Connection
from fanwire.deduplication.handled_ids import HandledIds
from fanwire.deduplication.single_flight import Dropped, SingleFlight
from fanwire.errors import Closed
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Incoming, Refusal, read
from fanwire.protocol.session import Session
from fanwire.rooms.authorization import Rights
from fanwire.rooms.node import Node
from fanwire.rooms.publish_hooks import PublishHooks
from fanwire.rooms.rules import Policies, RoomPolicy

__all__ = ["PublishCommand"]


class PublishCommand:
    """Publishes what clients send to rooms.

    Args:
        node: publishes.
        policies: of the rooms.
        rights: decides what a client may do.
        hooks: the application's hooks for what clients publish.
        limits: the configuration.
        room_of: the room that a message names, and its policy.
        tell: sends a message of the protocol to a session.
        spawn: runs a coroutine in a task, and keeps it.
    """

    def __init__(
        self,
        node: Node,
        policies: Policies,
        rights: Rights,
        hooks: PublishHooks,
        limits: Limits,
        room_of: Callable[[Incoming], tuple[str, RoomPolicy]],
        tell: Callable[..., None],
        spawn: Callable[[Awaitable[Any]], asyncio.Future[Any]],
    ) -> None:
        self._node = node
        self._policies = policies
        self._rights = rights
        self._hooks = hooks
        self._limits = limits
        self._room_of = room_of
        self._tell = tell
        self._spawn = spawn
        self._handled_ids = HandledIds()
        self._publishing: SingleFlight[int] = SingleFlight(spawn)

    def publish(self, connection: Connection, session: Session, incoming: Incoming) -> Awaitable[None] | None:
        """Publishes a message, once for each id. If the same id comes again while the first message is being published,
        the second waits for the first, and gets the same answer."""
        room, policy = self._room_of(incoming)
        # Clients without a subject are told apart by the lineage of their sessions.
        owner = session.owner or session.lineage
        if incoming.id is None:
            published = self._publish(connection, session, incoming, policy, room, owner)
            # What waits for a tick has been taken.
            return None if isinstance(published, int | asyncio.Future) else self._unanswered(published)
        # The same id in another room is another message.
        name = f"{room}\0{incoming.id}"
        seq = self._handled_ids.find(owner, name)
        if seq is not None:
            self._tell(connection, "reply", re=incoming.id, room=room, seq=seq)
            return None
        task = self._publishing.find((owner, name))
        is_first, is_held = task is None, policy.tick > 0
        if task is None:
            published = self._publish(connection, session, incoming, policy, room, owner)
            if not isawaitable(published):
                self._handled_ids.note(owner, name, published)
                self._tell(connection, "reply", re=incoming.id, room=room, seq=published)
                return None
            task = self._publishing.begin((owner, name), self._noted(published, owner, name))
            is_held = isinstance(published, asyncio.Future)
        answered = self._once_published(task, is_first, connection, session, incoming)
        if not is_held:
            return answered
        # The answer comes with the tick of the room. The next message of the client need not wait for it.
        self._spawn(self._at_tick(answered))
        return None

    async def _at_tick(self, answered: Awaitable[None]) -> None:
        # The server may stop before the tick.
        with contextlib.suppress(Closed):
            await answered

    async def _once_published(
        self,
        task: asyncio.Future[int | BaseException],
        is_first: bool,
        connection: Connection,
        session: Session,
        incoming: Incoming,
    ) -> None:
        try:
            seq = await self._publishing.outcome(task)
        except Dropped:
            if is_first:
                raise Refusal("internal", "the server failed to do this") from None
            # It is not known whether the first message was published. If it was stored, the store knows its id.
            again = self.publish(connection, session, incoming)
            if again is not None:
                await again
        else:
            self._tell(connection, "reply", re=incoming.id, room=incoming.room, seq=seq)

    async def _noted(self, published: Awaitable[int], owner: str, name: str) -> int:
        seq = await published
        self._handled_ids.note(owner, name, seq)
        return seq

    async def _unanswered(self, published: Awaitable[int]) -> None:
        await published

    def _publish(
        self,
        connection: Connection,
        session: Session,
        incoming: Incoming,
        policy: RoomPolicy,
        room: str,
        owner: str,
    ) -> int | Awaitable[int]:
        """Publishes a message if the client may, and returns its number or an awaitable of it."""
        granted = self._rights.granted(connection, policy, room, ("publish",))
        if isawaitable(granted):
            return self._publish_granted(granted, connection, session, incoming, policy, room, owner)
        return self._publish_now(granted, connection, session, incoming, policy, room, owner)

    async def _publish_granted(
        self,
        granted: Awaitable[frozenset[str]],
        connection: Connection,
        session: Session,
        incoming: Incoming,
        policy: RoomPolicy,
        room: str,
        owner: str,
    ) -> int:
        published = self._publish_now(await granted, connection, session, incoming, policy, room, owner)
        return await published if isawaitable(published) else published

    def _publish_now(
        self,
        granted: frozenset[str],
        connection: Connection,
        session: Session,
        incoming: Incoming,
        policy: RoomPolicy,
        room: str,
        owner: str,
    ) -> int | Awaitable[int]:
        if not granted:
            raise Refusal("forbidden", f"this client may not publish to room {room!r}")
        data, json = session.codec.document(incoming, self._limits.config.max_nesting)
        value = None if policy.schema is None else read(data, json, policy.schema)
        hook = self._hooks.of(room)
        if hook is None:
            return self._publish_payload((data, json), incoming, room, owner)
        payload = self._hooks.apply(hook, connection, incoming, room, (data, json), value)
        if isawaitable(payload):
            return self._publish_changed(payload, incoming, room, owner)
        return self._publish_payload(payload, incoming, room, owner)

    async def _publish_changed(
        self, payload: Awaitable[tuple[bytes | str, bool]], incoming: Incoming, room: str, owner: str
    ) -> int:
        published = self._publish_payload(await payload, incoming, room, owner)
        return await published if isawaitable(published) else published

    def _publish_payload(
        self, payload: tuple[bytes | str, bool], incoming: Incoming, room: str, owner: str
    ) -> int | Awaitable[int]:
        # The same name at every node, so that a message that is sent again to another node is published once.
        name = None if incoming.id is None else sha256(f"{owner}\0{room}\0{incoming.id}".encode()).hexdigest()
        try:
            seq = self._node.publish_acked(room, *payload, incoming.key, id=name)
        except ValueError as error:
            raise Refusal("bad_message", str(error)) from error
        if isinstance(seq, int):
            return seq
        # A future of the node itself, in a room with a tick: the message was taken, and nothing can go wrong with it.
        return seq if self._policies.of(room).tick else self._stored(seq)

    async def _stored(self, seq: Awaitable[int]) -> int:
        try:
            return await seq
        except ValueError as error:
            raise Refusal("bad_message", str(error)) from error
