"""Clients that are in all rooms whose names match a pattern: in those that exist, and in each that comes to exist.

The rule it keeps: a pattern is resolved when a room is made, never when a message is published. A new room keeps its
first messages (`Engine.watch_rooms`) until all who hold a matching pattern have joined it from its beginning, or may
not. A room with a history in a cluster is read from its log instead.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any

from msgspec import UNSET

from fanwire._engine import RoomFull
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS, Overloaded, Unavailable
from fanwire.handlers.time_slices import TimeSlices
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Refusal
from fanwire.reject import Reject
from fanwire.rooms.authorization import Rights
from fanwire.rooms.held_pattern import MOST_ROOMS, HeldPattern
from fanwire.rooms.join_request import Join
from fanwire.rooms.memberships import RIGHTS_ATTEMPTS, Memberships, RightsChanged, rights_keep_changing
from fanwire.rooms.node import Node
from fanwire.rooms.pattern_entry import PatternEntry, terms_of
from fanwire.rooms.pattern_holders import MOST_LOOKED, PatternHolders
from fanwire.rooms.rules import Policies, RoomPolicy
from fanwire.rooms.state_joins import StateJoins

__all__ = ["PatternMembers"]


class PatternMembers:
    """Joins and leaves by patterns. On the loop's thread only.

    Args:
        node: has the rooms, and hears of those of other nodes.
        policies: of the rooms.
        memberships: joins and leaves.
        rights: decides about each room.
        limits: which names of rooms clients may use.
        states: joins rooms with a snapshot.
        slices: runs what is done for each room, so that no pattern keeps the loop busy.
        tell: sends a message of the protocol to a session.
        spawn: runs a coroutine in a task.
    """

    def __init__(
        self,
        node: Node,
        policies: Policies,
        memberships: Memberships,
        rights: Rights,
        limits: Limits,
        states: StateJoins,
        slices: TimeSlices,
        tell: Callable[..., None],
        spawn: Callable[[Awaitable[Any]], asyncio.Future[Any]],
    ) -> None:
        self._node = node
        self._engine = node.engine
        self._policies = policies
        self._memberships = memberships
        self._rights = rights
        self._limits = limits
        self._states = states
        self._slices = slices
        self._tell = tell
        self._spawn = spawn
        self._holders = PatternHolders(node, limits)
        # Rooms that are being joined, by the number of times; those of them that the engine has told of as new; and
        # those that the node hears because of that.
        self._entering: Counter[str] = Counter()
        self._made: set[str] = set()
        self._heard: set[str] = set()
        # Rooms of logs that were found since the last pattern began.
        self._seen: set[str] = set()

    # What clients ask for.

    async def join(self, connection: Connection, pattern: str, request: Join, re: str | None) -> None:
        """Joins a client to all rooms of a pattern, and answers.

        Raises:
            Refusal: the pattern is none, or the client has too many.
        """
        if not self._limits.config.is_room_name(pattern.replace("*", "a")):
            raise Refusal("bad_room", "room must be a name that Config.room_name allows, with `*`", path="$.room")
        if request.since is not None:
            raise Refusal("invalid_payload", "a pattern has no position: give those of `rooms`", path="$.since")
        for name in ("max_rate", "max_bytes", "filter"):
            if getattr(request, name) not in (UNSET, None):
                text = f"a pattern has no {name}: `configure` its rooms"
                raise Refusal("invalid_payload", text, path=f"$.{name}")
        given = request.rooms or {}
        if len(given) > MOST_ROOMS:
            raise Refusal("invalid_payload", f"at most {MOST_ROOMS} rooms, got {len(given)}", path="$.rooms")
        held = self._holders.hold(connection, pattern, request)
        try:
            held.begin = await self._node.ends()
            if held.is_over:
                # The client has gone meanwhile, and nobody would end what begins here.
                return
            self._seen.clear()
            self._node.found, self._node.found_rooms = self.found, self._seen
            self._holders.watch(held)
            names = await self._named(held)
            stored = await self._node.stored_rooms()
            # At first those that the client has been in: it must not miss anything in these.
            rooms = list(dict.fromkeys([*given, *names, *stored]))
            for room in await self._looked_at(held, rooms):
                if held.is_over or self._is_full(held, room):
                    break
                position = given.get(room)
                await self._enter(held, room, None if position is None else (position.epoch, position.seq))
        except BaseException:
            self._holders.release(held)
            raise
        if re is not None and not held.is_over:
            self._tell(connection, "reply", re=re, room=pattern, payload={"rooms": sorted(held.joined)})

    async def leave(self, connection: Connection, pattern: str, re: str | None) -> None:
        """Ends it, with the memberships that it has made.

        Raises:
            Refusal: the client does not hold the pattern.
        """
        held = None if connection._patterns is None else connection._patterns.find(pattern)
        if not isinstance(held, HeldPattern):
            raise Refusal("not_joined", f"the client has not joined {pattern!r}")
        rooms = held.joined
        self._holders.release(held)
        for room in rooms:
            await self._slices.result(self._memberships.leave, connection, room)
        if re is not None:
            self._tell(connection, "left", re=re, room=pattern)

    # New rooms.

    def made(self, room: str) -> None:
        """The engine has made a room that matches a pattern, and keeps its first messages."""
        if not self._node.joins_at_once(self._policies.of(room)):
            # Its messages are in its log.
            self._engine.settle_room(room)
            self.found(room)
            return
        self._made.add(room)
        self._entering[room] += 1
        self._spawn(self._enter_new(room))

    def found(self, room: str) -> None:
        """Another node has named a room that has messages there, or this node stores a first message of one."""
        if room in self._seen or not self._holders.of(room):
            return
        if self._node.joins_at_once(self._policies.of(room)):
            if self._engine.history(room, None, 1)[0] == NO_ROOM:
                # It is heard from now on. Its first messages wait in the engine, which tells of it by `made`.
                self._node.entered(room)
                self._heard.add(room)
                try:
                    self._engine.position(room)
                except ENGINE_ERRORS:
                    self._unhear(room)
            return
        if len(self._seen) >= SEEN:
            self._seen.clear()
        self._seen.add(room)
        self._spawn(self._enter_stored(room))

    async def _enter_new(self, room: str) -> None:
        try:
            begin = (self._engine.position(room)[0], 0)
            await asyncio.gather(*[self._enter(held, room, begin, is_new=True) for held in self._holders.of(room)])
        finally:
            self._entered(room)

    def _entered(self, room: str) -> None:
        """Somebody has joined a room, or has not. After the last one a new room need not keep its first messages."""
        self._entering[room] -= 1
        if self._entering[room]:
            return
        del self._entering[room]
        if room in self._made:
            self._made.discard(room)
            self._unhear(room)
            self._engine.settle_room(room)

    async def _enter_stored(self, room: str) -> None:
        """Joins a room of a log. Its numbers are those of all rooms of the log, so a start may be above its last."""
        policy = self._policies.of(room)
        while True:
            try:
                prepared = self._node.prepare(policy, room)
                if prepared is not None:
                    await prepared
                epoch, seq = self._engine.position(room)
                break
            except (Unavailable, Overloaded) as error:
                # Nothing is lost meanwhile: the log has the room's messages.
                self._node.note("room", f"{error} (room {room!r}, for patterns)")
                await asyncio.sleep(AGAIN)
                if not self._holders.of(room):
                    self._seen.discard(room)
                    return
        for held in list(self._holders.of(room)):
            start = self._node.start_of(policy, held.begin)
            begin = (epoch, 0) if start is None or start[0] != epoch else min(start, (epoch, seq))
            await self._enter(held, room, begin, is_new=True)

    def _unhear(self, room: str) -> None:
        if room in self._heard:
            self._heard.discard(room)
            self._node.left(room)

    # One room of one client.

    async def _named(self, held: HeldPattern) -> list[str]:
        """The rooms of this node that match, `MOST_LOOKED` at most. Others have their turn between."""
        names: list[str] = []
        part: int | None = 0
        while part is not None and len(names) < MOST_LOOKED:
            found, part = await self._slices.result(self._holders.found, held, part)
            names += found
        return names[:MOST_LOOKED]

    async def _looked_at(self, held: HeldPattern, rooms: list[str]) -> list[str]:
        """Those rooms that match, `MOST_LOOKED` at most, as soon as the client may have them looked at."""
        found: list[str] = []
        for begin in range(0, len(rooms), AT_ONCE):
            found += await self._slices.result(self._holders.matching, held, rooms[begin : begin + AT_ONCE])
        del found[MOST_LOOKED:]
        while True:
            wait = self._holders.wait_for(held, len(found))
            if not wait or held.is_over:
                return found
            await asyncio.sleep(wait)

    def _is_full(self, held: HeldPattern, room: str) -> bool:
        """Whether the client is in as many rooms as it may be because of a pattern; it is told so once."""
        if len(held.rooms) < MOST_ROOMS or room in held.connection.rooms:
            return False
        if not held.is_told_full:
            held.is_told_full = True
            self._complain(held, held.pattern, "room_limit", f"more than {MOST_ROOMS} rooms match {held.pattern!r}")
        return True

    async def _enter(
        self, held: HeldPattern, room: str, start: tuple[str, int] | None, *, is_new: bool = False
    ) -> None:
        is_there = room in held.connection.rooms or room in held.rooms
        if held.is_over or is_there or self._is_full(held, room):
            return
        held.rooms.add(room)
        # If the room is made meanwhile, it keeps its first messages for this client, too.
        self._entering[room] += 1
        is_in = False
        try:
            for _ in range(RIGHTS_ATTEMPTS):
                try:
                    is_in = await self._enter_allowed(held, room, start, is_new=is_new)
                    break
                except RightsChanged:
                    # They are asked for again.
                    continue
            else:
                raise rights_keep_changing()
        except Refusal as refusal:
            self._complain(held, room, refusal.code, str(refusal), retry=refusal.retry)
        except Reject as reject:
            self._complain(held, room, reject.code, reject.text)
        except RoomFull as error:
            self._complain(held, room, "room_full", str(error), retry=True)
        except ENGINE_ERRORS as error:
            self._complain(held, room, "overloaded", str(error), retry=True)
        except Unavailable as error:
            self._complain(held, room, "unavailable", str(error), retry=True)
        except Exception as error:  # noqa: BLE001 - the application may raise anything; other rooms are not concerned
            self._node.note("internal", error)
            self._complain(held, room, "internal", "the server failed to do this", retry=True)
        finally:
            if not is_in:
                held.rooms.discard(room)
            self._entered(room)

    async def _enter_allowed(
        self, held: HeldPattern, room: str, start: tuple[str, int] | None, *, is_new: bool
    ) -> bool:
        """Joins a room if that is allowed. Returns whether the client is in it because of the pattern."""
        connection, policy = held.connection, self._policies.of(room)
        last = held.last if start is None and policy.snapshot is None and not policy.has_keys else None
        has_past = last is not None or (start is not None and not is_new)
        actions = ["join", *(["presence"] if policy.presence else []), *(["history"] if has_past else [])]
        granted_at = connection._rechecks
        # Many rooms may come for one client, and many clients for one room.
        granted = await self._slices.result(self._rights.granted, connection, policy, room, actions, ("join",))
        if isawaitable(granted):
            granted = await granted
        if "join" not in granted:
            return False
        entry = PatternEntry(start, last, is_new, is_forbidden=has_past and "history" not in granted)
        terms = terms_of(held, policy, entry)
        prepared = self._node.prepare(policy, room, terms.since, terms.last)
        if prepared is not None:
            await prepared
        join = partial(
            self._memberships.join, connection, room, sees="presence" in granted, by_wish=True, granted_at=granted_at
        )
        if policy.snapshot is None:
            is_in = await self._slices.result(self._join_once, held, policy, room, entry, join)
        elif is_in := self._may_join(held, room):
            entry = self._as_it_is(policy, room, entry)
            terms = terms_of(held, policy, entry)
            join = partial(join, extra=terms.extra, last=terms.last)
            await self._states.join(policy, room, terms.since, None if entry.is_new else held.repair, join)
        if is_in and held.is_over:
            self._memberships.leave(connection, room)
        return is_in

    def _join_once(
        self, held: HeldPattern, policy: RoomPolicy, room: str, entry: PatternEntry, join: Callable[..., object]
    ) -> bool:
        may = self._may_join(held, room)
        if may:
            since, last, extra = terms_of(held, policy, self._as_it_is(policy, room, entry))
            join(since=since, last=last, extra=extra)
        return may

    def _as_it_is(self, policy: RoomPolicy, room: str, entry: PatternEntry) -> PatternEntry:
        """How a client joins a room, if it may have been made while the client was about to: then it does so from its
        beginning, as all who hold a pattern of it."""
        if entry.is_new or not self._node.joins_at_once(policy) or not self._engine.is_new_room(room):
            return entry
        epoch, _ = self._engine.position(room)
        if entry.start is not None and entry.start[0] == epoch and not entry.is_forbidden:
            return entry
        return PatternEntry((epoch, 0), None, is_new=True, is_forbidden=False)

    def _may_join(self, held: HeldPattern, room: str) -> bool:
        if held.is_over or room in held.connection.rooms:
            return False
        # Before the join: the membership may end at once, and then it is forgotten here.
        held.rooms.add(room)
        return True

    def _complain(self, held: HeldPattern, room: str, code: str, text: str, *, retry: bool = False) -> None:
        if not held.is_over:
            self._tell(held.connection, "error", room=room, payload={"code": code, "text": text, "retry": retry})


AGAIN = 1.0
"""Seconds until a room is tried again whose log cannot be read now."""

AT_ONCE = 500
"""Names of rooms that are compared with a pattern until others have their turn: a quarter of a millisecond."""

NO_ROOM = "0"
"""What the engine says of the numbering of a room that does not exist."""

SEEN = 100_000
"""Names of rooms that are remembered, as many as there may be rooms by default. Beyond it they are looked at again."""
