"""Run servers x scenarios side by side, and write the table, the raw results and the plots.

The entry of ``make bench``. It measures nothing itself: the load client does. Rule: what failed is reported in its
row, never left out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import certificates
import click
import plots
import report
import tokens
from machine import ROOT, children_cpu, describe, machine_cpu, network, output, shown
from scenarios import SCENARIOS, Scenario
from servers import BINARIES, SERVERS, Running, Server, StartError, fanwire, running

RESULTS = ROOT / "benches" / "results"
SERVER_CPU, CLIENT_CPU = 0, 1
#: Opening may take a minute, and so may each answer of an overloaded server; beyond this it is a hang.
CLIENT_LIMIT = 240.0


@click.command(context_settings={"max_content_width": 120})
@click.option("--quick", is_flag=True, help="Two seconds each and smaller crowds: does everything work?")
@click.option("--servers", "servers", default="all", help="Names with commas: " + ",".join(s.name for s in SERVERS))
@click.option(
    "--scenarios",
    "scenarios",
    default="all",
    help="Names with commas, `all` (but those of forms) or `forms`: " + ",".join(s.name for s in SCENARIOS),
)
@click.option("--seconds", type=float, default=None, help="Measured seconds of each.  [default: 5, quick 2]")
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Runs of each; the median counts.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, help="Where results go.")
@click.option(
    "--python",
    "others",
    multiple=True,
    metavar="NAME=PATH",
    help="Also Fanwire as the interpreter at PATH has it, of another checkout; again and again.",
)
@click.option("--build/--no-build", default=True, help="Build the load client first.")
def main(
    *,
    quick: bool,
    servers: str,
    scenarios: str,
    seconds: float | None,
    repeat: int,
    out: Path,
    others: tuple[str, ...],
    build: bool,
) -> None:
    """Compare Fanwire with its peers on this machine, and with other states of itself."""
    chosen = [s for s in SERVERS if s.name in pick(servers, [s.name for s in SERVERS])]
    groups = {"all": [s.name for s in SCENARIOS if not s.of_forms], "forms": [s.name for s in SCENARIOS if s.of_forms]}
    asked = [s for s in SCENARIOS if s.name in pick(groups.get(scenarios, scenarios), [s.name for s in SCENARIOS])]
    # The other states right after this one, so that little time lies between them.
    chosen[1:1] = [other(name) for name in others]
    if build:
        subprocess.run(["cargo", "build", "--quiet", "--release", "-p", "fanwire-load"], cwd=ROOT, check=True)
    seconds = seconds or (2.0 if quick else 5.0)
    cpus = os.sched_getaffinity(0)
    pinned = {SERVER_CPU, CLIENT_CPU} <= cpus
    runs: list[dict[str, Any]] = []
    # Servers inside, repeats outside: what drifts on the machine drifts for all of them.
    for turn in range(repeat):
        for scenario in asked:
            for server in (s for s in chosen if fits(s, scenario)):
                found = measure(server, scenario, seconds=seconds, quick=quick, pinned=pinned)
                runs.append({"server": server.name, "name": scenario.name, "turn": turn, **found})
                click.echo(f"{scenario.name:12} {server.name:11} {report.brief(found)}", err=True)
    results = {
        "machine": describe(
            pinned=f"server CPU {SERVER_CPU}, client CPU {CLIENT_CPU}" if pinned else "not pinned: too few CPUs"
        ),
        "quick": quick,
        "repeat": repeat,
        "servers": {s.name: s.what for s in chosen},
        "others": [name.partition("=")[0] for name in others],
        "scenarios": {s.name: {"title": s.title, "command": s.command(quick=quick), "twin": s.twin} for s in asked},
        "runs": runs,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "table.md").write_text(report.table(results))
    plots.draw(results, out)
    click.echo(f"{out / 'table.md'}")


def other(named: str) -> Server:
    """Another checkout's Fanwire, by NAME=PATH."""
    name, _, path = named.partition("=")
    if not name or not os.access(path, os.X_OK) or name in (s.name for s in SERVERS):
        raise click.BadParameter(f"{named}: NAME=PATH is wanted, with a new name and the path of an interpreter")
    # Not resolved: a virtual environment is found by the path of its link.
    python = str(Path(path).absolute())
    commit = output("git", "-C", str(Path(python).parent), "rev-parse", "--short", "HEAD")
    return fanwire(name, f"Fanwire of another checkout, commit {commit or 'unknown'}", python)


