"""Who is in which room, as sessions and applications see it. May be used from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fanwire.connection import Connection
from fanwire.encoding import document, plain
from fanwire.fabric import Fabric
from fanwire.policy import Policies
from fanwire.state import State

__all__ = ["Memberships"]


class Memberships:
    """Joins and leaves, with presence in the rooms that have it.

    Args:
        fabric: is told which rooms have members here; has the engine where the memberships are.
        policies: of the rooms.
        changed: called after a connection has joined (True) or left (False) a room.
    """

    def __init__(
        self, fabric: Fabric, policies: Policies, changed: Callable[[Connection, str, bool], None]
    ) -> None:  # fmt: skip
        self._fabric = fabric
        self._engine = fabric.engine
        self._policies = policies
        self._changed = changed
        # A list of members and the events that follow it must fit together, so all that is one step.
        self._lock = threading.RLock()
        self._present: dict[str, dict[int, Any]] = {}
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
            is_present = self._policies.of(room).presence
            if is_present:
                # As every member here and elsewhere is told it.
                info = plain(connection.info)
                if sees:
                    members = {**self.present(room), self._id(connection): info}
                    extra += f',"count":{len(members)},"members":{_dump(members)}'
                # Before the engine knows the member: no event may come in between.
                self._set_blind(connection, room, not sees)
            try:
                position = self._engine.join(
                    connection.id, room, since, reply=connection.session is not None, re=re, extra=extra,
                    is_state=is_state, only_whole=only_whole, again=again,
                )  # fmt: skip
            except BaseException:
                self._set_blind(connection, room, False)
                raise
            # Of one that has ended nothing is noted: nobody would ever take it back.
            if again or connection.state is State.CLOSED or (only_whole and position[2] is not None):
                if not again:
                    self._set_blind(connection, room, False)
                return position
            connection.rooms.add(room)
            if by_wish:
                if connection.wished is None:
                    connection.wished = set()
                connection.wished.add(room)
            if is_present:
                self._present.setdefault(room, {})[connection.id] = info
                self._notify(room, "member_joined", connection, info)
        self._fabric.entered(room)
        self._changed(connection, room, True)
        return position

    def leave(self, connection: Connection, room: str) -> bool:
        """Ends a membership; false if there was none."""
        with self._lock:
            if room not in connection.rooms:
                return False
            connection.rooms.discard(room)
            if connection.wished is not None:
                connection.wished.discard(room)
            self._engine.leave(connection.id, room)
            self._leave_presence(connection, room)
        self._fabric.left(room)
        self._changed(connection, room, False)
        return True

    def ended(self, connection: Connection) -> None:
        """A connection has ended, and the engine knows."""
        with self._lock:
            rooms, connection.rooms = connection.rooms, set()
            for room in rooms:
                self._leave_presence(connection, room)
        for room in rooms:
            self._fabric.left(room)
            self._changed(connection, room, False)

    def present(self, room: str) -> dict[str, Any]:
        """The members of a room with presence, on all nodes: what is told of each, by id."""
        with self._lock:
            return {**self.present_here(room), **self._fabric.members_afar(room)}

    def present_here(self, room: str) -> dict[str, Any]:
        """Those on this node."""
        with self._lock:
            tag = self._fabric.tag
            return {f"{tag}{conn_id:x}": info for conn_id, info in self._present.get(room, {}).items()}

    def sees(self, connection: Connection, room: str) -> bool:
        """Whether a member is told who else is there."""
        with self._lock:
            return connection.id not in self._blind.get(room, ())

    def changed_afar(self, room: str, id: str, info: Any, is_there: bool) -> None:
        """Somebody has come to a room elsewhere, or has left it: the members here hear of it."""
        with self._lock:
            self._tell(room, "member_joined" if is_there else "member_left", member(id, info), ())

    def _leave_presence(self, connection: Connection, room: str) -> None:
        members = self._present.get(room)
        self._set_blind(connection, room, False)
        info = self if members is None else members.pop(connection.id, self)
        if info is self:
            return
        if not members:
            del self._present[room]
        self._notify(room, "member_left", connection, info)

    def _notify(self, room: str, event: str, connection: Connection, info: Any) -> None:
        name = self._id(connection)
        self._tell(room, event, member(name, info), (connection.id,))
        if event == "member_joined":
            self._fabric.member_came(room, name, info)
        else:
            self._fabric.member_went(room, name)

    def _tell(self, room: str, event: str, about: dict[str, Any], exclude: tuple[int, ...]) -> None:
        self._engine.notify(room, event, document(about).decode(), [*exclude, *self._blind.get(room, ())])

    def _id(self, connection: Connection) -> str:
        return f"{self._fabric.tag}{connection.id:x}"

    def _set_blind(self, connection: Connection, room: str, is_blind: bool) -> None:
        if is_blind:
            self._blind.setdefault(room, set()).add(connection.id)
        elif room in self._blind:
            self._blind[room].discard(connection.id)
            if not self._blind[room]:
                del self._blind[room]


def member(id: str, info: Any) -> dict[str, Any]:
    """What a room is told of a member."""
    return {"id": id, "info": info}


def _dump(members: dict[str, Any]) -> str:
    return document([member(*item) for item in list(members.items())[:LISTED]]).decode()


LISTED = 1000
"""Members in a list; in larger rooms the count is what matters."""
