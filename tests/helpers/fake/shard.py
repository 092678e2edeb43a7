"""All connections of a fake engine: how they begin, what they are sent, and how they end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fanwire.runtime.reports import Received
from helpers.event_stream import close_event, event_of
from helpers.fake.clock import Clock
from helpers.fake.fair_queue import FairQueue
from helpers.fake.ids import Ids
from helpers.fake.interest_of_members import InterestOfMembers
from helpers.fake.link import Link
from helpers.fake.message import Frame, Message, as_frame
from helpers.fake.posted import posted_size
from helpers.fake.replay import Replay
from helpers.fake.room import Room
from helpers.fake.rooms import Rooms
from helpers.fake.settings import EngineSettings
from helpers.fake.slot import Slot
from helpers.fake.told import report_in

Farewell = tuple[int | None, str]


class Shard(InterestOfMembers):
    """See the module's head. It is the `Doings` of those that were let in."""

    def __init__(self, settings: EngineSettings, clock: Clock, rooms: Rooms, fair_queue: FairQueue) -> None:
        super().__init__()
        self.ids = Ids(0)
        self.slots: dict[int, Slot] = {}
        self._settings = settings
        self._clock = clock
        self._rooms = rooms
        self._fair_queue = fair_queue
        # Former links of sessions by their names, and sessions that ended because too much waited for them.
        self._retired: dict[int, int] = {}
        self._overflowed: set[int] = set()

    # How connections begin.

    def open(self, link: Link, codec: str, has_session: bool, first: bytes) -> int:
        """A connection by a new id."""
        link.id = self.ids.take()
        self._open(link, codec, has_session, first)
        return link.id

    def _open(self, link: Link, codec: str, has_session: bool, first: bytes) -> None:
        link.slot = link.id
        replay = Replay(self._settings.replay_bytes, codec) if has_session else None
        slot = self.slots[link.id] = Slot(link.id, link, codec, self._settings.connection_bytes, replay)
        if first:
            slot.write(as_frame(codec, first))

    def resume(
        self,
        conn: int,
        link: Link,
        codec: str,
        received: int,
        accepted: bytes,
        refused: dict[str, bytes],
        farewell: Farewell,
    ) -> int:
        """Goes on with a session over another link, or begins a new one there; returns the link's id."""
        link.id = self.ids.take()
        if conn in self.slots:
            self._retire(self.slots[conn], farewell)
        why = self._rewind(conn, codec, received)
        if why is not None:
            self._open(link, codec, True, refused[why])
            self._fair_queue.push("refused", link.id, (conn, why))
            return link.id
        slot = self.slots[conn]
        slot.link, slot.link_id, slot.is_held, link.slot = link, link.id, False, conn
        slot.write(as_frame(codec, accepted))
        self._fair_queue.push("resumed", link.id, conn)
        self.flush(slot)
        return link.id

    def _rewind(self, conn: int, codec: str, received: int) -> str | None:
        slot = self.slots.get(conn)
        if slot is None:
            return "overflow" if conn in self._overflowed else "closed"
        if slot.is_slow:
            return "overflow"
        if not slot.may_retire:
            return "closed"
        if slot.codec != codec:
            return "codec"
        replay = slot.outbox.replay
        return None if replay is not None and replay.rewind(received) else "overflow"

    # What they are sent.

    def send(self, conn: int, message: Message) -> None:
        """A message to one connection."""
        slot = self.slots.get(conn)
        if slot is not None:
            self._push(slot, message)

    def control(self, conn: int, codec: str, envelope: bytes) -> None:
        """An envelope that is no message: one that has no link, or is closing, does not get it."""
        slot = self.slots.get(conn)
        if slot is None or slot.link is None or slot.outbox.is_closing:
            return
        slot.link.control.append(as_frame(codec, envelope))
        self.flush(slot)

    def spread(self, room: Room, message: Message, exclude: Iterable[int]) -> None:
        """A message to the members of a room."""
        excluded = frozenset(exclude)
        for conn in list(room.members):
            slot = self.slots[conn]
            if not room.interest.wants(conn, message):
                continue
            if conn not in excluded:
                self._push(slot, message)
            elif message.role == "data":
                slot.skip(message, "excluded")
                self.flush(slot)

    def join(self, conn: int, room: Room, before: list[Message], filter: Any = None, everything: bool = False) -> None:
        """A membership begins, with what comes before the stream. A session gets that also when it is a member."""
        slot = self.slots.get(conn)
        if slot is None:
            return
        is_new = conn not in room.members
        room.members[conn] = None
        before = self.begin_interest(conn, room, before, filter, everything)
        if (is_new or slot.has_session) and before:
            if not slot.outbox.push_snapshot(before):
                self._close_slow(slot)
            self.flush(slot)

    def leave(self, conn: int, room: Room) -> None:
        """A membership ends."""
        room.interest.leave(conn)
        if room.members.pop(conn, 0) is None:
            slot = self.slots[conn]
            slot.outbox.leave(room.id)
            slot.skips = {key: skip for key, skip in slot.skips.items() if key[0] != room.id}

    def _push(self, slot: Slot, message: Message) -> None:
        if not slot.is_retired:
            if not slot.outbox.push(message):
                self._close_slow(slot)
            self.flush(slot)

    def flush(self, slot: Slot) -> None:
        """Writes what waits, if the peer takes it."""
        link = slot.link
        if link is None or link.is_blocked or link.is_over:
            return
        before = len(link.frames)
        while link.control:
            slot.write(link.control.popleft())
        while message := slot.outbox.pop() or self._notice(slot):
            slot.write(message.frame(slot.codec))
            slot.messages += 1
        parts = slot.outbox.farewell is not None and link.farewell is None
        if link.has_poll and (parts or len(link.frames) > before):
            self._answer(slot, link, before)
        if slot.outbox.farewell is not None and parts:
            link.part(slot.outbox.farewell)
            self._look_over(slot)

    def _answer(self, slot: Slot, link: Link, before: int) -> None:
        """All that was written now answers a poll."""
        link.has_poll = False
        frames = [link.frames.pop() for _ in range(len(link.frames) - before)]
        batch = b"".join(map(event_of, reversed(frames)))
        if slot.outbox.farewell is not None:
            batch += close_event(*slot.outbox.farewell)
        self._fair_queue.push("data", slot.link_id, batch)

    def _notice(self, slot: Slot) -> Message | None:
        notice = slot.notice(self._clock.now_ms)
        if notice is None:
            return None
        slot.outbox.push(notice)
        return slot.outbox.pop()

    # How they end.

    def close(self, conn: int, farewell: Farewell, flush: bool) -> None:
        """A close frame, after all that waits or before it."""
        slot = self.slots.get(conn)
        if slot is not None:
            slot.outbox.close(farewell, flush)
            self.flush(slot)

    def retire(self, conn: int, link_id: int, farewell: Farewell, is_over: bool) -> None:
        """Closes the link of a session, if it still is this one."""
        slot = self.slots.get(conn)
        if slot is not None and slot.link_id == link_id:
            self._retire(slot, farewell)
        if is_over:
            self.gone(conn)

    def _retire(self, slot: Slot, farewell: Farewell) -> None:
        if not slot.may_retire or slot.link is None:
            return
        link, former = slot.link, self.ids.take()
        self._unlink(slot)
        link.slot = former
        retired = self.slots[former] = Slot(former, link, "raw", 0, None)
        retired.link_id, retired.is_retired = slot.link_id, True
        self._retired[slot.link_id] = former
        link.has_poll = link.transport == "long-poll"
        self.close(former, farewell, True)

    def cut(self, conn: int, link_id: int) -> None:
        """Ends a link at once, if it is there."""
        slot = self._carrying(conn, link_id)
        if slot is not None and slot.link is not None:
            self.lose(slot.link, "cut")

    def _carrying(self, conn: int, link_id: int) -> Slot | None:
        for place in (self._retired.get(link_id, 0), conn, link_id):
            slot = self.slots.get(place)
            if slot is not None and slot.link is not None and slot.link_id == link_id:
                return slot
        return None

    def gone(self, conn: int) -> None:
        """The host wants no more of a connection."""
        slot = self.slots.get(conn)
        if slot is not None and slot.link is not None:
            self._end_because(slot, "cut")
        elif slot is not None:
            self._end(slot)
        self._overflowed.discard(conn)

    def end_all(self) -> None:
        """Everything ends at once."""
        for slot in list(self.slots.values()):
            self._end_because(slot, "cut")

    def let_close_timeout_pass(self) -> None:
        """Connections that are closing have had their time."""
        for slot in list(self.slots.values()):
            if slot.outbox.is_closing:
                self._end_because(slot, "close timeout")

    def _unlink(self, slot: Slot) -> None:
        # What a peer has sent and nobody has read is lost with its link, and so are answers that are no messages.
        slot.unread.clear()
        if slot.link is not None:
            slot.link.control.clear()
        slot.link = None

    def _close_slow(self, slot: Slot) -> None:
        if slot.outbox.is_closing:
            return
        slot.is_slow = True
        if slot.link is None:
            self._end_because(slot, "slow")
            return
        self._fair_queue.push("closing", slot.name, "slow")
        self.close(slot.id, (self._settings.slow_code, "too slow, reconnect"), False)

    def _look_over(self, slot: Slot) -> None:
        """Both close frames are there: a server ends the connection at once (RFC 6455 section 7.1.1)."""
        link = slot.link
        if link is not None and link.has_closed and link.farewell is not None and slot.id in self.slots:
            self._end_because(slot, "over")

    def _end_because(self, slot: Slot, cause: str) -> None:
        name = slot.name
        self._end(slot)
        self._fair_queue.push("closed", name, cause)

    def _end(self, slot: Slot) -> None:
        del self.slots[slot.id]
        if slot.is_retired:
            self._retired.pop(slot.link_id, None)
        if slot.is_slow and slot.has_session:
            self._overflowed.add(slot.id)
        if slot.link is not None:
            slot.link.is_over = True
        slot.outbox.clear()
        self._rooms.left(slot.id)
        self.ids.release(slot.id)
        if not slot.is_retired:
            self._fair_queue.push(
                "ended", slot.id, (slot.messages, slot.bytes, dict(slot.drops), slot.outbox.highest, None)
            )

    # What peers do.

    def heard(self, link: Link, frame: Frame, wait: float | None) -> None:
        """See `Doings`."""
        slot = self._open_slot(link)
        if slot is None:
            return
        if slot.is_held:
            slot.unread.append((frame, wait))
            return
        report = report_in(frame, slot.codec) if slot.has_session else None
        if report is not None:
            self.report(slot.id, report)
        else:
            self._fair_queue.push_message(slot.link_id, frame if wait is None else (frame, wait))
        if link.is_one_way:
            self._fair_queue.push("read", slot.link_id, posted_size(frame))

    def post(self, conn: int, link_id: int, frames: list[Frame], close: int | None) -> None:
        """The client of a one-way link has sent messages by another request."""
        slot = self._carrying(conn, link_id)
        if slot is not None and slot.link is not None and slot.link.is_one_way:
            for frame in frames:
                self.heard(slot.link, frame, None)
            if close is not None:
                self.peer_closes(slot.link, close, "")

    def poll(self, conn: int, link_id: int, received: int) -> None:
        """A client polls."""
        slot = self._carrying(conn, link_id)
        if slot is None or slot.link is None or slot.link.transport != "long-poll":
            return
        if slot.link.has_poll:
            self._fair_queue.push("data", link_id, b"")
        slot.link.has_poll = True
        replay = slot.outbox.replay
        if replay is not None and not replay.rewind(received):
            self.lose(slot.link, "reset")
        else:
            self.flush(slot)

    def refused(self, link: Link, count: int, size: int) -> None:
        """See `Doings`."""
        slot = self._open_slot(link)
        if slot is not None:
            self._fair_queue.push_message(slot.link_id, (count, size))

    def report(self, conn: int, report: Received) -> None:
        """The client has received so many messages."""
        slot = self.slots.get(conn)
        if slot is not None and slot.outbox.replay is not None:
            slot.outbox.replay.acknowledge(report.count)

    def hold(self, conn: int, is_held: bool) -> None:
        """Reads nothing of a connection for now, or reads on."""
        slot = self.slots.get(conn)
        if slot is None:
            return
        slot.is_held = is_held
        while slot.unread and slot.link is not None and not slot.is_held:
            self.heard(slot.link, *slot.unread.popleft())

    def peer_closes(self, link: Link, code: int | None, reason: str) -> None:
        """See `Doings`."""
        slot = self.slots.get(link.slot)
        if slot is None or slot.link is not link:
            return
        if not slot.is_retired:
            may_ask = slot.may_retire and code is not None and (4000 <= code < 4500 or code == 1001)
            self._fair_queue.push("peer_closed", slot.link_id, (code, reason))
            if not may_ask:
                self.close(slot.id, (code, reason), False)
        self._look_over(slot)

    def lose(self, link: Link, cause: str) -> None:
        """See `Doings`."""
        slot = self.slots.get(link.slot)
        if slot is None or slot.link is not link:
            return
        link.is_over = True
        if slot.may_retire:
            self._unlink(slot)
            self._fair_queue.push("parked", slot.link_id, cause)
            return
        is_over = cause == "eof" and slot.outbox.is_closing and link.farewell is not None
        self._end_because(slot, "over" if is_over else cause)

    def breaks(self, link: Link, code: int, reason: str) -> None:
        """See `Doings`."""
        slot = self._open_slot(link)
        if slot is None:
            return
        # The answers to messages before are to leave first: the host closes it when it has handled them.
        is_soon = self._fair_queue.waits(slot.link_id)
        self._fair_queue.push("broke", slot.link_id, (code, reason))
        if not is_soon:
            self.close(slot.id, (code, reason), False)

    def writable(self, link: Link) -> None:
        """See `Doings`."""
        slot = self.slots.get(link.slot)
        if slot is not None and slot.link is link:
            self.flush(slot)

    def _open_slot(self, link: Link) -> Slot | None:
        slot = self.slots.get(link.slot)
        is_open = slot is not None and slot.link is link and not slot.is_retired and not slot.outbox.is_closing
        return slot if is_open else None
