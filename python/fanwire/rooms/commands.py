"""The commands of clients that are about rooms: join, leave, publish, and list the members."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any

import msgspec
from msgspec import UNSET

from fanwire.config import NAME_MAX
from fanwire.connection import Connection
from fanwire.handlers.calls import ApplicationCalls
from fanwire.handlers.time_slices import TimeSlices
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Incoming, Refusal
from fanwire.protocol.session import Session
from fanwire.rooms.authorization import Rights
from fanwire.rooms.command_payloads import LISTING, Configure, Listing
from fanwire.rooms.filters import asked_filter
from fanwire.rooms.join_request import JOIN, NOTHING_ASKED, AskedJoin, Join, RepairWish, check_last
from fanwire.rooms.memberships import RIGHTS_ATTEMPTS, Memberships, RightsChanged, rights_keep_changing
from fanwire.rooms.node import Node
from fanwire.rooms.pattern_members import PatternMembers
from fanwire.rooms.publish_command import PublishCommand
from fanwire.rooms.publish_hooks import PublishHooks
from fanwire.rooms.rates import asked_rates
from fanwire.rooms.readings_room import READINGS
from fanwire.rooms.rules import Policies, RoomPolicy
from fanwire.rooms.snapshots import Snapshots
from fanwire.rooms.state_joins import StateJoins
from fanwire.values.reduction import short

__all__ = ["RoomCommands"]


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
        hooks: the application's hooks for what clients publish.
        tell: sends a message of the protocol to a session.
        spawn: runs a coroutine in a task, and keeps it.
        calls: runs awaitables of the application.

    Attributes:
        room_made: is to be called with the name of each new room that matches a client's pattern.
        publish: the command that publishes.

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
        hooks: PublishHooks,
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
        self._state_joins = StateJoins(node.engine, Snapshots(node.engine, slices, calls, spawn, limits), slices)
        self._patterns = PatternMembers(
            node, policies, memberships, rights, limits, self._state_joins, slices, tell, spawn
        )
        self.room_made = self._patterns.made
        self.publish = PublishCommand(node, policies, rights, hooks, limits, self.room_of, tell, spawn).publish

    def join(self, connection: Connection, session: Session, incoming: Incoming) -> Awaitable[None] | None:
        """Makes the client a member. If it names a position, it gets the messages after that. A name with `*` is a
        pattern: the client becomes a member of all rooms that match."""
        if incoming.room is not None and "*" in incoming.room:
            request = session.codec.payload(incoming, JOIN) or Join()
            return self._patterns.join(connection, incoming.room, request, incoming.id)
        room, policy = self.room_of(incoming)
        # Rooms of patterns have a limit of their own.
        single = len(connection.rooms) - (0 if connection._patterns is None else connection._patterns.count)
        is_full = single >= self._limits.config.max_rooms_per_connection > 0
        if is_full and room not in connection.rooms and self._limits.over("max_rooms_per_connection"):
            raise Refusal("room_limit", f"the client is in {single} rooms, the most that it may join")
        # Most clients send no payload.
        payload: Join | None = session.codec.payload(incoming, JOIN) if incoming.payload else None
        asked = NOTHING_ASKED if payload is None else payload.asked(policy, room)
        has_past = asked.since is not None or asked.last is not None
        actions = ["join", *(["presence"] if policy.presence else []), *(["history"] if has_past else [])]
        granted = self._rights.granted(connection, policy, room, actions, ("join",))
        enter = partial(self._enter, connection, policy, room, asked, incoming.id)
        if type(granted) is frozenset or not isawaitable(granted):
            entering = enter(granted)
            if entering is None:
                return None
        else:
            entering = self._once_granted(granted, enter)
        ask = partial(self._rights.granted, connection, policy, room, actions, ("join",))
        return self._while_rights_change(entering, ask, enter)

    async def _while_rights_change(
        self,
        entering: Awaitable[None],
        ask: Callable[[], frozenset[str] | Awaitable[frozenset[str]]],
        enter: Callable[[frozenset[str]], Awaitable[None] | None],
    ) -> None:
        """Waits for a join, and asks again if the client's rights have changed before it is in the room.

        Raises:
            Refusal: `overloaded`: they change each time.
        """
        for attempt in range(1, RIGHTS_ATTEMPTS + 1):
            try:
                return await entering
            except RightsChanged:  # noqa: PERF203 - rare
                if attempt < RIGHTS_ATTEMPTS:
                    entering = self._once_granted(ask(), enter)
        raise rights_keep_changing()

    async def _once_granted(
        self,
        granted: frozenset[str] | Awaitable[frozenset[str]],
        then: Callable[[frozenset[str]], Awaitable[None] | None],
    ) -> None:
        more = then(await granted if isawaitable(granted) else granted)
        if more is not None:
            await more

    def _enter(
        self,
        connection: Connection,
        policy: RoomPolicy,
        room: str,
        asked: AskedJoin,
        re: str | None,
        granted: frozenset[str],
    ) -> Awaitable[None] | None:
        if "join" not in granted:
            raise Refusal("forbidden", f"this client may not join room {room!r}")
        sees, extra = "presence" in granted, ""
        since, last = asked.since, asked.last
        if last is not None:
            check_last(policy, room)
        if (since is not None or last is not None) and "history" not in granted:
            since, last, extra = None, None, ',"reason":"forbidden"'
        prepared = self._node.prepare(policy, room, since, last)
        join = partial(
            self._memberships.join,
            connection,
            room,
            change=asked.change,
            filter=asked.filter,
            re=re,
            extra=extra,
            sees=sees,
            by_wish=True,
            last=last,
            granted_at=connection._rechecks,
        )
        if prepared is None and since is None and last is None and policy.is_plain:
            join()
            return None
        enter = partial(self._enter_prepared, policy, room, since, asked.repair, join)
        return enter() if prepared is None else self._once_prepared(prepared, enter)

    async def _once_prepared(self, prepared: Awaitable[None], enter: Callable[[], Awaitable[None] | None]) -> None:
        await prepared
        more = enter()
        if more is not None:
            await more

    def _enter_prepared(
        self,
        policy: RoomPolicy,
        room: str,
        since: tuple[str, int] | None,
        repair: RepairWish | None,
        join: partial[Any],
    ) -> Awaitable[None] | None:
        if policy.snapshot is not None:
            return self._state_joins.join(policy, room, since, repair, join)
        if since is not None and repair is not None:
            # The newest values of all keys are the state of their room. Other rooms have none.
            is_state = repair == "snapshot" and policy.has_keys
            join.keywords["extra"] += ',"repair":"snapshot"' if is_state else ',"repair":"replay"'
            if is_state:
                join.keywords["extra"] += ',"reason":"snapshot"'
                since = None
        join.keywords["since"] = since
        if policy.has_keys or policy.presence:
            # Many clients may join at once. Each join tells all members, and collecting the newest values of ten
            # thousand keys takes a millisecond.
            return self._slices.result(join)
        join()
        return None

    def leave(self, connection: Connection, session: Session, incoming: Incoming) -> Awaitable[None] | None:
        """Ends a membership, or all of a pattern."""
        if incoming.room is not None and "*" in incoming.room:
            return self._patterns.leave(connection, incoming.room, incoming.id)
        room, policy = self.room_of(incoming)
        leave = partial(self._leave, connection, incoming, room)
        # All other members are told, and many clients may leave at once.
        return self._slices.result(leave) if policy.presence else leave()

    def _leave(self, connection: Connection, incoming: Incoming, room: str) -> None:
        if not self._memberships.leave(connection, room):
            raise Refusal("not_joined", f"the client is not in room {room!r}")
        if incoming.id is not None:
            self._tell(connection, "left", re=incoming.id, room=room)

    def configure(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        """Changes what a member gets of a room."""
        room, policy = self.room_of(incoming)
        payload: Configure = session.codec.payload(incoming, Configure)
        change = asked_rates(policy, payload.max_rate, payload.max_bytes)
        held = self._memberships.configure(connection, room, change, asked_filter(policy, room, payload.filter))
        if held is None:
            raise Refusal("not_joined", f"the client is not in room {room!r}")
        if incoming.id is not None:
            holds = held.payload()
            if payload.filter is not UNSET:
                holds["filter"] = payload.filter
            raw = msgspec.Raw((msgspec.json if session.codec.is_text else msgspec.msgpack).encode(holds))
            self._tell(connection, "reply", re=incoming.id, room=room, payload=raw)

    def presence(self, connection: Connection, session: Session, incoming: Incoming) -> Awaitable[None] | None:
        """Lists the members of a room with presence."""
        room, policy = self.room_of(incoming)
        granted = self._rights.granted(connection, policy, room, ("join", "presence") if policy.presence else ("join",))
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
        if "join" in granted and not self._policies.of(room).presence:
            raise Refusal("forbidden", f"room {room!r} has no presence")
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

    def room_of(self, incoming: Incoming) -> tuple[str, RoomPolicy]:
        """The room that a message names, and its policy."""
        if incoming.room is None:
            raise Refusal("bad_message", f"{incoming.type} needs a room", path="$.room")
        if incoming.room != READINGS and not self._limits.config.is_room_name(incoming.room):
            is_short = len(incoming.room.encode(errors="replace")) <= NAME_MAX
            if self._limits.over("room_name") or not is_short:
                text = f"room must be a name that Config.room_name allows, got {short(incoming.room)}"
                raise Refusal("bad_room", text, path="$.room")
        return incoming.room, self._policies.of(incoming.room)
