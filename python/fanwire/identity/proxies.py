"""The addresses of clients behind trusted proxies. Pure."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["Proxies", "network_of"]


class Proxies:
    """The trusted proxies, whose `X-Forwarded-For` counts.

    Args:
        networks: their addresses or networks, such as "10.0.0.0/8"; "unix": all peers of a Unix socket.

    Raises:
        ValueError: one is neither.
    """

    def __init__(self, networks: Collection[str]) -> None:
        self._trusts_unix = UNIX in networks
        try:
            self._networks = [ip_network(network) for network in networks if network != UNIX]
        except ValueError as error:
            raise ValueError(f"trusted_proxies must be addresses or networks: {error}") from error
        # Cached: a proxy makes many connections.
        self.trusts = lru_cache(maxsize=1024)(self._trusts)

    def client(self, remote: str, forwarded: str) -> str:
        """The address of a client.

        The last entry of `X-Forwarded-For` is the address that the nearest proxy has seen; the entries before it are
        what it was told. So entries are read from the end, while they are trusted proxies.

        Args:
            remote: the peer's address.
            forwarded: its `X-Forwarded-For`; several headers are joined by commas, in order.

        Returns:
            The first address from the end that is no trusted proxy. If an entry is no address, the proxy that has sent
            it: limits then count all its clients as one.
        """
        if not self.trusts(remote):
            return remote
        for entry in reversed(forwarded.split(",")):
            address = _address(entry.strip())
            if address is None:
                return remote
            remote = str(address)
            if not self.trusts(remote):
                return remote
        return remote

    def _trusts(self, remote: str) -> bool:
        if not remote:
            return self._trusts_unix
        address = _address(remote)
        return address is not None and any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The address by which clients are counted: for IPv6 the /64 network, which one household has."""
    parsed = _address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return address


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if len(text) > LONGEST:
        return None
    if text.startswith("["):
        # "[::1]:4711" and "192.0.2.1:4711": some proxies add the port.
        text, bracket, _ = text[1:].partition("]")
        if not bracket:
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


UNIX = "unix"
"""Stands for all peers of a Unix socket, whose address is ""."""

LONGEST = 64
"""The most characters of an address with its port and scope."""
