"""Rooms with a tick, without a clock: what waits leaves when a test, or the host's loop, calls `flush_tick`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from helpers.fake.core import Draft, draft_of
from helpers.fake.room import Room, overloaded
from helpers.fake.room_calls import RoomCalls


class Waiting:
    """What waits in a room."""

    def __init__(self) -> None:
        self.messages: list[tuple[Draft, Sequence[int], list[int]] | None] = []
        self.places: dict[str, int] = {}


class TickCalls(RoomCalls):
    """Calls with the arguments and errors of `fanwire._engine.Engine`, which documents each of them.

    Attributes:
        led: the rates that the host leads.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.led: set[int] = set()
        self._waiting: dict[str, Waiting] = {}
        self._stopped: set[str] = set()
        self._left: dict[int, int] = {}

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
        found = self._room(room)
        if not found.settings.tick:
            return super().publish(room, payload, json, key, exclude, delivery, audience=audience)
        self._hold(found, draft, exclude, [ticket] if ticket else [])
        self.published += 1
        return None

    def lead_tick(self, hz: int, is_led: bool) -> None:
        self.check()
        (self.led.add if is_led else self.led.discard)(hz)

    def next_in_tick(self, room: str) -> int:
        self.check()
        found, waiting = self.table.find(room), self._waiting.get(room)
        return 0 if found is None else found.seq + bool(waiting and waiting.messages)

    def stop_in_tick(self, room: str, is_stopped: bool) -> None:
        self.check()
        (self._stopped.add if is_stopped else self._stopped.discard)(room)

    def flush_tick(self, hz: int, envelopes: Sequence[tuple[int, str, bytes]] = (), stopped: Sequence[str] = ()) -> int:
        self.check()
        whole: Any = self
        for conn, codec, envelope in envelopes:
            whole.send_envelope(conn, codec, envelope)
        self._stopped -= {*stopped}
        count, numbers = 0, []
        leaving = [name for name in self._waiting if self._room(name).settings.tick == hz]
        for name in [name for name in leaving if name not in self._stopped]:
            room = self._room(name)
            for draft, exclude, tickets in filter(None, self._waiting.pop(name).messages):
                seq = self._queue(room, draft, exclude)
                numbers += [(ticket, seq) for ticket in tickets]
                count += 1
        if numbers:
            self.fair_queue.push("numbered", 0, numbers)
        self._left[hz] = self._left.get(hz, 0) + count
        return count

    def forget(self, room: str, key: str) -> tuple[bool, int]:
        was_there, now_us = super().forget(room, key)
        return self._drop(room, key) or was_there, now_us

    def _hold(self, room: Room, draft: Draft, exclude: Sequence[int], tickets: list[int]) -> None:
        delivery = self._delivery(room, draft)
        waiting = self._waiting.setdefault(room.name, Waiting())
        key = draft.key or ""
        is_new = delivery != "latest" or key not in waiting.places
        if is_new and len(waiting.messages) >= room.settings.max_keys:
            what = "the number of messages that wait for the tick of the room"
            self.refused += 1
            raise overloaded(what, room.settings.max_keys, "max_keys")
        if delivery == "latest":
            room.key(key, self.table.new_id())
            if key in waiting.places:
                place = waiting.places[key]
                old = waiting.messages[place]
                waiting.messages[place] = (draft, exclude, [*(old[2] if old else ()), *tickets])
                return
            waiting.places[key] = len(waiting.messages)
        waiting.messages.append((draft, exclude, tickets))

    def _drop(self, name: str, key: str) -> bool:
        """Removes a value that waits and was forgotten."""
        waiting, room = self._waiting.get(name), self.table.find(name)
        place = None if waiting is None else waiting.places.pop(key, None)
        if waiting is None or place is None or room is None:
            return False
        old, waiting.messages[place] = waiting.messages[place], None
        if old and old[2]:
            self.fair_queue.push("numbered", 0, [(ticket, room.seq) for ticket in old[2]])
        return True
