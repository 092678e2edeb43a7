"""Calls from threads to the loop: in order, and none keeps another from being made."""

from __future__ import annotations

import asyncio
import threading
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
    assert made == []
    calls.make(call, "third")
    here = threading.get_ident()
    assert made == [("first", here), ("second", here), ("third", here)]
    in_a_thread(calls, call, "last")
    await until(lambda: len(made) == 4)


async def test_a_call_may_ask_for_others() -> None:
    calls = LoopCalls()
    made: list[str] = []
    in_a_thread(calls, calls.make, made.append, "second")
    in_a_thread(calls, made.append, "first")
    calls.make(made.append, "third")
    assert made == ["first", "second", "third"]


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
    assert (made, told) == (["second", "third"], ["LookupError('a bug')"])
