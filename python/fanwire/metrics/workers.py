"""The metrics of all workers of a shared port, in one scrape.

The kernel gives a scrape to one worker. That worker asks the others by their Unix sockets, which are in a directory
that only the workers can read. It merges the answers: each sample gets the label `worker`. The answers are msgpack,
because the text format takes ten times as long to parse.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path

import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from fanwire.metrics.exposition import Slice, exposition
from fanwire.metrics.families import parts_of
from fanwire.timing.deadline import within

__all__ = ["WorkerMetrics"]

logger = logging.getLogger("fanwire")


class WorkerMetrics:
    """Answers the other workers, and merges their metrics.

    Args:
        collect: returns the metrics of this worker.
        directory: has the sockets of all workers. Only they may have access to it.
        worker: the number of this worker, from 0.
        workers: the number of workers.
        restarts: how often the worker of this number was started again.
    """

    def __init__(
        self,
        collect: Callable[[], Awaitable[Iterable[Metric]]],
        directory: Path,
        worker: int,
        workers: int,
        restarts: int = 0,
    ) -> None:
        self._collect = collect
        self._directory = directory
        self._worker = worker
        self._workers = workers
        self._restarts = _Family(
            WORKER_RESTARTS, RESTARTS_TEXT, "counter", [(f"{WORKER_RESTARTS}_total", {}, float(restarts))]
        )
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
        own, *answers = await asyncio.gather(self._own(), *map(self._ask, others))
        now = Slice()
        up = GaugeMetricFamily(WORKER_UP, "Whether the worker has told its metrics.", labels=["worker"])
        merged: dict[str, Metric] = {up.name: up}
        for worker, families in sorted({self._worker: own, **dict(zip(others, answers, strict=True))}.items()):
            up.add_metric([str(worker)], 0 if families is None else 1)
            for family in families or ():
                known = merged.setdefault(family.name, Metric(family.name, family.text, family.type))
                for name, labels, value in family.samples:
                    known.add_sample(name, {**labels, "worker": str(worker)}, value)
                await now.end_if_over()
        return await exposition(merged.values(), now)

    async def _own(self) -> list[_Family]:
        return [piece async for piece in self._pieces()]

    async def _pieces(self) -> AsyncGenerator[_Family, None]:
        """The metrics of this worker, families with many samples in several pieces."""
        yield self._restarts
        now = Slice()
        for family in await self._collect():
            text = family.documentation
            for part in parts_of(family):
                samples = [(sample.name, sample.labels, sample.value) for sample in part]
                yield _Family(family.name, text, family.type, samples)
                text = ""
                await now.end_if_over()

    async def _ask(self, worker: int) -> list[_Family] | None:
        try:
            return await within(self._read(worker), ANSWER)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError, msgspec.MsgspecError) as error:
            logger.debug("worker %d does not tell its metrics: %r", worker, error)
            return None

    async def _read(self, worker: int) -> list[_Family]:
        reader, writer = await asyncio.open_unix_connection(self._path(worker))
        try:
            pieces = []
            total, now = 0, Slice()
            while size := int.from_bytes(await reader.readexactly(4), "big"):
                total += size
                if total > ANSWER_MAX:
                    raise ValueError(f"the answer is larger than {ANSWER_MAX} bytes")
                pieces.append(DECODER.decode(await reader.readexactly(size)))
                await now.end_if_over()
            return pieces
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A worker that is stopped does not read, and the stop of this one waits for its connections.
            await within(self._tell(writer), ANSWER)
            writer.close()
            await within(writer.wait_closed(), ANSWER)
        except (OSError, asyncio.TimeoutError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        """Writes each piece behind its length, and a length of 0 at the end."""
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                encoded = ENCODER.encode(piece)
                writer.write(len(encoded).to_bytes(4, "big") + encoded)
                await writer.drain()
        writer.write(bytes(4))
        await writer.drain()

    def _path(self, worker: int) -> Path:
        return self._directory / f"{worker}.sock"


class _Family(msgspec.Struct, array_like=True):
    """A metric of one worker, or a piece of it. Each sample has a name, labels and a value. Only the first piece has a
    text."""

    name: str
    text: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


ENCODER = msgspec.msgpack.Encoder()

DECODER = msgspec.msgpack.Decoder(_Family)

WORKER_UP = "fanwire_worker_up"
"""The metric that says which workers have answered."""

WORKER_RESTARTS = "fanwire_worker_restarts"
"""The metric that says which workers have ended, because they were killed or have failed."""

RESTARTS_TEXT = "Times that the worker was started again because it had ended."
"""What it means."""

ANSWER = 2.0
"""Seconds for the other workers to answer: a scrape has ten, unless Prometheus is told otherwise."""

ANSWER_MAX = 16 << 20
"""Bytes of one worker's answer. A hundred kilobytes are usual; 255 rules whose patterns have 255 characters make seven
megabytes."""
