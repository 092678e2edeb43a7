"""Who a client is behind proxies that are trusted. Pure."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["Proxies", "network_of"]


class Proxies:
    """Proxies that are believed when they say for whom they ask.

    Args:
        networks: their addresses or networks, such as "10.0.0.0/8"; "unix": all that connect by a Unix socket.

    Raises:
        ValueError: one is neither.
    """

    def __init__(self, networks: Collection[str]) -> None:
        self._trusts_unix = UNIX in networks
        try:
            self._networks = [ip_network(network) for network in networks if network != UNIX]
        except ValueError as error:
            raise ValueError(f"trusted_proxies are addresses or networks: {error}") from error
        # A proxy asks again and again.
        self.trusts = lru_cache(maxsize=1024)(self._trusts)

    def client(self, remote: str, forwarded: str) -> str:
        """The client's address.

        The last entry of `X-Forwarded-For` is what the proxy next to us has seen; those before it are what it was told.
        So they are read from the end, for as long as proxies are named that are trusted.

        Args:
            remote: the peer's address.
            forwarded: its `X-Forwarded-For`, of several headers all, in order, with commas between.

        Returns:
            The first address from the end that is not trusted. Where an entry is no address, the proxy that has sent
            it: limits then hold for all that come by it.
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
    """What counts as one client's address: of IPv6 the /64, which is what a single household has."""
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
"""In place of an address: a peer of a Unix socket has none, and is "" here."""

LONGEST = 64
"""Characters of an address with its port and scope."""
