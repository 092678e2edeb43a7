"""A bare NATS client on the same loop as a node's: `bare.py`. What a node cannot be faster than.

Questions, see `answering.py`:

* `hear`: subscribes to `subject`; with `reply`, each message is sent on to there;
* `publish`: `count` messages of `size` bytes to `subject` at `rate`, with the time in the first 8 bytes; with `back`,
  answers how long each took until it came there, in microseconds;
* `heard`: the microseconds that each took until it came, since the last time it was asked;
* `stream`: makes a stream `name` of `subjects`; `memory` or not;
* `last`: how many messages were stored in all streams together;
* `store`: publishes to a stream at `rate`, answers how long each acknowledgement took; `in_order`: one after the other;
* `append`: publishes to each of `subjects` for `seconds`, one after the other in each.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

import nats
import uvloop
from answering import answer, paced
from children import URL
from nats.aio.msg import Msg

from fanwire.process.gc_tuning import calm


class Bare:
    def __init__(self, client: nats.NATS) -> None:
        self.client = client
        self.late_us: list[float] = []

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        what = asked.pop("do")
        found: dict[str, Any] | None = await getattr(self, what)(**asked)
        return found or {}

    async def hear(self, subject: str, reply: str = "") -> None:
        async def came(message: Msg) -> None:
            now = time.monotonic_ns()
            if reply:
                await self.client.publish(reply, message.data)
            self.late_us.append((now - int.from_bytes(message.data[:8], "big")) / 1e3)

        await self.client.subscribe(subject, cb=came)
        await self.client.flush()

    async def heard(self) -> dict[str, Any]:
        late_us, self.late_us = self.late_us, []
        return {"late_us": late_us}

    async def publish(self, subject: str, rate: float, count: int, size: int) -> None:
        rest = bytes(size - 8)
        await paced(lambda _: self.client.publish(subject, time.monotonic_ns().to_bytes(8, "big") + rest), rate, count)

    async def stream(self, name: str, subjects: list[str]) -> None:
        await self.client.jetstream().add_stream(name=name, subjects=subjects, max_msgs_per_subject=1001)

    async def last(self) -> dict[str, Any]:
        streams = await self.client.jetstream().streams_info()
        return {"seq": sum(stream.state.last_seq for stream in streams)}

    async def _store(self, subject: str, data: bytes) -> None:
        answer = json.loads((await self.client.request(subject, data, timeout=5)).data)
        if "seq" not in answer:
            raise ValueError(f"not stored: {answer}")

    async def store(self, subject: str, rate: float, count: int, size: int, in_order: bool) -> dict[str, Any]:
        rest, late_us, tasks = bytes(size), [], []
        turn = asyncio.Semaphore(1 if in_order else count)

        async def one() -> None:
            before = time.monotonic()
            async with turn:
                await self._store(subject, rest)
            late_us.append((time.monotonic() - before) * 1e6)

        await paced(lambda _: tasks.append(asyncio.ensure_future(one())), rate, count)
        await asyncio.gather(*tasks)
        return {"late_us": late_us}

    async def append(self, subjects: list[str], seconds: float, size: int) -> dict[str, Any]:
        rest, late_us = bytes(size), []
        begun = time.monotonic()
        end = begun + seconds

        async def work(subject: str) -> None:
            while (before := time.monotonic()) < end:
                await self._store(subject, rest)
                late_us.append((time.monotonic() - before) * 1e6)

        await asyncio.gather(*(work(subject) for subject in subjects))
        return {"seconds": time.monotonic() - begun, "count": len(late_us), "ack_us": late_us}


async def main() -> None:
    client = await nats.connect(os.environ[URL])
    try:
        await answer(Bare(client).do)
    finally:
        await client.close()


if __name__ == "__main__":
    calm()
    uvloop.run(main())
