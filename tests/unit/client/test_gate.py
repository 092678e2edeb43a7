"""Callers that wait for room pass in the order of their calls, and one that gives up holds up no other."""

from __future__ import annotations

import asyncio

from fanwire.client.gate import Gate


class Room:
    """Places for callers."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.gate = Gate(lambda: self.free <= 0)
        self.passed: list[int] = []

    async def come(self, number: int) -> None:
        await self.gate.passed()
        self.free -= 1
        self.passed.append(number)

    async def give(self, places: int) -> None:
        self.free += places
        self.gate.look()
        for _ in range(10):
            await asyncio.sleep(0)


async def test_callers_pass_in_the_order_of_their_calls() -> None:
    room = Room(2)
    callers = [asyncio.ensure_future(room.come(number)) for number in range(5)]
    await room.give(0)
    assert room.passed == [0, 1]
    await room.give(1)
    assert room.passed == [0, 1, 2]
    await room.give(2)
    assert room.passed == [0, 1, 2, 3, 4]
    await asyncio.gather(*callers)


async def test_a_caller_that_gives_up_is_not_waited_for() -> None:
    room = Room(0)
    callers = [asyncio.ensure_future(room.come(number)) for number in range(3)]
    await room.give(0)
    callers[0].cancel()
    callers[2].cancel()
    await room.give(1)
    assert room.passed == [1]
    assert [caller.cancelled() for caller in callers] == [True, False, True]


async def test_looking_at_a_gate_that_is_shut_wakes_no_caller() -> None:
    room = Room(0)
    caller = asyncio.ensure_future(room.come(0))
    await room.give(0)
    assert not caller.done()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
