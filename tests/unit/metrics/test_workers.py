"""One scrape has the metrics of all workers of a port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from helpers.wait import PROCESS, until, within
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric

from fanwire.metrics.workers import ENCODER, WorkerMetrics

Make = Callable[[int, int], WorkerMetrics]


def registry(count: int) -> CollectorRegistry:
    """Of a worker that has done something `count` times, the last time with a label that wants quoting."""
    made = CollectorRegistry()
    Counter("done", "What was done.", ["what"], registry=made).labels('a "b"\n').inc(count)
    Histogram("took", "How long it took.", buckets=[1.0], registry=made).observe(count)
    return made


def collecting(count: int) -> Callable[[], Awaitable[Iterable[Metric]]]:
    made = registry(count)

    async def collect() -> Iterable[Metric]:
        return made.collect()

    return collect


def samples(text: bytes) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.decode().splitlines() if line[:1] not in ("", "#"))
    return {name: float(value) for name, _, value in lines if "_created" not in name}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is there is waited for, however slow the machine is."""
    monkeypatch.setattr("fanwire.metrics.workers.ANSWER", PROCESS)


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[list[WorkerMetrics]]:
    """Two of three; the third does not run."""
    async with AsyncExitStack() as stack:
        made = [WorkerMetrics(collecting(number + 1), tmp_path, number, 3, restarts=number) for number in range(2)]
        for worker in made:
            await worker.start()
            stack.push_async_callback(worker.stop)
        yield made


async def test_the_one_that_is_asked_has_the_samples_of_all(workers: list[WorkerMetrics]) -> None:
    for worker in workers:
        assert samples(await within(worker.exposition())) == {
            'fanwire_worker_up{worker="0"}': 1,
            'fanwire_worker_up{worker="1"}': 1,
            'fanwire_worker_up{worker="2"}': 0,
            'fanwire_worker_restarts_total{worker="0"}': 0,
            'fanwire_worker_restarts_total{worker="1"}': 1,
            r'done_total{what="a \"b\"\n",worker="0"}': 1,
            r'done_total{what="a \"b\"\n",worker="1"}': 2,
            'took_bucket{le="1.0",worker="0"}': 1,
            'took_bucket{le="1.0",worker="1"}': 0,
            'took_bucket{le="+Inf",worker="0"}': 1,
            'took_bucket{le="+Inf",worker="1"}': 1,
            'took_count{worker="0"}': 1,
            'took_count{worker="1"}': 1,
            'took_sum{worker="0"}': 1,
            'took_sum{worker="1"}': 2,
        }


async def test_a_worker_that_does_not_answer_is_left_out(
    workers: list[WorkerMetrics], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.metrics.workers.ANSWER", 0.05)
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    async with await asyncio.start_unix_server(silent, tmp_path / "2.sock"):
        for _ in range(100):
            found = samples(await within(workers[0].exposition()))
            assert found['fanwire_worker_up{worker="2"}'] == 0
            # On a busy machine the other one may be too late as well.
            if found['fanwire_worker_up{worker="1"}']:
                break
        await within(ended.wait())
    assert found['fanwire_worker_up{worker="1"}'] == 1


async def test_a_large_answer_comes_in_pieces(workers: list[WorkerMetrics], tmp_path: Path) -> None:
    async def collect() -> Iterable[Metric]:
        family = Metric("large", "With long labels.", "gauge")
        for number in range(25_000):
            family.add_sample("large", {"pattern": f"{number} {'x' * 200}"}, number)
        return [family]

    async with AsyncExitStack() as stack:
        third = WorkerMetrics(collect, tmp_path, 2, 3)
        await third.start()
        stack.push_async_callback(third.stop)
        found = (await within(workers[0].exposition(), PROCESS)).decode()
    assert 'fanwire_worker_up{worker="2"} 1.0' in found
    assert found.count("\nlarge{") == 25_000
    assert found.count("# HELP large With long labels.") == 1


async def test_an_answer_that_ends_too_early_is_none(workers: list[WorkerMetrics], tmp_path: Path) -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        piece = ENCODER.encode(("a", "A.", "gauge", [("a", {}, 1.0)]))
        writer.write(len(piece).to_bytes(4, "big") + piece)
        writer.close()

    async with await asyncio.start_unix_server(breaks, tmp_path / "2.sock"):
        found = samples(await within(workers[0].exposition()))
    assert found['fanwire_worker_up{worker="2"}'] == 0
    assert 'a{worker="2"}' not in found


async def test_a_worker_that_was_killed_is_followed_by_one_with_its_number(
    workers: list[WorkerMetrics], tmp_path: Path
) -> None:
    # The socket of the one that was killed is still there, and nobody listens.
    (tmp_path / "2.sock").touch()
    third = WorkerMetrics(collecting(7), tmp_path, 2, 3)
    await third.start()
    try:
        assert samples(await within(workers[0].exposition()))['took_sum{worker="2"}'] == 7
    finally:
        await third.stop()
    assert not (tmp_path / "2.sock").exists()


async def test_a_worker_that_does_not_read_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.metrics.workers.ANSWER", 0.05)

    async def collect() -> Iterable[Metric]:
        return [Metric("large", "x" * (4 << 20), "gauge")]

    def answering() -> list[str]:
        return [str(task.get_coro()) for task in asyncio.all_tasks() if "_answer" in str(task.get_coro())]

    worker = WorkerMetrics(collect, tmp_path, 0, 2)
    await worker.start()
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.setblocking(False)
        await within(asyncio.get_running_loop().sock_connect(stopped, str(tmp_path / "0.sock")))
        await until(answering, "it answers")
        await until(lambda: not answering(), "it has given up")
        await within(worker.stop())
