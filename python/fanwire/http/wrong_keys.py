"""Keys in `Authorization` headers: reading them, and limiting wrong ones by address, so that keys cannot be guessed and
a wrong one is seen in the log.

The rule it keeps: no key is stored or logged.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fanwire.errors import Refused
from fanwire.identity.proxies import network_of
from fanwire.observability.logs import LimitedLog
from fanwire.timing.token_bucket import Rate

__all__ = ["WrongKeys", "bearer_of"]


class WrongKeys:
    """The wrong keys that addresses have shown.

    Args:
        logger: gets a line for each wrong key, at a limited rate.
        what: the name of such a key in the log.
        clock: returns seconds that never go back.
    """

    def __init__(self, logger: logging.Logger, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._line = f"%s has shown a wrong {what}"
        self._log = LimitedLog(logger, Rate(1, 10))
        # When the failures of each address are forgotten; the address that has failed last comes last.
        self._failures: OrderedDict[str, float] = OrderedDict()
        # Hashes of an address and a right key that it has shown; the latest comes last.
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def check(self, key: str, address: str) -> None:
        """Lets a key be looked at.

        Args:
            key: the shown key; "": none.
            address: of the client; "": it has none (a Unix socket), and all such clients count as one.

        Raises:
            Refused: 429, too many requests of this address had a wrong key. A key that `right` was told of passes.
        """
        network, now = _network(address), self._clock()
        wait = self._failures.get(network, now) - (FAILURES - 1) * PAUSE - now
        if wait > 0 and _hash(network, key) not in self._right:
            text = "too many requests of this address had a wrong key, try again later"
            raise Refused(429, text, retry_after=math.ceil(wait))

    def right(self, key: str, address: str) -> None:
        """The key was right: from this address it passes from now on, whatever others of the address show."""
        found = _hash(_network(address), key)
        self._right[found] = None
        self._right.move_to_end(found)
        if len(self._right) > MAX_ADDRESSES:
            self._right.popitem(last=False)

    def wrong(self, key: str, address: str) -> None:
        """The key was wrong. A request without a key is no failure."""
        if not key:
            return
        network, now = _network(address), self._clock()
        self._failures[network] = max(self._failures.get(network, now), now) + PAUSE
        self._failures.move_to_end(network)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        self._log.log(logging.INFO, self._line, address or "a Unix socket")


def bearer_of(authorization: bytes) -> str:
    """The key in the value of an `Authorization` header; "": there is none."""
    scheme, _, given = authorization.partition(b" ")
    return given.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _network(address: str) -> str:
    return network_of(address) if address else ""


def _hash(network: str, key: str) -> bytes:
    return hashlib.sha256(f"{network} {key}".encode()).digest()


FAILURES = 10
"""Wrong keys of one address at once: enough for typing errors and old scripts."""

PAUSE = 10.0
"""Seconds after which one of these failures is forgotten."""

MAX_ADDRESSES = 10_000
"""Addresses whose failures are remembered, and right keys of addresses; beyond it the oldest are forgotten."""
