"""What comes to a node of which nobody is in the room that the others talk in."""

from __future__ import annotations

import asyncio
from typing import Any

from children import Child, child
from common import NODE_CPU, OTHER_CPU, SIZE, Bench, heard

COUNT = 1_000
COUNTED = ("in_messages", "in_bytes")


async def measure(bench: Bench) -> dict[str, Any]:
    """Quiet, traffic in a live room and traffic in a room with a history, for as long; the quiet on both sides."""
    async with (
        child("node.py", cpu=NODE_CPU, url=bench.url) as one,
        child("node.py", cpu=NODE_CPU, url=bench.url) as other,
        child("node.py", cpu=NODE_CPU, url=bench.url) as third,
        child("members.py", str(one.said["port"]), "live.x,log.x", "1", cpu=OTHER_CPU),
        child("members.py", str(other.said["port"]), "live.x,log.x", "1", cpu=OTHER_CPU) as members,
    ):
        await heard(one, 2)
        await heard(other, 2)
        found: dict[str, Any] = {"seconds": bench.seconds}
        for name, room in (("quiet", ""), ("live", "live.x"), ("log", "log.x"), ("quiet again", "")):
            found[name] = await during(bench, room, one, {"B": other, "C": third}, members)
        return found


async def during(bench: Bench, room: str, one: Child, nodes: dict[str, Child], members: Child) -> dict[str, Any]:
    """What came to each node, and to the members of B, in bytes."""
    before = {name: await node.ask(do="stats") for name, node in nodes.items()}
    read = (await members.ask(do="bytes"))["bytes"]
    end = asyncio.ensure_future(asyncio.sleep(bench.seconds))
    if room:
        rate = COUNT / bench.seconds * 1.25
        await one.ask(bench.seconds, do="publish", room=room, rate=rate, count=COUNT, size=SIZE)
    await end
    found: dict[str, Any] = {}
    for name, node in nodes.items():
        now = await node.ask(do="stats")
        found[name] = {what: now[what] - before[name][what] for what in COUNTED}
    found["B's members"] = (await members.ask(do="bytes"))["bytes"] - read
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """For people."""
    return [f"{name:12} {came}" for name, came in found.items()]
