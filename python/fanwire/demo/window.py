"""Counts that only grow, and how fast they grow. Pure."""

from __future__ import annotations

from collections import deque

__all__ = ["Window"]


class Window:
    """The growth of counts over the last samples.

    The kernel counts processor time in hundredths of a second: between two samples, 50 ms apart, a core was busy 0, 20,
    40... percent. Over ten samples the steps are 2 percent.
    """

    def __init__(self, samples: int) -> None:
        self._samples: deque[tuple[float, dict[str, float]]] = deque(maxlen=samples + 1)

    def add(self, now: float, counts: dict[str, float]) -> tuple[float, dict[str, float]]:
        """Takes a sample; returns the seconds since the oldest one and the growth of each count since then."""
        self._samples.append((now, counts))
        then, before = self._samples[0]
        return now - then, {name: max(0.0, count - before.get(name, count)) for name, count in counts.items()}

    def rates(self, now: float, counts: dict[str, float]) -> dict[str, float]:
        """Takes a sample; returns the growth per second, 0 at first."""
        seconds, growth = self.add(now, counts)
        return {name: count / seconds if seconds > 0 else 0.0 for name, count in growth.items()}
