"""One room in the machine: its position, and what follows from each message about it. Pure.

It decides what the application gets. The machine writes the frames.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from fanwire.client.actions import Action, CaughtUp, Configured, Deliver, GapFound, Joined, MemberChanged, Told
from fanwire.client.clock_offset import ClockOffset
from fanwire.client.codec import Envelope, JoinedInfo, MemberInfo, RatesInfo, SkippedInfo, convert
from fanwire.client.fields import message_of, prev_of, seq_of
from fanwire.client.join_options import NO_WISHES, JoinWishes
from fanwire.client.message import Gap, Member, Position, Skipped, joint
from fanwire.client.positions import Positions
from fanwire.client.room_inputs import RoomInputs
from fanwire.client.values import DeltaOutcome, RoomValues
from fanwire.protocol.table import KEYED

__all__ = ["MAX_RETRIES", "RELIABLE", "STALE", "Membership"]

RELIABLE = "reliable"
"""The class of which nothing is dropped. A class that this client does not know is taken for one that drops."""
MAX_RETRIES = 10
"""Times that a room is joined again when the server answers "later", until it ends with that error: two to three
minutes in all."""
DROPPED = ("oldest", "newest", "budget")
"""Why the server has dropped messages of a room of latest values, without newer ones in their places."""
STALE = 1.0
"""Seconds that a newest value may wait in the client until it is asked for anew, and at least as many between two times
that a room is joined for that."""
MAX_OFFERED = 1024
"""Messages kept of a room that the server has joined of its own accord, until the own join is answered: rarely more
than come in one round trip."""


class Membership:
    """A room that the application has joined or is joining.

    Args:
        room: the name of the room.
        since: the application's position; None: it wants only new messages.
        clock: the server's clock.
        options: what the client gets of the room, see `subscription_options`.
        wishes: what else the application wants of its joins.

    Attributes:
        wishes: the argument.
        pattern: the pattern because of which the server has joined it; None: there is none.
        is_behind: whether the application's queue is full. New messages are then not kept, and the position stays.
        join_key: the id of the join that is not answered; None: there is none.
        leave_key: the id of the leave that is not answered; None: there is none.
        is_waiting: whether the stream has not begun in this session.
        options: what the application has asked for or, once the server has answered, what holds.
        retry_at: the time to join again; None: not at all.
        retries: how many joins in a row have failed.
        lacks_value: whether newest values are not here: that of a delta, of another filter, or of a full queue.
        inputs: what the application has sent; None: nothing.
    """

    __slots__ = (
        "_asked", "_clock", "_gap", "_has_place", "_is_broken", "_is_catching_up", "_is_latest", "_is_refreshing",
        "_is_reliable", "_joined_at", "_offered", "_positions", "_values", "inputs", "is_behind", "is_waiting",
        "join_key", "lacks_value", "leave_key", "options", "pattern", "retries", "retry_at", "room", "wishes",
    )  # fmt: skip

    def __init__(
        self,
        room: str,
        since: Position | None,
        clock: ClockOffset,
        options: dict[str, Any] | None = None,
        wishes: JoinWishes = NO_WISHES,
    ) -> None:
        self.room = room
        self.options = options or {}
        self.wishes = wishes
        self.pattern: str | None = None
        self._clock = clock
        self.inputs: RoomInputs | None = None
        self.is_behind = False
        # While it is behind: whether the queue has space for the missed messages, and whether they were asked for.
        self._has_place = self._is_catching_up = False
        # Whether asking has failed, and nothing has come since.
        self._is_broken = False
        self.join_key: str | None = None
        self.leave_key: str | None = None
        self.is_waiting = True
        self.retry_at: float | None = None
        self.retries = 0
        self._asked = since
        self._positions: Positions | None = None
        self._is_reliable = True
        self._is_latest = False
        # Whether newest values were dropped that come again only with the answer to the next join.
        self._is_refreshing = False
        self._joined_at = 0.0
        self._gap: Gap | None = None
        # The newest values, if messages of the room may be deltas to them.
        self._values: RoomValues | None = None
        self.lacks_value = False
        # A `joined` that the server sent by itself, and the messages after it, until the client's own join is answered.
        self._offered: list[Envelope] = []

    @property
    def is_leaving(self) -> bool:
        """Whether the application has left the room."""
        return self.leave_key is not None

    @property
    def position(self) -> Position | None:
        """The application's position; None: it has none yet."""
        return self._asked if self._positions is None else self._positions.since

    @property
    def was_joined(self) -> bool:
        """Whether the stream has begun in this session or an earlier one."""
        return self._positions is not None

    @property
    def deadline(self) -> float | None:
        """The time at which to call `due`."""
        if self.is_leaving:
            # A join sent after the leave would remain in effect.
            return None
        if self.retry_at is not None:
            return self.retry_at
        # While a request is not answered, nothing is asked or given up.
        return None if self._positions is None or self.join_key or self.is_behind else self._positions.deadline

    @property
    def wants_to_catch_up(self) -> bool:
        """Whether to ask for missed messages or values now. Unanswered requests and planned attempts come first."""
        is_wanted = self._has_place or self.lacks_value
        return is_wanted and not self.join_key and not self.is_leaving and self.retry_at is None

    def fall_behind(self) -> None:
        """The application's queue is full."""
        if not self.is_behind and self._positions is not None:
            self.is_behind = True
            self._has_place = self._is_catching_up = False

    def has_place(self) -> None:
        """The application's queue has space again."""
        self._has_place = self.is_behind
        # A queue of newest values has dropped some.
        self.lacks_value |= self._is_latest and not self.is_waiting

    def refreshes(self, now: float) -> tuple[bool, bool]:
        """The newest values have waited for the application for too long. Returns whether they may be dropped, because
        they come again, and whether to join again for that."""
        if not self._is_latest or self.is_leaving or self._positions is None:
            return False, False
        is_asked = self.join_key is not None or self.retry_at is not None
        if not is_asked and now < self._joined_at + STALE:
            return False, False
        self._is_refreshing = True
        return True, not is_asked

    def asks(self) -> Position | None:
        """The room is joined again. Returns the `since` of the join."""
        self.retry_at = None
        self.lacks_value = False
        self._offered.clear()
        self._is_catching_up = self._has_place
        if self.is_behind and not self._has_place:
            # This join keeps the membership only: the queue has no space for the missed messages yet.
            self._asked = None
            return None
        # Newest values come out of order, so the highest number says nothing about lower ones: all are asked for.
        self._asked = None if self._is_latest else self.position
        return self._asked

    def joined(self, envelope: Envelope, now: float) -> list[Action]:
        """The server has joined it."""
        info = convert(envelope, JoinedInfo)
        seq = seq_of(envelope)
        self._joined_at = now
        gap: Gap | None = None
        upto = 0
        was_behind = self.is_behind
        if was_behind and not self._is_catching_up and self._positions is not None:
            if info.delivery == RELIABLE:
                # It is a member again, or still. Its stream goes on later, from where it was.
                return [self._begun(info, self._positions.since, UNSET, 0)]
            self._asked = self._positions.since
        self.is_behind = self._has_place = self._is_catching_up = self._is_broken = False
        if info.recovered and self._asked is None and info.after is not UNSET and info.after >= 0:
            # It begins with messages that the room has kept, or with its first ones.
            self._asked = Position(info.epoch, info.after)
        if info.recovered and self._asked is not None and info.epoch == self._asked.epoch:
            if self._positions is not None and self._positions.continues(
                info.epoch, info.delivery == RELIABLE and not info.filtered
            ):
                self._positions.asked(now, seq)
            else:
                self._positions = self._begin(info, self._asked.seq)
                self._positions.asked(now, seq)
            upto = seq
        else:
            before = self._positions
            if before is None and self._asked is None and info.after is not UNSET and info.reason:
                # A new room has had more messages than it could keep for its members.
                self._asked = Position(info.epoch, max(0, info.after))
            if before is not None and (before.epoch != info.epoch or (self._is_latest and self.is_waiting)):
                # The numbering has begun anew, or values may have been forgotten while we were not there.
                self._asked = before.since
            if self._asked is not None:
                is_same = info.epoch == self._asked.epoch
                reason = "slow" if was_behind and is_same else info.reason or ("history" if is_same else "epoch")
                snapshot = None if info.snapshot is UNSET else info.snapshot
                gap = Gap(reason, self._asked.seq, seq, snapshot)
            self._positions = self._begin(info, seq)
        if info.delivery not in KEYED and self._asked == Position(info.epoch, seq):
            # Nothing was missed. (Newest values are told anew, since keys may have been forgotten.)
            gap = info.repair = None
        if info.delivery not in KEYED and not info.recovered and info.snapshot is UNSET:
            # Nothing has come in place of what was missed. (Newest values come behind this answer.)
            info.repair = None
        actions: list[Action] = [CaughtUp(self.room)] if was_behind else []
        actions.append(self._begun(info, self._positions.since, info.snapshot, upto))
        return actions if gap is None else actions + self._missed(gap)

    def _begun(self, info: JoinedInfo, position: Position, snapshot: Any, upto: int) -> Action:
        self.join_key = None
        self.is_waiting = False
        self.retries = 0
        self._is_refreshing = self.lacks_value = False
        if not info.delta:
            self._values = None
        elif self._values is None:
            self._values = RoomValues()
        self._offered.clear()
        self.options |= {"max_rate": info.max_rate, "max_bytes": info.max_bytes}
        members = None if info.members is UNSET else {member.id: member.info for member in info.members}
        # A server that counts fewer than it lists is wrong; a server that gives no count has listed all members.
        least = None if members is None else len(members)
        count = least if least is None or info.count is UNSET else max(info.count, least)
        return Joined(
            self.room, position.epoch, position.seq, info.delivery, snapshot, members, count, upto,
            info.last if upto else 0, info.repair, self.pattern,
            info.max_rate, info.max_bytes, self.options.get("filter"), info.filtered,
        )  # fmt: skip

    def configured(self, info: RatesInfo) -> Action:
        """The server has changed the options as the client has asked."""
        self.options |= {"max_rate": info.max_rate, "max_bytes": info.max_bytes}
        if info.filter is not UNSET:
            self.options["filter"] = info.filter
            # The newest values that match it are not here.
            self.lacks_value |= self._is_latest
        return Configured(self.room, info.max_rate, info.max_bytes, self.options.get("filter"))

    def begin_again(self) -> None:
        """The session is a new one: the server has no membership."""
        self.is_waiting = True
        self._values = None
        self.retries = 0
        self._offered.clear()
        if self.pattern is not None:
            # It is joined with its pattern, which has none.
            self.options = {}
        if self.inputs is not None:
            self.inputs.begin_again()

    def offered(self, envelope: Envelope) -> None:
        """The server has joined the room for the client while the client's own join is not answered."""
        self._offered = [envelope]

    def take_offer(self, now: float) -> list[Action] | None:
        """The client's own join was refused. Returns what the server had joined by itself; None: nothing."""
        if not self._offered:
            return None
        joined, *messages = self._offered
        actions = self.joined(joined, now)
        for message in messages:
            actions += self.message(message, now)
        return actions

    def message(self, envelope: Envelope, now: float) -> list[Action]:
        """A message has come."""
        seq = seq_of(envelope)
        if self.is_waiting and 0 < len(self._offered) <= MAX_OFFERED:
            # Messages over the limit are noticed as missing when the next one comes.
            self._offered.append(envelope)
        if self._positions is None or self.is_waiting or self.is_behind:
            return []
        found = DeltaOutcome.WHOLE if self._values is None else self._values.take(envelope, seq)
        if found is DeltaOutcome.UNREADABLE:
            return self._not_read(envelope, seq, now)
        if found is DeltaOutcome.MISSING:
            return self._lacks_value(envelope, seq, now)
        prev = prev_of(envelope)
        actions = self._goes_on(seq if prev is None else prev + 1) if self._is_broken else []
        if self._positions.arrived(seq, now, prev):
            gap, self._gap = self._gap, None
            actions.append(Deliver(message_of(envelope, seq, gap, self._clock)))
        return actions

    def unreadable(self, envelope: Envelope, now: float) -> list[Action]:
        """A message has come whose payload cannot be decoded."""
        seq = seq_of(envelope)
        if self._positions is None or self.is_waiting or self.is_behind:
            return []
        if self._values is not None and self._values.take(envelope, seq) is DeltaOutcome.MISSING:
            return self._lacks_value(envelope, seq, now)
        return self._not_read(envelope, seq, now)

    def skipped(self, envelope: Envelope) -> list[Action]:
        """The server reports messages that it does not deliver."""
        info = convert(envelope, SkippedInfo)
        if self._positions is None or self.is_waiting:
            return []
        actions: list[Action] = [Told(self.room, Skipped(info.reason, info.count, info.first, info.last))]
        if self.is_behind:
            # This message is asked for later. A `prev` that explains an earlier hole counts at once.
            if info.reason == "excluded" and info.first <= self._positions.highest:
                self._positions.excuse(info.first, min(info.last, self._positions.highest))
            return actions
        self._positions.excuse(info.first, info.last)
        # The newest value of a key may be among them, and nothing else would bring it.
        is_value_lost = self._is_latest and info.reason in DROPPED
        self.lacks_value = self.lacks_value or is_value_lost
        if is_value_lost or (self._is_reliable and info.reason != "excluded"):
            actions += self._missed(Gap(info.reason, info.first - 1, info.last))
        return actions

    def member(self, envelope: Envelope) -> list[Action]:
        """A member joined or left."""
        info = convert(envelope, MemberInfo)
        if self._positions is None or self.is_waiting:
            return []
        if envelope.seq is not UNSET and envelope.seq > 0 and not self.is_behind:
            # Whether or not it has used a number, no message with that number is missing.
            self._positions.excuse(envelope.seq, envelope.seq)
        return [MemberChanged(self.room, Member(info.id, info.info, envelope.type == "member_joined"))]

    def due(self, now: float) -> tuple[bool, list[Action]]:
        """The deadline has come. Returns whether to join again, and what to tell the application."""
        if self.retry_at is not None:
            return self.retry_at <= now, []
        if self._positions is None or self.join_key or self.is_behind:
            return False, []
        is_wanted, lost = self._positions.due(now)
        return is_wanted, [action for gap in lost for action in self._missed(Gap("unhealed", gap.first - 1, gap.last))]

    def give_up(self) -> list[Action]:
        """The missing messages cannot be had: tells the application, and continues the stream."""
        if self._positions is None:
            return []
        if self.is_behind and not self._is_catching_up:
            return []
        if self.is_behind:
            self.is_behind = self._has_place = self._is_catching_up = False
            self._is_broken = True
            return [CaughtUp(self.room)]
        if self._is_refreshing:
            self._is_refreshing = False
            return self._missed(Gap("unhealed", 0, self._positions.highest))
        lost = self._positions.give_up()
        return [action for gap in lost for action in self._missed(Gap("unhealed", gap.first - 1, gap.last))]

    def postpone(self, now: float) -> None:
        """Nothing could come meanwhile: each grace period begins again."""
        if self._positions is not None:
            self._positions.postpone(now)

    def _lacks_value(self, envelope: Envelope, seq: int, now: float) -> list[Action]:
        # The answer to the next join has the value.
        self.lacks_value = True
        if self._positions is not None:
            self._positions.arrived(seq, now, prev_of(envelope))
        return []

    def _not_read(self, envelope: Envelope, seq: int, now: float) -> list[Action]:
        if self._positions is None or not self._positions.arrived(seq, now, prev_of(envelope)):
            return []
        return self._missed(Gap("unreadable", seq - 1, seq))

    def _goes_on(self, first: int) -> list[Action]:
        """Continues the stream with this number. The messages missed before it cannot be had."""
        self._is_broken = False
        since = self.position
        if since is None or first <= since.seq + 1:
            return []
        self._positions = Positions(since.epoch, first - 1)
        return self._missed(Gap("slow", since.seq, first - 1))

    def _begin(self, info: JoinedInfo, seq: int) -> Positions:
        self._is_reliable = info.delivery == RELIABLE
        self._is_latest = info.delivery in KEYED
        return Positions(info.epoch, seq, is_complete=self._is_reliable and not info.filtered)

    def _missed(self, gap: Gap) -> list[Action]:
        # A message has one gap.
        self._gap = joint(self._gap, gap)
        return [GapFound(self.room, gap)]
