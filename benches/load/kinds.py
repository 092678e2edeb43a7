"""What each kind of hostile connection takes of the server: `kinds.py [--python PATH] [--rate N] [NAMES]`.

The attack of `run.py` says what all kinds together cost; this says which of them it is, each by itself, for the thread
of the event loop and for the engine's threads. Rule: CPU is the kernel's account of each thread, so nothing runs in the
server for the measurement.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tokens
from servers import BINARIES, HERE, fanwire, running

SERVER_CPU, CLIENT_CPU = 0, 1
SUBJECTS = 512
#: Seconds after the last one for what the server still does about them.
SETTLE = 0.3


def main() -> None:
    """Print a line for each kind, and the mean by their shares in the mix."""
    parser = argparse.ArgumentParser(description="What each kind of hostile connection takes of the server.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these kinds")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of another checkout")
    parser.add_argument("--rate", type=float, default=300.0, help="connections per second")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each kind")
    asked = parser.parse_args()
    shares = known()
    if unknown := [name for name in asked.names if name not in shares]:
        parser.error(f"{', '.join(unknown)}: known are {', '.join(shares)}")
    with tempfile.TemporaryDirectory() as directory:
        files = tokens.make(Path(directory), "HS256", SUBJECTS)
        server = fanwire("fanwire", "", asked.python)
        with running(server, SERVER_CPU, watch=False, options=("--defaults", "--jwt", str(files.key))) as up:
            sums = [0.0, 0.0]
            for name in asked.names or shares:
                before = cpu_us(up.process.pid)
                found = attack(name, up.port, files.tokens, rate=asked.rate, seconds=asked.seconds)
                time.sleep(SETTLE)
                after = cpu_us(up.process.pid)
                each = [(then - now) / max(found["opened"], 1) for now, then in zip(before, after, strict=True)]
                sums = [total + part * shares[name] for total, part in zip(sums, each, strict=True)]
                outcomes = ", ".join(f"{what} {count}" for what, count in found["outcomes"].get(name, {}).items())
                print(f"{name:20} loop {each[0]:8.1f} µs  engine {each[1]:7.1f} µs  {outcomes}", flush=True)
            weight = sum(shares[name] for name in asked.names or shares)
            print(f"by their shares      loop {sums[0] / weight:8.1f} µs  engine {sums[1] / weight:7.1f} µs")


def known() -> dict[str, int]:
    """Read the kinds and their shares of the mix where they are written down."""
    source = (HERE / "src" / "mix.rs").read_text(encoding="utf-8")
    return {name: int(share) for name, share in re.findall(r'kind\("([a-z0-9-]+)", (\d+),', source)}


def attack(kind: str, port: int, made: Path, *, rate: float, seconds: float) -> dict[str, Any]:
    """Let so many connections of one kind loose; give the load client's result."""
    command = [str(BINARIES / "fanwire-load"), "hostile", "--kinds", kind, "--tokens", str(made), "--port", str(port)]
    command += ["--rate", str(rate), "--seconds", str(seconds), "--cpu", str(CLIENT_CPU)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + seconds, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # an object


def cpu_us(pid: int) -> tuple[float, float]:
    """Microseconds of the event loop's thread, which is the first, and of all others together."""
    loop = others = 0.0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        used = int((thread / "schedstat").read_text(encoding="ascii").split()[0]) / 1e3
        if thread.name == str(pid):
            loop = used
        else:
            others += used
    return loop, others


if __name__ == "__main__":
    main()
