"""Finds the first items of a long list without holding the event loop for long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

__all__ = ["Found", "first_of", "pattern_of"]

T = TypeVar("T")


class Found(NamedTuple):
    """The result of a scan.

    Attributes:
        items: the first items that match, in order.
        matching: all that match, those before `after` included.
        more: whether others follow these items.
    """

    items: list[Any]
    matching: int
    more: bool


async def first_of(
    items: Sequence[T] | Iterable[T],
    matches: Callable[[T], bool],
    key: Callable[[T], Any],
    limit: int,
    after: Any = None,
) -> Found:
    """The items with the lowest keys above `after`. The event loop runs after each `SLICE` items, so that a list of
    any length holds it for a millisecond at a time.

    Args:
        items: are not changed meanwhile: a copy.
        matches: which of them are meant.
        key: orders them; no two have the same.
        limit: items at most.
        after: a key; None: from the first.
    """
    found: list[T] = []
    count, dropped = 0, False
    rest = iter(items)
    while part := list(islice(rest, SLICE)):
        matching = [item for item in part if matches(item)]
        count += len(matching)
        if after is not None:
            matching = [item for item in matching if key(item) > after]
        found += matching
        if len(found) > 2 * limit + SLICE:
            found.sort(key=key)
            del found[limit:]
            dropped = True
        await asyncio.sleep(0)
    found.sort(key=key)
    return Found(found[:limit], count, dropped or len(found) > limit)


def pattern_of(text: str | None) -> Callable[[str], bool]:
    """Whether a name matches a pattern, in which `*` stands for any characters; None: all match."""
    if text is None or text == "*":
        return lambda name: True
    if "*" not in text:
        return lambda name: name == text
    # Several stars in a row mean the same as one, but would make a search with backtracking slow.
    parts = re.sub(r"\*+", "*", text).split("*")
    first, last, middle = parts[0], parts[-1], [part for part in parts[1:-1] if part]

    def matches(name: str) -> bool:
        if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
            return False
        at, end = len(first), len(name) - len(last)
        for part in middle:
            at = name.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return matches


SLICE = 500
"""Items between two turns of the event loop: they take half a millisecond."""
