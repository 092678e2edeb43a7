"""The text of a scrape is made in slices."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fanwire.metrics.exposition import Slice, exposition
from fanwire.metrics.families import SAMPLES


def large() -> CollectorRegistry:
    registry = CollectorRegistry()
    counter = Counter("done", "What was done,\nin two lines.", ["what"], registry=registry)
    histogram = Histogram("took_seconds", "How long it took.", ["what"], registry=registry)
    for number in range(250):
        counter.labels(f"# {number}").inc(number)
        histogram.labels(f"a {number}").observe(number)
    Gauge("empty", "Nothing has a label yet.", ["what"], registry=registry)
    return registry


async def test_it_is_what_the_client_library_writes() -> None:
    registry = large()
    created = "_created"
    assert await exposition(registry.collect()) != b""
    ours = (await exposition(registry.collect())).decode().splitlines()
    theirs = generate_latest(registry).decode().splitlines()
    # The library writes the times of creation behind their family, and here they are behind their part of it.
    assert [line for line in ours if created not in line] == [line for line in theirs if created not in line]
    assert {line for line in ours if created in line} == {line for line in theirs if created in line}


async def test_others_run_between_two_slices() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    ticks = iter(range(10**9))
    # Each look at this clock is a second, so that each slice is over at once.
    await exposition(large().collect(), Slice(lambda: float(next(ticks))))
    counting.cancel()
    assert turns > 250 * 17 // SAMPLES
