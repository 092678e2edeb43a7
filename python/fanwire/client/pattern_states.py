"""The patterns of rooms in the machine: asked for, held, and asked for again. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, UnsetType

from fanwire.client.actions import Action, PatternEnded, RejectCall, ResolveCall
from fanwire.client.arguments import check_room
from fanwire.client.clock_offset import ClockOffset
from fanwire.client.codec import Envelope, JoinedInfo, convert
from fanwire.client.join_options import NO_WISHES, JoinWishes
from fanwire.client.membership import Membership
from fanwire.client.outgoing import Outgoing
from fanwire.client.pending_requests import PATTERN, REJOIN_PATTERN, Question, Questions
from fanwire.client.registry import Registry
from fanwire.client.rejoins import Rejoins
from fanwire.errors import FanwireError, RequestFailed, RoomEnded
from fanwire.values.checks import described

__all__ = ["PatternState", "PatternStates"]


class PatternState:
    """A pattern that the application holds or asks for.

    Attributes:
        name: the pattern.
        options: what the application wants of its rooms.
        join_key: the id of the join that is not done; None: there is none.
        came: the rooms that the server has told of since it was sent.
        lacking: the rooms that the server has joined and not told of, when it has answered; None: it has not.
        leave_key: the id of the leave that is not answered; None: there is none.
        is_held: whether the server has answered once.
        retry_at: the time to join again; None: not at all.
        retries: how many joins in a row have failed.
    """

    __slots__ = (
        "came", "is_held", "join_key", "lacking", "leave_key", "name", "options", "retries", "retry_at",
    )  # fmt: skip

    def __init__(self, name: str, options: JoinWishes) -> None:
        self.name = name
        self.options = options
        self.join_key: str | None = None
        self.came: set[str] = set()
        self.lacking: set[str] | None = None
        self.leave_key: str | None = None
        self.is_held = False
        self.retry_at: float | None = None
        self.retries = 0


class PatternStates:
    """The patterns by name.

    Args:
        actions: the list to which the actions are added.
        questions: the requests that the server has not answered.
        out: sends messages.
        registry: the rooms.
        rejoins: when to join again.
    """

    __slots__ = ("_actions", "_held", "_out", "_questions", "_registry", "_rejoins")

    def __init__(
        self, actions: list[Action], questions: Questions, out: Outgoing, registry: Registry, rejoins: Rejoins
    ) -> None:
        self._actions = actions
        self._questions = questions
        self._out = out
        self._registry = registry
        self._rejoins = rejoins
        self._held: dict[str, PatternState] = {}

    def __iter__(self) -> Iterator[PatternState]:
        return iter(list(self._held.values()))

    @property
    def deadline(self) -> float | None:
        """When to call `tick`."""
        return min((at for at, _ in self._waiting()), default=None)

    def opened(self, name: str, envelope: Envelope, clock: ClockOffset) -> Membership | None:
        """The server has joined a room of its own accord. Returns the new membership; None: it is of a pattern that the
        application does not hold any more."""
        pattern = convert(envelope, JoinedInfo).pattern
        state = None if pattern is None else self._held.get(pattern)
        if pattern is not None and state is None:
            return None
        room = Membership(name, None, clock, None, NO_WISHES if state is None else state.options)
        room.pattern = pattern
        self._registry.add(room)
        return room

    def join(self, name: str, options: JoinWishes) -> str:
        """Sends the join of a pattern; returns its id.

        Raises:
            ValueError: the pattern is held, or has no `*`.
        """
        if "*" not in check_room(name):
            raise ValueError(f"a pattern has a `*`, got {described(name)}")
        if name in self._held:
            raise ValueError(f"pattern {name!r} is joined already, or being left")
        state = self._held[name] = PatternState(name, options)
        state.join_key = self._ask(state, {}, PATTERN)
        return state.join_key

    def leave(self, name: str) -> str | None:
        """Sends a leave; returns its id. None: the pattern is not held."""
        state = self._held.get(name)
        if state is None:
            return None
        if state.leave_key is None:
            state.leave_key = self._out.ask("leave", name)
        return state.leave_key

    def stays(self, key: str) -> None:
        """The server has refused a leave, or it was not sent: the pattern is held as before."""
        for state in self:
            if state.leave_key == key:
                state.leave_key = None

    def abandon(self, name: str) -> None:
        """Leaves a pattern that no caller waits for. The application is not told."""
        if self._held.pop(name, None) is not None:
            for room in self._rooms_of(name):
                self._registry.forget(room)
            self._out.say("leave", name)

    def answered(self, key: str, question: Question, rooms: list[str]) -> None:
        """The server has joined these rooms, and no others of those that were asked for. It may tell of some of them
        later, because messages of rooms with a low priority come behind others."""
        state = self._held.get(question.room)
        if state is None or state.join_key != key:
            self._done(key)
            return
        joined = set(rooms)
        state.lacking = joined - state.came
        for room in self._rooms_of(state.name):
            membership = self._registry.get(room)
            if membership is not None and membership.is_waiting and not membership.join_key and room not in joined:
                # The server has not let the client in again.
                self._registry.end(room, RoomEnded(room, "forbidden"))
        self._look(state)

    def came(self, room: str | UnsetType) -> None:
        """The server has told of a room: that the client is in it, or is not any more."""
        for state in self:
            if state.join_key is not None and room is not UNSET:
                state.came.add(room)
                if state.lacking is not None:
                    state.lacking.discard(room)
                    self._look(state)

    def _look(self, state: PatternState) -> None:
        """Ends the join of a pattern when all of its rooms have come."""
        key = state.join_key
        if key is not None and not state.lacking:
            state.join_key = state.lacking = None
            state.came.clear()
            state.is_held = True
            state.retries = 0
            self._done(key)

    def _done(self, key: str) -> None:
        question = self._questions.answered(key)
        if question is not None and question.kind == PATTERN:
            self._actions.append(ResolveCall(key, None))

    def failed(self, key: str, question: Question, error: RequestFailed, now: float) -> None:
        """The join of a pattern was answered with an error."""
        state = self._held.get(question.room)
        if question.kind == PATTERN:
            if state is not None and state.join_key == key:
                self._end(state, None, is_told=False)
            self._actions.append(RejectCall(key, error))
        elif state is not None and state.join_key == key:
            state.join_key = None
            if not self._rejoins.later(state, error, now):
                self._end(state, RoomEnded(state.name, error.code, error.text, retry=error.retry))

    def left(self, key: str) -> None:
        """The server has answered a leave, or no caller waits for its answer."""
        for state in self:
            if state.leave_key == key:
                self._end(state, None)

    def begin_again(self) -> None:
        """The server has a new session, without memberships: joins the patterns again, with the positions of their
        rooms. To be called when the rooms have begun again."""
        for state in self:
            state.came.clear()
            state.lacking = None
            if state.leave_key is not None:
                self._end(state, None)
            elif state.is_held:
                self._join_again(state)

    def tick(self, now: float) -> None:
        """A deadline may have come."""
        for at, state in self._waiting():
            if at <= now:
                self._join_again(state)

    def end_all(self, error: FanwireError | None) -> None:
        """Ends all patterns. Their rooms have ended."""
        for state in self:
            self._actions.append(PatternEnded(state.name, error))
        self._held.clear()

    def _waiting(self) -> list[tuple[float, PatternState]]:
        """The times to join again, with their patterns. While a leave is not answered there is none: a join sent after
        it would remain in effect."""
        return [(each.retry_at, each) for each in self if each.retry_at is not None and each.leave_key is None]

    def _join_again(self, state: PatternState) -> None:
        state.retry_at = None
        if state.join_key is not None:
            self._questions.answered(state.join_key)
        rooms: dict[str, Any] = {}
        for name in self._rooms_of(state.name):
            membership = self._registry.get(name)
            since = None if membership is None else membership.asks()
            if since is not None:
                rooms[name] = {"epoch": since.epoch, "seq": since.seq}
        state.join_key = self._ask(state, {"rooms": rooms} if rooms else {}, REJOIN_PATTERN)

    def _ask(self, state: PatternState, payload: dict[str, Any], kind: str) -> str:
        if state.options.last is not None and kind == PATTERN:
            payload["last"] = state.options.last
        if state.options.repair is not None:
            payload["repair"] = state.options.repair
        state.came.clear()
        key = self._out.ask("join", state.name, payload or UNSET, is_again=kind == REJOIN_PATTERN)
        self._questions[key].kind = kind
        return key

    def _rooms_of(self, name: str) -> list[str]:
        return [room.room for room in self._registry if room.pattern == name]

    def _end(self, state: PatternState, error: FanwireError | None, *, is_told: bool = True) -> None:
        del self._held[state.name]
        if state.lacking is not None and state.join_key is not None:
            self._done(state.join_key)
        for room in self._rooms_of(state.name):
            self._registry.end(room, error)
        if is_told:
            self._actions.append(PatternEnded(state.name, error))
