"""The memberships of a client by room: adding, removing and joining again. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fanwire.client.actions import Action, Left, RejectCall
from fanwire.client.due import Due
from fanwire.client.membership import Membership
from fanwire.client.outgoing import Outgoing
from fanwire.client.pending_requests import REJOIN, Questions
from fanwire.client.reports import Reports
from fanwire.client.subscription_options import join_payload
from fanwire.errors import FanwireError, RequestFailed

__all__ = ["LEFT_MEANWHILE", "Registry"]

LEFT_MEANWHILE = "left meanwhile"


class Registry:
    """Memberships by the names of their rooms.

    Args:
        actions: the list to which the actions are added.
        questions: the requests that the server has not answered.
        out: sends messages.
        reports: what the application has taken.
    """

    __slots__ = ("_actions", "_due", "_out", "_questions", "_reports", "_rooms")

    def __init__(self, actions: list[Action], questions: Questions, out: Outgoing, reports: Reports) -> None:
        self._actions = actions
        self._questions = questions
        self._out = out
        self._reports = reports
        self._rooms: dict[str, Membership] = {}
        self._due = Due()

    def __contains__(self, name: str) -> bool:
        return name in self._rooms

    def __iter__(self) -> Iterator[Membership]:
        return iter(self._rooms.values())

    @property
    def deadline(self) -> float | None:
        """The earliest deadline of a room; None: no room has one."""
        return self._due.deadline

    @property
    def due(self) -> list[Membership]:
        """The rooms with a deadline."""
        return self._due.rooms

    def get(self, name: str) -> Membership | None:
        """Returns a room; None: it does not exist."""
        return self._rooms.get(name)

    def add(self, room: Membership) -> None:
        """A room is asked for, or the server has joined it."""
        self._rooms[room.room] = room

    def look(self, room: Membership) -> None:
        """The deadline of a room may have changed."""
        self._due.look(room)

    def begin_again(self) -> None:
        """The session is a new one: no room has a deadline."""
        self._due.clear()

    def end_all(self, error: FanwireError | None) -> None:
        """Ends all rooms."""
        self._actions += [Left(name, error) for name in self._rooms]
        self._rooms.clear()
        self._due.clear()

    def rejoin(self, room: Membership) -> None:
        """Joins a room once more, from the application's position."""
        # A member keeps its options: the answer to another `configure` may be under way.
        options = room.options if room.is_waiting else {}
        payload = join_payload(room.asks(), options, room.wishes)
        room.join_key = self._out.ask("join", room.room, payload, is_again=True)
        self._questions[room.join_key].kind = REJOIN

    def go_on(self, room: Membership) -> None:
        """A request about a room was answered: asks for missed messages, if that had to wait."""
        if room.wants_to_catch_up:
            self.rejoin(room)
        self._due.look(room)

    def end(self, name: str, error: FanwireError | None = None) -> None:
        """Removes a room, and tells the application that it has ended, with the error; None: the application wanted
        it."""
        if self.forget(name, error or RequestFailed("not_joined", LEFT_MEANWHILE)):
            self._actions.append(Left(name, error))

    def forget(self, name: str, error: FanwireError | None = None) -> bool:
        """Removes a room, and fails a first join that waits with the error. Returns False if the room does not
        exist."""
        room = self._rooms.pop(name, None)
        self._due.drop(name)
        self._reports.left(name)
        if room is None:
            return False
        if room.join_key:
            question = self._questions.answered(room.join_key)
            if question is not None and question.kind == "join" and error is not None:
                self._actions.append(RejectCall(room.join_key, error))
        return True