def fits(server: Server, scenario: Scenario) -> bool:
    """Whether a server can do what a scenario asks of it."""
    if server.only_forms and not scenario.of_forms:
        return False
    if not scenario.needs <= server.can:
        return False
    return (server.sessions or not scenario.sessions) and (server.guards or not scenario.guarded)


def measure(server: Server, scenario: Scenario, *, seconds: float, quick: bool, pinned: bool) -> dict[str, Any]:
    """One run; an ``error`` instead of numbers says why there are none."""
    command, options = list(scenario.command(quick=quick)), []
    options += ["--defaults"] if scenario.defaults else []
    options += ["--pings"] if scenario.pings else []
    options += ["--count"] if scenario.counts and server.counts else []
    options += ["--compress"] if "compress" in scenario.needs else []
    try:
        with tempfile.TemporaryDirectory() as directory:
            files = None
            if scenario.algorithm is not None:
                files = tokens.make(Path(directory), scenario.algorithm, scenario.subjects)
                command += ["--tokens", str(files.tokens)]
                options += ["--jwt", str(files.key)]
            if "tls" in scenario.needs:
                made = certificates.make(Path(directory), scenario.certificate)
                options += ["--tls", str(made.certificate), str(made.key)]
            cpu = SERVER_CPU if pinned else None
            alone = [decode_us(server, files, cpu)] if scenario.decodes and files else []
            with running(server, cpu, watch=scenario.watch, options=tuple(options), files=scenario.files) as up:
                found = load(up, command, seconds=seconds, pinned=pinned)
            if alone and files and "error" not in found:
                # Before and after, so that a machine that changes its speed meanwhile is seen.
                alone.append(decode_us(server, files, cpu))
                found["decode_us"] = round(sum(alone) / len(alone), 2)
            return found
    except (StartError, OSError) as error:
        return {"error": f"did not start: {error}"}


def decode_us(server: Server, files: tokens.Files, cpu: int | None) -> float:
    """What PyJWT alone needs for a token, on the server's CPU and by its interpreter."""
    command = [server.command[0], str(Path(tokens.__file__)), "--decode", str(files.key), str(files.tokens)]
    if cpu is not None:
        command = ["taskset", "--cpu-list", str(cpu), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout)


def load(up: Running, arguments: list[str], *, seconds: float, pinned: bool) -> dict[str, Any]:
    """Let the load client loose on a server that listens."""
    command = [str(BINARIES / "fanwire-load"), *arguments]
    command += ["--port", str(up.port), "--seconds", str(seconds)]
    if pinned:
        command += ["--cpu", str(CLIENT_CPU)]
    before, counts = (machine_cpu(), up.cpu(), children_cpu(), time.monotonic()), network()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"the load client had no result after {CLIENT_LIMIT:.0f} s", "command": shown(command)}
    spent = machine_cpu() - before[0], up.cpu() - before[1], children_cpu() - before[2]
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        server = up.complaint()
        return {"error": " | ".join([*said[:1], *([f"server: {server}"] if server else [])])}
    found: dict[str, Any] = json.loads(done.stdout)
    found["command"] = shown(command)
    # What neither the server nor the client used. On two cores, more than a few hundredths spoil a number.
    found["others_cpu"] = round(max(0.0, spent[0] - spent[1] - spent[2]) / (time.monotonic() - before[3]), 3)
    found.update({name: count - counts[name] for name, count in network().items()})
    return found


def pick(wanted: str | list[str], known: list[str]) -> list[str]:
    """Check the names of a comma list."""
    if isinstance(wanted, list):
        return wanted
    if wanted == "all":
        return known
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{', '.join(unknown)}: known are {', '.join(known)}")
    return names


if __name__ == "__main__":
    # Python's own answer to SIGTERM would skip every `finally` and leave a server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
