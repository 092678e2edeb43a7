"""The calls of a fake engine that are about rooms: publishing, numbering, history and values."""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence
from typing import Any

from fanwire._engine import Overloaded
from fanwire.cluster.node_message import NodeMessage, pack, unpack
from helpers.fake.core import Core, Draft, draft_of, forgetting
from helpers.fake.interest import check_interest
from helpers.fake.message import Message, kept_size
from helpers.fake.room import Room, When, number_of
from helpers.fake.settings import RoomSettings, check_delivery, check_priority, matches


class RoomCalls(Core):
    """Calls with the arguments and errors of `fanwire._engine.Engine`, which documents each of them."""

    def add_rule(
        self,
        pattern: str,
        *,
        delivery: str,
        max_keys: int,
        max_members: int,
        history: int,
        history_bytes: int,
        history_age: float,
        compress: bool = False,
        priority: str = "normal",
        tick: int = 0,
        interest: bool = False,
        delta: bool = False,
    ) -> None:
        check_delivery(delivery)
        check_priority(priority)
        self.check()
        kept = (history, history_bytes, history_age)
        settings = RoomSettings(delivery, max_keys, max_members, *kept, compress, priority, tick, interest, delta)
        self.table.add_rule(pattern, settings)

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool = False,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        ticket: int = 0,
        audience: bytes | None = None,
    ) -> int | None:
        draft = draft_of(payload, json, key, delivery, audience)
        self.check()
        self.check_size(draft.payload)
        seq = self._queue(self._room(room), draft, exclude)
        self.published += 1
        return seq

    def deliver(
        self,
        room: str,
        seq: int,
        ts_ms: int,
        payload: bytes | str | None,
        json: bool = False,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        audience: bytes | None = None,
        prev: int | None = None,
    ) -> bool:
        if seq < 0 or ts_ms < 0:
            raise OverflowError("can't convert negative int to unsigned")
        draft = forgetting(key or "") if payload is None else draft_of(payload, json, key, delivery, audience)
        self.check()
        self.check_size(draft.payload)
        self.check_foreign(draft)
        found = self._room(room)
        if seq <= found.seq:
            return False
        self._queue(found, draft, exclude, seq, ts_ms, prev)
        self.published += 1
        return True

    def notify(self, room: str, event: str, payload: str, exclude: Sequence[int]) -> None:
        if event not in ("member_joined", "member_left"):
            raise ValueError(f'event must be member_joined or member_left, got "{event}"')
        self.check()
        found = self.table.find(room)
        if found is not None:
            self.shard.spread(found, self.event(found, event, payload), exclude)

    # Numbers.

    def place(self, room: str, epoch: str, seq: int) -> None:
        number = epoch_of(epoch)
        self.check()
        self._room(room).place(number, seq)

    def raise_position(self, room: str, epoch: str, seq: int) -> None:
        number = epoch_of(epoch)
        self.check()
        found = self.table.find(room)
        if found is not None and found.epoch == number and found.seq < seq:
            found.advance_to(seq)

    def position(self, room: str) -> tuple[str, int]:
        self.check()
        found = self._room(room)
        return f"{found.epoch:x}", found.seq

    def bytes_since(self, room: str, since: tuple[str, int]) -> int | None:
        self.check()
        missed = self._room(room).since(number_of(since[0]), since[1], self.clock.now_us)
        return None if isinstance(missed, str) else sum(message.kept_size for message in missed)

    def busy_rooms(self, most: int) -> list[tuple[str, int, int, int]]:
        self.check()
        grown = [(len(room.members), room.growth(), name) for name, room in self.table.items()]
        found = sorted(((members * grown, members, grown, name) for members, grown, name in grown), reverse=True)
        return [(name, members, grown, deliveries) for deliveries, members, grown, name in found[:most]]

    def floor(self, room: str) -> tuple[str, int]:
        self.check()
        found = self._room(room)
        found.age(self.clock.now_us)
        return f"{found.epoch:x}", found.floor

    def skip(self, room: str, count: int, reason: str) -> None:
        if reason != "backplane":
            raise ValueError(f'reason must be backplane, got "{reason}"')
        self.check()
        found = self.table.find(room)
        if found is None or count == 0:
            return
        first, last = found.seq + 1, found.seq + count
        found.place(found.epoch, last)
        payload = f'{{"reason":"{reason}","count":{count},"first":{first},"last":{last}}}'
        self.shard.spread(found, self.event(found, "skipped", payload), ())

    def extend(
        self,
        room: str,
        epoch: str,
        floor: int,
        messages: list[tuple[int, int, bytes | str | None, bool, str | None, str | None, bytes | None]],
    ) -> None:
        number = epoch_of(epoch)
        drafts = []
        for item in messages:
            if len(item) != 7:
                raise ValueError(f"expected tuple of length 7, but got tuple of length {len(item)}")
            seq, ts_ms, payload, json, key, delivery, audience = item
            draft = forgetting(key or "") if payload is None else draft_of(payload, json, key, delivery, audience)
            drafts.append((seq, ts_ms, draft))
        self.check()
        if any(one[0] >= other[0] for one, other in itertools.pairwise(drafts)):
            raise ValueError("the messages must be in the order of their numbers")
        for _, _, draft in drafts:
            self.check_size(draft.payload)
        unreadable = [place for place, (_, _, draft) in enumerate(drafts) if self._is_unreadable(draft)]
        if unreadable:
            # What no member could read is not there, and nothing before it is missed in silence.
            floor, drafts = drafts[unreadable[-1]][0], drafts[unreadable[-1] + 1 :]
        found = self.table.find(room)
        if found is not None:
            self._extend(found, number, floor, drafts)

    def _is_unreadable(self, draft: Draft) -> bool:
        try:
            self.check_foreign(draft)
        except ValueError:
            return True
        return False

    def _extend(self, room: Room, epoch: int, floor: int, drafts: list[tuple[int, int, Draft]]) -> None:
        room.age(self.clock.now_us)
        if epoch != room.epoch or floor >= room.floor or room.settings.history == 0:
            return
        drafts = [draft for draft in drafts if floor < draft[0] <= room.floor]
        for _, _, draft in drafts:
            self._delivery(room, draft)
        lowest = floor
        for place in reversed(range(len(drafts))):
            seq, ts_ms, draft = drafts[place]
            prev = drafts[place - 1][0] if place else floor
            message = self._older(room, seq, ts_ms, prev, draft)
            if message is None:
                lowest = seq
                break
            room.keep_older(message)
        room.floor = lowest

    def _older(self, room: Room, seq: int, ts_ms: int, prev: int, draft: Draft) -> Message | None:
        age_us = max(0, self.clock.now_ms - ts_ms) * 1000
        if not room.takes_older(kept_size(len(draft.payload), draft.audience), age_us):
            return None
        delivery, name = draft.delivery or room.settings.delivery, draft.key or ""
        key: str | None = name
        key_id: int | None = None
        forgotten = room.forgotten(name)
        if draft.role == "forgotten":
            key_id = room.forget_before(name, When(ts_ms * 1000, seq))
        elif delivery != "latest":
            key = None
        elif forgotten is None or forgotten.seq <= seq:
            try:
                key_id = room.key(name, self.table.new_id())
            except Overloaded:
                return None
        return Message(
            role=draft.role, kind=draft.kind, payload=draft.payload, delivery=delivery, room_id=room.id, room=room.name,
            epoch=room.epoch, seq=seq, prev=prev, key=key, key_id=key_id, ts_ms=ts_ms,
            made_us=self.clock.now_us - age_us, audience=draft.audience,
        )  # fmt: skip

    def rooms(self) -> dict[str, int]:
        self.check()
        return self.table.sizes()

    def history(
        self, room: str, after: tuple[str, int] | None, limit: int, before: int | None = None
    ) -> tuple[str, list[tuple[int, bytes]]]:
        self.check()
        found = self.table.find(room)
        if found is None:
            return "0", []
        position = None if after is None else (number_of(after[0]), after[1])
        kept = found.kept_after(position, before, limit, self.clock.now_us)
        return f"{found.epoch:x}", [(message.seq, packed(message)) for message in kept]

    def watch_rooms(self, pattern: str) -> None:
        self.check()
        self.table.watched.append(pattern)

    def matching_rooms(self, pattern: str, part: int) -> tuple[list[str], int | None]:
        self.check()
        return [] if part else [name for name in self.table.sizes() if matches(pattern, name)], None

    def is_new_room(self, room: str) -> bool:
        found = self.table.find(room)
        return found is not None and found.keeps_first

    def unwatch_rooms(self, pattern: str) -> None:
        if pattern in self.table.watched:
            self.table.watched.remove(pattern)

    def settle_room(self, room: str) -> None:
        found = self.table.find(room)
        if found is not None:
            found.settle()

    # Values.

    def values(self, room: str) -> list[bytes]:
        self.check()
        found = self.table.find(room)
        return [] if found is None else [packed(message) for message in found.snapshot()]

    def take_values(self, room: str, since_ms: int, values: Sequence[bytes]) -> int:
        self.check()
        return sum(self._take_value(room, since_ms, value) for value in values)

    def _take_value(self, name: str, since_ms: int, value: bytes) -> bool:
        try:
            node_message = unpack(value)
        except ValueError:
            return False
        if node_message.key is None or node_message.is_count or node_message.forgotten_us is not None:
            return False
        try:
            draft = draft_of(
                node_message.payload, node_message.json, node_message.key, node_message.delivery, node_message.audience
            )
            self.check_size(draft.payload)
            self.check_foreign(draft)
            room = self._room(name)
            forgotten, old = room.forgotten(node_message.key), room.value(node_message.key)
            if forgotten is not None and node_message.ts_ms < forgotten.us // 1000:
                return False
            if old is not None and not (old.ts_ms < min(since_ms, node_message.ts_ms) and old.payload != draft.payload):
                return False
            self._queue(room, draft, (), room.seq + 1, node_message.ts_ms)
        except (ValueError, Overloaded):
            return False
        self.published += 1
        return True

    def has_value(self, room: str, key: str) -> bool:
        found = self.table.find(room)
        return found is not None and found.value(key) is not None

    def forget(self, room: str, key: str) -> tuple[bool, int]:
        self.check()
        found, now_us = self.table.find(room), self.clock.now_us
        if found is None:
            return False, now_us
        old = found.value(key)
        if old is not None:
            now_us = max(now_us, old.made_us if old.prev is None else old.ts_ms * 1000 + 999)
            self._queue(found, forgetting(key), (), found.seq + 1, now_us // 1000)
        found.note_forgotten(key, When(now_us, 0))
        return old is not None, now_us

    def forget_older(self, room: str, key: str, ts_us: int, is_numbered: bool) -> bool:
        self.check()
        found = self.table.find(room)
        known = None if found is None else found.forgotten(key)
        if found is None or (known is not None and known.us >= ts_us):
            return False
        old = found.value(key)
        is_there = old is not None and (old.made_us <= ts_us if old.prev is None else old.ts_ms <= ts_us // 1000)
        if is_there and is_numbered:
            self._queue(found, forgetting(key), (), found.seq + 1, ts_us // 1000)
        elif is_there:
            self.refuse_if_full()
            key_id = found.forget(key)
            event = self.event(found, "forgotten", "", delivery="latest", key=key, key_id=key_id)
            self.shard.spread(found, event, ())
        found.note_forgotten(key, When(ts_us, 0))
        return is_there

    # What they have in common.

    def _room(self, name: str) -> Room:
        return self.table.of(name, self.clock.now_us)

    def _delivery(self, room: Room, draft: Draft) -> str:
        delivery = draft.delivery or room.settings.delivery
        if draft.key is not None and delivery != "latest":
            raise ValueError(
                f'a key needs the delivery class `latest`, but this message to room "{room.name}" has another one'
            )
        return delivery

    def _queue(
        self,
        room: Room,
        draft: Draft,
        exclude: Sequence[int],
        seq: int | None = None,
        ts_ms: int = 0,
        prev: int | None = None,
    ) -> int:
        """Numbers a message, unless it has its number, and spreads it."""
        delivery = self._delivery(room, draft)
        if draft.audience is not None and seq is None:
            check_interest(room.name, room.settings, "a message with `where` or `tags`")
        if room.members:
            self.refuse_if_full()
        prev = None if seq is None else room.seq if prev is None else min(prev, room.seq)
        number = room.seq + 1 if seq is None else seq
        key: str | None = draft.key or ""
        key_id: int | None = None
        is_forgetting = draft.role == "forgotten"
        if is_forgetting:
            key_id = room.forget(draft.key or "")
            if seq is not None:
                room.note_forgotten(draft.key or "", When(ts_ms * 1000, seq))
        elif delivery == "latest":
            key_id = room.key(draft.key or "", self.table.new_id())
        else:
            key = None
        room.advance_to(number)
        message = Message(
            role=draft.role, kind=draft.kind, payload=draft.payload, delivery=delivery, room_id=room.id, room=room.name,
            epoch=room.epoch, seq=number, prev=prev, key=key, key_id=key_id,
            ts_ms=self.clock.now_ms if seq is None else ts_ms, made_us=self.clock.now_us, audience=draft.audience,
        )  # fmt: skip
        self.shard.spread(room, message, exclude)
        if room.settings.history > 0 or (key is not None and not is_forgetting):
            room.keep(message)
        return number


def epoch_of(text: str) -> int:
    """A numbering by its name."""
    if not text or len(text) > 16 or not set(text) <= set(string.hexdigits):
        raise ValueError(f'epoch must be up to 16 hexadecimal digits, got "{text}"')
    return int(text, 16)


def packed(message: Message) -> bytes:
    """A message as other nodes take it."""
    if message.role == "forgotten":
        return pack(NodeMessage(b"", key=message.key, ts_ms=message.ts_ms, forgotten_us=message.ts_ms * 1000))
    payload: Any = message.payload.decode() if message.kind == "text" else message.payload
    return pack(
        NodeMessage(
            payload, json=message.kind == "json", key=message.key, ts_ms=message.ts_ms, audience=message.audience
        )
    )
