"""Handshakes of TLS: what a full and a resumed one cost Fanwire, OpenSSL's own server and others, side by side.

It measures nothing itself: `fanwire-load secure` shakes hands, and each server's CPU time is read before and after. The
servers take turns, so that what drifts on the machine drifts for all of them. README.md says what the figures mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

sys.path.append(str(Path(__file__).resolve().parent.parent / "load"))
import certificates
from machine import ROOT, describe, machine_cpu, process_cpu
from servers import BINARIES, END_LIMIT, SERVERS, StartError, end, free_port, running

SERVER_CPU, CLIENT_CPU = 0, 1
VERSIONS = ("1.3", "1.2")
#: What OpenSSL's own server may need less than Fanwire, and a resumed handshake less than a full one.
TO_OPENSSL, RESUMED = 1.3, 0.5
#: A server that needs as long for a thousand handshakes hangs.
LIMIT = 120.0
NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519:prime256v1;
    return 204;
  }}
}}
"""


@dataclass(frozen=True)
class Way:
    """One line of the table: a certificate, a version, full or resumed."""

    kind: str
    version: str
    is_resumed: bool

    @property
    def name(self) -> str:
        """What it is called in the results."""
        return f"{self.kind} TLS {self.version} {'resumed' if self.is_resumed else 'full'}"


@click.command(context_settings={"max_content_width": 120})
@click.option("--servers", default="fanwire,openssl,nginx", show_default=True, help="Names with commas.")
@click.option(
    "--kinds", default="p256,rsa2048", show_default=True, help="Certificates: " + ",".join(certificates.KINDS)
)
@click.option("--versions", default="1.3,1.2", show_default=True, help="Versions of TLS.")
@click.option("--connects", type=click.IntRange(100), default=2000, show_default=True, help="Handshakes of each turn.")
@click.option("--width", type=click.IntRange(1), default=4, show_default=True, help="Clients at a time.")
@click.option("--browser", is_flag=True, help="Clients ask for AES-128 first, as browsers do, and not for AES-256.")
@click.option("--repeat", type=click.IntRange(1), default=5, show_default=True, help="Turns; the median counts.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file for all figures, as JSON.")
@click.option("--build/--no-build", default=True, help="Build the load client first.")
def main(
    *,
    servers: str,
    kinds: str,
    versions: str,
    connects: int,
    width: int,
    browser: bool,
    repeat: int,
    out: Path | None,
    build: bool,
) -> None:
    """Compare what handshakes cost servers of TLS on this machine."""
    options = ["--width", str(width), *(["--browser"] if browser else [])]
    names = [name.strip() for name in servers.split(",")]
    if not {SERVER_CPU, CLIENT_CPU} <= os.sched_getaffinity(0):
        raise click.ClickException("this needs CPUs 0 and 1")
    if build:
        subprocess.run(["cargo", "build", "--quiet", "--release", "-p", "fanwire-load"], cwd=ROOT, check=True)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="fanwire-bench-") as folder:
        for kind in kinds.split(","):
            made = certificates.make(Path(folder), kind)
            for turn in range(repeat):
                for name in names:
                    runs += measure(
                        name, kind, made, versions.split(","), turn=turn, connects=connects, options=options
                    )
    for run in (run for run in runs if "error" in run):
        click.echo(f"{run['server']}, {run['kind']}: NO RESULT: {run['error']}", err=True)
    results = {
        "machine": describe(pinned=f"servers CPU {SERVER_CPU}, client CPU {CLIENT_CPU}"),
        "connects": connects,
        "width": width,
        "browser": browser,
        "repeat": repeat,
        "runs": runs,
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n")
    ways = [
        Way(kind, version, r) for kind in kinds.split(",") for version in versions.split(",") for r in (False, True)
    ]
    click.echo("\n".join(table(names, ways, runs)))
    sys.exit(judge(ways, runs) > 0)


def measure(
    name: str,
    kind: str,
    made: certificates.Certificate,
    versions: list[str],
    *,
    turn: int,
    connects: int,
    options: list[str],
) -> list[dict[str, Any]]:
    """One server with one certificate: connecting alone, and each version, full and resumed."""
    found: list[dict[str, Any]] = []
    shared = {"server": name, "kind": kind, "turn": turn}
    try:
        with started(name, made) as (port, pid):
            plain = shake(port, pid, [*options, "--plain"], connects)
            found.append({**shared, "way": f"{kind} connect", **plain})
            for version in versions:
                for is_resumed in (False, True):
                    asked = [*options, "--tls", version, *(["--resume"] if is_resumed else [])]
                    # The first handshakes of a server are not like the others.
                    shake(port, pid, asked, 100)
                    way = Way(kind, version, is_resumed).name
                    found.append({**shared, "way": way, **shake(port, pid, asked, connects)})
    except (StartError, OSError, subprocess.SubprocessError) as error:
        found.append({**shared, "way": "", "error": str(error)})
    return found


def shake(port: int, pid: int, options: list[str], connects: int) -> dict[str, Any]:
    """Let the client shake hands; what it said, and the server's CPU time for each handshake."""
    command = [str(BINARIES / "fanwire-load"), "secure", "--port", str(port), "--cpu", str(CLIENT_CPU)]
    command += ["--connects", str(connects), "--seconds", str(LIMIT), *options]
    before, machine, start = nanoseconds(pid), machine_cpu(), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT + 30, check=False)
    if done.returncode != 0:
        raise StartError(next(iter(done.stderr.splitlines()), "the client failed"))
    # What the end of the last connection costs is part of it.
    time.sleep(0.1)
    used, busy = nanoseconds(pid) - before, machine_cpu() - machine
    found: dict[str, Any] = json.loads(done.stdout)
    wall = time.monotonic() - start
    found["cpu_us_per_handshake"] = round(used / 1e3 / found["handshakes"], 2)
    found["others_cpu"] = round(max(0.0, (busy - used / 1e9) / wall - found["client_cpu"]), 3)
    return found


