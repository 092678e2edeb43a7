"""A TCP connection to a host that may have several addresses, some of which may not work (RFC 8305)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from aiohappyeyeballs import AddrInfoType, start_connection

__all__ = ["ATTEMPT_DELAY", "dial"]

ATTEMPT_DELAY = 0.25
"""Seconds that an address has before the next one is tried beside it, as RFC 8305 section 5 recommends."""


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
        raise OSError(f"{host} has no address")
    try:
        return await start_connection(addresses, happy_eyeballs_delay=ATTEMPT_DELAY, interleave=1, loop=loop)
    except RuntimeError as error:
        # As uvloop says some errors of the system.
        raise OSError(str(error)) from error


async def resolve(host: str, port: int) -> Sequence[AddrInfoType]:
    """The addresses of a host, in the order of the resolver."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
