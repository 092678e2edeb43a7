"""The other end of `children.py`: a process that does what each JSON line asks, one after the other."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any


async def answer(do: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]], **ready: Any) -> None:
    """Says what it has to say, then answers until the questions end or SIGTERM comes."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
    print(json.dumps(ready), flush=True)
    while line := await reader.readline():
        print(json.dumps(await do(json.loads(line))), flush=True)


async def paced(call: Callable[[int], Any], rate: float, count: int) -> None:
    """Calls with 0, 1, 2 ... at a rate. Who is late catches up."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for turn in range(count):
        wait = begin + turn / rate - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        done = call(turn)
        if done is not None:
            await done