def nanoseconds(pid: int) -> float:
    """CPU time of a process and its living threads; finer than the hundredths of a second in `stat`."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return float(total) if total else process_cpu(pid) * 1e9


@contextlib.contextmanager
def started(name: str, made: certificates.Certificate) -> Iterator[tuple[int, int]]:
    """Start a server; its port and its process."""
    if name not in ("openssl", "nginx"):
        server = next((server for server in SERVERS if server.name == name), None)
        if server is None or "tls" not in server.can:
            raise StartError(f"no server of that name has TLS: {name}")
        options = ("--tls", str(made.certificate), str(made.key))
        with running(server, SERVER_CPU, watch=False, options=options) as up:
            yield up.port, up.process.pid
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fanwire-bench-") as folder:
        if name == "nginx":
            text = NGINX.format(folder=folder, port=port, certificate=made.certificate, key=made.key)
            (Path(folder) / "nginx.conf").write_text(text)
            command = ["nginx", "-p", folder, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
        else:
            # Without `-www` it reads standard input, and prints what it has agreed to.
            command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-www", "-quiet"]
            command += ["-cert", str(made.certificate), "-key", str(made.key)]
        if shutil.which(command[0]) is None:
            raise StartError(f"{command[0]} is not installed")
        quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        command = ["taskset", "--cpu-list", str(SERVER_CPU), *command]
        with subprocess.Popen(command, text=True, **quiet) as process:
            try:
                wait(port, process)
                yield port, process.pid
            finally:
                end(process)


def wait(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + END_LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise StartError("it does not listen")


def cost(runs: list[dict[str, Any]], server: str, way: str, turn: int | None = None) -> float | None:
    """Give the median of what one server needs in one way."""
    found = [
        run["cpu_us_per_handshake"]
        for run in runs
        if run["server"] == server and run["way"] == way and turn in (None, run["turn"])
    ]
    return statistics.median(found) if found else None


def ratio(runs: list[dict[str, Any]], own: tuple[str, str], other: tuple[str, str]) -> float | None:
    """Give the median of the ratios of the turns."""
    found = []
    for turn in {run["turn"] for run in runs}:
        mine, base = cost(runs, *own, turn), cost(runs, *other, turn)
        if mine is not None and base:
            found.append(mine / base)
    return statistics.median(found) if found else None


def table(names: list[str], ways: list[Way], runs: list[dict[str, Any]]) -> Iterator[str]:
    """Microseconds of the server's CPU for each handshake, and what Fanwire's are to OpenSSL's."""
    yield "| handshake | " + " | ".join(f"{name} µs" for name in names) + " | to openssl | to full |"
    yield "|---|" + "---:|" * (len(names) + 2)
    for kind in dict.fromkeys(way.kind for way in ways):
        for way in [f"{kind} connect", *(way.name for way in ways if way.kind == kind)]:
            costs = [cost(runs, name, way) for name in names]
            to_openssl = ratio(runs, ("fanwire", way), ("openssl", way))
            full = way.replace("resumed", "full")
            to_full = ratio(runs, ("fanwire", way), ("fanwire", full)) if full != way else None
            cells = ["" if value is None else f"{value:.0f}" for value in costs]
            cells += ["" if value is None else f"{value:.2f}" for value in (to_openssl, to_full)]
            yield f"| {way} | " + " | ".join(cells) + " |"


def judge(ways: list[Way], runs: list[dict[str, Any]]) -> int:
    """Print the goals; how many are missed. What was not measured is not met."""
    missed = 0
    for way in ways:
        if way.is_resumed:
            full = Way(way.kind, way.version, is_resumed=False).name
            found, bound, what = ratio(runs, ("fanwire", way.name), ("fanwire", full)), RESUMED, "to full"
        else:
            found, bound, what = ratio(runs, ("fanwire", way.name), ("openssl", way.name)), TO_OPENSSL, "to openssl"
        is_met = found is not None and found <= bound
        missed += not is_met
        shown = "not measured" if found is None else f"{found:.2f}"
        click.echo(f"{'met   ' if is_met else 'MISSED'} {way.name + ', ' + what:40} {shown:>12}  <= {bound:g}")
    return missed


if __name__ == "__main__":
    # Python's own answer to SIGTERM would skip every `finally` and leave a server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
