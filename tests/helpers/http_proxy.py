"""A proxy that knows which transport a connection carries, so that one of them can be cut, refused, or left hanging."""

from __future__ import annotations

import re

from fanwire.testing.tcp_proxy import FIN, RST, ProxyLink, TcpProxy

WEBSOCKET, SSE, LONG_POLL, POST, PAGE = "websocket", "sse", "long-poll", "post", "page"
KINDS = (WEBSOCKET, SSE, LONG_POLL, POST)
"""What a client's connections carry; a page and its files are of the kind PAGE."""
LINE = re.compile(rb"(?:^|\r\n\r\n|\n)(GET|POST|OPTIONS|HEAD) (\S+) HTTP/1\.[01]\r\n")


def kind_of(method: bytes, target: bytes, head: bytes) -> str:
    """What a request is about."""
    if re.search(rb"(?i)\r\nupgrade: *websocket\r\n", head):
        return WEBSOCKET
    if method == b"POST":
        return POST
    if b"transport=sse" in target or re.search(rb"(?i)\r\naccept: *text/event-stream\r\n", head):
        return SSE
    return LONG_POLL if b"transport=long-poll" in target or b"link=" in target else PAGE


class HttpProxy(TcpProxy):
    """A proxy whose faults may be of some transports alone. A connection that is kept has the kind of its last request.

    Attributes:
        refused: kinds whose connections are reset as soon as the request has come.
        hanging: kinds whose requests are forwarded, while the answer is held back for ever.
        seen: how many requests there were of each kind.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.refused: set[str] = set()
        self.hanging: set[str] = set()
        self.seen = dict.fromkeys((*KINDS, PAGE), 0)
        self._kinds: dict[ProxyLink, str] = {}

    def heard(self, link: ProxyLink, data: bytes) -> None:
        if self._kinds.get(link) == WEBSOCKET:
            return
        for found in LINE.finditer(data):
            kind = self._kinds[link] = kind_of(found[1], found[2], data[found.start() :])
            self.seen[kind] += 1
            if kind in self.refused:
                link.cut(RST)
            link.down.faults = self.down.faults
            if kind in self.hanging:
                link.down.change(held=True)

    def of(self, *kinds: str) -> list[ProxyLink]:
        """The connections of these kinds."""
        return [link for link in self.links if self._kinds.get(link) in kinds]

    def cut_kind(self, *kinds: str, by: str = FIN) -> int:
        """Cuts the connections of these kinds; returns how many there were."""
        found = self.of(*kinds)
        for link in found:
            link.cut(by)
        return len(found)

    def allow(self) -> None:
        """Takes back all that was refused or left hanging; what hangs already goes on."""
        self.refused, self.hanging, self.refusing = set(), set(), False
        self.down.change(held=False)
        self.up.change(held=False)
