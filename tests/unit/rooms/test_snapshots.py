"""One call of `snapshot` for all who wait, with a deadline, and errors that everybody gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from helpers.wait import DEADLINE

from fanwire.config import Config
from fanwire.handlers.calls import ApplicationCalls, ApplicationError
from fanwire.handlers.time_slices import TimeSlices
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.rules import RoomPolicy, Snapshot
from fanwire.rooms.snapshots import Snapshots


class Positions:
    """As much of an engine as is used."""

    def position(self, room: str) -> tuple[str, int]:
        return ("e", 0)


def made(snapshot: Callable[[str], Any], timeout: float = DEADLINE) -> tuple[Snapshots, RoomPolicy]:
    slices = TimeSlices(asyncio.get_running_loop())
    policy = RoomPolicy("*", history=1, snapshot=snapshot)
    limits = Limits(Config(snapshot_timeout=timeout), lambda limit: None)
    return Snapshots(Positions(), slices, ApplicationCalls(), asyncio.ensure_future, limits), policy


@pytest.mark.parametrize("is_async", [False, True])
async def test_those_who_wait_together_share_one_call_for_each_room(is_async: bool) -> None:
    asked: list[str] = []

    async def later(room: str) -> Snapshot:
        asked.append(room)
        await asyncio.sleep(0)
        return Snapshot({"room": room}, len(asked))

    def at_once(room: str) -> Snapshot:
        asked.append(room)
        return Snapshot({"room": room}, len(asked))

    snapshots, policy = made(later if is_async else at_once)
    states = await asyncio.gather(*(snapshots.of(policy, room) for room in "ab" * 50))
    assert sorted(asked) == ["a", "b"]
    assert {state.data for state in states} == {'{"room":"a"}', '{"room":"b"}'}
    # Who comes later gets another one.
    assert (await snapshots.of(policy, "a")).seq == 3


async def test_one_who_is_cancelled_leaves_the_call_to_the_others() -> None:
    end = asyncio.Event()

    async def snapshot(room: str) -> Snapshot:
        await end.wait()
        return Snapshot(1, 1)

    snapshots, policy = made(snapshot)
    waiting = [asyncio.ensure_future(snapshots.of(policy, "a")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    end.set()
    assert [state.seq for state in await asyncio.gather(*waiting[1:])] == [1, 1]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [KeyError("x"), asyncio.CancelledError(), BaseException("x")])
async def test_an_error_is_told_to_all_and_tried_again_by_the_next(error: BaseException, is_async: bool) -> None:
    calls = 0

    def at_once(room: str) -> Snapshot:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return Snapshot(1, 1)

    async def later(room: str) -> Snapshot:
        return at_once(room)

    snapshots, policy = made(later if is_async else at_once)
    results = await asyncio.gather(*(snapshots.of(policy, "a") for _ in range(3)), return_exceptions=True)
    expected = type(error) if isinstance(error, Exception) else ApplicationError
    assert [type(result) for result in results] == [expected] * 3
    assert (await snapshots.of(policy, "a")).seq == 1


async def test_a_call_that_does_not_end_is_cancelled_and_there_is_no_second_one_meanwhile() -> None:
    calls = 0
    end = asyncio.Event()

    async def snapshot(room: str) -> Snapshot:
        nonlocal calls
        calls += 1
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:  # noqa: PERF203 - that is what is tested
                # As a retry that catches too much does.
                continue
        return Snapshot(1, calls)

    snapshots, policy = made(snapshot, 0.05)
    for _ in range(3):
        with pytest.raises(Refusal, match="takes too long") as refused:
            await asyncio.wait_for(snapshots.of(policy, "a"), 20)
        assert (refused.value.code, refused.value.retry) == ("overloaded", True)
    assert calls == 1
    end.set()
    while calls == 1:
        try:
            state = await snapshots.of(policy, "a")
        except Refusal:  # noqa: PERF203 - until the first call has ended
            await asyncio.sleep(0)
    assert state.seq == 2


@pytest.mark.parametrize("answer", [None, 5, ("state", "1"), ("state", True)])
async def test_what_is_no_snapshot_is_an_error_that_says_so(answer: Any) -> None:
    snapshots, policy = made(lambda room: answer)
    with pytest.raises(TypeError, match=r"fanwire\.Snapshot"):
        await snapshots.of(policy, "a")
