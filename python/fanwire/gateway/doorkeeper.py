"""What all front doors of a server have in common: who may come in, and what is said to those who may not."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from fanwire.admission import Admission
from fanwire.authentication import Authentication
from fanwire.gateway.http import HttpSide
from fanwire.gateway.http_connections import HttpPlaces, Place
from fanwire.gateway.upgrade import BadUpgrade, Upgrade
from fanwire.hub import Hub
from fanwire.logs import LimitedLog
from fanwire.meter import Rate
from fanwire.metrics import Metrics
from fanwire.origin import is_same_origin, name_of
from fanwire.proxies import Proxies
from fanwire.request import Head, Request

if TYPE_CHECKING:
    from fanwire.gateway.front_door import FrontDoor

__all__ = ["Doorkeeper"]

logger = logging.getLogger("fanwire.gateway")


class Doorkeeper:
    """The rules of a server's port.

    Args:
        hub: where connections go.
        http: serves peers that speak plain HTTP.
        authentication: says who asks.
        origins: the values of `Origin` that are let in, compared exactly; None: every one, but cookies are believed
            only of the server's own. A request without the header is no browser's and is let in.
        hosts: the names in `Host` that are the server's; None: any.
        proxies: who is believed to ask for others.
        metrics: where refusals are counted.
    """

    def __init__(
        self,
        hub: Hub,
        http: HttpSide,
        authentication: Authentication,
        *,
        origins: Collection[str] | None,
        hosts: Collection[str] | None,
        proxies: Proxies,
        metrics: Metrics,
    ) -> None:
        self.hub = hub
        self.http = http
        self.authentication = authentication
        self.proxies = proxies
        self.admission = Admission(hub.limits)
        self._places = HttpPlaces(hub.limits, reserve=http.has_keys)
        self.is_open = True
        self.waiting: set[FrontDoor] = set()
        self._origins = None if origins is None else frozenset(origins)
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._metrics = metrics
        self._log = LimitedLog(logger, LOG_RATE, metrics.line_suppressed)

    def close(self) -> None:
        """Cuts off those whose head is still not complete."""
        self._log.flush()
        for door in list(self.waiting):
            door.abort()

    def request(self, head: Head, upgrade: Upgrade, peer: str, is_tls: bool) -> Request:
        """What the application gets to see of an upgrade.

        Raises:
            BadUpgrade: 421 for another's host, 403 for an origin that is not let in, 400 for what a trusted proxy has
                forwarded and is not ASCII.
        """
        if self._hosts is not None and name_of(upgrade.host) not in self._hosts:
            raise BadUpgrade(HTTPStatus.MISDIRECTED_REQUEST, f"host {upgrade.host} is not among the server's")
        remote, is_secure = peer, is_tls
        if self.proxies.trusts(peer):
            fields = {b"x-forwarded-for": "", b"x-forwarded-proto": ""}
            for name, value in head.headers:
                lower = name.lower()
                if lower in fields:
                    if not value.isascii():
                        raise BadUpgrade(HTTPStatus.BAD_REQUEST, f"header {lower.decode()} is not ASCII")
                    fields[lower] += ("," if fields[lower] else "") + value.decode("ascii")
            if fields[b"x-forwarded-for"]:
                remote = self.proxies.client(peer, fields[b"x-forwarded-for"])
            is_secure = is_tls or fields[b"x-forwarded-proto"].strip().lower() in ("https", "wss")
        origin, is_allowed = upgrade.origin, False
        if self._origins is None:
            is_allowed = origin is not None and is_same_origin(origin, upgrade.host, is_secure)
        elif origin is not None:
            is_allowed = origin in self._origins
            if not is_allowed:
                raise BadUpgrade(HTTPStatus.FORBIDDEN, f"origin {origin} is not among those let in")
        return Request(head, remote, is_secure, is_allowed)

    def http_place(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> Place:
        """The place of a connection that speaks plain HTTP.

        Args:
            peer: its address.
            headers: of its first request.

        Raises:
            Refused: there is none for it.
        """
        has_key = any(self.http.knows(value) for name, value in headers if name.lower() == b"authorization")
        # A proxy that is trusted asks for many.
        return self._places.take("" if self.proxies.trusts(peer) else peer, has_key=has_key)

    def accepted(self) -> None:
        """An upgrade was accepted."""
        self._metrics.handshakes(101).inc()

    def refused(self, remote: str, status: HTTPStatus, reason: str) -> None:
        """Somebody was not let in. The reason is for the operator: it may quote what a peer should not see."""
        self._metrics.handshakes(status.value).inc()
        self._log.log(logging.INFO, "%s refused with %d: %s", remote or "a peer", status, reason)


LOG_RATE = Rate(1, 50)
"""Lines about refusals."""
