"""The metrics of all workers of a shared port, in one scrape.

The kernel gives a scrape to one worker. That worker asks the others by their Unix sockets, which are in a directory
that only the workers can read. It merges the answers: each sample gets the label `worker`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from fanwire.timing.deadline import within

__all__ = ["WorkerMetrics"]

logger = logging.getLogger("fanwire")


class WorkerMetrics:
    """Answers the other workers, and merges their metrics.

    Args:
        registry: has the metrics of this worker.
        directory: has the sockets of all workers. Only they may have access to it.
        worker: the number of this worker, from 0.
        workers: the number of workers.
    """

    def __init__(self, registry: CollectorRegistry, directory: Path, worker: int, workers: int) -> None:
        self._registry = registry
        self._directory = directory
        self._worker = worker
        self._workers = workers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begins to answer the other workers.

        Raises:
            OSError: the socket cannot be created.
        """
        path = self._path(self._worker)
        # A killed worker of this number may have left its socket.
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, path)

    async def stop(self) -> None:
        """Stops answering, and removes the socket."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._path(self._worker).unlink(missing_ok=True)

    async def exposition(self) -> bytes:
        """The metrics of all workers, in the text format of Prometheus. A worker that does not answer in 2 s is left
        out, and its `fanwire_worker_up` is 0."""
        others = [worker for worker in range(self._workers) if worker != self._worker]
        answers = await asyncio.gather(*map(self._ask, others))
        texts = {self._worker: generate_latest(self._registry), **dict(zip(others, answers, strict=True))}
        merged = CollectorRegistry()
        merged.register(_Merged(texts))
        return generate_latest(merged)

    async def _ask(self, worker: int) -> bytes | None:
        try:
            return await within(self._read(worker), ANSWER)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            logger.debug("worker %d does not tell its metrics: %r", worker, error)
            return None

    async def _read(self, worker: int) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path(worker))
        try:
            parts = []
            size = 0
            while part := await reader.read(1 << 16):
                parts.append(part)
                size += len(part)
                if size > ANSWER_MAX:
                    raise ValueError(f"the answer is larger than {ANSWER_MAX} bytes")
            return b"".join(parts)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(generate_latest(self._registry))
            await writer.drain()
        writer.close()

    def _path(self, worker: int) -> Path:
        return self._directory / f"{worker}.sock"


class _Merged(Collector):
    """The samples of all workers, with the label `worker`."""

    def __init__(self, texts: dict[int, bytes | None]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        """Yields the merged metrics."""
        families: dict[str, Metric] = {}
        up = GaugeMetricFamily(WORKER_UP, "Whether the worker has told its metrics.", labels=["worker"])
        for worker, text in sorted(self._texts.items()):
            up.add_metric([str(worker)], 0 if text is None else 1)
            for family in text_string_to_metric_families((text or b"").decode()):
                known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    known.add_sample(sample.name, {**sample.labels, "worker": str(worker)}, sample.value)
        yield up
        yield from families.values()


WORKER_UP = "fanwire_worker_up"
"""The metric that says which workers have answered."""

ANSWER = 2.0
"""Seconds for the other workers to answer: a scrape has ten, unless Prometheus is told otherwise."""

ANSWER_MAX = 4 << 20
"""Bytes of one worker's answer; a hundred kilobytes are usual."""
