"""Results as Markdown. Not a judge: it shows what failed and what was saturated beside every number."""

from __future__ import annotations

from typing import Any

#: Shares of a core. Above it somebody else's work was on the machine while a number was taken.
OTHERS = 0.10
#: What the ratios compare with, and every state of Fanwire that another interpreter brings.
BASES = ("naive", "picows")
#: (rate, cost) of each kind of scenario, first that is present.
RATES = ("deliveries_per_s", "handshakes_per_s", "messages_per_s", "snapshot_values_per_s")
COSTS = ("cpu_us_per_delivery", "cpu_us_per_handshake", "cpu_us_per_message", "cpu_us_per_return")
#: Scenarios paced by a clock: everybody who keeps up has the same rate, so only the cost is compared.
PACED = ("bursts", "stalled", "rooms", "stall", "attack")


def table(results: dict[str, Any]) -> str:
    """Write the whole document."""
    machine, bases = results["machine"], compared(results)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        "# Load bench",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']} (TCP {machine['congestion_control']}), "
        f"{machine['date']}, commit {machine['commit'] or 'none'}.",
        f"Python {machine['python']}, {versions}. Loopback; {machine['pinned']}.",
        f"Command: `{machine['command']}`; the median of {results['repeat']} run(s) of each."
        + (" **Quick run: only shows that it works.**" if results["quick"] else ""),
        "",
        "Latencies are in ms from the (scheduled) publish to receipt, of all deliveries; *last p99* is that of the "
        "last recipient of each message. CPU is the server's, user and system, per delivery (handshake, message). "
        "Ratios: how many times that server's rate, and its CPU or memory. *Client* is the load "
        "client's utilisation of its core, in bold above 0.9: the rate may then be the client's limit.",
        "",
        *(f"- **{name}**: {what}" for name, what in results["servers"].items()),
        "",
        "| scenario | server | rate/s | CPU µs | p50 | p99 | p99.9 | last p99 | "
        + " | ".join(f"to {b}" for b in bases)
        + " | client | notes |",
        "|---|---|" + "---:|" * (7 + len(bases)) + "---|",
    ]
    for name, scenario in results["scenarios"].items():
        title = scenario["title"] if not results["quick"] else f"{name} (quick)"
        asked = {run["server"] for run in results["runs"] if run["name"] == name}
        for server in (s for s in results["servers"] if s in asked):
            lines.append(row(title, name, server, results))
            title = ""
    return "\n".join(lines) + "\n"


def compared(results: dict[str, Any]) -> list[str]:
    """Name the servers that ratios are of."""
    return [*BASES, *results.get("others", [])]


def row(title: str, name: str, server: str, results: dict[str, Any]) -> str:
    found = median(results, name, server)
    if found is None or "error" in found:
        why = found["error"] if found else "not run"
        return (
            f"| {title} | {server} |"
            + " |" * (7 + len(compared(results)))
            + f" **no result**: {why.replace('|', '/')} |"
        )
    # Null where nothing was delivered.
    latency, last = found.get("latency_us") or {}, found.get("last_recipient_us") or {}
    ratios = [ratio(name, found, median(results, name, base)) if base != server else "" for base in compared(results)]
    cells = [
        title,
        server,
        number(first(found, RATES)),
        number(first(found, COSTS)),
        *(millis(latency.get(key)) for key in ("p50", "p99", "p999")),
        millis(last.get("p99")),
        *ratios,
        busy(found),
        "; ".join(notes(found)),
    ]
    return "| " + " | ".join(cells) + " |"


def brief(found: dict[str, Any]) -> str:
    """One run in one line, for the terminal."""
    if "error" in found:
        return f"NO RESULT: {found['error']}"
    latency = found.get("latency_us") or {}
    parts = [
        f"{number(first(found, RATES)):>10}/s",
        f"{number(first(found, COSTS)):>7} us",
        f"p99 {millis(latency.get('p99')):>7} ms",
        f"client {found.get('client_cpu', 0):.2f}",
        "; ".join(notes(found)),
    ]
    return "  ".join(parts)


