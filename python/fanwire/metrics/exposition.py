"""The text of a scrape, made in slices on the event loop.

Not in a thread: the thread would hold the interpreter's lock for up to 5 ms at a time (`sys.getswitchinterval`), and
the loop would wait for it. A slice is shorter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from fanwire.metrics.families import parts_of

__all__ = ["Slice", "exposition"]


class Slice:
    """A slice of time, after which a coroutine lets the others run.

    Args:
        clock: returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._end = clock() + SLICE

    async def end_if_over(self) -> None:
        """Lets the loop run if the slice is over, and begins the next one."""
        if self._clock() >= self._end:
            await asyncio.sleep(0)
            self._end = self._clock() + SLICE


async def exposition(families: Iterable[Metric], now: Slice | None = None) -> bytes:
    """Returns metrics in the text format of Prometheus.

    Args:
        families: the metrics; collected one by one as they are written.
        now: the slice that has begun; None: a new one.
    """
    now = now or Slice()
    parts = []
    for family in families:
        for number, samples in enumerate(parts_of(family)):
            text = _text_of(family, samples)
            # A family has one head, however many parts it is written in.
            parts.append(text if number == 0 else _without_head(text))
            await now.end_if_over()
    return b"".join(parts)


def _text_of(family: Metric, samples: list[Sample]) -> bytes:
    part = Metric(family.name, family.documentation, family.type, family.unit)
    part.samples = samples
    made: bytes = generate_latest(_One(part))
    return made


def _without_head(text: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"# "))


class _One(Collector):
    """A registry of one family, which was collected already."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """Returns the family."""
        yield self._family


SLICE = 0.00025
"""Seconds of a slice. The family that is collected when it ends makes it longer, by up to a millisecond."""
