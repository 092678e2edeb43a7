"""Rooms are found before the first message of each is published."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fanwire.subscribers.room_watch import RoomWatch


class Reader:
    """A subscription."""

    def __init__(self, begin: str) -> None:
        self.begin = begin
        self.rooms: list[str] = []

    def matches(self, room: str) -> bool:
        return room.startswith(self.begin)

    def found(self, room: str) -> None:
        self.rooms.append(room)


class Publishing:
    """What publishes."""

    about_to_publish: Callable[[str], object] | None = None

    def publish(self, room: str) -> None:
        if self.about_to_publish is not None:
            self.about_to_publish(room)


def test_a_room_is_found_once_by_those_that_read_it() -> None:
    publishing = Publishing()
    watch = RoomWatch(publishing)
    publishing.publish("a.0")
    one, two = Reader("a."), Reader("b.")
    assert watch.add(one, lambda: ["a.0"]) == ["a.0"]
    watch.add(two, list)
    for room in ("a.1", "b.1", "a.1", "c.1"):
        publishing.publish(room)
    assert (one.rooms, two.rooms) == (["a.1"], ["b.1"])
    three = Reader("a.")
    watch.add(three, list)
    publishing.publish("a.1")
    assert three.rooms == ["a.1"]


def test_without_a_reader_publishing_costs_nothing() -> None:
    publishing = Publishing()
    watch = RoomWatch(publishing)
    one, two = Reader("a"), Reader("a")
    watch.add(one, list)
    watch.add(two, list)
    watch.remove(one)
    assert publishing.about_to_publish is not None
    watch.remove(two)
    watch.remove(two)
    assert publishing.about_to_publish is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.subscribers.room_watch.SEEN", 10)
    publishing = Publishing()
    watch = RoomWatch(publishing)
    watch.add(Reader("x"), list)
    for number in range(100):
        publishing.publish(f"room {number}")
    assert len(watch._seen) <= 10
