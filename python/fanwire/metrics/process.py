"""Metrics of the process, in the names of Prometheus: CPU, memory, descriptors, and Python's garbage collector.

They are in the server's own scrape, and not in `Server.metrics`: an application that exposes that registry has the
metrics of its process already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import cache
from itertools import chain

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric

from fanwire.timing.deadline import within

__all__ = ["process_metrics", "with_process"]

logger = logging.getLogger("fanwire")


@cache
def process_metrics() -> CollectorRegistry:
    """Returns the registry of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


async def with_process(registry: CollectorRegistry) -> Iterable[Metric]:
    """Returns the metrics of a registry and those of the process; without the latter if no thread of the loop's
    executor is free within a second."""
    try:
        # In a thread: to list 10,000 descriptors takes 5 ms, in which it does not keep the interpreter's lock.
        process = await within(asyncio.to_thread(lambda: list(process_metrics().collect())), PATIENCE)
    except asyncio.TimeoutError:
        logger.debug("a scrape is without the metrics of the process: no thread is free")
        process = []
    return chain(registry.collect(), process)


PATIENCE = 1.0
"""Seconds to wait for a thread: the other workers wait for 2 s for the whole answer."""
