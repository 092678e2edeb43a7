"""The limits of a machine against the limits of a server. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fanwire.config import Config
from fanwire.doctor.finding import Finding, ok, problem, skipped, warning
from fanwire.doctor.system_readings import SystemReadings
from fanwire.process.open_files import FileLimits, advice, needed_files, shown
from fanwire.process.shard_cores import crowded, missing

__all__ = ["check_system"]


def check_system(
    found: SystemReadings, config: Config, *, port: int | None = None, has_tls: bool = False, workers: int = 1
) -> list[Finding]:
    """Checks a machine.

    Args:
        found: what was read.
        config: the limits of the server.
        port: where it listens; None: at no fixed port.
        has_tls: whether it speaks TLS itself.
        workers: the number of its processes.
    """
    return [
        check_files(found, config, has_tls=has_tls),
        check_backlog(found, config),
        check_ports(found, port),
        check_socket_buffers(found, config),
        check_socket_memory(found, config, workers),
        *check_conntrack(found, config, workers),
        check_processors(found, config, workers),
        *check_spinning(found, config, workers),
        check_memory(found, config, workers),
        *check_swap(found),
        *check_overcommit(found),
    ]


def check_files(found: SystemReadings, config: Config, *, has_tls: bool = False) -> Finding:
    """Open files: each connection takes one."""
    name, why = "open files", "Each connection takes one open file. A server refuses the clients for whom none is left."
    soft, hard = found.soft_files, found.hard_files
    if soft is None or hard is None:
        return skipped(name, "the limit cannot be read", why)
    needed = needed_files(config, has_tls=has_tls)
    found_limits = shown(FileLimits(soft, hard), needed)
    if hard < FEW_FILES:
        return problem(name, found_limits, why, advice(needed))
    if config.max_connections == 0:
        return ok(name, f"{found_limits.partition(';')[0]}, which limit the connections", why)
    if hard < needed:
        return warning(name, found_limits, why, advice(needed))
    if soft < needed:
        why += " A server raises the soft limit to the hard one when it starts."
    return ok(name, found_limits, why)


def check_backlog(found: SystemReadings, config: Config) -> Finding:
    """The queue of new connections."""
    name = "backlog"
    why = "The kernel queues this many new connections; when the queue is full, clients wait a second or more."
    if found.somaxconn is None:
        return skipped(name, "net.core.somaxconn cannot be read", why)
    shown = f"net.core.somaxconn = {found.somaxconn}, limits.backlog = {config.backlog}"
    if found.somaxconn >= config.backlog:
        return ok(name, shown, why)
    return warning(name, shown, why, f"sysctl -w net.core.somaxconn={config.backlog}, and the same in /etc/sysctl.d.")


def check_ports(found: SystemReadings, port: int | None) -> Finding:
    """Ports of outgoing connections, which a proxy on this machine needs."""
    name = "local ports"
    why = "A proxy on this machine takes one port of this range for each client of a TCP server."
    if found.port_range is None:
        return skipped(name, "net.ipv4.ip_local_port_range cannot be read", why)
    first, last = found.port_range
    shown = f"net.ipv4.ip_local_port_range = {first} {last}: {last - first + 1} ports"
    if port is not None and first <= port <= last and not is_reserved(port, found.reserved_ports or ""):
        return warning(
            name,
            f"{shown}; the server's port {port} is one of them",
            "An outgoing connection may have the server's port when it starts, and the start fails.",
            f"sysctl -w net.ipv4.ip_local_reserved_ports={port}, or choose a port below {first}.",
        )
    if last - first + 1 < FEW_PORTS:
        return warning(
            name, shown, why,
            "sysctl -w net.ipv4.ip_local_port_range='1024 65535', or let the proxy use a Unix socket.",
        )  # fmt: skip
    return ok(name, shown, why)


def check_socket_buffers(found: SystemReadings, config: Config) -> Finding:
    """The buffers of one socket."""
    name = "socket buffers"
    why = (
        "A send buffer smaller than limits.unsent_bytes slows fast clients down; a small receive buffer, fast senders."
    )
    if not found.tcp_wmem or not found.tcp_rmem:
        return skipped(name, "net.ipv4.tcp_wmem and tcp_rmem cannot be read", why)
    shown = f"net.ipv4.tcp_wmem up to {size(found.tcp_wmem[-1])}, tcp_rmem up to {size(found.tcp_rmem[-1])}"
    small = [
        f"net.ipv4.{what}='{' '.join(map(str, (*values[:-1], least)))}'"
        for what, values, least in (
            ("tcp_wmem", found.tcp_wmem, max(2 * config.unsent_bytes, USUAL_BUFFER)),
            ("tcp_rmem", found.tcp_rmem, USUAL_BUFFER),
        )
        if values[-1] < (config.unsent_bytes if what == "tcp_wmem" else SMALL_BUFFER)
    ]
    return warning(name, shown, why, f"sysctl -w {' '.join(small)}.") if small else ok(name, shown, why)


def check_socket_memory(found: SystemReadings, config: Config, workers: int = 1) -> Finding:
    """The memory of all sockets."""
    name = "socket memory"
    why = "Above this much memory for all TCP sockets the kernel shrinks buffers, and then drops packets."
    if found.tcp_memory is None:
        return skipped(name, "net.ipv4.tcp_mem cannot be read", why)
    needed = config.max_connections * workers * SOCKET
    shown = f"net.ipv4.tcp_mem: pressure at {size(found.tcp_memory)}"
    if found.tcp_memory >= needed:
        return ok(name, shown, why)
    return warning(
        name, f"{shown}; {config.max_connections * workers} connections may take {size(needed)}", why,
        "Raise net.ipv4.tcp_mem (in pages), or lower limits.max_connections.",
    )  # fmt: skip


def check_conntrack(found: SystemReadings, config: Config, workers: int = 1) -> Iterator[Finding]:
    """The firewall's table of connections, if there is one."""
    if found.conntrack_max is None:
        return
    name = "connection tracking"
    why = "The firewall keeps each connection in a table; when it is full, packets of new clients are dropped."
    needed = config.max_connections * workers
    shown = f"net.netfilter.nf_conntrack_max = {found.conntrack_max}"
    if found.conntrack_max >= needed:
        yield ok(name, shown, why)
    else:
        yield warning(
            name, f"{shown}, limits.max_connections = {needed}", why,
            f"sysctl -w net.netfilter.nf_conntrack_max={2 * needed}.",
        )  # fmt: skip


