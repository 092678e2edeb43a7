"""The queue of one connection's calls, with a stand-in for the connection."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import Any

import pytest
from helpers.wait import until, within

from fanwire.handlers.calls import ApplicationCall, ApplicationCalls
from fanwire.handlers.queue import HandlerQueue
from fanwire.observability.limits import HeldBytes


class Panic(BaseException):
    pass


class Recorded(ApplicationCalls):
    def __init__(self) -> None:
        super().__init__()
        self.started: list[asyncio.Task[None]] = []

    def start(self, *args: Any) -> ApplicationCall:
        call = super().start(*args)
        self.started.append(call.task)
        return call


class Owner:
    def __init__(self) -> None:
        self.connection = "a connection"
        self.calls = Recorded()
        self.events: list[str] = []
        self.errors: list[BaseException] = []

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return self.calls.started

    def pause_reading(self) -> None:
        self.events.append("pause")

    def resume_reading(self) -> None:
        self.events.append("resume")

    def handler_failed(self, error: BaseException, name: str) -> None:
        self.errors.append(error)

    def handlers_ended(self) -> None:
        self.events.append("ended")


def make(max_calls: int = 8, max_bytes: int = 1000, held: HeldBytes | None = None) -> tuple[Owner, HandlerQueue]:
    owner = Owner()
    held = held or HeldBytes(1 << 20)
    return owner, HandlerQueue(owner, max_calls=max_calls, max_bytes=max_bytes, held=held, calls=owner.calls)


async def idle(handler_queue: HandlerQueue) -> None:
    await until(lambda: not handler_queue.is_running, "nothing runs")


async def test_plain_functions_run_at_once_and_without_a_task() -> None:
    owner, handler_queue = make()
    calls: list[int] = []
    for number in range(3):
        handler_queue.put(calls.append, number)
        assert calls[-1] == number
    assert not owner.tasks
    assert not handler_queue.is_running


async def test_calls_wait_for_the_awaitable_before_them_and_keep_their_order() -> None:
    _owner, handler_queue = make()
    gate = asyncio.Event()
    calls: list[int] = []

    async def slow(number: int) -> None:
        await gate.wait()
        calls.append(number)

    handler_queue.put(slow, 1)
    handler_queue.put(calls.append, 2)
    handler_queue.put(slow, 3)
    handler_queue.put(calls.append, 4)
    assert handler_queue.is_running
    assert calls == []
    gate.set()
    await idle(handler_queue)
    assert calls == [1, 2, 3, 4]
    # It is idle again: at once.
    handler_queue.put(calls.append, 5)
    assert calls[-1] == 5


async def test_a_future_is_awaited_too_and_other_values_are_not() -> None:
    owner, handler_queue = make()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handler_queue.put(lambda: "text")
    handler_queue.put(lambda: 7)
    assert not owner.tasks
    handler_queue.put(lambda: future)
    assert handler_queue.is_running
    future.set_result(None)
    await within(owner.tasks[0])


async def test_what_raises_is_told_and_the_rest_still_runs() -> None:
    owner, handler_queue = make()
    calls: list[int] = []

    async def slow_failure() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    def failure() -> None:
        raise ValueError("at once")

    handler_queue.put(failure)
    handler_queue.put(slow_failure)
    handler_queue.put(failure)
    handler_queue.put(calls.append, 1)
    await idle(handler_queue)
    assert [str(error) for error in owner.errors] == ["at once", "later", "at once"]
    assert calls == [1]


async def test_it_pauses_at_the_limit_of_calls_and_resumes_at_half() -> None:
    owner, handler_queue = make(max_calls=4)
    gates = [asyncio.Event() for _ in range(6)]
    begun: list[int] = []

    async def slow(number: int) -> None:
        begun.append(number)
        await gates[number].wait()

    for number in range(4):
        handler_queue.put(slow, number)
    assert owner.events == []
    handler_queue.put(slow, 4)
    assert owner.events == ["pause"]
    # What was read already still comes, and pauses nothing twice.
    handler_queue.put(slow, 5)
    assert owner.events == ["pause"]
    for number in range(3):
        assert owner.events == ["pause"]
        gates[number].set()
        await until(lambda number=number: number + 1 in begun)
    assert owner.events == ["pause", "resume"]
    for gate in gates:
        gate.set()
    await idle(handler_queue)
    assert begun == list(range(6))
    assert owner.events == ["pause", "resume"]


async def test_it_pauses_at_the_limit_of_bytes() -> None:
    owner, handler_queue = make(max_bytes=100)
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()

    handler_queue.put(slow, size=1000)
    handler_queue.put(slow, size=99)
    assert owner.events == []
    handler_queue.put(slow, size=1)
    assert owner.events == ["pause"]
    gate.set()
    await idle(handler_queue)
    assert owner.events == ["pause", "resume"]


async def test_what_all_hold_together_pauses_each_who_adds_to_it() -> None:
    held = HeldBytes(100)
    gates = [asyncio.Event(), asyncio.Event()]
    makers = [make(held=held) for _ in gates]
    for (_, handler_queue), gate in zip(makers, gates, strict=True):
        handler_queue.put(gate.wait)
    (first, one), (second, two) = makers
    one.put(gates[0].wait, size=90)
    assert first.events == second.events == []
    two.put(gates[1].wait, size=20)
    assert held.bytes == 110
    assert (first.events, second.events) == ([], ["pause"])
    # Who holds nothing goes on, whatever others do.
    gates[1].set()
    await idle(two)
    assert second.events == ["pause", "resume"]
    assert held.bytes == 90
    gates[0].set()
    await idle(one)
    assert held.bytes == 0
    assert first.events == []


async def test_plain_functions_behind_an_awaitable_let_others_in_between() -> None:
    _owner, handler_queue = make(max_calls=1000)
    order: list[str] = []
    handler_queue.put(asyncio.sleep, 0)
    for _ in range(100):
        handler_queue.put(order.append, "handler_queue")

    async def other() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
            order.append("other")

    await within(other())
    await idle(handler_queue)
    assert order.index("other") < 10


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit, Panic])
@pytest.mark.parametrize("is_async", [False, True])
async def test_whatever_a_call_raises_those_behind_it_run_in_order(error: type[BaseException], is_async: bool) -> None:
    owner, handler_queue = make()
    calls: list[int] = []

    def fail() -> None:
        raise error

    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise error

    handler_queue.put(asyncio.sleep, 0)
    for number in range(3):
        handler_queue.put(calls.append, number)
        handler_queue.put(fail_later if is_async else fail)
    await idle(handler_queue)
    assert calls == [0, 1, 2]
    assert [type(error) for error in owner.errors] == [error] * 3


async def test_after_the_end_the_running_call_has_some_time_then_it_is_cancelled_and_the_rest_is_dropped() -> None:
    owner, handler_queue = make()
    held = handler_queue._held
    seen: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    handler_queue.put(hang)
    # What is cancelled before it has begun would see nothing.
    await asyncio.sleep(0)
    handler_queue.put(seen.append, "a message", size=10)
    handler_queue.put(seen.append, "the end", stays=True)
    handler_queue.end(owner, 0.01)
    await within(asyncio.wait(owner.tasks))
    await idle(handler_queue)
    assert seen == ["cancelled", "the end"]
    assert (owner.events, owner.errors, held.bytes) == (["ended"], [], 0)
    handler_queue.put(seen.append, "too late")
    assert seen == ["cancelled", "the end"]


async def test_what_was_put_before_the_end_runs_if_it_takes_little_time() -> None:
    owner, handler_queue = make()
    seen: list[int] = []
    for number in range(3):
        handler_queue.put(asyncio.sleep, 0)
        handler_queue.put(seen.append, number)
    handler_queue.end(owner, 20.0)
    await idle(handler_queue)
    assert seen == [0, 1, 2]
    assert owner.events == ["ended"]


async def test_one_that_does_not_end_is_given_up_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    owner, handler_queue = make()
    seen: list[str] = []
    gate = asyncio.Event()

    async def swallow() -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    handler_queue.put(swallow)
    handler_queue.put(seen.append, "the end", stays=True)
    handler_queue.end(owner, 20.0)
    await asyncio.sleep(0)
    handler_queue.hurry(0.01)
    await idle(handler_queue)
    assert seen == ["the end"]
    assert "swallow of 'a connection' does not end" in caplog.text
    gate.set()
    await within(asyncio.wait(owner.tasks))
    assert owner.events == ["ended"]


async def test_cut_short_even_what_stays_is_cancelled() -> None:
    owner, handler_queue = make()
    for _ in range(3):
        handler_queue.put(asyncio.Event().wait, stays=True)
    handler_queue.end(owner, 20.0)
    await asyncio.sleep(0)
    handler_queue.cut()
    await idle(handler_queue)
    assert owner.events == ["ended"]


async def test_a_call_that_another_call_has_made_runs_before_the_rest_of_that() -> None:
    owner, handler_queue = make()
    log: list[str] = []

    async def joined() -> None:
        log.append("joined begins")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.append("joined ends")
        raise ValueError("joined")

    async def rest() -> None:
        log.append("rest")

    def handler() -> Any:
        handler_queue.put(joined)
        return rest()

    handler_queue.put(handler)
    handler_queue.put(log.append, "last")
    await idle(handler_queue)
    assert log == ["joined begins", "joined ends", "rest", "last"]
    assert [str(error) for error in owner.errors] == ["joined"]


async def test_the_rest_of_a_call_that_is_dropped_is_closed() -> None:
    owner, handler_queue = make()
    rest = asyncio.sleep(0)

    def handler() -> Any:
        handler_queue.put(asyncio.Event().wait)
        return rest

    handler_queue.put(handler)
    handler_queue.end(owner, 60)
    handler_queue.hurry()
    assert inspect.getcoroutinestate(rest) == inspect.CORO_CLOSED
    await idle(handler_queue)
    assert owner.events[-1] == "ended"
