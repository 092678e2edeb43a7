"""Connections come and go in every way there is while rooms are busy; nobody sees a byte that is not theirs."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import threading
import time

import pytest
from helpers.serving import Book
from helpers.wait import until, within
from helpers.wire import BINARY, CLOSE, FIN, close_frame, request

import fanwire

ROOMS = ("a", "b", "c", "d")
LIVES = int(os.environ.get("FANWIRE_STORM", "1000"))
"""`make soak` has 10,000."""
AT_ONCE = 16


def stamped(room: str, seq: int) -> bytes:
    """A payload in which every byte tells of its room and number."""
    unit = f"{room}{seq:07d}".encode()
    return unit * (1 + seq * 7919 % 97)


class Publisher(threading.Thread):
    """Publishes to rooms of its own, so that it knows every number beforehand."""

    def __init__(self, server: Book, rooms: tuple[str, ...]) -> None:
        super().__init__()
        self.server = server
        self.rooms = rooms
        self.wrong: list[object] = []
        self.is_stopping = threading.Event()
        self.counts = dict.fromkeys(rooms, 0)

    def run(self) -> None:
        try:
            while not self.is_stopping.is_set():
                for room in self.rooms:
                    self.counts[room] += 1
                    seq = self.server.publish(room, stamped(room, self.counts[room]))
                    if seq != self.counts[room]:
                        self.wrong.append((room, seq, self.counts[room]))
                time.sleep(0.001)
        except Exception as error:  # noqa: BLE001 - told by the test
            self.wrong.append(error)


class Life:
    """One client, from its first packet to its end."""

    def __init__(self, server: Book, number: int) -> None:
        self.server = server
        self.number = number
        self.dice = random.Random(number)

    async def live(self) -> int:
        """Returns how many messages it got."""
        rooms = self.dice.sample(ROOMS, self.dice.randint(1, 2))
        async with await self.server.dial() as peer:
            asking = request(f"/{','.join(rooms)}?id={self.number}")
            way = self.dice.choice(["close", "close", "reset", "drop", "cut", "cut"])
            if way == "cut":
                await peer.send(asking[: self.dice.randrange(len(asking))])
                peer.reset()
                return 0
            await peer.send(asking)
            assert (await peer.response()).status == 101
            name = str(self.number)
            (conn,) = (conn for conn in self.server.opened if conn.request.query["id"] == name)
            expected = {room: seq + 1 for room, seq in conn.metadata["joined"].items()}
            assert set(expected) == set(rooms)
            got = 0
            left = self.dice.randrange(40)
            while True:
                if got == left:
                    if way == "reset":
                        peer.reset()
                        return got
                    if way == "drop":
                        return got
                    await peer.send(close_frame(1000))
                first, payload = await peer.frame()
                if first == FIN | CLOSE:
                    (code,) = struct.unpack("!H", payload[:2])
                    assert code in (1000, fanwire.CloseCode.SLOW_CONSUMER)
                    assert await peer.end() == b""
                    return got
                assert first == FIN | BINARY
                room = payload[:1].decode()
                assert room in expected, f"in {rooms}, and got {payload[:40]!r}"
                assert payload == stamped(room, expected[room])
                expected[room] += 1
                got += 1


@pytest.mark.timeout(180 + LIVES / 10)
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("shards", [1, 3])
async def test_nobody_sees_what_is_not_theirs_and_each_sees_all_that_is(shards: int) -> None:
    server = Book({"shards": shards, "address_handshake_rate": 0})
    async with server:
        publishers = [Publisher(server, ROOMS[:2]), Publisher(server, ROOMS[2:])]
        for publisher in publishers:
            publisher.start()
        try:
            lives = iter(range(LIVES))

            async def one_after_the_other() -> int:
                return sum([await Life(server, number).live() for number in lives])

            got = await within(asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE))), 40 + LIVES / 10)
        finally:
            for publisher in publishers:
                publisher.is_stopping.set()
            await asyncio.to_thread(lambda: [publisher.join() for publisher in publishers])
        assert [publisher.wrong for publisher in publishers] == [[], []]
        assert sum(got) > LIVES
        await until(lambda: not server.connections)
        await until(lambda: server.stats()["connections"] == 0)
        await until(lambda: not any(server.count(room) for room in ROOMS))
        await until(lambda: server.stats()["waiting_bytes"] == 0)
        assert len(server.closed) == len(server.opened) > LIVES / 2