def check_processors(found: SystemReadings, config: Config, workers: int = 1) -> Finding:
    """Processors, and how much of them the process may use."""
    name = "processors"
    why = "The event loop and each writing thread (limits.shards) use a processor under load."
    if found.processors is None:
        return skipped(name, "they cannot be counted", why)
    quota = found.processor_quota
    shown = f"{found.processors} usable, {config.shard_count} writing thread{'s' if config.shard_count != 1 else ''}"
    shown += f" in each of {workers} processes" if workers > 1 else ""
    if quota is not None:
        shown += f", quota {quota:g}"
        if quota < 1 or quota < (config.shard_count + 1) * workers <= found.processors:
            return warning(
                name, shown,
                f"{why} When the quota is used up, the system stops all threads for the rest of the period (100 ms).",
                "Raise the quota (cpu.max; Kubernetes: resources.limits.cpu), or lower limits.shards and --workers.",
            )  # fmt: skip
    if config.shards > found.processors or workers > found.processors:
        return warning(
            name, shown, f"{why} More threads than processors take turns and add latency.",
            "Set limits.shards = 0 (chosen by the processors), or use fewer workers.",
        )  # fmt: skip
    return ok(name, shown, why)


def check_spinning(found: SystemReadings, config: Config, workers: int = 1) -> Iterator[Finding]:
    """Processors for writing threads that spin or stay on one processor."""
    if config.shard_spin == 0 and not config.cores:
        return
    name = "spinning threads"
    why = "A thread that spins takes a whole processor, also while it has nothing to do."
    if fault := missing(config, found.cores):
        yield problem(name, fault, "The server does not start.", "Name usable processors in limits.shard_cores.")
        return
    shown = f"limits.shard_spin = {config.shard_spin:g}, limits.shard_cores = {config.shard_cores!r}"
    if config.cores and workers > 1:
        yield warning(
            name, f"{shown}, {workers} processes", "The processes put their writing threads on the same processors.",
            "Use one process, or give each its own limits.shard_cores.",
        )  # fmt: skip
    elif fault := None if found.processors is None else crowded(config, found.processors, workers):
        yield warning(name, fault, why, "Lower limits.shards, or set limits.shard_spin = 0.")
    else:
        yield ok(name, shown, why)


