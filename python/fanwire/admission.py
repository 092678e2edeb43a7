"""Who may still come in: connections and handshakes, in total and by address. Pure: the clock is an argument."""

from __future__ import annotations

import math

from fanwire.errors import Refused
from fanwire.limits import Limits
from fanwire.meter import Meter, Rate
from fanwire.proxies import network_of

__all__ = ["Admission", "Ticket"]


class Admission:
    """Counts those who are in.

    Args:
        limits: how many may be.
    """

    def __init__(self, limits: Limits) -> None:
        config = limits.config
        self._limits = limits
        self._all = Meter()
        self._rate = Rate(config.handshake_rate, config.handshake_burst)
        self._address_rate = Rate(config.address_handshake_rate, config.address_handshake_burst)
        self._addresses: dict[str, _Address] = {}
        self.connections = 0

    def arrive(self, now: float) -> Ticket:
        """A peer was accepted. Its ticket holds its place until it leaves.

        Raises:
            Refused: 503, there are too many, or too many come.
        """
        config = self._limits.config
        # First, so that nobody is counted who is refused.
        wait = self._all.take(self._rate, now)
        if wait and self._limits.over("handshake_rate"):
            raise Refused(503, "more connections than handshake_rate", retry_after=_seconds(wait))
        if self.connections >= config.max_connections > 0 and self._limits.over("max_connections"):
            raise Refused(503, "as many connections as max_connections", retry_after=BUSY)
        return Ticket(self)

    def locate(self, ticket: Ticket, address: str, now: float) -> None:
        """The peer's address is known.

        Raises:
            Refused: 429, too many come from there.
        """
        if not address:
            # A Unix socket: whoever can open it is on this machine.
            return
        config = self._limits.config
        network = network_of(address)
        entry = self._addresses.get(network)
        if entry is None:
            self._sweep(now)
            entry = self._addresses[network] = _Address()
        wait = entry.meter.take(self._address_rate, now)
        if wait and self._limits.over("address_handshake_rate"):
            reason = f"more connections from {network} than address_handshake_rate"
            raise Refused(429, reason, retry_after=_seconds(wait))
        if entry.connections >= config.max_address_connections > 0 and self._limits.over("max_address_connections"):
            raise Refused(429, f"as many connections from {network} as max_address_connections", retry_after=BUSY)
        entry.connections += 1
        ticket.address = network

    def left(self, ticket: Ticket) -> None:
        """A peer is gone."""
        self.connections -= 1
        entry = self._addresses.get(ticket.address)
        if entry is not None:
            entry.connections -= 1

    def _sweep(self, now: float) -> None:
        """Forgets addresses of which nothing is to be remembered. Those of connections are as many as these."""
        if len(self._addresses) < MAX_IDLE or now < self._swept + SWEEP:
            return
        self._swept = now
        idle = [network for network, entry in self._addresses.items() if not entry.connections]
        unremarkable = [network for network in idle if self._addresses[network].meter.is_full(now)]
        # Of those who only come and go, from more addresses than are plausible, the rates are forgotten early.
        for network in unremarkable or idle[: MAX_IDLE // 2]:
            del self._addresses[network]

    _swept = -math.inf


class Ticket:
    """One peer's place.

    Attributes:
        address: where it counts; "" as long as that is not known.
    """

    __slots__ = ("_admission", "address")

    def __init__(self, admission: Admission) -> None:
        self._admission: Admission | None = admission
        self.address = ""
        admission.connections += 1

    def leave(self) -> None:
        """Gives the place back; once, however often it is called."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.left(self)


class _Address:
    __slots__ = ("connections", "meter")

    def __init__(self) -> None:
        self.connections = 0
        self.meter = Meter()


def _seconds(wait: float) -> int:
    return max(1, math.ceil(wait))


BUSY = 5
"""Seconds until one who found no room should try again: somebody leaves when somebody leaves."""

MAX_IDLE = 65_536
"""Addresses without a connection whose rates are remembered; some 10 MB."""

SWEEP = 1.0
"""Seconds between two looks at all of them."""
