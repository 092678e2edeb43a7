"""How many messages a second one node takes from NATS into live rooms with members."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from children import Child, Spent, child
from common import NODE_CPU, OTHER_CPU, SIZE, Bench, heard, per, shares

ROOMS = [f"live.{number}" for number in range(100)]
EACH = 10
FRAME = 4 + SIZE
#: Messages a second that a node on one core has to keep up with.
GOAL = 300_000
FIRST = 2_000
GROWTH = 1.4
#: After the first rate that is too much, halfway back to the last good one, this often.
HALVINGS = 3
#: Of the messages of a step; more than that behind at its end, and the node does not keep up.
BEHIND = 0.02
#: Beyond the bench's own ends; a node that takes so much is not what holds it.
MOST = 400_000
DRAIN = 20.0
#: Of a CPU.
SATURATED = 0.9


async def measure(bench: Bench) -> dict[str, Any]:
    """Raises the rate until the node falls behind."""
    async with (
        child("node.py", cpu=NODE_CPU, url=bench.url) as node,
        child("members.py", str(node.said["port"]), ",".join(ROOMS), str(EACH), cpu=OTHER_CPU) as members,
    ):
        subjects = await heard(node, len(ROOMS))
        async with child("feeder.py", str(SIZE), ",".join(subjects), cpu=OTHER_CPU, url=bench.url) as feeder:
            return await climb(bench, node, Bed(bench, node, members, feeder))


async def climb(bench: Bench, node: Child, bed: Bed) -> dict[str, Any]:
    """All steps."""
    await bed.step(FIRST)
    steps, good, bad, rate = [], 0.0, float(MOST), float(FIRST)
    halvings = 0
    while halvings < HALVINGS and rate < MOST:
        found = await bed.step(rate)
        steps.append(found)
        if found["keeps_up"]:
            good = rate
        else:
            bad = rate
        if bad < MOST:
            halvings += 1
            rate = (good + bad) / 2
        else:
            rate *= GROWTH
    result: dict[str, Any] = {
        "best": max((step for step in steps if step["keeps_up"]), key=lambda step: step["rate"], default=None),
        "steps": steps,
    }
    result["goal"] = await bed.step(GOAL)
    # Twice what it can do, for as long: what is left of it then?
    result["overload"] = await bed.step(2 * good)
    if bench.perf is not None:
        await profiled(bench.perf, node.pid, bed.step(GOAL))
    return result


async def profiled(file: Path, pid: int, work: Awaitable[Any]) -> None:
    """Has perf watch a process meanwhile."""
    what = ["record", "-q", "-F", "499", "-g", "-p", str(pid), "-o", str(file)]
    perf = await asyncio.create_subprocess_exec("perf", *what, stdin=asyncio.subprocess.DEVNULL)
    try:
        await work
    finally:
        perf.terminate()
        await perf.wait()


class Bed:
    """Everything that takes part."""

    def __init__(self, bench: Bench, node: Child, members: Child, feeder: Child) -> None:
        self._bench, self._node, self._members, self._feeder = bench, node, members, feeder

    async def step(self, rate: float) -> dict[str, Any]:
        """One rate for a while, then waits until all has come or nothing comes any more."""
        seconds = self._bench.seconds
        before, bytes_before = await self._node.ask(do="stats"), (await self._members.ask(do="bytes"))["bytes"]
        spent = Spent(node=self._node.pid, nats=self._bench.nats, feeder=self._feeder.pid, members=self._members.pid)
        fed = await self._feeder.ask(2 * seconds + 10, do="feed", rate=rate, seconds=seconds)
        at_end, used = await self._node.ask(do="stats"), spent.so_far()
        bytes_at_end = (await self._members.ask(do="bytes"))["bytes"]
        taken = at_end["published"] - before["published"]
        begun = time.monotonic()
        last, now = at_end, await self._node.ask(do="stats")
        while now["published"] - before["published"] + now["missing"] - before["missing"] < fed["sent"]:
            if time.monotonic() - begun > DRAIN or (last["published"] == now["published"] and last is not at_end):
                break
            await asyncio.sleep(0.3)
            last, now = now, await self._node.ask(do="stats")
        missing = now["missing"] - before["missing"]
        lost = fed["sent"] - (now["published"] - before["published"])
        is_fed = fed["late"] < 0.1 * seconds
        cpus = shares(used, "node", "nats", "feeder", "members", "others")
        sides = {"node": cpus["node"], "CPU 1": cpus["nats"] + cpus["feeder"] + cpus["members"]}
        return {
            "rate": round(rate),
            "taken_per_s": round(taken / used["seconds"]),
            "deliveries_per_s": round((bytes_at_end - bytes_before) / FRAME / used["seconds"]),
            "behind": fed["sent"] - taken,
            "missing_told": missing,
            "lost": lost,
            "reconnects": now["reconnects"] - before["reconnects"],
            "fed_late_s": round(fed["late"], 3),
            "keeps_up": fed["sent"] - taken < BEHIND * fed["sent"] and not lost and is_fed,
            "is_fed": is_fed,
            "cpu_us_per_message": {
                "node": per(used["node"]["all"], taken),
                "node_loop_user": per(used["node"]["first"][0], taken),
                "node_loop_sys": per(used["node"]["first"][1], taken),
                "node_engine": per(sum(used["node"]["rest"]), taken),
                "nats": per(used["nats"]["all"], fed["sent"]),
            },
            "writes_per_message": round((at_end["writes"] - before["writes"]) / max(1, taken), 2),
            "cpus": cpus,
            "saturated": [name for name, part in sides.items() if part > SATURATED],
        }


def lines(found: dict[str, Any]) -> list[str]:
    """For people."""
    told = []
    for step in [*found["steps"], found["goal"], found["overload"]]:
        cpu, cpus = step["cpu_us_per_message"], step["cpus"]
        who = (
            "keeps up"
            if step["keeps_up"]
            else "falls behind"
            if step["is_fed"]
            else "falls behind, and the feeder is held back"
        )
        told.append(
            f"{step['rate']:7,}/s asked, {step['taken_per_s']:7,}/s taken, {step['deliveries_per_s']:9,} deliveries/s: "
            f"{who}; behind {step['behind']:,}, lost {step['lost']:,}, told {step['missing_told']:,}; node "
            f"{cpu['node']} us/message (loop {cpu['node_loop_user']} + {cpu['node_loop_sys']} in the kernel, engine "
            f"{cpu['node_engine']}), NATS {cpu['nats']}; CPUs {cpus}; "
            f"saturated: {' and '.join(step['saturated']) or 'nobody'}"
        )
    return told