def median(results: dict[str, Any], name: str, server: str) -> dict[str, Any] | None:
    """Pick the run in the middle, by cost; a failed one only when all failed."""
    runs = [run for run in results["runs"] if run["name"] == name and run["server"] == server]
    good = sorted((run for run in runs if "error" not in run), key=lambda run: first(run, COSTS) or 0.0)
    chosen: dict[str, Any] | None = good[len(good) // 2] if good else next(iter(runs), None)
    if chosen is not None and good and len(good) < len(runs):
        return {**chosen, "failed_runs": len(runs) - len(good)}
    return chosen


def ratio(name: str, found: dict[str, Any], base: dict[str, Any] | None) -> str:
    """How many times the rate and how many times the CPU of a base."""
    if base is None or "error" in base:
        return ""
    own, other = found.get("bytes_per_connection"), base.get("bytes_per_connection")
    if own is not None and other is not None:
        return f"{number(own / max(other, 1))} x memory"
    parts = []
    rate, base_rate = first(found, RATES), first(base, RATES)
    if rate and base_rate and name not in PACED:
        parts.append(f"{number(rate / base_rate)} x rate")
    cost, base_cost = first(found, COSTS), first(base, COSTS)
    if cost and base_cost:
        parts.append(f"{number(cost / base_cost)} x CPU")
    return ", ".join(parts)


def notes(found: dict[str, Any]) -> list[str]:
    """Whatever a reader must know beside the numbers."""
    said = []
    if "error" in found:
        return [found["error"]]
    if found.get("compressed_frames") or found.get("batches"):
        said.append(f"{number(found.get('bytes_per_delivery'))} bytes for each delivery")
    if "kernel_kb_per_stalled" in found:
        said.append(f"{number(found['kernel_kb_per_stalled'])} KB of the kernel's for each stalled reader")
    if found.get("undelivered"):
        share = 100 * found["undelivered"] / max(found["expected"], 1)
        said.append(f"**{found['undelivered']:,} ({share:.2g} %) not delivered in time**")
    said += [f"**{count:,} {kind.replace('_', ' ')}**" for kind, count in found.get("order", {}).items() if count]
    for key in ("refused", "closed", "failed_runs"):
        if found.get(key):
            said.append(f"{found[key]} {key.replace('_', ' ')}")
    if "last_back_s" in found:
        said.append(f"{found['complete']:,} of {found['clients']:,} back, the last after {found['last_back_s']:g} s")
    if "settled_s" in found:
        said.append(f"{found['complete']:,} of {found['joiners']:,} snapshots whole; {found['told_of']:,} replaced")
    if "p99_ratio" in found:
        without = (found["without"].get("latency_us") or {}).get("p99")
        said.append(f"p99 {found['p99_ratio']:g} times that without stalled readers ({millis(without)} ms)")
    if "attack" in found:
        said += attacked(found)
    if "storm" in found:
        said += stormed(found)
    if each := found.get("cpu_us"):
        parts = [f"{name} {number(each[name]['p50'])} µs" for name in ("open", "close") if each.get(name)]
        said.append(", ".join(["medians of batches", *parts, f"mean of all {number(each['both']['mean'])} µs"]))
    if "decode_us" in found:
        said.append(f"PyJWT's decode alone {number(found['decode_us'])} µs")
    if found.get("saturated") and (each := found.get("client_events_per_wake")) is not None:
        # One or two: the client is woken for each message as it comes. Many: sockets wait for the client.
        said.append(f"client finds {each:g} sockets per wake-up")
    if "bytes_per_connection" in found:
        said.append(f"{found['bytes_per_connection'] / 1000:.2f} KB per connection")
        if found.get("files_per_connection") is not None:
            said.append(f"{found['files_per_connection']:g} descriptors each")
    elif "maxrss_kb" in found:
        said.append(f"{found['maxrss_kb'] / 1024:.0f} MB peak")
    if late := found.get("loop_late_ms"):
        said.append(f"event loop late p99 {number(late.get('p99'))} ms, max {number(late.get('max'))} ms")
    if took := found.get("publish_us"):
        said.append(f"publish() p50 {number(took.get('p50'))} µs, p99 {number(took.get('p99'))} µs")
    if found.get("packets_dropped"):
        said.append(f"the machine dropped {found['packets_dropped']} packets meanwhile")
    # Stalled readers are probed by timeouts as a matter of course.
    if found.get("tcp_timeouts") and "p99_ratio" not in found:
        said.append(f"{found['tcp_timeouts']} TCP timeouts on the machine meanwhile")
    if found.get("others_cpu", 0) > OTHERS:
        said.append(f"other processes used {found['others_cpu']:.2f} of a core meanwhile")
    return said


def attacked(found: dict[str, Any]) -> list[str]:
    """Whatever an attack has done, and whether it was one."""
    quiet, attack = found["quiet"], found["attack"]
    p99 = (quiet.get("latency_us") or {}).get("p99")
    late = [(phase.get("publisher_late_us") or {}).get("p99") for phase in (quiet, found)]
    said = [
        f"p99 {found['p99_to_quiet']:g} times that in quiet ({millis(p99)} ms)",
        f"{found['disconnected']:,} disconnected, {found['missed']:,} missed",
        f"{number(attack['per_s'])} hostile connections/s, {attack['most_open']:,} open at most",
        f"server's core {quiet['server_cpu']:.2f} in quiet, {found['server_cpu']:.2f} under attack",
        f"interpreter {number(attack.get('loop_cpu_us'))} µs of CPU for each hostile connection",
        f"the client itself late p99 {millis(late[0])} ms in quiet, {millis(late[1])} ms under attack",
    ]
    # What was due and not opened is no attack.
    rate = attack["parameters"]["rate"]
    return said if attack["per_s"] >= 0.95 * rate else [*said, f"**only {attack['per_s'] / rate:.0%} of the attack**"]


def stormed(found: dict[str, Any]) -> list[str]:
    """Whatever handshakes have done to the deliveries beside them."""
    quiet, storm = found["quiet"], found["storm"]
    before, late = quiet.get("latency_us") or {}, quiet.get("loop_late_ms") or {}
    said = [
        f"p50 {millis(before.get('p50'))} and p99 {millis(before.get('p99'))} ms in quiet",
        f"{number(storm['handshakes_per_s'])} handshakes/s, {storm['failed']:,} failed",
        f"{found['disconnected']:,} disconnected, {found['missed']:,} missed",
        f"server's core {quiet['server_cpu']:.2f} in quiet, {found['server_cpu']:.2f} beside them",
    ]
    return [*said, f"event loop late p99 {number(late.get('p99'))} ms in quiet"] if late else said


def first(found: dict[str, Any], keys: tuple[str, ...]) -> float | None:
    return next((float(found[key]) for key in keys if found.get(key) is not None), None)


def busy(found: dict[str, Any]) -> str:
    used = found.get("client_cpu")
    if used is None:
        return ""
    return f"**{used:.2f}**" if found.get("saturated") else f"{used:.2f}"


def number(value: float | None) -> str:
    """Three digits that count: 4.13, 0.151, 213,000."""
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def millis(micros: float | None) -> str:
    return "" if micros is None else number(micros / 1000)
