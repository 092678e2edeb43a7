"""The scenarios: who publishes, who reads, and what was to be reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import stage
from readers import Readers, Seen
from record import figures, quantiles, worst
from serving import Feed

KEYS, HZ = 500, 10.0
WORK = 0.002
QUOTES = Feed("quotes", "latest", KEYS, HZ, 60)
"""What the issue measured: 500 keys at 10 Hz, some 100 bytes each."""
ORDERS = Feed("orders", "reliable", 1, 10.0, 60)
FACTOR = 1.5
"""Times the ideal age, which is that of a reader to whom each key comes in turn: keys by what it takes a second."""
LINK = {"rate": 50_000.0, "delay": 0.2, "limit": 1 << 16}
MOST_OLD, MOST_DELAY = 2.0, 0.5
FAST = ("bursts", "--subscribers", "1000", "--keys", str(KEYS), "--subprotocol", "fanwire.v1.json")
RATE, BURST = 1000, 100
SLOW_COUNT, ROUNDS = 20, 4
MOST_RATIO, MOST_REPLACED = 1.1, 0.001


@dataclass
class Result:
    """Of one case.

    Attributes:
        name: of the scenario and the case.
        is_met: whether the goal is; None: that cannot be said.
        said: lines of the table.
        found: all figures.
    """

    name: str
    is_met: bool | None
    said: list[str]
    found: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        verdict = {True: "met", False: "MISSED", None: "no verdict"}[self.is_met]
        return "\n".join([f"{self.name}: {verdict}", *(f"    {line}" for line in self.said)])


def slow(name: str, kind: str, blocks: bool, seconds: float) -> list[Result]:
    """One reader that works 2 ms for each message of 500 keys at 10 Hz."""
    (seen,), server = stage.play((QUOTES,), Readers(kind, 0, {"quotes": WORK}, seconds, blocks=blocks))
    found = figures(seen.records[0], seconds)
    ideal = KEYS / found["rate"] if found["rate"] else float("inf")
    # Raw clients get what can be done for them.
    is_met = worst(found) <= FACTOR * ideal and not seen.losses
    said = [
        f"took {found['rate']:.0f}/s, so the ideal is {ideal:.2f} s and the goal {FACTOR * ideal:.2f} s",
        f"worst window: median {worst(found):.2f} s; medians: {medians(found)}",
        f"age {spread(found['age_s'])}; oldest key in hand {spread(found.get('oldest_key_s', {}))}",
        *ends(seen, server),
    ]
    return [Result(name, is_met, said, {**found, "ideal_s": ideal, "seen": told(seen), "server": server})]


def raw(seconds: float) -> list[Result]:
    """The same for clients without a session."""
    return [result for kind in ("websockets", "picows") for result in slow(f"raw {kind}", kind, False, seconds)]


def slow_among_fast(seconds: float) -> list[Result]:
    """1,000 sessions that read fast, without and with 20 slow ones in the same room, in turn."""
    stage.build_load()
    part = seconds / (2 * ROUNDS)
    fast = [*FAST, "--rate", str(RATE), "--burst", str(BURST), "--warmup", "1", "--drain", "1"]
    # They are there from before the warm-up until the last message.
    crowd = Readers("client", 0, {"latest": WORK}, part + 1.5, count=SLOW_COUNT, idle=True)
    runs: dict[str, list[dict[str, Any]]] = {"without": [], "with": []}
    all_seen: list[Seen] = []
    for _ in range(ROUNDS):
        for case, slow_ones in (("without", None), ("with", crowd)):
            found, seen = stage.load(fast, slow_ones, seconds=part)
            runs[case].append(found)
            all_seen += seen or []
    p99 = {case: [run["latency_us"]["p99"] / 1e3 for run in found] for case, found in runs.items()}
    ratio = statistics.median(p99["with"]) / statistics.median(p99["without"])
    taken = [age for seen in all_seen for _, age in seen.records[0].taken]
    rate = len(taken) / (len(all_seen) * crowd.seconds)
    losses = sum(len(seen.losses) for seen in all_seen)
    said = [
        *(f"{case:8} p99 of each run: {', '.join(f'{value:.2f}' for value in p99[case])} ms" for case in runs),
        f"ratio of the medians {ratio:.2f}",
        f"slow ones: {rate:.0f}/s each, age {spread(quantiles(taken))}, connections lost {losses}",
    ]
    for case, of_case in runs.items():
        server, client = (statistics.median(run[name] for run in of_case) for name in ("server_cpu", "client_cpu"))
        missed = sum(run["undelivered"] for run in of_case)
        said.append(f"{case:8} server CPU {server:.2f}, load client {client:.2f}, replaced or lost {missed}")
    # Fast readers to whom values are replaced are not fast: others use the machine.
    is_spoiled = any(run["undelivered"] > MOST_REPLACED * run["expected"] for run in runs["without"])
    is_met = None if is_spoiled else ratio <= MOST_RATIO and not losses
    said += ["spoiled: even without slow readers values were replaced"] * is_spoiled
    return [Result("slow-among-fast", is_met, said, {"runs": runs, "p99_ms": p99, "ratio": ratio})]


def proxy(seconds: float) -> list[Result]:
    """A reliable room through a thin link, alone and beside 500 keys at 10 Hz."""
    results = []
    alone_p99 = 0.0
    for name, feeds in (("alone", (ORDERS,)), ("both", (ORDERS, QUOTES))):
        rooms = {feed.room: 0.0 for feed in feeds}
        (seen,), server = stage.play(feeds, Readers("client", 0, rooms, seconds), link=LINK)
        found = {record.room: figures(record, seconds) for record in seen.records}
        orders = found["orders"]
        p99 = orders["age_s"].get("p99", float("inf"))
        said = [f"reliable: {orders['messages']}, missing {orders['missing']}, {spread(orders['age_s'])}"]
        if "quotes" in found:
            quotes = found["quotes"]
            is_fresh = quotes["age_s"].get("max", float("inf")) <= MOST_OLD
            # Each key in turn at the link's pace, its delay, and the time until the next value.
            ideal = KEYS / max(quotes["rate"], 1.0) + LINK["delay"] + 1 / HZ
            said[0] += f"; p99 {p99 - alone_p99:.2f} s more than alone, goal {MOST_DELAY}"
            said += [
                f"latest: {quotes['rate']:.0f}/s of {quotes['keys']} keys, "
                f"age {spread(quotes['age_s'])}, goal {MOST_OLD}",
                f"oldest key in hand {spread(quotes.get('oldest_key_s', {}))}; the ideal is {ideal:.2f} s",
            ]
            is_met = is_fresh and p99 - alone_p99 <= MOST_DELAY and not seen.losses and not orders["missing"]
        else:
            alone_p99, is_met = p99, not seen.losses
        said += ends(seen, server)
        results.append(Result(f"proxy {name}", is_met, said, {**found, "seen": told(seen), "server": server}))
    return results


def unread(seconds: float) -> list[Result]:
    """A busy room beside two that are joined and not read: a reliable one of 1.2 MB/s, and one of latest values."""
    feeds = (Feed("busy", "reliable", 1, 10.0, 0), Feed("unread", "reliable", 20, 10.0, 6000), QUOTES)
    readers = Readers("client", 0, {"busy": 0.0}, seconds, unread=("unread", "quotes"))
    (seen,), server = stage.play(feeds, readers)
    found = figures(seen.records[0], seconds)
    is_complete = not found["missing"] and found["messages"] >= 0.98 * seconds * 10
    said = [
        f"busy: {found['messages']}, missing {found['missing']}, gaps {found['gaps']}, {spread(found['age_s'])}",
        f"rooms said to be behind: {seen.behind or 'none'}; read at the end: {seen.first or 'nothing came'}",
        *ends(seen, server),
    ]
    is_met = is_complete and not seen.losses and len(seen.warnings) == 1
    return [Result("unread", is_met, said, {**found, "seen": told(seen), "server": server})]


def medians(found: dict[str, Any]) -> str:
    return " ".join("-" if window["p50"] is None else f"{window['p50']:.2f}" for window in found["windows"])


def spread(ages: dict[str, float]) -> str:
    return ", ".join(f"{name} {age:.3f}" for name, age in ages.items()) + " s" if ages else "unknown"


def ends(seen: Seen, server: dict[str, Any]) -> list[str]:
    lines = [f"connections lost at {seen.losses or 'no time'}; {len(seen.warnings)} warnings of the client, "]
    lines[0] += f"{len(server['warnings'])} of the server"
    lines += [f"client: {text}" for text in seen.warnings[:3]]
    lines += [f"server: {text}" for text in server["warnings"][:3]]
    return lines


def told(seen: Seen) -> dict[str, Any]:
    return {name: value for name, value in vars(seen).items() if name != "records"}


SCENARIOS: dict[str, tuple[Callable[[float], list[Result]], float]] = {
    "slow": (partial(slow, "slow", "client", False), 120.0),
    "slow-blocked": (partial(slow, "slow-blocked", "client", True), 120.0),
    "slow-among-fast": (slow_among_fast, 80.0),
    "raw": (raw, 60.0),
    "proxy": (proxy, 60.0),
    "unread": (unread, 300.0),
}
"""By name: what runs, and how many seconds it takes without `--seconds`."""
