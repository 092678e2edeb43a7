"""All rooms of a client: what follows from each call and each message about a room. Pure."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec import UNSET

from fanwire.client.actions import Action, Deliver, RejectCall, ResolveCall
from fanwire.client.arguments import check_room
from fanwire.client.clock_offset import ClockOffset
from fanwire.client.codec import Envelope, LeftInfo, RatesInfo, convert
from fanwire.client.fields import room_of
from fanwire.client.join_options import NO_WISHES, JoinWishes
from fanwire.client.membership import Membership
from fanwire.client.message import Position
from fanwire.client.outgoing import Outgoing
from fanwire.client.pattern_states import PatternStates
from fanwire.client.pending_requests import REJOIN, REJOIN_PATTERN, Question, Questions
from fanwire.client.registry import LEFT_MEANWHILE, Registry
from fanwire.client.rejoins import PASSING, Rejoins
from fanwire.client.reports import Reports
from fanwire.client.sent_inputs import SentInputs
from fanwire.client.session import ClientSession
from fanwire.client.subscription_options import join_payload
from fanwire.errors import FanwireError, RequestFailed, RoomEnded

__all__ = ["Rooms"]


class Rooms:
    """All rooms of a client, by name.

    Args:
        actions: the list to which the actions are added.
        questions: the requests that the server has not answered.
        session: has the client's own messages under way.
        out: sends messages.
        random: the source of random numbers.
        clock: the server's clock.
        reports: what the application has taken.

    Attributes:
        patterns: the patterns of rooms.
        inputs: what the application has sent to the rooms.
    """

    __slots__ = (
        "_actions", "_clock", "_out", "_questions", "_registry", "_rejoins", "_reports", "_session",
        "inputs", "patterns",
    )  # fmt: skip

    def __init__(
        self,
        actions: list[Action],
        questions: Questions,
        session: ClientSession,
        out: Outgoing,
        random: Random,
        clock: ClockOffset,
        reports: Reports,
    ) -> None:
        self._actions = actions
        self._questions = questions
        self._session = session
        self._out = out
        self._rejoins = Rejoins(random)
        self._clock = clock
        self._reports = reports
        self._registry = Registry(actions, questions, out, reports)
        self.inputs = SentInputs(out, self._registry)
        self.patterns = PatternStates(actions, questions, out, self._registry, self._rejoins)

    def __contains__(self, name: str) -> bool:
        return name in self._registry

    @property
    def deadline(self) -> float | None:
        """When to call `tick`."""
        first, other = self._registry.deadline, self.patterns.deadline
        return first if other is None or (first is not None and first < other) else other

    def is_leaving(self, name: str) -> bool:
        """Whether the application has left the room, and the server has not answered."""
        room = self._registry.get(name)
        return room is not None and room.is_leaving

    def is_joined(self, name: str) -> bool:
        """Whether the room is joined or being joined, and not being left."""
        room = self._registry.get(name)
        return room is not None and not room.is_leaving

    # What the application wants.

    def join(
        self,
        name: str,
        since: Position | None,
        options: dict[str, Any] | None = None,
        wishes: JoinWishes = NO_WISHES,
        *,
        is_new: bool = False,
    ) -> str:
        """Sends a join; returns its id. If the room is being left, nothing more is told about the old membership, not
        even its end.

        Args:
            name: the name of the room.
            since: the position to continue from.
            options: what the client gets of the room.
            is_new: whether a room that is joined already begins again.
            wishes: what else the application wants.

        Raises:
            ValueError: the room is joined.
        """
        if self.is_joined(name) and not is_new:
            raise ValueError(f"room {name!r} is joined already")
        room = Membership(name, since, self._clock, options, wishes)
        payload = join_payload(since, room.options, wishes, is_first=True)
        room.join_key = self._out.ask("join", check_room(name), payload)
        self._registry.forget(name, RequestFailed("not_joined", LEFT_MEANWHILE))
        self._registry.add(room)
        return room.join_key

    def leave(self, name: str) -> str | None:
        """Sends a leave; returns its id. None: the room is not joined. A room that is being left returns the id of the
        first leave."""
        room = self._registry.get(check_room(name))
        if room is None:
            return None
        if not room.is_leaving:
            room.leave_key = self._out.ask("leave", name)
            self._registry.look(room)
        return room.leave_key

    def configure(self, name: str, options: dict[str, Any]) -> str:
        """Sends a change of the options; returns its id."""
        return self._out.ask("configure", check_room(name), options)

    def configured(self, key: str, name: str, envelope: Envelope) -> None:
        """The answer to a `configure`: what holds now."""
        info = convert(envelope, RatesInfo)
        room = self._registry.get(name)
        if room is not None:
            self._actions.append(room.configured(info))
            self._registry.go_on(room)
        self._actions.append(ResolveCall(key, None))

    def withdraw(self, key: str, question: Question) -> None:
        """Takes a join or a leave back, since no caller waits for its answer any more."""
        self._questions.answered(key)
        is_unsent = self._session.withdraw(question.frame)
        (self.patterns.stays if is_unsent else self.patterns.left)(key)
        room = self._registry.get(question.room)
        if room is not None and room.join_key == key:
            self._registry.forget(question.room)
            if not is_unsent:
                self._out.say("leave", question.room)
        elif room is not None and room.leave_key == key:
            if is_unsent:
                room.leave_key = None
                self._registry.go_on(room)
            else:
                self._registry.end(question.room)

    def fall_behind(self, name: str) -> None:
        """The application's queue for a reliable room is full: new messages are not kept."""
        room = self._registry.get(name)
        if room is not None:
            room.fall_behind()
            self._registry.look(room)

    def catch_up(self, name: str) -> None:
        """The application's queue has space again: asks for the missed messages or values."""
        room = self._registry.get(name)
        if room is not None:
            room.has_place()
            self._registry.go_on(room)

    def refresh(self, name: str, now: float) -> bool:
        """The newest values of a room have waited for the application for too long: asks for them again. Returns
        whether they come again; then drop those that wait."""
        room = self._registry.get(name)
        if room is None:
            return False
        is_coming, is_wanted = room.refreshes(now)
        if is_wanted:
            self._registry.rejoin(room)
            self._registry.look(room)
        return is_coming

    def abandon(self, name: str) -> None:
        """Leaves a joined room that no caller has taken. The application is not told."""
        if name in self._registry:
            self._registry.forget(name)
            self._out.say("leave", name)

    # What the server sends.

    def message(self, name: str, envelope: Envelope, now: float) -> None:
        """Handles a message of a room. Messages of a room that was left may still be under way."""
        room = self._registry.get(name)
        if room is not None:
            self._came(room, room.message(envelope, now), now)

    def unreadable(self, name: str, envelope: Envelope, now: float) -> None:
        """A message of a room whose payload cannot be read."""
        room = self._registry.get(name)
        if room is not None:
            self._came(room, room.unreadable(envelope, now), now)

    def not_joined(self, envelope: Envelope, error: RequestFailed) -> None:
        """The server has joined a room for the client, and its payload cannot be decoded: the room ends with an
        error."""
        name = room_of(envelope)
        room = self._registry.get(name)
        # Without `re` the server has joined by itself; an answer that is still to come overrules it.
        if room is None or room.join_key != (None if envelope.re is UNSET else envelope.re):
            return
        if not room.is_leaving:
            self._out.say("leave", name)
        if room.was_joined:
            self._registry.end(name, RoomEnded(name, error.code, error.text))
        else:
            self._registry.forget(name, error)

    def joined(self, envelope: Envelope, now: float) -> None:
        """The answer to a join, or the server has joined a room of its own accord."""
        name = room_of(envelope)
        room = self._registry.get(name)
        key: str | None = None
        if envelope.re is not UNSET:
            key = envelope.re
            if room is None or room.join_key != key:
                return
        elif room is None:
            room = self.patterns.opened(name, envelope, self._clock)
            if room is None:
                return
        elif room.join_key:
            # The answer to the client's own join is still to come, with the messages before the stream.
            room.offered(envelope)
            return
        else:
            room.asks()
        self._actions += room.joined(envelope, now)
        if key is not None:
            question = self._questions.answered(key)
            if question is not None and question.kind == "join":
                self._actions.append(ResolveCall(key, None))
        self._registry.go_on(room)

    def left(self, envelope: Envelope, now: float) -> None:
        """The answer to a leave, or the server has ended it."""
        name = room_of(envelope)
        room = self._registry.get(name)
        if envelope.re is not UNSET:
            if self._questions.answered(envelope.re) is not None:
                self._actions.append(ResolveCall(envelope.re, None))
            if room is not None and room.leave_key == envelope.re:
                self._registry.end(name)
            self.patterns.left(envelope.re)
        elif room is not None and not (room.is_waiting and room.join_key):
            # Otherwise it belongs to an earlier membership.
            info = convert(envelope, LeftInfo)
            if info.reason in PASSING and room.was_joined and not room.leave_key:
                # The server could not find out whether the client may still be there.
                room.begin_again()
                self._reports.left(name)
                room.join_key = None
                self._rejoins.soon(room, now)
                self._registry.look(room)
            else:
                self._registry.end(name, RoomEnded(name, info.reason, info.text))

    def skipped(self, envelope: Envelope) -> None:
        """The server reports messages of a room that it does not deliver."""
        room = self._registry.get(room_of(envelope))
        if room is not None:
            self._actions += room.skipped(envelope)
            self._registry.go_on(room)
            self._registry.look(room)

    def member(self, envelope: Envelope) -> None:
        """A member joined a room, or left it."""
        room = self._registry.get(room_of(envelope))
        if room is not None:
            self._actions += room.member(envelope)
            self._registry.look(room)

    def failed(self, key: str, question: Question, error: RequestFailed, now: float) -> None:
        """A join or a leave was answered with an error."""
        room = self._registry.get(question.room)
        if question.kind == REJOIN:
            if room is not None and room.join_key == key:
                self._rejoin_failed(room, error, now)
        elif question.kind == "leave":
            is_current = room is not None and room.leave_key == key
            if error.code == "not_joined":
                self._actions.append(ResolveCall(key, None))
                self.patterns.left(key)
                if is_current:
                    self._registry.end(question.room)
                return
            if room is not None and is_current:
                room.leave_key = None
                self._registry.go_on(room)
            self.patterns.stays(key)
            self._actions.append(RejectCall(key, error))
        elif room is not None and room.join_key == key:
            offer = room.take_offer(now)
            if offer is None:
                self._registry.forget(question.room)
                self._actions.append(RejectCall(key, error))
            else:
                self._actions += [*offer, ResolveCall(key, None)]
                self._registry.look(room)
        else:
            self._actions.append(RejectCall(key, error))

    # Events.

    def begin_again(self) -> list[bytes | str]:
        """The server has no memberships any more. Returns the first joins that were not answered, to send them again.

        Rooms that were joined before are joined again here.
        """
        self._registry.begin_again()
        self._rejoins.begin_again()
        for key, question in self._questions:
            if question.kind in (REJOIN, REJOIN_PATTERN):
                self._questions.answered(key)
            elif question.kind == "leave":
                self._questions.answered(key)
                self._actions.append(ResolveCall(key, None))
                if (left := self._registry.get(question.room)) is not None and left.leave_key == key:
                    self._registry.end(question.room)
        again: list[bytes | str] = []
        for room in self._registry:
            room.begin_again()
            if room.pattern is not None:
                # It is joined again with its pattern.
                room.join_key = room.retry_at = None
            elif room.was_joined:
                self._registry.rejoin(room)
            elif room.join_key is not None:
                again.append(self._questions[room.join_key].frame)
        self.patterns.begin_again()
        return again

    def tick(self, now: float) -> None:
        """A deadline may have come."""
        for room in self._registry.due:
            is_wanted, actions = room.due(now)
            self._actions += actions
            if is_wanted:
                self._registry.rejoin(room)
            self._registry.look(room)
        self.patterns.tick(now)

    def postpone(self, now: float) -> None:
        """Nothing could come meanwhile: every grace period begins again."""
        for room in self._registry.due:
            room.postpone(now)

    def end(self, error: FanwireError | None) -> None:
        """Ends all rooms."""
        self._registry.end_all(error)
        self.patterns.end_all(error)

    def _came(self, room: Membership, actions: list[Action], now: float) -> None:
        """Does what follows from a message."""
        self._actions += actions
        if not (actions and isinstance(actions[-1], Deliver)):
            # It reaches no queue, so it counts as taken at once: otherwise the server would wait.
            session = self._session
            if self._reports.passed(room.room, session.total, session.size):
                self._out.tell(now, room.room)
        if room.lacks_value:
            self._registry.go_on(room)
        self._registry.look(room)

    def _rejoin_failed(self, room: Membership, error: RequestFailed, now: float) -> None:
        room.join_key = None
        offer = room.take_offer(now)
        if offer is not None:
            self._actions += offer
        elif self._rejoins.later(room, error, now):
            pass
        elif room.is_waiting:
            self._registry.end(room.room, RoomEnded(room.room, error.code, error.text, retry=error.retry))
            return
        else:
            # The failed join asked only for missing messages; the stream itself goes on.
            room.retries = 0
            self._actions += room.give_up()
        self._registry.go_on(room)
