"""What a reader has seen of a room, and the figures of it. Pure: the time comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

WINDOW = 5.0
"""Seconds of a window."""
SETTLING = 5.0
"""Seconds until every key must have come once; the picture is judged from then on."""


@dataclass
class Record:
    """Of one room at one reader.

    Attributes:
        room: its name.
        taken: when each message was taken, in seconds since the start, and how old it was.
        oldest: how old the oldest of all keys' newest values was, once a second.
        highest: the highest number that came.
        missing: numbers below it that did not come. In a room of latest values most are replaced.
        gaps: what messages said was missed before them.
    """

    room: str
    taken: list[tuple[float, float]] = field(default_factory=list)
    oldest: list[tuple[float, float]] = field(default_factory=list)
    first: int = 0
    highest: int = 0
    gaps: list[str] = field(default_factory=list)
    newest: dict[str, float] = field(default_factory=dict)

    def take(self, at: float, now: float, data: dict[str, Any]) -> None:
        """A message, `at` seconds after the start; `now` by the clock that publishes."""
        self.taken.append((at, now - data["t"]))
        self.first = self.first or data["n"]
        self.highest = max(self.highest, data["n"])
        if data["s"] is not None:
            self.newest[data["s"]] = data["t"]

    def look(self, at: float, now: float) -> None:
        """Notes how old the picture is."""
        if self.newest:
            self.oldest.append((at, now - min(self.newest.values())))

    @property
    def missing(self) -> int:
        return self.highest - self.first + 1 - len(self.taken) if self.taken else 0


def figures(record: Record, seconds: float) -> dict[str, Any]:
    """Rates, ages and windows of a record over so many seconds."""
    ages = [age for _, age in record.taken]
    found: dict[str, Any] = {
        "room": record.room,
        "messages": len(ages),
        "rate": round(len(ages) / seconds, 1),
        "missing": record.missing,
        "gaps": record.gaps,
        "age_s": quantiles(ages),
        "windows": windows(record.taken, seconds),
        "keys": len(record.newest),
    }
    picture = [age for at, age in record.oldest if at >= min(SETTLING, seconds / 2)]
    if picture:
        found["oldest_key_s"] = quantiles(picture)
    return found


def windows(taken: list[tuple[float, float]], seconds: float) -> list[dict[str, Any]]:
    """Median and maximum of each five seconds; one in which nothing came has neither."""
    count = max(1, int(seconds // WINDOW))
    parts: list[list[float]] = [[] for _ in range(count)]
    for at, age in taken:
        parts[min(int(at // WINDOW), count - 1)].append(age)
    return [
        {"from": index * WINDOW, "messages": len(part), **{name: quantiles(part).get(name) for name in ("p50", "max")}}
        for index, part in enumerate(parts)
    ]


def worst(found: dict[str, Any]) -> float:
    """The highest median of a window; infinite, if there is a window in which nothing came."""
    return max(float("inf") if window["p50"] is None else window["p50"] for window in found["windows"])


def quantiles(values: list[float]) -> dict[str, float]:
    """Of any number of values; none of none."""
    if not values:
        return {}
    ranked = sorted(values)
    last = len(ranked) - 1
    marks = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(ranked[min(last, int(mark * len(ranked)))], 4) for name, mark in marks.items()}
