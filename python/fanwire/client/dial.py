"""A TCP connection to a host that may have several addresses, some of which may not work (RFC 8305)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from aiohappyeyeballs import AddrInfoType, start_connection

__all__ = ["ATTEMPT_DELAY", "RECEIVE_WINDOW", "dial"]

ATTEMPT_DELAY = 0.25
"""Seconds that an address has before the next one is tried beside it, as RFC 8305 section 5 recommends."""

RECEIVE_WINDOW = 1 << 20
"""Bytes that the kernel takes for the client before it has read them, so that they do not grow old there: as many as
come in one round trip of 80 ms at 100 Mbit/s. With SO_RCVBUF the kernel would no longer fit its buffer to the
connection, and would cut this down to `net.core.rmem_max`."""


async def dial(host: str, port: int) -> socket.socket:
    """Connects to the first address that answers.

    The addresses are tried in the order of the resolver, IPv6 and IPv4 in turn. The next attempt begins after
    `ATTEMPT_DELAY`, or as soon as one has failed; the first that succeeds ends the others.

    Raises:
        OSError: none could be reached, or the name has no address.
    """
    loop = asyncio.get_running_loop()
    addresses = await resolve(host, port)
    if not addresses:
        raise OSError(f"the host {host} has no address")
    try:
        sock = await start_connection(addresses, happy_eyeballs_delay=ATTEMPT_DELAY, interleave=1, loop=loop)
    except RuntimeError as error:
        # As uvloop says some errors of the system.
        raise OSError(str(error)) from error
    if hasattr(socket, "TCP_WINDOW_CLAMP"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, RECEIVE_WINDOW)
    return sock


async def resolve(host: str, port: int) -> Sequence[AddrInfoType]:
    """The addresses of a host, in the order of the resolver."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
