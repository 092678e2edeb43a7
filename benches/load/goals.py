"""The goals of the incoming side against one run's results: `goals.py [RESULTS] [--before NAME] [--fanwire NAME]`.

Most goals are ratios within one run, to picows or to an earlier state (`run.py --python NAME=PATH`), so that the speed
of the machine does not matter. Rule: what was not measured is shown as such, and is not met.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "results" / "results.json"
#: The outgoing side may not become worse by more than this.
OUTGOING = 1.03


@dataclass(frozen=True)
class Goal:
    """One line: what is measured, and what it may be at most (or must be at least)."""

    title: str
    bound: float
    measure: Callable[[Runs], float | None]
    #: Whether more is better.
    least: bool = False


class Runs:
    """The results of one `run.py`, asked for medians."""

    def __init__(self, results: dict[str, Any], fanwire: str, before: str) -> None:
        self._runs = results["runs"]
        self.fanwire = fanwire
        self.before = before

    def value(self, server: str, scenario: str, *path: str) -> float | None:
        """Give the median of a number over the repeats; None when no run has it."""
        found = []
        for run in self._runs:
            if run["server"] != server or run["name"] != scenario:
                continue
            number: Any = run
            for key in path:
                number = number.get(key) if isinstance(number, dict) else None
            if number is not None:
                found.append(float(number))
        return statistics.median(found) if found else None

    def turns(self) -> list[Runs]:
        """Give the runs of each repeat."""
        turns = sorted({run["turn"] for run in self._runs})
        each = [[run for run in self._runs if run["turn"] == turn] for turn in turns]
        return [Runs({"runs": runs}, self.fanwire, self.before) for runs in each]

    def ratio(self, base: str, scenario: str, *path: str) -> float | None:
        """Give the median of the ratios of the repeats, each within its own turn, where both have the number."""
        found = []
        for only in self.turns():
            own, other = only.value(self.fanwire, scenario, *path), only.value(base, scenario, *path)
            if own is not None and other:
                found.append(own / other)
        return statistics.median(found) if found else None


def jwt_share(runs: Runs) -> float | None:
    """How much of what a handshake with a token may cost is used: 0.6 of picows, and 1.2 times PyJWT's decode."""
    own = runs.value(runs.fanwire, "connect-jwt", "cpu_us_per_handshake")
    peer = runs.value("picows", "connect", "cpu_us_per_handshake")
    decode = runs.value(runs.fanwire, "connect-jwt", "decode_us")
    if own is None or peer is None or decode is None:
        return None
    return own / (0.6 * peer + 1.2 * decode)


def of(scenario: str, *path: str) -> Callable[[Runs], float | None]:
    return lambda runs: runs.value(runs.fanwire, scenario, *path)


def to(base: str, scenario: str, *path: str) -> Callable[[Runs], float | None]:
    return lambda runs: runs.ratio(base, scenario, *path)


def to_before(scenario: str, *path: str) -> Callable[[Runs], float | None]:
    return lambda runs: runs.ratio(runs.before, scenario, *path)


GOALS = (
    Goal("connect, CPU to picows", 0.6, to("picows", "connect", "cpu_us_per_handshake")),
    Goal("connect without an answer, CPU to picows", 0.6, to("picows", "connect-sink", "cpu_us_per_handshake")),
    Goal("connect with HS256, CPU to 0.6 picows + 1.2 PyJWT", 1.0, jwt_share),
    Goal("idle, bytes per raw connection", 5_000, of("idle", "bytes_per_connection")),
    Goal("idle, bytes per session", 8_000, of("idle-json", "bytes_per_connection")),
    Goal("idle, descriptors per connection", 1, of("idle", "files_per_connection")),
    Goal("idle-19000, connections", 19_000, of("idle-19000", "connections"), least=True),
    Goal("inbound, messages/s to picows", 1.3, to("picows", "inbound", "messages_per_s"), least=True),
    Goal("inbound, peak memory in MB", 128, lambda runs: megabytes(of("inbound", "maxrss_kb")(runs))),
    Goal("echo, median to picows", 1.1, to("picows", "echo", "latency_us", "p50")),
    Goal("reconnect, time to before", 0.5, to_before("reconnect-now", "last_back_s")),
    Goal("attack, p99 to quiet, one room", 1.5, of("attack", "p99_to_quiet")),
    Goal("attack, p99 to quiet, ten rooms", 2.0, of("attack-rooms", "p99_to_quiet")),
    Goal("attack, disconnected, one room", 0, of("attack", "disconnected")),
    Goal("attack, disconnected, ten rooms", 0, of("attack-rooms", "disconnected")),
    Goal("attack, interpreter's CPU to before, one room", 0.1, to_before("attack", "attack", "loop_cpu_us")),
    Goal("attack, interpreter's CPU to before, ten rooms", 0.1, to_before("attack-rooms", "attack", "loop_cpu_us")),
    *(
        Goal(f"outgoing, {name}, {what} to before", OUTGOING, to_before(name, *path))
        for name, what, *path in (
            ("inflight-1", "CPU", "cpu_us_per_delivery"),
            ("inflight-64", "CPU", "cpu_us_per_delivery"),
            ("bursts", "CPU", "cpu_us_per_delivery"),
            ("bursts", "p99", "latency_us", "p99"),
            ("envelope-64", "CPU", "cpu_us_per_delivery"),
            ("inflight-64", "peak memory", "maxrss_kb"),
            ("stalled", "peak memory", "maxrss_kb"),
        )
    ),
)


def megabytes(kilobytes: float | None) -> float | None:
    return None if kilobytes is None else kilobytes / 1024


def main() -> None:
    """Print a line for each goal; exit with 1 unless all are met."""
    parser = argparse.ArgumentParser(description="The goals of the incoming side against one run's results.")
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    parser.add_argument("--before", default="old", help="the earlier state's name")
    parser.add_argument("--fanwire", default="fanwire", help="the name of the state that is judged")
    asked = parser.parse_args()
    runs = Runs(json.loads(asked.results.read_text(encoding="utf-8")), asked.fanwire, asked.before)
    missed = 0
    for goal in GOALS:
        found = goal.measure(runs)
        is_met = found is not None and (found >= goal.bound if goal.least else found <= goal.bound)
        missed += not is_met
        sign = ">=" if goal.least else "<="
        shown = "not measured" if found is None else f"{found:,.3g}" if found < 1000 else f"{found:,.0f}"
        print(f"{'met   ' if is_met else 'MISSED'} {goal.title:52} {shown:>12}  {sign} {goal.bound:,g}")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
