"""The metrics of all workers of one port, whichever of them is scraped.

A scrape of a shared port reaches one worker, chosen by the kernel. Each worker therefore answers the others on a Unix
socket of its own, in a directory that only they can read, and the one that is scraped puts the answers together: every
sample gets the label `worker`.
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
    """Answers the other workers, and asks them.

    Args:
        registry: what this worker counts.
        directory: where the sockets of all workers are; it must be theirs alone.
        worker: the number of this one, from 0.
        workers: how many there are.
    """

    def __init__(self, registry: CollectorRegistry, directory: Path, worker: int, workers: int) -> None:
        self._registry = registry
        self._directory = directory
        self._worker = worker
        self._workers = workers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begins to answer the others.

        Raises:
            OSError: the socket cannot be made.
        """
        path = self._path(self._worker)
        # The one that had this number before may have been killed.
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, path)

    async def stop(self) -> None:
        """Ends."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._path(self._worker).unlink(missing_ok=True)

    async def exposition(self) -> bytes:
        """The metrics of all workers, in the text format of Prometheus. A worker that does not answer within
        `ANSWER` seconds is left out, and `fanwire_worker_up` is 0 for it."""
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
    """The samples of several expositions, each with the label `worker`."""

    def __init__(self, texts: dict[int, bytes | None]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        """What a scrape gets."""
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
