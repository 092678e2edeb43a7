"""Merges what nodes have answered into one page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

__all__ = ["Part", "merged"]

T = TypeVar("T")


class Part(NamedTuple):
    """The part of a list that one node has sent.

    Attributes:
        items: in the order of their keys.
        more: whether others follow.
    """

    items: list[Any]
    more: bool


def merged(
    parts: Iterable[Part], key: Callable[[T], Any], limit: int, join: Callable[[T, T], T]
) -> tuple[list[T], bool]:
    """The first items of several parts, and whether others follow.

    Args:
        parts: the part of each node. All begin at the same place.
        key: orders the items.
        limit: items at most.
        join: makes one item of two with the same key.
    """
    found: dict[Any, T] = {}
    more = False
    ends = []
    for part in parts:
        for item in part.items:
            name = key(item)
            found[name] = join(found[name], item) if name in found else item
        if part.more:
            more = True
            if part.items:
                ends.append(key(part.items[-1]))
    names = sorted(found)
    if ends:
        # Behind its last item a node may have others that it has not sent.
        end = min(ends)
        names = [name for name in names if name <= end]
    return [found[name] for name in names[:limit]], more or len(names) > limit
