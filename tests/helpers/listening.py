"""Where servers listen: what binds, what fails, and what can be reached."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanwire.listening.listeners import Listeners, Place


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


HAS_IPV6 = _has_ipv6()

needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")


FAMILIES = [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")][: 1 + HAS_IPV6]

WORKERS = 16
"""More than run at once."""


def _ports() -> Iterator[int]:
    """Each worker of pytest has ports of its own, and none twice soon."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    ports = list(range(20_000 + worker, 32_000, WORKERS))
    random.Random().shuffle(ports)
    return itertools.cycle(ports)


PORTS = _ports()


def free_port() -> int:
    """A port that is free at every address of both families. The kernel gives out higher ones by itself (ip(7),
    `ip_local_port_range`), so no other program takes it before the test does."""
    for port in itertools.islice(PORTS, 100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for family, host in FAMILIES:
                sock = stack.enter_context(socket.socket(family))
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port))
            return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def closed(*several: Listeners) -> Iterator[None]:
    try:
        yield
    finally:
        for one in several:
            one.close()


async def fails(place: Place, number: int) -> str:
    one = Listeners(place)
    with closed(one), pytest.raises(OSError, match="cannot listen at ") as failed:
        await one.bind(100)
    assert failed.value.errno == number
    return str(failed.value)


def reaches(family: int, address: object) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as peer:
        peer.settimeout(20)
        return peer.connect_ex(address) == 0


def is_socket(path: Path) -> bool:
    return path.is_socket()


def remove(path: Path) -> None:
    path.unlink()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def leave_stale(path: Path) -> None:
    """As a server that was killed leaves it."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
