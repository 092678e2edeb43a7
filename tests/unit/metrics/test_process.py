"""The metrics of the process are in a scrape."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from helpers.wait import DEADLINE
from prometheus_client import CollectorRegistry, Counter

from fanwire.metrics.process import process_metrics, with_process


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("done", "What was done.", registry=made).inc()
    return made


async def test_the_process_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.metrics.process.PATIENCE", DEADLINE)
    found = {sample.name for family in await with_process(registry()) for sample in family.samples}
    assert found >= {
        "done_total", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
        "process_max_fds", "python_info", "python_gc_collections_total",
    }  # fmt: skip
    assert process_metrics() is process_metrics()


async def test_a_scrape_does_not_wait_for_threads_of_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.metrics.process.PATIENCE", 0.01)
    loop, free = asyncio.get_running_loop(), Event()
    with ThreadPoolExecutor(1) as pool:
        loop.set_default_executor(pool)
        busy = loop.run_in_executor(None, free.wait, 30)
        try:
            assert [family.name for family in await with_process(registry())] == ["done"]
        finally:
            free.set()
            await busy
