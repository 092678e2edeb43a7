"""Two people who write in the chat room of the demo, so that a visitor is not alone. They are clients as all others."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import count

from fanwire.client.client import Client
from fanwire.client.connecting import connect
from fanwire.errors import FanwireError
from fanwire.state import ConnectionState

__all__ = ["PEOPLE", "write"]


async def write(url: str, name: str, pause: float, stay: int) -> None:
    """Writes numbered lines in the chat room, until the server ends.

    Args:
        url: of the server.
        name: of the person.
        pause: seconds between two lines.
        stay: lines after which the person leaves the room for `AWAY` seconds, so that the list of members changes.
    """
    with contextlib.suppress(FanwireError):
        async with connect(url, token=name, max_attempts=1) as client:
            writing = asyncio.ensure_future(_write(client, name, pause, stay))

            @client.on_state
            def changed(state: ConnectionState) -> None:
                # The server's end is that of the demo: the client does not come back.
                if state is not ConnectionState.OPEN:
                    writing.cancel()

            changed(client.state)
            try:
                await asyncio.wait({writing})
            finally:
                writing.cancel()
            if not writing.cancelled():
                writing.result()


async def _write(client: Client, name: str, pause: float, stay: int) -> None:
    numbers = count(1)
    while True:
        room = await client.join("chat")
        for _ in range(stay):
            await client.publish("chat", {"name": name, "text": f"This is line {next(numbers)} of {name}."})
            await asyncio.sleep(pause)
        await room.leave()
        await asyncio.sleep(AWAY)


PEOPLE = {"Ada": (0.7, 40), "Grace": (1.1, 12)}
"""Name, pause and stay of each: together 14 lines in ten seconds, which can still be read."""

AWAY = 5.0
"""Seconds for which a person is away."""
