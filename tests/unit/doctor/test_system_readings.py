"""What is read of `/proc` and of control groups, from folders that look like them."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from fanwire.doctor.system_readings import SystemReadings, read_system

FILES = {
    "proc/sys/net/core/somaxconn": "4096\n",
    "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "proc/sys/net/ipv4/ip_local_reserved_ports": "8080,9000-9010\n",
    "proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
    "proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t4194304\n",
    "proc/sys/net/ipv4/tcp_mem": "100\t200\t300\n",
    "proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
    "proc/sys/vm/overcommit_memory": "1\n",
    "proc/meminfo": "MemTotal:  1000 kB\nMemFree: 10 kB\nSwapTotal: 500 kB\nSwapFree: 100 kB\nHugePages_Total: 0\n",
}


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_values_are_read(tmp_path: Path) -> None:
    found = read_system(made(tmp_path, FILES))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert found == SystemReadings(
        soft_files=soft,
        hard_files=hard if hard != resource.RLIM_INFINITY else 1 << 60,
        somaxconn=4096,
        port_range=(32768, 60999),
        reserved_ports="8080,9000-9010",
        tcp_rmem=(4096, 131072, 6291456),
        tcp_wmem=(4096, 16384, 4194304),
        tcp_memory=200 * os.sysconf("SC_PAGE_SIZE"),
        conntrack_max=262144,
        overcommit=1,
        memory=1_024_000,
        swap_used=409_600,
        processors=found.processors,
        cores=tuple(sorted(os.sched_getaffinity(0))),
    )
    assert found.processors is not None
    assert found.processors >= 1


@pytest.mark.parametrize("text", ["", "x", "1 2 3 4 5", "\x00"])
def test_what_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    found = read_system(made(tmp_path, {"proc/sys/net/ipv4/ip_local_port_range": text, "proc/meminfo": text}))
    assert (found.port_range, found.memory, found.swap_used, found.somaxconn) == (None, None, None, None)


def test_the_smallest_limit_of_all_groups_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/app/server\n",
        "sys/fs/cgroup/app/server/memory.max": "max\n",
        "sys/fs/cgroup/app/server/cpu.max": "max 100000\n",
        "sys/fs/cgroup/app/memory.max": "1000000\n",
        "sys/fs/cgroup/app/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/memory.max": "2000000\n",
    }
    found = read_system(made(tmp_path, files))
    assert (found.memory_limit, found.processor_quota) == (1_000_000, 1.5)


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/x\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "500000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    found = read_system(made(tmp_path, files))
    assert (found.memory_limit, found.processor_quota) == (500_000, 0.5)
    files |= {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{(1 << 63) - 4096}\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    }
    found = read_system(made(tmp_path, files))
    assert (found.memory_limit, found.processor_quota) == (None, None)


def test_this_machine_can_be_read() -> None:
    assert read_system().hard_files


@pytest.mark.parametrize("text", ["\n", "0", "0:", "x:y", "0:/a", "0::/../../other"])
def test_a_strange_list_of_control_groups_is_no_error(tmp_path: Path, text: str) -> None:
    found = read_system(made(tmp_path, {"proc/self/cgroup": text, "sys/fs/cgroup/memory.max": "5000\n"}))
    assert found.memory_limit in (5000, None)
