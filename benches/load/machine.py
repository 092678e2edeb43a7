"""The machine: what it is, what it has used, and what its network went through. Not a server and not a result."""

from __future__ import annotations

import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("picows", "uvloop", "websockets", "aiohttp", "fanwire")
TICK = os.sysconf("SC_CLK_TCK")


def describe(*, pinned: str) -> dict[str, Any]:
    """Describe what a reader needs to judge the numbers."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := version_of(name))},
        "commit": output("git", "rev-parse", "--short", "HEAD"),
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "command": shlex.join(["python", *(shorten(argument) for argument in sys.argv)]),
        "pinned": pinned,
    }


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def shown(command: list[str]) -> str:
    """Give a command as a reader elsewhere can use it: paths from the project's root, passing files' names."""
    return shlex.join(shorten(argument) for argument in command)


def shorten(argument: str) -> str:
    path = Path(argument)
    passing = path.is_relative_to(tempfile.gettempdir()) and not path.is_relative_to(ROOT)
    return path.name if passing else argument.removeprefix(f"{ROOT}/")


def read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


def output(*command: str) -> str | None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def process_cpu(pid: int) -> float:
    """User and system seconds of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def machine_cpu() -> float:
    """Seconds all CPUs of the machine have been busy or stolen."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICK


def children_cpu() -> float:
    """CPU seconds of all children that have ended; the servers are still running when it is asked."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def network() -> dict[str, int]:
    """Count what makes latencies that no server has caused, since the machine started.

    ``packets_dropped``: a CPU's receive queue was full (``netdev_max_backlog``); an overloaded loopback does that.
    ``tcp_timeouts``: a sender had no acknowledgement and began again, after 200 ms or more.
    """
    softnet = Path("/proc/net/softnet_stat").read_text().splitlines()
    dropped = sum(int(line.split()[1], 16) for line in softnet)
    rows = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")]
    extended = dict(zip(rows[0], rows[1], strict=True)) if len(rows) == 2 else {}
    return {"packets_dropped": dropped, "tcp_timeouts": int(extended.get("TCPTimeouts", 0))}
