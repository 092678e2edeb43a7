"""The memberships of connections in rooms, with presence. May be used from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fanwire.connection import Connection
from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.node import Node
from fanwire.rooms.rates import UNCHANGED, UNLIMITED, RateChange, Rates
from fanwire.rooms.roster import LISTED, Page, Roster, check_info, member_text
from fanwire.rooms.rules import Policies
from fanwire.state import ConnectionState
from fanwire.values.encoding import plain

__all__ = ["RIGHTS_ATTEMPTS", "Memberships", "RightsChanged", "rights_keep_changing"]


class RightsChanged(Exception):
    """The right to join was granted before `Server.reauthorize` or `remove`: it has to be asked for again."""


class Memberships:
    """Joins and leaves, with presence in the rooms that have it.

    Args:
        node: is told of members here, and has the engine.
        policies: of the rooms.
        max_nesting: levels of nesting that a `Connection.info` may have.
        changed: is called after a connection has joined (True) or left (False) a room.
    """

    def __init__(
        self,
        node: Node,
        policies: Policies,
        max_nesting: int,
        changed: Callable[[Connection, str, bool], None],
    ) -> None:
        self._node = node
        self._max_nesting = max_nesting
        self._engine = node.engine
        self._policies = policies
        self._changed = changed
        # A member's list and the events after it must fit together, so a join or leave is one step under the lock.
        self._lock = threading.RLock()
        # The rosters of rooms with presence that have members here.
        self._rosters: dict[str, Roster] = {}
        # Members that may not see the others, by room.
        self._blind: dict[str, set[int]] = {}
        # The rates of members that have some, by connection and room.
        self._rates: dict[int, dict[str, Rates]] = {}

    def join(
        self,
        connection: Connection,
        room: str,
        *,
        since: tuple[str, int] | None = None,
        change: RateChange = UNCHANGED,
        re: str | None = None,
        extra: str = "",
        is_state: bool = False,
        only_whole: bool = False,
        last: int | None = None,
        sees: bool = True,
        by_wish: bool = False,
        filter: bytes | None = None,
        granted_at: int | None = None,
    ) -> tuple[str, int, str | None]:
        """Makes a connection a member of a room; see `Engine.join` for what is not described here. In a room with
        presence, other members are told.

        Args:
            connection: the new member.
            room: the name of the room.
            since: the client has all messages up to this epoch and number; None: it has none.
            change: the rates of the member; of a new member, what is unchanged has no limit.
            re: the id of the client's message, which is answered.
            extra: more fields of the answer, as JSON.
            is_state: whether a snapshot comes with the answer.
            only_whole: whether the join fails if messages after `since` are no longer kept.
            last: without `since`: so many of the messages that the room keeps come first.
            sees: whether the member is told who else is there.
            filter: which messages the member wants, as JSON; b"": all; None: as before.
            by_wish: whether the client has asked for it, so that it has to leave when its right ends.
            granted_at: `Connection._rechecks` when the right was granted; None: no right is needed.

        Raises:
            RightsChanged: `granted_at` has passed.
        """
        if granted_at is not None and granted_at != connection._rechecks:
            raise RightsChanged
        with self._lock:
            again = room in connection.rooms
            before = self._rates_of(connection, room) if again else UNLIMITED
            rates = before if change is UNCHANGED else before.changed(change)
            extra += rates.fields()
            roster: Roster | None = None
            is_present, was_blind = self._policies.of(room).presence, False
            if is_present:
                # In the form in which all members, here and at other nodes, are told it.
                info = plain(connection.info, self._max_nesting)
                check_info(info)
                name = self._id(connection)
                text = member_text(name, info)
                roster = self._rosters.get(room) or Roster(self._node.remote_members(room))
                if sees:
                    count, members = roster.list_for(name, text)
                    extra += f',"count":{count},"members":{members}'
                was_blind = not self.sees(connection, room)
                # Before the engine has the member, so that no event comes in between.
                self._set_blind(connection, room, not sees)
            try:
                position = self._engine.join(
                    connection.id, room, since, reply=connection._session is not None, re=re, extra=extra,
                    is_state=is_state, only_whole=only_whole, again=again, last=last, filter=filter,
                )  # fmt: skip
            except BaseException:
                # A member that joins again stays what it was.
                self._set_blind(connection, room, was_blind)
                raise
            # Behind the join: what comes first, and what was published before, leaves at once.
            is_refused = only_whole and position[2] is not None
            if rates != before and (again or not is_refused) and connection.state is not ConnectionState.CLOSED:
                self._set_rates(connection, room, rates)
            # Nothing is noted of a connection that has ended: it would never be removed.
            if again or connection.state is ConnectionState.CLOSED or is_refused:
                if not again:
                    self._set_blind(connection, room, False)
                return position
            connection.rooms.add(room)
            if by_wish:
                if connection._wished is None:
                    connection._wished = set()
                connection._wished.add(room)
            if roster is not None:
                self._rosters[room] = roster
                roster.come(name, info, text, is_here=True)
                self._tell(room, "member_joined", text, (connection.id,))
                self._node.member_came(room, name, info)
            # Before another thread can end the membership.
            self._node.entered(room)
        self._changed(connection, room, True)
        return position

    def configure(
        self, connection: Connection, room: str, change: RateChange, filter: bytes | None = None
    ) -> Rates | None:
        """Changes the rates and the filter of a member. Returns the rates that hold now; None: it is no member."""
        with self._lock:
            if room not in connection.rooms:
                return None
            before = self._rates_of(connection, room)
            rates = before.changed(change)
            if rates != before:
                self._set_rates(connection, room, rates)
            if filter is not None:
                self._engine.set_filter(connection.id, room, filter)
            return rates

    def leave(self, connection: Connection, room: str) -> bool:
        """Ends a membership. Returns False if there was none."""
        with self._lock:
            if room not in connection.rooms:
                return False
            connection.rooms.discard(room)
            if connection._patterns is not None:
                connection._patterns.left(room)
            self._forget_rates(connection, room)
            if connection._wished is not None:
                connection._wished.discard(room)
            self._engine.leave(connection.id, room)
            self._leave_presence(connection, room)
        self._node.left(room)
        self._changed(connection, room, False)
        return True

    def ended(self, connection: Connection) -> None:
        """Ends all memberships of a connection that has ended, also in the engine."""
        if connection._patterns is not None:
            connection._patterns.end()
        with self._lock:
            rooms, connection.rooms = connection.rooms, set()
            self._rates.pop(connection.id, None)
            if self._rosters or self._blind:
                for room in rooms:
                    self._leave_presence(connection, room)
        for room in rooms:
            self._node.left(room)
            self._changed(connection, room, False)

    def present(self, room: str) -> dict[str, Any]:
        """All members of a room with presence, on all nodes: a copy of their infos, by id."""
        with self._lock:
            roster = self._rosters.get(room)
            return self._node.remote_members(room) if roster is None else roster.infos()

    def present_here(self, room: str) -> dict[str, Any]:
        """The members of a room with presence on this node: a copy of their infos, by id."""
        with self._lock:
            roster = self._rosters.get(room)
            return {} if roster is None else roster.here()

    def listed(
        self, room: str, *, packed: bool, after: str | None = None, limit: int | None = None
    ) -> tuple[int, Page]:
        """The number of members of a room with presence, and a page of them; see `Roster.first` and `Roster.page`.

        Raises:
            ValueError: `after` is not the `next` of another page of this room.
        """
        with self._lock:
            roster = self._rosters.get(room)
            if roster is None:
                roster = Roster(self._node.remote_members(room))
            if after is None and limit is None:
                return len(roster), roster.first(packed=packed)
            return len(roster), roster.page(after, LISTED if limit is None else limit, packed=packed)

    def sees(self, connection: Connection, room: str) -> bool:
        """Whether a member may see the other members."""
        with self._lock:
            return connection.id not in self._blind.get(room, ())

    def remote_member_changed(self, room: str, id: str, info: Any, is_there: bool) -> None:
        """Tells the members here that a member at another node has come (`is_there`) or left."""
        with self._lock:
            roster = self._rosters.get(room)
            if roster is None:
                # The room has no members here. A later member gets the list from the node.
                return
            text = member_text(id, info)
            if is_there:
                roster.come(id, info, text, is_here=False)
            else:
                roster.go(id)
            self._tell(room, "member_joined" if is_there else "member_left", text, ())

    def _leave_presence(self, connection: Connection, room: str) -> None:
        roster = self._rosters.get(room)
        self._set_blind(connection, room, False)
        if roster is None:
            return
        name = self._id(connection)
        text = roster.go(name)
        if text is None:
            return
        if not roster.has_members_here:
            del self._rosters[room]
        self._tell(room, "member_left", text, (connection.id,))
        self._node.member_went(room, name)

    def _rates_of(self, connection: Connection, room: str) -> Rates:
        return self._rates.get(connection.id, {}).get(room, UNLIMITED)

    def _set_rates(self, connection: Connection, room: str, rates: Rates) -> None:
        self._engine.configure(connection.id, room, rates.max_rate, rates.max_bytes)
        self._forget_rates(connection, room)
        if rates != UNLIMITED:
            self._rates.setdefault(connection.id, {})[room] = rates

    def _forget_rates(self, connection: Connection, room: str) -> None:
        rates = self._rates.get(connection.id)
        if rates is not None:
            rates.pop(room, None)
            if not rates:
                del self._rates[connection.id]

    def _tell(self, room: str, event: str, text: str, exclude: tuple[int, ...]) -> None:
        self._engine.notify(room, event, text, [*exclude, *self._blind.get(room, ())])

    def _id(self, connection: Connection) -> str:
        return f"{self._node.tag}{connection.id:x}"

    def _set_blind(self, connection: Connection, room: str, is_blind: bool) -> None:
        if is_blind:
            self._blind.setdefault(room, set()).add(connection.id)
        elif room in self._blind:
            self._blind[room].discard(connection.id)
            if not self._blind[room]:
                del self._blind[room]


def rights_keep_changing() -> Refusal:
    """The refusal of a join during which the rights of the client have changed `RIGHTS_ATTEMPTS` times."""
    text = "the rights of this client have changed again and again, try again later"
    return Refusal("overloaded", text, retry=True, retry_after=1.0)


RIGHTS_ATTEMPTS = 10
"""Attempts to join: an `authorize` that itself changes the rights of the client must not be asked for ever."""
