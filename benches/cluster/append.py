"""How many messages a second one node has stored, and knows it: `publish_acked` beside bare JetStream."""

from __future__ import annotations

from typing import Any

from children import Child, Spent, child
from common import NODE_CPU, OTHER_CPU, SIZE, Bench, heard, per, quantiles, shares

MANY = [f"log.{number}" for number in range(100)]
#: Room, publishers at once in each of them. In a room messages are stored one after the other anyway.
CASES = {"one room": (MANY[:1], 100), "one room, one at once": (MANY[:1], 1), "100 rooms": (MANY, 10)}


BARE = "bare2"


async def measure(bench: Bench) -> dict[str, Any]:
    """Each case without members, and with one of every room, who gets everything."""
    found: dict[str, Any] = {}
    async with (
        child("node.py", cpu=NODE_CPU, url=bench.url) as node,
        child("bare.py", cpu=NODE_CPU, url=bench.url) as bare,
    ):
        await bare.ask(do="stream", name=BARE, subjects=[f"{BARE}.log.*"])
        await node.ask(5, do="append", rooms=MANY, width=1, seconds=0.5, size=SIZE)
        for name, (rooms, width) in CASES.items():
            asked = {"do": "append", "rooms": rooms, "width": width, "seconds": bench.seconds, "size": SIZE}
            found[name] = await case(bench, bare, asked, node=node)
        for name, subjects in (("bare, one subject", 1), ("bare, 100 subjects", 100)):
            names = [f"{BARE}.log.{number}" for number in range(subjects)]
            asked = {"do": "append", "subjects": names, "seconds": bench.seconds, "size": SIZE}
            found[name] = await case(bench, bare, asked, node=bare)
        async with child("members.py", str(node.said["port"]), ",".join(MANY), "1", cpu=OTHER_CPU) as members:
            await heard(node, len(MANY))
            for name, (rooms, width) in CASES.items():
                asked = {"do": "append", "rooms": rooms, "width": width, "seconds": bench.seconds, "size": SIZE}
                found[f"{name}, members"] = await case(bench, bare, asked, node=node, members=members)
    return found


async def case(bench: Bench, bare: Child, asked: dict[str, Any], **processes: Child) -> dict[str, Any]:
    """One of them. `node` is who does it; that all was stored is asked of NATS."""
    before = (await bare.ask(do="last"))["seq"]
    spent = Spent(nats=bench.nats, **{name: process.pid for name, process in processes.items()})
    done = await processes["node"].ask(bench.seconds, **asked)
    used = spent.so_far()
    return {
        "per_s": round(done["count"] / done["seconds"]),
        "not_stored": done["count"] - ((await bare.ask(do="last"))["seq"] - before),
        "ack_us": quantiles(done["ack_us"]),
        "cpu_us_per_message": {name: per(used[name]["all"], done["count"]) for name in ("node", "nats")},
        "cpus": shares(used, "nats", *processes, "others"),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """For people."""
    return [
        f"{name:36} {case['per_s']:7,}/s; CPU us/message {case['cpu_us_per_message']}; ack "
        f"p50 {case['ack_us']['p50']} p99 {case['ack_us']['p99']} us; CPUs {case['cpus']}; "
        f"not stored {case['not_stored']}"
        for name, case in found.items()
    ]
