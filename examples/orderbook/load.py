"""A load run: readers on both nodes, each with a book of its own that it compares with the whole one; some are slow."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from book import Book, OutOfSequence
from exchange import SYMBOLS

import fanwire

PAUSE = 0.05
"""Seconds that a slow reader takes for each quote."""


RATE = 4.0
"""Quotes a second of each symbol that a phone asks for."""


class Reader:
    """A reader of the quotes and, unless it is slow or a phone, of one book. It keeps figures of what it has read."""

    def __init__(self, client: fanwire.Client, symbol: str, kind: str) -> None:
        self._client = client
        self._symbol = symbol
        self.kind = kind
        self.changes = self.verified = self.holes = self.quotes = 0
        self.book = Book()
        self.checker = fanwire.SequenceChecker()
        self.ages: list[float] = []

    async def read(self) -> None:
        if self.kind == "fast":
            await asyncio.gather(self._read_book(), self._read_quotes())
        else:
            await self._read_quotes()

    async def _read_book(self) -> None:
        room = await self._client.join(f"book.{self._symbol}", repair="cheapest")
        self.book.take(room.snapshot)
        self.checker = fanwire.SequenceChecker(room.position)
        room.on_skipped(self.checker.skipped)
        async for message in room:
            self.checker.message(message)
            if message.gap is not None and message.gap.snapshot is not None:
                self.book.take(message.gap.snapshot)  # the whole book was fewer bytes than the changes
            self.changes += 1
            try:
                self.verified += self.book.take(message.data)
            except OutOfSequence:
                self.holes += 1

    async def _read_quotes(self) -> None:
        room = await self._client.join("quotes", max_rate=RATE if self.kind == "phone" else None)
        async for message in room:
            self.quotes += 1
            if message.age is not None:
                self.ages.append(message.age * 1000)
            if self.kind == "slow":
                await asyncio.sleep(PAUSE)


def percentiles(ages: Sequence[float]) -> str:
    """The median, the 99th percentile and the highest of some milliseconds."""
    if len(ages) < 2:
        return "-"
    cuts = statistics.quantiles(ages, n=100)
    return f"{cuts[49]:.1f} / {cuts[98]:.1f} / {max(ages):.1f} ms"


async def run(urls: Sequence[str], readers: int, slow: int, phones: int, seconds: float) -> list[Reader]:
    """Reads for some seconds. Some of the readers are slow, and some are phones. Returns all."""
    made: list[Reader] = []
    clients: list[fanwire.Client] = []
    for number in range(readers):
        # A small queue of its own, so that the server knows what a slow reader has not taken.
        kind = "slow" if number < slow else "phone" if number < slow + phones else "fast"
        client = fanwire.connect(urls[number % len(urls)], max_queue=64 if kind == "slow" else 16_384)
        clients.append(await client.__aenter__())
        made.append(Reader(client, list(SYMBOLS)[number % len(SYMBOLS)], kind))
    tasks = [asyncio.ensure_future(reader.read()) for reader in made]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*(client.close() for client in clients), *tasks, return_exceptions=True)
    for task in done:
        task.result()  # none ends before the time is over, unless it fails
    return made


def report(readers: Sequence[Reader], seconds: float) -> str:
    """The figures."""
    changes = sum(reader.changes for reader in readers)
    proofs = [reader.checker.report() for reader in readers]
    received, restored = sum(proof.received for proof in proofs), sum(proof.restored for proof in proofs)
    lines = [
        f"{len(readers)} readers, {seconds:g} s",
        f"book changes   {changes / seconds:,.0f} a second to all readers",
        f"compared       {sum(reader.verified for reader in readers)} times with the whole book: equal",
        f"holes          {sum(reader.holes for reader in readers)} (the exchange's feed has lost something; repaired)",
        f"proof          {received} messages have come, {restored} are in a whole book, "
        f"{sum(proof.missing + sum(proof.lost.values()) for proof in proofs)} are missing",
    ]
    for kind in ("slow", "phone", "fast"):
        some = [reader for reader in readers if reader.kind == kind]
        ages = [age for reader in some for age in reader.ages]
        read = sum(reader.quotes for reader in some) / seconds / max(1, len(some))
        each = f"{len(some):<4}{kind:<6}{read:>8,.1f} quotes a second each"
        lines.append(f"{each}, age p50 / p99 / highest: {percentiles(ages)}")
    return "\n".join(lines)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--slow", type=int, default=10)
    parser.add_argument("--phones", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=200.0, help="changes a second")
    given = parser.parse_args()
    command = [sys.executable, str(Path(__file__).with_name("gateway.py")), "--port", "0", "--rate", str(given.rate)]
    gateway = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert gateway.stdout is not None
    try:
        lines = [await asyncio.wait_for(gateway.stdout.readline(), 30) for _ in range(2)]
        urls = [line.decode().strip().replace("http", "ws", 1) for line in lines]
        readers = await run(urls, given.readers, given.slow, given.phones, given.seconds)
        print(report(readers, given.seconds))
    finally:
        gateway.terminate()
        await gateway.wait()


if __name__ == "__main__":
    asyncio.run(main())
