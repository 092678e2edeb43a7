"""Processors: how many this process may use, and lists of their numbers."""

from __future__ import annotations

import os

from fanwire.values.checks import described

__all__ = ["parse_cores", "processors", "usable_cores"]


def processors() -> int:
    """The number of processors that this process may use."""
    cores = usable_cores()
    return len(cores) if cores is not None else os.cpu_count() or 1


def usable_cores() -> set[int] | None:
    """The numbers of the processors that this process may use; None where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def parse_cores(name: str, text: str, most: int) -> list[int]:
    """Returns the processors of a list such as "2,3" or "2-3"; none of "".

    Args:
        name: of the setting, for errors.
        text: the list.
        most: how many it may name.

    Raises:
        ValueError: it is no such list, a range is empty, it names a processor twice, or names too many.
    """
    found: list[int] = []
    for part in text.split(",") if text.strip() else []:
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)) or max(len(first), len(last)) > DIGITS:
            raise ValueError(f'{name} must be processors such as "2,3" or "2-3", got {described(text)}')
        if int(last or first) < int(first):
            raise ValueError(f"{name} must have ranges from low to high, got {described(text)}")
        found += range(int(first), int(last or first) + 1)
    if len(set(found)) != len(found):
        raise ValueError(f"{name} must name each processor once, got {described(text)}")
    if len(found) > most:
        raise ValueError(f"{name} must name at most {most} processors, got {len(found)}")
    return found


DIGITS = 4
"""Digits of the number of a processor: Linux has at most 8,192 of them."""
