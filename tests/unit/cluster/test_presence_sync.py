"""What a node says of who is in rooms there."""

from __future__ import annotations

import time

import pytest

from fanwire._engine import Ingress
from fanwire.backplane import MemoryBackplane, MemoryBus, Unavailable
from fanwire.cluster.presence import (
    MemberCame,
    MemberList,
    MemberQuery,
    PresenceMessage,
    pack_presence,
    unpack_presence,
)
from fanwire.cluster.presence_sync import PresenceSync


class Backplane(MemoryBackplane):
    """Keeps what is sent."""

    def __init__(self) -> None:
        super().__init__(MemoryBus())
        self.said: list[PresenceMessage] = []

    def send(self, name: str, data: bytes) -> bool:
        self.said.append(unpack_presence(data))
        return True


def presence(backplane: Backplane, sighted: list[int]) -> PresenceSync:
    return PresenceSync(backplane, 1, lambda room: {}, lambda change: None, sighted.append)


async def test_numbers_grow_though_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    backplane = Backplane()
    spoken = presence(backplane, [])
    for now_ms in (2000, 1000):
        monkeypatch.setattr(time, "time_ns", lambda now_ms=now_ms: now_ms * 1_000_000)
        await spoken.follow("r", False)
        spoken.came("r", "a", None)
        spoken.unfollow("r")
    numbers = [word.number for word in backplane.said if isinstance(word, MemberCame)]
    assert len(numbers) == 2
    assert numbers[0] < numbers[1]


async def test_whoever_says_something_is_there() -> None:
    sighted: list[int] = []
    heard = presence(Backplane(), sighted)
    await heard.follow("r", False)
    heard.heard("r", pack_presence(MemberCame(7, 1, "a", None)))
    heard.heard("r", pack_presence(MemberQuery(8)))
    heard.heard("unknown", pack_presence(MemberQuery(9)))
    heard.heard("r", b"nothing")
    assert sighted == [7, 8]
    assert heard.members("r") == {"a": None}


class Slow(Backplane):
    """Does not answer in time that it hears."""

    async def hear(self, name: str, ingress: Ingress | None = None) -> None:
        raise Unavailable("no answer")


async def test_a_backplane_that_has_not_answered_in_time_is_asked_all_the_same() -> None:
    backplane = Slow()
    await presence(backplane, []).follow("r", True)
    assert backplane.said == [MemberQuery(1)]
    # One that is away is asked when it is back.
    backplane._bus.is_up = False
    backplane.said.clear()
    spoken = presence(backplane, [])
    await spoken.follow("r", True)
    assert backplane.said == []
    spoken.heal()
    assert MemberQuery(1) in backplane.said


class Full(Backplane):
    """Has space for so many messages."""

    space = 0

    def send(self, name: str, data: bytes) -> bool:
        if not self.space:
            return False
        self.space -= 1
        return super().send(name, data)


async def test_what_found_no_space_is_sent_as_soon_as_there_is_some() -> None:
    backplane = Full()
    here = {"a": {"b": 1}, "quiet": {}}
    spoken = PresenceSync(backplane, 1, lambda room: here.get(room, {}), lambda change: None, lambda node: None)
    for room in ("a", "quiet", "left"):
        await spoken.follow(room, False)
    spoken.came("a", "gone", None)
    spoken.went("a", "gone")
    spoken.came("left", "b", 1)
    spoken.unfollow("left")
    spoken.send_again()
    assert backplane.said == []
    backplane.space = 3
    spoken.send_again()
    (end, members, question) = backplane.said
    # The members of a room that nobody follows here any more are gone at other nodes, too.
    assert isinstance(end, MemberList)
    assert end.members == {}
    assert isinstance(members, MemberList)
    assert (members.members, members.number) == ({"b": 1}, spoken._numbers["a"])
    assert question == MemberQuery(1)
    backplane.space = 10
    spoken.send_again()
    assert backplane.said[3:] == [MemberQuery(1)]
    spoken.send_again()
    assert len(backplane.said) == 4


async def test_an_answer_that_found_no_space_is_given_later() -> None:
    backplane = Full()
    backplane.space = 1
    spoken = PresenceSync(backplane, 1, lambda room: {"b": 1}, lambda change: None, lambda node: None)
    await spoken.follow("a", False)
    spoken.heard("a", pack_presence(MemberQuery(2)))
    backplane.space = 10
    spoken.send_again()
    assert [word.members for word in backplane.said if isinstance(word, MemberList)] == [{"b": 1}]


async def test_a_room_that_is_followed_again_is_told_of_with_its_present_members() -> None:
    backplane = Full()
    spoken = PresenceSync(backplane, 1, lambda room: {"new": 1}, lambda change: None, lambda node: None)
    await spoken.follow("a", False)
    spoken.went("a", "old")
    spoken.unfollow("a")
    backplane.space = 10
    await spoken.follow("a", False)
    spoken.send_again()
    assert [word.members for word in backplane.said if isinstance(word, MemberList)] == [{"new": 1}]
