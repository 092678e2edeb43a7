"""Reads the limits of this machine and of this process: `/proc`, cgroups, resource limits. Decides nothing.

A value that cannot be read is None: other systems than Linux have no `/proc`, and containers hide parts of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from fanwire.process.open_files import NO_LIMIT, FileLimits

__all__ = ["SystemReadings", "read_system"]


class SystemReadings(msgspec.Struct, frozen=True, kw_only=True):
    """What was read. Sizes are in bytes.

    Attributes:
        soft_files: the soft limit of open files.
        hard_files: the hard limit of open files.
        somaxconn: `net.core.somaxconn`.
        port_range: `net.ipv4.ip_local_port_range`, the first and the last port.
        reserved_ports: `net.ipv4.ip_local_reserved_ports`.
        tcp_rmem: `net.ipv4.tcp_rmem`: the smallest, the default and the largest receive buffer.
        tcp_wmem: `net.ipv4.tcp_wmem`: the same of the send buffer.
        tcp_memory: the memory of all TCP sockets from which on the kernel saves memory (`tcp_mem`).
        conntrack_max: `net.netfilter.nf_conntrack_max`.
        overcommit: `vm.overcommit_memory`.
        memory: of the machine.
        memory_limit: of the control group.
        swap_used: swap in use.
        processors: those that this process may use.
        cores: the numbers of these processors.
        processor_quota: processors' worth of time that the control group may use.
    """

    soft_files: int | None = None
    hard_files: int | None = None
    somaxconn: int | None = None
    port_range: tuple[int, int] | None = None
    reserved_ports: str | None = None
    tcp_rmem: tuple[int, ...] | None = None
    tcp_wmem: tuple[int, ...] | None = None
    tcp_memory: int | None = None
    conntrack_max: int | None = None
    overcommit: int | None = None
    memory: int | None = None
    memory_limit: int | None = None
    swap_used: int | None = None
    processors: int | None = None
    cores: tuple[int, ...] | None = None
    processor_quota: float | None = None


def read_system(root: Path = Path("/")) -> SystemReadings:
    """Reads this machine.

    Args:
        root: where `proc` and `sys` are, for tests.
    """
    sysctl = root / "proc" / "sys"
    files = FileLimits.read()
    ports = _numbers(sysctl / "net/ipv4/ip_local_port_range")
    pressure = _numbers(sysctl / "net/ipv4/tcp_mem")
    memory = _meminfo(_text(root / "proc/meminfo") or "")
    swap = memory.get("SwapTotal", 0) - memory.get("SwapFree", 0) if "SwapTotal" in memory else None
    return SystemReadings(
        soft_files=files.soft,
        hard_files=files.hard,
        somaxconn=_number(sysctl / "net/core/somaxconn"),
        port_range=(ports[0], ports[1]) if ports is not None and len(ports) == 2 else None,
        reserved_ports=_text(sysctl / "net/ipv4/ip_local_reserved_ports"),
        tcp_rmem=_numbers(sysctl / "net/ipv4/tcp_rmem"),
        tcp_wmem=_numbers(sysctl / "net/ipv4/tcp_wmem"),
        tcp_memory=pressure[1] * os.sysconf("SC_PAGE_SIZE") if pressure is not None and len(pressure) == 3 else None,
        conntrack_max=_number(sysctl / "net/netfilter/nf_conntrack_max"),
        overcommit=_number(sysctl / "vm/overcommit_memory"),
        memory=memory.get("MemTotal"),
        memory_limit=_memory_limit(root),
        swap_used=swap,
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        cores=tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None,
        processor_quota=_processor_quota(root),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _numbers(path: Path) -> tuple[int, ...] | None:
    text = _text(path)
    try:
        return None if text is None else tuple(map(int, text.split()))
    except ValueError:
        return None


def _number(path: Path) -> int | None:
    numbers = _numbers(path)
    return numbers[0] if numbers else None


def _meminfo(text: str) -> dict[str, int]:
    """The fields of /proc/meminfo in bytes."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        amount = rest.split()[:1]
        if amount and amount[0].isdigit():
            found[name] = int(amount[0]) * 1024
    return found


def _groups(root: Path) -> list[Path]:
    """The folders of this process's control group and of those above it (cgroups(7), version 2)."""
    top = root / "sys/fs/cgroup"
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        number, _, path = line.partition("::")
        if number == "0":
            inner = top / path.strip("/")
            return [folder for folder in (inner, *inner.parents) if folder == top or top in folder.parents]
    return [top]


def _memory_limit(root: Path) -> int | None:
    limits = [_number(folder / "memory.max") for folder in _groups(root)]
    # Version 1 writes a number near 2^63 for "no limit".
    limits.append(_number(root / "sys/fs/cgroup/memory/memory.limit_in_bytes"))
    return min((limit for limit in limits if limit is not None and limit < NO_LIMIT), default=None)


def _processor_quota(root: Path) -> float | None:
    quotas = []
    for folder in _groups(root):
        # "max 100000": no limit.
        parts = (_text(folder / "cpu.max") or "").split()
        if len(parts) == 2 and all(part.isdigit() for part in parts) and int(parts[1]):
            quotas.append(int(parts[0]) / int(parts[1]))
    quota, period = (_number(root / f"sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    if quota is not None and quota > 0 and period:
        quotas.append(quota / period)
    return min(quotas, default=None)
