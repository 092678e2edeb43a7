"""The commands of clients that are about rooms: join, leave, publish, and list the members."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from inspect import isawaitable
from typing import Annotated, Any

import msgspec

from fanwire.config import NAME_MAX
from fanwire.connection import Connection
from fanwire.deduplication.handled_ids import HandledIds
from fanwire.deduplication.single_flight import Dropped, SingleFlight
from fanwire.handlers.calls import ApplicationCalls
from fanwire.handlers.time_slices import TimeSlices
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Incoming, Refusal, read
from fanwire.protocol.session import Session
from fanwire.protocol.table import SEQ_MAX
from fanwire.rooms.authorization import Rights
from fanwire.rooms.memberships import Memberships
from fanwire.rooms.node import Node
from fanwire.rooms.roster import LISTED
from fanwire.rooms.rules import Policies, RoomPolicy
from fanwire.rooms.snapshots import Snapshots
from fanwire.values.reduction import short

__all__ = ["RoomCommands"]


class Since(msgspec.Struct):
    """The position after which a client wants messages."""

    epoch: str
    seq: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class Join(msgspec.Struct):
    """The payload of `join`."""

    since: Since | None = None


class Listing(msgspec.Struct):
    """The payload of `presence`: a page of the members."""

    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LISTED)] | None = None


JOIN, LISTING = Join | None, Listing | None
"""Made once, because making and hashing such a type takes longer than reading a payload."""


class RoomCommands:
    """Carries out the commands. Each public method takes a connection, its session and a message. It returns the
    awaitable that the command has to wait for, if any.

    Args:
        node: publishes, and prepares rooms for their members.
        policies: of the rooms.
        memberships: joins and leaves.
        rights: decides what a client may do.
        limits: the configuration, and the counts of what exceeds it.
        slices: runs long work in time slices.
        tell: sends a message of the protocol to a session.
        spawn: runs a coroutine in a task, and keeps it.
        calls: runs awaitables of the application.

    Raises, from each method:
        Refusal: the command is refused.
        RoomFull, Overloaded: raised by the engine.
    """

    def __init__(
        self,
        node: Node,
        policies: Policies,
        memberships: Memberships,
        rights: Rights,
        limits: Limits,
        slices: TimeSlices,
        tell: Callable[..., None],
        spawn: Callable[[Awaitable[Any]], asyncio.Future[Any]],
        calls: ApplicationCalls,
    ) -> None:
        self._node = node
        self._engine = node.engine
        self._policies = policies
        self._memberships = memberships
        self._rights = rights
        self._limits = limits
        self._slices = slices
        self._tell = tell
        self._handled_ids = HandledIds()
        self._publishing: SingleFlight[int] = SingleFlight(spawn)
        self._snapshots = Snapshots(node.engine, slices, calls, spawn, limits)

    def join(self, connection: Connection, session: Session, incoming: Incoming) -> Awaitable[None] | None:
        """Makes the client a member. If it names a position, it gets the messages after that."""
        room, policy = self._room(incoming)
        is_full = len(connection.rooms) >= self._limits.config.max_rooms_per_connection > 0
        if is_full and room not in connection.rooms and self._limits.over("max_rooms_per_connection"):
            raise Refusal("room_limit", f"the client is in {len(connection.rooms)} rooms, the most that it may join")
        # Most clients send no payload.
        payload: Join | None = session.codec.payload(incoming, JOIN) if incoming.payload else None
        since = None if payload is None else payload.since
        position = None if since is None else (since.epoch, since.seq)
        actions = ["join", *(["presence"] if policy.presence else []), *(["history"] if position else [])]
        granted = self._rights.granted(connection, policy, room, actions, ("join",))
        if type(granted) is frozenset:
            return self._enter(connection, policy, room, position, incoming.id, granted)
        enter = partial(self._enter, connection, policy, room, position, incoming.id)
        return self._once_granted(granted, enter) if isawaitable(granted) else enter(granted)

    async def _once_granted(
        self, granted: Awaitable[frozenset[str]], then: Callable[[frozenset[str]], Awaitable[None] | None]
    ) -> None:
        more = then(await granted)
        if more is not None:
            await more

    def _enter(
        self,
        connection: Connection,
        policy: RoomPolicy,
        room: str,
        since: tuple[str, int] | None,
        re: str | None,
        granted: frozenset[str],
    ) -> Awaitable[None] | None:
        if "join" not in granted:
            raise Refusal("forbidden", f"this client may not join room {room!r}")
        sees, extra = "presence" in granted, ""
        if since is not None and "history" not in granted:
            since, extra = None, ',"reason":"forbidden"'
        prepared = self._node.prepare(policy, room, since)
        if prepared is None and since is None and policy.is_plain:
            self._memberships.join(connection, room, re=re, extra=extra, sees=sees, by_wish=True)
            return None
        join = partial(self._memberships.join, connection, room, re=re, extra=extra, sees=sees, by_wish=True)
        enter = partial(self._enter_prepared, policy, room, since, join)
        return enter() if prepared is None else self._once_prepared(prepared, enter)

    async def _once_prepared(self, prepared: Awaitable[None], enter: Callable[[], Awaitable[None] | None]) -> None:
        await prepared
        more = enter()
        if more is not None:
            await more

    def _enter_prepared(
        self, policy: RoomPolicy, room: str, since: tuple[str, int] | None, join: partial[Any]
    ) -> Awaitable[None] | None:
        if policy.snapshot is not None:
            return self._join_from_state(policy, room, since, join)
        join.keywords["since"] = since
        if policy.has_keys or policy.presence:
            # Many clients may join at once. Each join tells all members, and collecting the newest values of ten
            # thousand keys takes a millisecond.
            return self._slices.result(join)
        join()
        return None

    async def _join_from_state(
        self, policy: RoomPolicy, room: str, since: tuple[str, int] | None, join: partial[Any]
    ) -> None:
        reason = join.keywords.get("extra", "")
        if since is not None:
            _, _, why = join(since=since, only_whole=True)
            if why is None:
                return
            reason = f',"reason":"{why}"'
        for _ in range(STATE_ATTEMPTS):
            state = await self._snapshots.of(policy, room)
            extra = f'{reason},"snapshot":{state.data}'
            enter = partial(join, since=(state.epoch, state.seq), extra=extra, is_state=True, only_whole=True)
            # A state may be large, and hundreds of clients may have waited for it.
            _, _, why = await self._slices.result(enter)
            if why is None:
                return
        raise Refusal(
            "overloaded", "the room changes too fast for its snapshot, try again later", retry=True, retry_after=1.0
        )

    def leave(self, connection: Connection, session: Session, incoming: Incoming) -> Awaitable[None] | None:
        """Ends a membership."""
        room, policy = self._room(incoming)
        leave = partial(self._leave, connection, incoming, room)
        # All other members are told, and many clients may leave at once.
        return self._slices.result(leave) if policy.presence else leave()

    def _leave(self, connection: Connection, incoming: Incoming, room: str) -> None:
        if not self._memberships.leave(connection, room):
            raise Refusal("not_joined", f"the client is not in room {room!r}")
        if incoming.id is not None:
            self._tell(connection, "left", re=incoming.id, room=room)

    def publish(self, connection: Connection, session: Session, incoming: Incoming) -> Awaitable[None] | None:
        """Publishes a message, once for each id. If the same id comes again while the first message is being published,
        the second waits for the first, and gets the same answer."""
        room, policy = self._room(incoming)
        # Clients without a subject are told apart by the lineage of their sessions.
        owner = session.owner or session.lineage
        if incoming.id is None:
            published = self._publish(connection, session, incoming, policy, room, owner)
            return self._unanswered(published) if isawaitable(published) else None
        # The same id in another room is another message.
        name = f"{room}\0{incoming.id}"
        seq = self._handled_ids.find(owner, name)
        if seq is not None:
            self._tell(connection, "reply", re=incoming.id, room=room, seq=seq)
            return None
        task = self._publishing.find((owner, name))
        is_first = task is None
        if task is None:
            published = self._publish(connection, session, incoming, policy, room, owner)
            if not isawaitable(published):
                self._handled_ids.note(owner, name, published)
                self._tell(connection, "reply", re=incoming.id, room=room, seq=published)
                return None
            task = self._publishing.begin((owner, name), self._noted(published, owner, name))
        return self._once_published(task, is_first, connection, session, incoming)

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
            return self._publish_granted(granted, session, incoming, policy, room, owner)
        return self._publish_now(granted, session, incoming, policy, room, owner)

    async def _publish_granted(
        self,
        granted: Awaitable[frozenset[str]],
        session: Session,
        incoming: Incoming,
        policy: RoomPolicy,
        room: str,
        owner: str,
    ) -> int:
        published = self._publish_now(await granted, session, incoming, policy, room, owner)
        return await published if isawaitable(published) else published

    def _publish_now(
        self,
        granted: frozenset[str],
        session: Session,
        incoming: Incoming,
        policy: RoomPolicy,
        room: str,
        owner: str,
    ) -> int | Awaitable[int]:
        if not granted:
            raise Refusal("forbidden", f"this client may not publish to room {room!r}")
        data, json = session.codec.document(incoming, self._limits.config.max_nesting)
        if policy.schema is not None:
            read(data, json, policy.schema)
        # The same name at every node, so that a message that is sent again to another node is published once.
        name = None if incoming.id is None else sha256(f"{owner}\0{room}\0{incoming.id}".encode()).hexdigest()
        try:
            seq = self._node.publish_acked(room, data, json, incoming.key, id=name)
        except ValueError as error:
            raise Refusal("bad_message", str(error)) from error
        return self._stored(seq) if isawaitable(seq) else seq

    async def _stored(self, seq: Awaitable[int]) -> int:
        try:
            return await seq
        except ValueError as error:
            raise Refusal("bad_message", str(error)) from error

    def presence(self, connection: Connection, session: Session, incoming: Incoming) -> Awaitable[None] | None:
        """Lists the members of a room with presence."""
        room, policy = self._room(incoming)
        granted = self._rights.granted(connection, policy, room, ("join", "presence") if policy.presence else ())
        listing = session.codec.payload(incoming, LISTING) or Listing()
        tell = partial(self._tell_presence, connection, session, incoming, room, listing)
        return self._once_granted(granted, tell) if isawaitable(granted) else tell(granted)

    def _tell_presence(
        self,
        connection: Connection,
        session: Session,
        incoming: Incoming,
        room: str,
        listing: Listing,
        granted: frozenset[str],
    ) -> Awaitable[None]:
        if len(granted) < 2:
            raise Refusal("forbidden", f"this client may not see the members of room {room!r}")
        return self._slices.result(partial(self._list, connection, session, incoming, room, listing))

    def _list(self, connection: Connection, session: Session, incoming: Incoming, room: str, listing: Listing) -> None:
        try:
            count, page = self._memberships.listed(
                room, packed=not session.codec.is_text, after=listing.after, limit=listing.limit
            )
        except ValueError as error:
            raise Refusal("invalid_payload", str(error), path="$.after") from error
        if incoming.id is not None:
            payload = {"count": count, "members": msgspec.Raw(page.members)}
            if page.next is not None:
                payload["next"] = page.next
            # The list is encoded once for all clients.
            raw = msgspec.Raw((msgspec.json if session.codec.is_text else msgspec.msgpack).encode(payload))
            self._tell(connection, "reply", re=incoming.id, room=room, payload=raw)

    def _room(self, incoming: Incoming) -> tuple[str, RoomPolicy]:
        if incoming.room is None:
            raise Refusal("bad_message", f"{incoming.type} needs a room", path="$.room")
        if not self._limits.config.is_room_name(incoming.room):
            is_short = len(incoming.room.encode(errors="replace")) <= NAME_MAX
            if self._limits.over("room_name") or not is_short:
                text = f"room must be a name that Config.room_name allows, got {short(incoming.room)}"
                raise Refusal("bad_room", text, path="$.room")
        return incoming.room, self._policies.of(incoming.room)


STATE_ATTEMPTS = 3
"""Attempts to get a snapshot that the room's history still reaches back to."""
