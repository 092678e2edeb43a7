"""Calls from threads to the loop: in order, and none keeps another from being made."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

from helpers.wait import until

from fanwire.timing.loop_calls import LoopCalls


def in_a_thread(calls: LoopCalls, *args: Any) -> None:
    thread = threading.Thread(target=calls.make, args=args)
    thread.start()
    thread.join()


async def test_what_a_thread_has_asked_for_is_made_before_what_the_loop_asks_for() -> None:
    calls = LoopCalls()
    made: list[tuple[str, int]] = []

    def call(name: str) -> None:
        made.append((name, threading.get_ident()))

    in_a_thread(calls, call, "first")
    in_a_thread(calls, call, "second")
    calls.make(call, "third")
    assert made == []
    await until(lambda: len(made) == 3)
    here = threading.get_ident()
    assert made == [("first", here), ("second", here), ("third", here)]
    calls.make(call, "at once")
    assert made[3:] == [("at once", here)]
    in_a_thread(calls, call, "last")
    await until(lambda: len(made) == 5)


async def test_a_call_may_ask_for_others_and_none_is_made_within_another() -> None:
    calls = LoopCalls()
    made: list[str] = []

    def ask(name: str) -> None:
        made.append(f"{name} begins")
        calls.make(made.append, f"asked by {name}")
        made.append(f"{name} ends")

    for name in ("first", "second"):
        in_a_thread(calls, ask, name)
    await until(lambda: len(made) == 6)
    assert made[:3] == ["first begins", "first ends", "second begins"]
    assert made.index("asked by first") > made.index("first ends")


async def test_hundreds_may_wait_and_ask_for_more() -> None:
    calls = LoopCalls()
    made: list[int] = []

    def ask(number: int) -> None:
        calls.make(made.append, number)

    for number in range(1000):
        in_a_thread(calls, ask, number)
    await until(lambda: len(made) == 1000)
    assert made == list(range(1000))


async def test_a_call_has_the_context_of_who_has_asked() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")
    calls = LoopCalls()
    made: list[str] = []

    def ask(value: str) -> None:
        variable.set(value)
        calls.make(lambda: made.append(variable.get()))

    for value in ("one", "two"):
        await asyncio.to_thread(ask, value)
    await until(lambda: len(made) == 2)
    assert made == ["one", "two"]


async def test_a_call_that_fails_keeps_no_other_waiting() -> None:
    calls = LoopCalls()
    made: list[str] = []
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(repr(context["exception"])))

    def fail() -> None:
        raise LookupError("a bug")

    in_a_thread(calls, fail)
    in_a_thread(calls, made.append, "second")
    calls.make(made.append, "third")
    await until(lambda: len(made) == 2)
    assert (made, told) == (["second", "third"], ["LookupError('a bug')"])
