"""How many connections may speak plain HTTP, in all and from one address. Pure."""

from __future__ import annotations

from fanwire.errors import Refused
from fanwire.identity.proxies import network_of
from fanwire.observability.limits import Limits

__all__ = ["HttpPlaces", "Place"]


class HttpPlaces:
    """Counts connections that speak plain HTTP. Some places are kept for peers that show an API key with their first
    request, so that others cannot take them all.

    Args:
        limits: how many there may be.
        reserve: whether there are API keys, for which to keep places.
    """

    def __init__(self, limits: Limits, *, reserve: bool) -> None:
        config = limits.config
        self._limits = limits
        # At least half of the places are for everybody.
        self._reserved = min(config.http_reserve, config.max_http_connections // 2) if reserve else 0
        self._by_address: dict[str, int] = {}
        self._strangers = 0
        self._keyed = 0

    def __len__(self) -> int:
        return self._strangers + self._keyed

    def take(self, address: str, *, has_key: bool) -> Place:
        """Takes a place.

        Args:
            address: the peer's; "" where it says nothing of the client: a Unix socket, a proxy that is trusted.
            has_key: whether the peer has shown an API key.

        Raises:
            Refused: 503, there are too many connections; 429, too many from this address.
        """
        config = self._limits.config
        most = config.max_http_connections if has_key else config.max_http_connections - self._reserved
        taken = len(self) if has_key else max(self._strangers, len(self) - self._reserved)
        if taken >= most and self._limits.over("max_http_connections"):
            raise Refused(503, "as many connections as max_http_connections", retry_after=BUSY)
        network = "" if has_key or not address else network_of(address)
        if network:
            count = self._by_address.get(network, 0)
            if count >= config.max_address_http_connections > 0 and self._limits.over("max_address_http_connections"):
                reason = f"as many connections from {network} as max_address_http_connections"
                raise Refused(429, reason, retry_after=BUSY)
            self._by_address[network] = count + 1
        if has_key:
            self._keyed += 1
        else:
            self._strangers += 1
        return Place(self, network, has_key=has_key)

    def leave(self, network: str, *, has_key: bool) -> None:
        """A place is free again."""
        if has_key:
            self._keyed -= 1
        else:
            self._strangers -= 1
        if network:
            self._by_address[network] -= 1
            if not self._by_address[network]:
                del self._by_address[network]


class Place:
    """The place of one connection."""

    __slots__ = ("_has_key", "_network", "_places")

    def __init__(self, places: HttpPlaces, network: str, *, has_key: bool) -> None:
        self._places: HttpPlaces | None = places
        self._network = network
        self._has_key = has_key

    def leave(self) -> None:
        """Gives it back; once, however often it is called."""
        places, self._places = self._places, None
        if places is not None:
            places.leave(self._network, has_key=self._has_key)


BUSY = 1
"""Seconds until one that found no room should try again."""
