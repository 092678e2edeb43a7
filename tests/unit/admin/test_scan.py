"""Scans of long lists: which items are found, in which order, and how often the loop runs meanwhile."""

from __future__ import annotations

import asyncio
import fnmatch
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.admin.scan import SLICE, first_of, pattern_of


async def test_the_first_items_in_order() -> None:
    numbers = list(range(5 * SLICE))
    random.Random(1).shuffle(numbers)
    found = await first_of(numbers, lambda number: number % 2 == 0, lambda number: number, 3, after=10)
    assert (found.items, found.matching, found.more) == ([12, 14, 16], len(numbers) // 2, True)


@pytest.mark.parametrize(("limit", "after", "items", "more"), [
    (3, None, [0, 1, 2], True), (5, None, [0, 1, 2, 3, 4], False), (9, 2, [3, 4], False), (1, 4, [], False),
])  # fmt: skip
async def test_whether_others_follow(limit: int, after: int | None, items: list[int], more: bool) -> None:
    found = await first_of([4, 2, 0, 3, 1], lambda number: True, lambda number: number, limit, after)
    assert (found.items, found.matching, found.more) == (items, 5, more)


async def test_the_loop_runs_after_each_slice() -> None:
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await first_of(range(10 * SLICE), lambda number: True, lambda number: number, 1)
    ticking.cancel()
    assert turns >= 10


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_patterns_match_as_those_of_shells(pattern: str, name: str) -> None:
    assert pattern_of(pattern)(name) == fnmatch.fnmatchcase(name, pattern)


def test_no_pattern_and_no_star() -> None:
    assert pattern_of(None)("x")
    assert pattern_of("a.b")("a.b")
    assert not pattern_of("a.b")("aXb")
    assert not pattern_of("*" + "a*" * 100 + "b")("a" * 10_000)
