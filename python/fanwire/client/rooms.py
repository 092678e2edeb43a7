"""All rooms of a client: who is joined, who has to be joined again, and to whom a message belongs. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from fanwire.client.actions import Action, Left, Reject, Resolve
from fanwire.client.codec import Envelope
from fanwire.client.errors import ClientError, ProtocolError, RequestFailed
from fanwire.client.membership import MAX_RETRIES, Membership
from fanwire.client.message import Position
from fanwire.client.questions import Question, Questions

__all__ = ["Rooms"]

RETRY = 1.0
"""Seconds before a room is joined again, where the server says "later" and not when."""
PACE = 0.02
"""Seconds between two rooms that are joined again, at least, once the server has refused one for its rate: 128, as many
as it allows unless told otherwise, take less than three."""


class Rooms:
    """Rooms by name.

    Args:
        actions: where what is to be done is added.
        questions: what the server has not answered.
        ask: sends a message of a type, about a room, with a payload; returns its id.
    """

    __slots__ = ("_actions", "_ask", "_due", "_next_retry", "_questions", "_rooms")

    def __init__(self, actions: list[Action], questions: Questions, ask: Callable[[str, str, Any], str]) -> None:
        self._actions = actions
        self._questions = questions
        self._ask = ask
        self._rooms: dict[str, Membership] = {}
        # Rooms with a deadline: few, while there may be many rooms.
        self._due: dict[str, Membership] = {}
        # When the last of those comes that were refused for the rate.
        self._next_retry = 0.0

    def __contains__(self, name: str) -> bool:
        return name in self._rooms

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def deadline(self) -> float | None:
        """When to call `tick`."""
        if not self._due:
            return None
        return min((room.deadline for room in self._due.values() if room.deadline is not None), default=None)

    def is_joined(self, name: str) -> bool:
        """Whether it is joined or being joined, and not being left."""
        room = self._rooms.get(name)
        return room is not None and not room.is_leaving

    # What the application wants.

    def join(self, name: str, since: Position | None) -> str:
        """Asks for a room; returns the id.

        Raises:
            ValueError: it is joined.
        """
        if name in self._rooms:
            raise ValueError(f"{name!r} is joined already")
        room = Membership(name, since)
        room.join_key = self._ask("join", name, _since(since))
        self._rooms[name] = room
        return room.join_key

    def leave(self, name: str) -> str:
        """Asks to leave one; returns the id.

        Raises:
            ValueError: it is not joined, or being left.
        """
        room = self._rooms.get(name)
        if room is None or room.is_leaving:
            raise ValueError(f"{name!r} is not joined")
        key = self._ask("leave", name, UNSET)
        room.is_leaving = True
        self._watch(room)
        return key

    # What the server sends.

    def message(self, name: str, envelope: Envelope, now: float) -> None:
        """A message of a room. One that was left may still have some under way."""
        room = self._rooms.get(name)
        if room is not None:
            self._actions += room.message(envelope, now)
            self._watch(room)

    def joined(self, envelope: Envelope, now: float) -> None:
        """The answer to a join, or the server has joined a room of its own accord."""
        name = _room_of(envelope)
        room = self._rooms.get(name)
        key = ""
        if envelope.re is not UNSET:
            key = envelope.re
            if room is None or room.join_key != key:
                return
        elif room is None:
            room = self._rooms[name] = Membership(name, None)
        elif room.join_key:
            # The answer to the own join is still to come, and what precedes the stream with it.
            return
        else:
            room.asks()
        self._actions += room.joined(envelope, now)
        question = self._questions.answered(key)
        if question is not None and question.kind == "join":
            self._actions.append(Resolve(key, None))
        self._watch(room)

    def left(self, envelope: Envelope) -> None:
        """The answer to a leave, or the server has ended it."""
        name = _room_of(envelope)
        if envelope.re is not UNSET:
            if self._questions.answered(envelope.re) is None:
                return
            self._actions.append(Resolve(envelope.re, None))
        self._end(name)

    def skipped(self, envelope: Envelope) -> None:
        """Messages of a room will not come."""
        room = self._rooms.get(_room_of(envelope))
        if room is not None:
            self._actions += room.skipped(envelope)
            self._watch(room)

    def member(self, envelope: Envelope) -> None:
        """Somebody came to a room, or left it."""
        room = self._rooms.get(_room_of(envelope))
        if room is not None:
            self._actions += room.member(envelope)
            self._watch(room)

    def failed(self, key: str, question: Question, error: RequestFailed, now: float) -> None:
        """A join or a leave was answered with an error."""
        room = self._rooms.get(question.room)
        if question.kind == "rejoin":
            if room is not None and room.join_key == key:
                self._rejoin_failed(room, error, now)
        elif question.kind == "leave" and error.code == "not_joined":
            self._actions.append(Resolve(key, None))
            self._end(question.room)
        else:
            if question.kind == "join":
                self._rooms.pop(question.room, None)
            elif room is not None:
                room.is_leaving = False
                self._watch(room)
            self._actions.append(Reject(key, error))

    # What happens.

    def begin_again(self) -> list[bytes | str]:
        """The server knows of no room any more. Returns first joins that were not answered, to be sent again.

        Rooms that were joined before are asked for here.
        """
        self._due.clear()
        self._next_retry = 0.0
        for key, question in self._questions:
            if question.kind == "rejoin":
                self._questions.answered(key)
            elif question.kind == "leave":
                self._questions.answered(key)
                self._actions.append(Resolve(key, None))
                self._end(question.room)
        again: list[bytes | str] = []
        for room in self._rooms.values():
            room.is_waiting = True
            if room.was_joined:
                self._rejoin(room)
            else:
                again.append(self._questions[room.join_key].frame)
        return again

    def tick(self, now: float) -> None:
        """Some time has passed."""
        for room in list(self._due.values()):
            is_wanted, actions = room.due(now)
            self._actions += actions
            if is_wanted:
                self._rejoin(room)
            self._watch(room)

    def postpone(self, now: float) -> None:
        """Nothing could come meanwhile: every grace begins anew."""
        for room in self._due.values():
            room.postpone(now)

    def end(self, error: ClientError | None) -> None:
        """Ends all of them."""
        self._actions += [Left(name, error) for name in self._rooms]
        self._rooms.clear()
        self._due.clear()

    def _rejoin(self, room: Membership) -> None:
        room.join_key = self._ask("join", room.room, _since(room.asks()))
        self._questions[room.join_key].kind = "rejoin"

    def _rejoin_failed(self, room: Membership, error: RequestFailed, now: float) -> None:
        room.join_key = ""
        after = RETRY if error.retry_after_ms is None else error.retry_after_ms / 1000
        if error.code == "rate_limited" and error.retry:
            # The rate is the client's and not the room's: were all to come again at once, all but the first would be
            # refused again, and a client that is refused too often is closed. So they queue, however long that takes.
            room.retry_at = self._next_retry = max(now, self._next_retry) + max(PACE, after)
        elif error.retry and room.retries < MAX_RETRIES:
            room.retries += 1
            room.retry_at = now + after
        else:
            self._end(room.room, error)
            return
        self._watch(room)

    def _watch(self, room: Membership) -> None:
        if room.deadline is not None:
            self._due[room.room] = room
        elif self._due:
            self._due.pop(room.room, None)

    def _end(self, name: str, error: ClientError | None = None) -> None:
        room = self._rooms.pop(name, None)
        self._due.pop(name, None)
        if room is None:
            return
        if room.join_key:
            question = self._questions.answered(room.join_key)
            if question is not None and question.kind == "join":
                self._actions.append(Reject(room.join_key, error or RequestFailed("not_joined", "left meanwhile")))
        self._actions.append(Left(name, error))


def _since(position: Position | None) -> Any:
    return UNSET if position is None else {"since": {"epoch": position.epoch, "seq": position.seq}}


def _room_of(envelope: Envelope) -> str:
    if envelope.room is UNSET:
        raise ProtocolError(f"{envelope.type} without room")
    return envelope.room
