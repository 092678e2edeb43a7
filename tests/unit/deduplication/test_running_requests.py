"""A request that comes again while it is handled gets the answer of the first, or is handled when there is none."""

from __future__ import annotations

import asyncio

import pytest

from fanwire.deduplication.running_requests import RunningRequests


async def test_the_second_gets_what_the_first_returns_or_raises() -> None:
    requests = RunningRequests()
    for error in (None, KeyError("x")):
        end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        first = asyncio.ensure_future(requests.first("a", end, str))
        assert requests.is_running("a")
        assert not requests.is_running("b")
        second = asyncio.ensure_future(requests.second("a", never, str))
        await asyncio.sleep(0)
        if error is None:
            end.set_result(7)
            assert [await first, await second] == ["7", "7"]
        else:
            end.set_exception(error)
            for waiting in (first, second):
                with pytest.raises(KeyError):
                    await waiting
        assert len(requests) == 0


async def never() -> int:
    raise AssertionError("it is not handled again")


async def test_the_second_handles_it_when_the_first_was_cancelled() -> None:
    requests = RunningRequests()
    calls = 0

    async def again() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return calls

    first = asyncio.ensure_future(requests.first("a", asyncio.get_running_loop().create_future(), str))
    others = [asyncio.ensure_future(requests.second("a", again, str)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == ["1", "1", "1"]
    assert len(requests) == 0


async def test_a_handler_that_is_never_awaited_leaves_nothing_behind() -> None:
    requests = RunningRequests()

    async def handler() -> None: ...

    work = handler()
    first = requests.first("a", work, str)
    assert requests.is_running("a")
    first.close()
    work.close()
    del first
    assert not requests.is_running("a")


async def test_the_second_gets_the_result_although_the_first_ends_before_it_waits() -> None:
    requests = RunningRequests()
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    first = asyncio.ensure_future(requests.first("a", end, str))
    await asyncio.sleep(0)
    second = requests.second("a", never, str)
    end.set_result(7)
    assert await first == "7"
    assert not requests.is_running("a")
    assert await second == "7"
