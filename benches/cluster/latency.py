"""From `publish` on one node to a member of another, beside what bare NATS needs in the same seconds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from statistics import median
from typing import Any

from children import child
from common import NODE_CPU, OTHER_CPU, SIZE, Bench, heard, quantiles

RATE = 1_000
#: Fanwire and bare NATS take turns of a second: what else runs on the machine disturbs all of them alike.
TURN = 1.0
#: For the last ones on their way.
REST = 0.3


async def measure(bench: Bench) -> dict[str, Any]:
    """All that is compared, in turns."""
    late: dict[str, list[list[float]]] = defaultdict(list)
    count = int(RATE * TURN)
    paced: dict[str, Any] = {"rate": RATE, "count": count, "size": SIZE}
    async with (
        child("node.py", cpu=NODE_CPU, url=bench.url) as one,
        child("node.py", cpu=NODE_CPU, url=bench.url) as other,
        child("bare.py", cpu=NODE_CPU, url=bench.url) as near,
        child("bare.py", cpu=NODE_CPU, url=bench.url) as far,
        child("members.py", str(other.said["port"]), "live.x", "1", "--stamps", cpu=OTHER_CPU) as live,
        child("members.py", str(other.said["port"]), "log.x", "1", "--stamps", cpu=OTHER_CPU) as log,
    ):
        await heard(other, 2)
        await far.ask(do="hear", subject="bare.way")
        await far.ask(do="hear", subject="bare.there", reply="bare.back")
        await near.ask(do="hear", subject="bare.back")
        await near.ask(do="stream", name="bare", subjects=["bare.log.*"])
        # The first turn warms all of them up.
        for turn in range(1 + max(1, round(bench.seconds))):
            found = {}
            for name, room, member in (("live", "live.x", live), ("log", "log.x", log)):
                await one.ask(TURN, do="publish", room=room, **paced)
                await asyncio.sleep(REST)
                found[name] = (await member.ask(do="times"))["late_us"]
            await near.ask(TURN, do="publish", subject="bare.way", **paced)
            await asyncio.sleep(REST)
            found["bare_one_way"] = (await far.ask(do="heard"))["late_us"]
            await near.ask(TURN, do="publish", subject="bare.there", **paced)
            await asyncio.sleep(REST)
            found["bare_round_trip"] = (await near.ask(do="heard"))["late_us"]
            await far.ask(do="heard")
            for name, in_order in (("bare_stored", False), ("bare_in_order", True)):
                asked = {"do": "store", "subject": "bare.log.x", "in_order": in_order, **paced}
                found[name] = (await near.ask(TURN, **asked))["late_us"]
            for name, late_us in found.items() if turn else ():
                late[name].append(late_us)
    result: dict[str, Any] = {}
    for name, turns in late.items():
        all_of_them = quantiles([late_us for turn in turns for late_us in turn])
        each = [quantiles(turn) for turn in turns if turn]
        # A turn in which something else ran does not decide.
        result[name] = {**all_of_them, **{f"turn_{at}": median(turn[at] for turn in each) for at in ("p50", "p99")}}
    result["asked"] = count * max(1, round(bench.seconds))
    pairs = (("live", "bare_one_way"), ("live", "bare_round_trip"), ("log", "bare_stored"), ("log", "bare_in_order"))
    result["more_us"] = {
        f"{name} - {bare}": {
            at: round(result[name][at] - result[bare][at], 1) for at in ("turn_p50", "turn_p99", "p99")
        }
        for name, bare in pairs
    }
    return result


def lines(found: dict[str, Any]) -> list[str]:
    """For people."""
    told = [f"{name:16} {late}" for name, late in found.items() if isinstance(late, dict) and "count" in late]
    return [*told, *(f"{name}: {more} us more" for name, more in found["more_us"].items())]
