"""Who is in which room, as sessions and applications see it. May be used from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fanwire.connection import Connection
from fanwire.rooms.node import Fabric
from fanwire.rooms.roster import LISTED, Page, Roster, check_info, member_text
from fanwire.rooms.rules import Policies
from fanwire.state import ConnectionState
from fanwire.values.encoding import plain

__all__ = ["Memberships"]


class Memberships:
    """Joins and leaves, with presence in the rooms that have it.

    Args:
        fabric: is told which rooms have members here; has the engine where the memberships are.
        policies: of the rooms.
        max_nesting: levels that a `Connection.info` may have.
        changed: called after a connection has joined (True) or left (False) a room.
    """

    def __init__(
        self,
        fabric: Fabric,
        policies: Policies,
        max_nesting: int,
        changed: Callable[[Connection, str, bool], None],
    ) -> None:
        self._fabric = fabric
        self._max_nesting = max_nesting
        self._engine = fabric.engine
        self._policies = policies
        self._changed = changed
        # A list of members and the events that follow it must fit together, so all that is one step.
        self._lock = threading.RLock()
        # Of rooms with presence that have members here.
        self._rosters: dict[str, Roster] = {}
        # Members that are not told who else is there.
        self._blind: dict[str, set[int]] = {}

    def join(
        self,
        connection: Connection,
        room: str,
        *,
        since: tuple[str, int] | None = None,
        re: str | None = None,
        extra: str = "",
        is_state: bool = False,
        only_whole: bool = False,
        sees: bool = True,
        by_wish: bool = False,
    ) -> tuple[str, int, str | None]:
        """Makes a connection a member; see `Engine.join`. Members of rooms with presence hear of it, and one that
        `sees` is told who is there. `by_wish`: it has asked for it itself, and has to leave when its right ends."""
        with self._lock:
            again = room in connection.rooms
            roster: Roster | None = None
            is_present = self._policies.of(room).presence
            if is_present:
                # As every member here and elsewhere is told it.
                info = plain(connection.info, self._max_nesting)
                check_info(info)
                name = self._id(connection)
                text = member_text(name, info)
                roster = self._rosters.get(room) or Roster(self._fabric.members_afar(room))
                if sees:
                    count, members = roster.list_for(name, text)
                    extra += f',"count":{count},"members":{members}'
                # Before the engine knows the member: no event may come in between.
                self._set_blind(connection, room, not sees)
            try:
                position = self._engine.join(
                    connection.id, room, since, reply=connection._session is not None, re=re, extra=extra,
                    is_state=is_state, only_whole=only_whole, again=again,
                )  # fmt: skip
            except BaseException:
                self._set_blind(connection, room, False)
                raise
            # Of one that has ended nothing is noted: nobody would ever take it back.
            if again or connection.state is ConnectionState.CLOSED or (only_whole and position[2] is not None):
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
                self._fabric.member_came(room, name, info)
        self._fabric.entered(room)
        self._changed(connection, room, True)
        return position

    def leave(self, connection: Connection, room: str) -> bool:
        """Ends a membership; false if there was none."""
        with self._lock:
            if room not in connection.rooms:
                return False
            connection.rooms.discard(room)
            if connection._wished is not None:
                connection._wished.discard(room)
            self._engine.leave(connection.id, room)
            self._leave_presence(connection, room)
        self._fabric.left(room)
        self._changed(connection, room, False)
        return True

    def ended(self, connection: Connection) -> None:
        """A connection has ended, and the engine knows."""
        with self._lock:
            rooms, connection.rooms = connection.rooms, set()
            if self._rosters or self._blind:
                for room in rooms:
                    self._leave_presence(connection, room)
        for room in rooms:
            self._fabric.left(room)
            self._changed(connection, room, False)

    def present(self, room: str) -> dict[str, Any]:
        """The members of a room with presence, on all nodes: what is told of each, by id. All of them, in a copy."""
        with self._lock:
            roster = self._rosters.get(room)
            return self._fabric.members_afar(room) if roster is None else roster.infos()

    def present_here(self, room: str) -> dict[str, Any]:
        """Those on this node."""
        with self._lock:
            roster = self._rosters.get(room)
            return {} if roster is None else roster.here()

    def listed(
        self, room: str, *, packed: bool, after: str | None = None, limit: int | None = None
    ) -> tuple[int, Page]:
        """How many members a room with presence has, and some of them; see `Roster.first` and `Roster.page`.

        Raises:
            ValueError: the page does not follow another of this room.
        """
        with self._lock:
            roster = self._rosters.get(room)
            if roster is None:
                roster = Roster(self._fabric.members_afar(room))
            if after is None and limit is None:
                return len(roster), roster.first(packed=packed)
            return len(roster), roster.page(after, LISTED if limit is None else limit, packed=packed)

    def sees(self, connection: Connection, room: str) -> bool:
        """Whether a member is told who else is there."""
        with self._lock:
            return connection.id not in self._blind.get(room, ())

    def changed_afar(self, room: str, id: str, info: Any, is_there: bool) -> None:
        """Somebody has come to a room elsewhere, or has left it: the members here hear of it."""
        with self._lock:
            roster = self._rosters.get(room)
            if roster is None:
                # Nobody is here who could hear it. Who comes asks the fabric.
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
        self._fabric.member_went(room, name)

    def _tell(self, room: str, event: str, text: str, exclude: tuple[int, ...]) -> None:
        self._engine.notify(room, event, text, [*exclude, *self._blind.get(room, ())])

    def _id(self, connection: Connection) -> str:
        return f"{self._fabric.tag}{connection.id:x}"

    def _set_blind(self, connection: Connection, room: str, is_blind: bool) -> None:
        if is_blind:
            self._blind.setdefault(room, set()).add(connection.id)
        elif room in self._blind:
            self._blind[room].discard(connection.id)
            if not self._blind[room]:
                del self._blind[room]
