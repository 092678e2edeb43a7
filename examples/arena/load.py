"""A load run: bots on both nodes, each of which predicts where it is and compares that with what the server says."""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

from game import HZ
from prediction import Prediction

import fanwire


class Bot:
    """A player that walks at random."""

    def __init__(self, client: fanwire.Client, number: int) -> None:
        self._client = client
        self._number = number
        self._random = random.Random(number)
        self._player = ""
        self._tasks: set[asyncio.Future[None]] = set()
        self._tick = 0
        self.prediction = Prediction()
        self.states = self.seen = self.score = 0
        self.pending: list[int] = []
        self.ages: list[float] = []

    async def play(self) -> None:
        """Plays until it is cancelled."""
        try:
            self._client.on_room(self._found)
            entered = await self._client.request("enter", {"name": f"bot {self._number}"})
            self._player = entered["player"]
            await self._walk()
        finally:
            for task in self._tasks:
                task.cancel()

    async def _walk(self) -> None:
        dx, dy = 1, 0
        async for _ in ticks():
            if self._random.random() < 0.05:
                dx, dy = self._random.randint(-1, 1), self._random.randint(-1, 1)
            number = self.prediction.input(dx, dy)
            self._spawn(self._send(number, dx, dy))

    async def _send(self, number: int, dx: int, dy: int) -> None:
        await self._client.request("walk", {"n": number, "dx": dx, "dy": dy})

    def _found(self, room: fanwire.Room) -> None:
        self._spawn(self._read(room))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def _read(self, room: fanwire.Room) -> None:
        try:
            async for message in room:
                self._take(message)
        except fanwire.RoomEnded:
            pass  # the cell is far away by now

    def _take(self, message: fanwire.Message) -> None:
        self.states += 1
        self.seen += len(message.data["players"])
        mine = message.data["players"].get(self._player)
        if mine is not None and message.data["tick"] > self._tick:
            if message.age is not None:
                self.ages.append(message.age * 1000)
            self._tick = message.data["tick"]
            x, y, done, self.score, _ = mine
            self.prediction.reconcile((x, y), done)
            self.pending.append(self.prediction.pending)


async def ticks() -> AsyncIterator[int]:
    """As many numbers a second as the server has ticks. One that comes too late is left out."""
    loop = asyncio.get_running_loop()
    start, number = loop.time(), 0
    while True:
        number = max(number + 1, int((loop.time() - start) * HZ))
        await asyncio.sleep(start + number / HZ - loop.time())
        yield number


async def run(urls: Sequence[str], bots: int, seconds: float) -> list[Bot]:
    """Plays for some seconds. Returns the bots."""
    clients = [await fanwire.connect(urls[number % len(urls)]).__aenter__() for number in range(bots)]
    made = [Bot(client, number) for number, client in enumerate(clients)]
    tasks = [asyncio.ensure_future(bot.play()) for bot in made]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*(client.close() for client in clients), *tasks, return_exceptions=True)
    for task in done:
        task.result()  # none ends before the time is over, unless it fails
    return made


def report(bots: Sequence[Bot], seconds: float) -> str:
    """The figures."""
    ages = sorted(age for bot in bots for age in bot.ages)
    pending = [count for bot in bots for count in bot.pending]
    told = sum(len(bot.pending) for bot in bots)
    cuts = statistics.quantiles(ages, n=100) if len(ages) > 1 else [0.0] * 99
    states, seen = sum(bot.states for bot in bots), sum(bot.seen for bot in bots)
    return "\n".join(
        [
            f"{len(bots)} bots, {seconds:g} s",
            f"states        {states / seconds:,.0f} a second to all, {seen / max(1, states):.1f} players in each",
            f"own state     {told / seconds / len(bots):.1f} times a second to each bot",
            f"its age       p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f}, highest {ages[-1] if ages else 0:.1f} ms",
            f"on their way  {statistics.fmean(pending) if pending else 0:.1f} inputs of a bot on average",
            f"corrections   {sum(bot.prediction.corrections for bot in bots)} of {told} predictions",
            f"gems          {sum(bot.score for bot in bots)}",
        ]
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bots", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    command = [sys.executable, str(Path(__file__).with_name("game.py")), "--port", "0"]
    game = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert game.stdout is not None
    try:
        lines = [await asyncio.wait_for(game.stdout.readline(), 30) for _ in range(2)]
        urls = [line.decode().strip().replace("http", "ws", 1) for line in lines]
        print(report(await run(urls, given.bots, given.seconds), given.seconds))
    finally:
        game.terminate()
        await game.wait()


if __name__ == "__main__":
    asyncio.run(main())
