"""The limits on connections that speak plain HTTP: in total, and from one address. Pure."""

from __future__ import annotations

from fanwire.errors import Refused
from fanwire.identity.proxies import network_of
from fanwire.observability.limits import Limits

__all__ = ["HttpPlace", "HttpPlaces"]


class HttpPlaces:
    """Counts the connections that speak plain HTTP. Some places are reserved for peers whose first request shows an API
    key, so that other peers cannot take them all.

    Args:
        limits: the limits of the server.
        reserve: whether places are reserved: the server has API keys.
    """

    def __init__(self, limits: Limits, *, reserve: bool) -> None:
        config = limits.config
        self._limits = limits
        # At least half of the places are open to all peers.
        self._reserved = min(config.http_reserve, config.max_http_connections // 2) if reserve else 0
        self._by_address: dict[str, int] = {}
        self._without_key = 0
        self._with_key = 0

    def __len__(self) -> int:
        return self._without_key + self._with_key

    def take(self, address: str, *, has_key: bool) -> HttpPlace:
        """Takes a place for one connection.

        Args:
            address: the peer's address; "" for a Unix socket or a trusted proxy, which are not counted by address.
            has_key: whether the peer has shown an API key.

        Raises:
            Refused: 503, there are too many connections; 429, too many from this address.
        """
        config = self._limits.config
        most = config.max_http_connections if has_key else config.max_http_connections - self._reserved
        taken = len(self) if has_key else max(self._without_key, len(self) - self._reserved)
        if taken >= most and self._limits.over("max_http_connections"):
            raise Refused(503, f"max_http_connections ({config.max_http_connections}) is reached", retry_after=BUSY)
        network = "" if has_key or not address else network_of(address)
        if network:
            count = self._by_address.get(network, 0)
            if count >= config.max_address_http_connections > 0 and self._limits.over("max_address_http_connections"):
                reason = (
                    f"max_address_http_connections ({config.max_address_http_connections}) is reached for {network}"
                )
                raise Refused(429, reason, retry_after=BUSY)
            self._by_address[network] = count + 1
        if has_key:
            self._with_key += 1
        else:
            self._without_key += 1
        return HttpPlace(self, network, has_key=has_key)

    def leave(self, network: str, *, has_key: bool) -> None:
        """Frees a place. `HttpPlace.leave` calls it."""
        if has_key:
            self._with_key -= 1
        else:
            self._without_key -= 1
        if network:
            self._by_address[network] -= 1
            if not self._by_address[network]:
                del self._by_address[network]


class HttpPlace:
    """The place of one connection."""

    __slots__ = ("_has_key", "_network", "_places")

    def __init__(self, places: HttpPlaces, network: str, *, has_key: bool) -> None:
        self._places: HttpPlaces | None = places
        self._network = network
        self._has_key = has_key

    def leave(self) -> None:
        """Frees the place. Later calls do nothing."""
        places, self._places = self._places, None
        if places is not None:
            places.leave(self._network, has_key=self._has_key)


BUSY = 1
"""Seconds after which a refused peer should try again (`Retry-After`)."""
