"""One room as the machine sees it: its position, and what follows from each message about it. Pure.

It says what the application gets; frames are the machine's.
"""

from __future__ import annotations

from msgspec import UNSET

from fanwire.client.actions import Action, Deliver, GapFound, Joined, MemberChanged, Told
from fanwire.client.codec import Envelope, JoinedInfo, MemberInfo, SkippedInfo, convert
from fanwire.client.errors import ProtocolError
from fanwire.client.message import Gap, Member, Message, Position, Skipped
from fanwire.client.positions import Positions

__all__ = ["MAX_RETRIES", "Membership"]

RELIABLE = "reliable"
LATEST = "latest"
MAX_RETRIES = 10
"""Times that a room is joined again when the server answers "later", until it ends with that error: two to three
minutes in all."""
MAX_OFFERED = 1024
"""Messages kept of a room that the server has joined of its own accord, until the own join is answered: rarely more
than come in one round trip."""


class Membership:
    """A room that was asked for.

    Args:
        room: its name.
        since: where the application stood; None: it wants only what is new.

    Attributes:
        join_key: the id of the join whose answer is awaited; "" if none is.
        leave_key: the id of the leave whose answer is awaited; "" if none is.
        is_waiting: whether the stream has not begun in this session.
        retry_at: when to join again; None: not at all.
        retries: how often it was joined again in vain.
    """

    __slots__ = (
        "_asked", "_first_seq", "_gap", "_is_reliable", "_offered", "_positions", "is_waiting", "join_key", "leave_key",
        "retries", "retry_at", "room",
    )  # fmt: skip

    def __init__(self, room: str, since: Position | None) -> None:
        self.room = room
        self.join_key = ""
        self.leave_key = ""
        self.is_waiting = True
        self.retry_at: float | None = None
        self.retries = 0
        self._asked = since
        self._positions: Positions | None = None
        self._is_reliable = True
        self._first_seq: int | None = None
        self._gap: Gap | None = None
        # A `joined` of the server's own accord, and the messages after it, while the answer to the own join is awaited.
        self._offered: list[Envelope] = []

    @property
    def is_leaving(self) -> bool:
        """Whether the application has left it."""
        return bool(self.leave_key)

    @property
    def position(self) -> Position | None:
        """Where the application stands; None: nowhere yet."""
        return self._asked if self._positions is None else self._positions.since

    @property
    def was_joined(self) -> bool:
        """Whether the stream has begun in this session or one before it."""
        return self._positions is not None

    @property
    def deadline(self) -> float | None:
        """When `due` has something to say."""
        if self.is_leaving:
            # A join behind the leave would outlive it.
            return None
        if self.retry_at is not None:
            return self.retry_at
        # While an answer is awaited there is nothing to ask, and nothing to give up.
        return None if self._positions is None or self.join_key else self._positions.deadline

    def asks(self) -> Position | None:
        """It is joined again; returns `since`."""
        self.retry_at = None
        self._offered.clear()
        # The newest values that precede the stream come without end mark: until the stream has begun, they might
        # not all be there.
        is_whole = self._positions is None or self._first_seq is None or self._positions.highest > self._first_seq
        self._asked = self.position if is_whole else None
        return self._asked

    def joined(self, envelope: Envelope, now: float) -> list[Action]:
        """The server has joined it."""
        info = convert(envelope, JoinedInfo)
        seq = seq_of(envelope)
        gap: Gap | None = None
        if info.recovered and self._asked is not None and info.epoch == self._asked.epoch:
            if self._positions is not None and self._positions.continues(info.epoch, info.delivery == RELIABLE):
                self._positions.asked(now, seq)
            else:
                self._positions = self._begin(info, self._asked.seq)
                self._positions.asked(now, seq)
        else:
            if not self.join_key and self._positions is not None and self._positions.epoch != info.epoch:
                # The numbering has begun anew while we were there.
                self._asked = self._positions.since
            if self._asked is not None:
                reason = info.reason or ("epoch" if info.epoch != self._asked.epoch else "history")
                snapshot = None if info.snapshot is UNSET else info.snapshot
                gap = Gap(reason, self._asked.seq, seq, snapshot)
            self._positions = self._begin(info, seq)
            self._first_seq = seq if info.delivery == LATEST else None
        self.join_key = ""
        self.is_waiting = False
        self.retries = 0
        self._offered.clear()
        members = None if info.members is UNSET else {member.id: member.info for member in info.members}
        start = self._positions.since.seq
        # A server that counts fewer than it lists is wrong; one that counts nobody has listed all.
        least = None if members is None else len(members)
        count = least if least is None or info.count is UNSET else max(info.count, least)
        actions: list[Action] = [Joined(self.room, info.epoch, start, info.delivery, info.snapshot, members, count)]
        return actions if gap is None else actions + self._missed(gap)

    def begin_again(self) -> None:
        """The session is another one: the server knows nothing of the room."""
        self.is_waiting = True
        self.retries = 0
        self._offered.clear()

    def offered(self, envelope: Envelope) -> None:
        """The server has joined it of its own accord, while the own join is under way."""
        self._offered = [envelope]

    def take_offer(self, now: float) -> list[Action] | None:
        """The own join was refused: what the server has joined of its own accord counts; None: it has not."""
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
            # Those beyond are found to be missing when the next one comes.
            self._offered.append(envelope)
        if self._positions is None or self.is_waiting or not self._positions.arrived(seq, now, prev_of(envelope)):
            return []
        gap, self._gap = self._gap, None
        return [Deliver(message_of(envelope, seq, gap))]

    def unreadable(self, envelope: Envelope, now: float) -> list[Action]:
        """A message has come whose payload cannot be read."""
        seq = seq_of(envelope)
        if self._positions is None or self.is_waiting or not self._positions.arrived(seq, now, prev_of(envelope)):
            return []
        return self._missed(Gap("unreadable", seq - 1, seq))

    def skipped(self, envelope: Envelope) -> list[Action]:
        """Messages will not come."""
        info = convert(envelope, SkippedInfo)
        if self._positions is None or self.is_waiting:
            return []
        actions: list[Action] = [Told(self.room, Skipped(info.reason, info.count, info.first, info.last))]
        self._positions.excuse(info.first, info.last)
        if self._is_reliable and info.reason != "excluded":
            actions += self._missed(Gap(info.reason, info.first - 1, info.last))
        return actions

    def member(self, envelope: Envelope) -> list[Action]:
        """Somebody came or left."""
        info = convert(envelope, MemberInfo)
        if self._positions is None or self.is_waiting:
            return []
        if envelope.seq is not UNSET and envelope.seq > 0:
            # Whether or not it took up a number, no message with it is missed.
            self._positions.excuse(envelope.seq, envelope.seq)
        return [MemberChanged(self.room, Member(info.id, info.info, envelope.type == "member_joined"))]

    def due(self, now: float) -> tuple[bool, list[Action]]:
        """A deadline has come; returns whether to join again, and what the application is told."""
        if self.retry_at is not None:
            return self.retry_at <= now, []
        if self._positions is None or self.join_key:
            return False, []
        is_wanted, lost = self._positions.due(now)
        return is_wanted, [action for gap in lost for action in self._missed(Gap("unhealed", gap.first - 1, gap.last))]

    def give_up(self) -> list[Action]:
        """What is missing cannot be had: the application is told, and the stream goes on."""
        if self._positions is None:
            return []
        lost = self._positions.give_up()
        return [action for gap in lost for action in self._missed(Gap("unhealed", gap.first - 1, gap.last))]

    def postpone(self, now: float) -> None:
        """Nothing could come meanwhile: each grace begins again."""
        if self._positions is not None:
            self._positions.postpone(now)

    def _begin(self, info: JoinedInfo, seq: int) -> Positions:
        self._is_reliable = info.delivery == RELIABLE
        return Positions(info.epoch, seq, is_complete=self._is_reliable)

    def _missed(self, gap: Gap) -> list[Action]:
        if self._gap is None:
            self._gap = gap
        else:
            # One message, one gap: from where the first began to where the last ended.
            snapshot = self._gap.snapshot if gap.snapshot is None else gap.snapshot
            self._gap = Gap(gap.reason, self._gap.after, gap.upto, snapshot)
        return [GapFound(self.room, gap)]


def message_of(envelope: Envelope, seq: int, gap: Gap | None) -> Message:
    """An envelope as the application gets it."""
    return Message(
        None if envelope.payload is UNSET else envelope.payload,
        None if envelope.room is UNSET else envelope.room,
        seq,
        "" if envelope.id is UNSET else envelope.id,
        0 if envelope.ts is UNSET else envelope.ts,
        None if envelope.key is UNSET else envelope.key,
        gap,
        envelope.type == "forgotten",
    )


def prev_of(envelope: Envelope) -> int | None:
    """The number before that of an envelope, where it is not one less."""
    return None if envelope.prev is UNSET or not 0 <= envelope.prev < seq_of(envelope) else envelope.prev


def seq_of(envelope: Envelope) -> int:
    """The number of an envelope.

    Raises:
        ProtocolError: it has none.
    """
    if envelope.seq is UNSET or envelope.seq < 0:
        raise ProtocolError(f"{envelope.type} without seq")
    return envelope.seq
