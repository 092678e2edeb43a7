"""One connection of a fake engine: its link, its outbox, and what it did not get."""

from __future__ import annotations

from collections import Counter, deque

from helpers.fake.link import Link
from helpers.fake.message import Frame, Message, framed
from helpers.fake.outbox import Outbox
from helpers.fake.replay import Replay


class Slot:
    """A connection.

    Attributes:
        link: None: the session is parked.
        link_id: what events call it while it has a link.
        skips: by room and reason: how many messages it did not get, the lowest and the highest of their numbers.
        unread: what its peer has sent while the host wanted nothing.
        is_retired: it is the former link of a session, which closes.
        is_slow: it is closed because too much waits for it.
    """

    def __init__(self, id: int, link: Link, codec: str, limit: int, replay: Replay | None) -> None:
        self.id = id
        self.link: Link | None = link
        self.link_id = link.id
        self.codec = codec
        self.has_session = replay is not None
        self.outbox = Outbox(limit, codec, replay, self.dropped)
        self.skips: dict[tuple[int, str], tuple[str, int, int, int]] = {}
        self.unread: deque[tuple[Frame, float | None]] = deque()
        self.drops: Counter[str] = Counter()
        self.is_held = False
        self.is_retired = False
        self.is_slow = False
        self.messages = 0
        self.bytes = 0

    @property
    def name(self) -> int:
        """What events call it."""
        return self.id if self.link is None else self.link_id

    @property
    def may_retire(self) -> bool:
        """Whether its link may end without it."""
        return self.has_session and not self.outbox.is_closing

    def dropped(self, message: Message, reason: str) -> None:
        """A message is not sent. An end is no secret to a connection, so that is not told."""
        self.drops[reason] += 1
        if reason != "closed":
            self.skip(message, reason)

    def skip(self, message: Message, reason: str) -> None:
        """Notes a message that it does not get."""
        if self.codec == "raw" or message.room is None:
            return
        key = (message.room_id, reason)
        _, count, first, last = self.skips.get(key, ("", 0, message.seq, message.seq))
        self.skips[key] = (message.room, count + 1, min(first, message.seq), max(last, message.seq))

    def notice(self, now_ms: int) -> Message | None:
        """What tells it what it did not get of a room, once nothing of the room waits."""
        for (room_id, reason), (name, count, first, last) in self.skips.items():
            if self.outbox.waits(room_id) or self.outbox.is_closing:
                continue
            del self.skips[room_id, reason]
            payload = f'{{"reason":"{reason}","count":{count},"first":{first},"last":{last}}}'
            return Message(
                role="skipped", kind="json", payload=payload.encode(), room_id=room_id, room=name, seq=last,
                ts_ms=now_ms, id=f"k{self.id:x}-{self.messages}",
            )  # fmt: skip
        return None

    def write(self, frame: Frame) -> None:
        """A frame reaches the peer."""
        assert self.link is not None
        self.link.frames.append(frame)
        self.bytes += framed(frame)