def check_memory(found: SystemReadings, config: Config, workers: int = 1) -> Finding:
    """Memory against what the server may take."""
    name = "memory"
    why = "A process above the limit of memory is killed, and all clients reconnect."
    limits = [value for value in (found.memory_limit, found.memory) if value is not None]
    if not limits:
        return skipped(name, "the memory cannot be read", why)
    there = min(limits)
    queues = (config.engine_bytes + config.history_bytes + config.inbound_bytes) * workers
    all_of_it = queues + config.max_connections * SESSION * workers + BASE * workers
    is_limited = found.memory_limit is not None and found.memory_limit == there
    shown = f"{size(there)} ({'control group' if is_limited else 'machine'}); the limits allow {size(all_of_it)}"
    advice = "Lower limits.engine_bytes, history_bytes, inbound_bytes or max_connections, or give more memory."
    if queues > there:
        return problem(name, shown, why, advice)
    return warning(name, shown, why, advice) if all_of_it > 0.9 * there else ok(name, shown, why)


def check_swap(found: SystemReadings) -> Iterator[Finding]:
    """Swap that is in use."""
    if found.swap_used is None or not found.memory:
        return
    name, why = "swap", "A page that must be read back from swap stops a thread for milliseconds."
    shown = f"{size(found.swap_used)} in use"
    if found.swap_used > MUCH_SWAP * found.memory:
        yield warning(name, shown, why, "Give the machine more memory, or set vm.swappiness=1 for it.")
    else:
        yield ok(name, shown, why)


def check_overcommit(found: SystemReadings) -> Iterator[Finding]:
    """Whether memory is promised only if it exists."""
    if found.overcommit == STRICT:
        yield warning(
            "overcommit",
            "vm.overcommit_memory = 2",
            "Threads reserve more address space than they use. With 2 an allocation may fail while memory is free.",
            "sysctl -w vm.overcommit_memory=0, unless other programs of this machine need 2.",
        )


def is_reserved(port: int, reserved: str) -> bool:
    """Whether a port is in a list such as "8080,9000-9010"."""
    for part in filter(None, reserved.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and int(first) <= port <= int(last or first):
            return True
    return False


def size(value: float) -> str:
    """A number of bytes in words."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}" if value / factor < 100 else f"{value / factor:.0f} {unit}"
    return f"{value:.0f} bytes"


FEW_FILES = 512
"""A hard limit below which a server has hardly any clients."""

FEW_PORTS = 20_000
"""The default of Linux is 28,232."""

USUAL_BUFFER = 4 << 20
"""The largest buffer of a socket, by the default of Linux."""

SMALL_BUFFER = 64 << 10
"""A receive buffer below which a client on a network of 50 ms sends less than 10 Mbit/s."""

SOCKET = 4096
"""Bytes of kernel memory of an idle connection, at least: one page of its buffers."""

SESSION = 4096
"""Bytes of an idle session, see `Config.max_connections`."""

BASE = 64 << 20
"""Bytes of Python with the server and its libraries."""

MUCH_SWAP = 0.1
"""Of the memory."""

STRICT = 2
