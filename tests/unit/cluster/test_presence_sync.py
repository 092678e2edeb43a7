"""What a node says of who is in rooms there."""

from __future__ import annotations

import time

import pytest

from fanwire.backplane import MemoryBackplane, MemoryBus
from fanwire.cluster.presence import MemberCame, MemberQuery, PresenceMessage, pack_presence, unpack_presence
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
