"""A proxy between clients and a server that makes the network worse: cut, silent, late, slow, without upgrades."""

from __future__ import annotations

import random
import re
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

from fanwire.server import Server
from fanwire.testing.tcp_proxy import FIN, RST, ProxyDirection, ProxyLink, TcpProxy
from fanwire.values.checks import check_integer, check_number

__all__ = ["FaultProxy"]

UPGRADE = re.compile(rb"(?i)\r\nupgrade: *websocket\r\n")


class FaultProxy:
    """A TCP proxy on a free port of 127.0.0.1, with faults for all of its connections. Use it within `async with`.

    Faults hold until `heal`, also for connections that come later. Only `cut` and `cut_after` are for the connections
    that are open when they are called, so that a client that reconnects gets through.

    Args:
        to: the server, or a URL such as "ws://127.0.0.1:8000/live". A server must have been started, and listen at TCP.
        seed: of the random numbers of `delay(jitter=...)`, so that each run has the same.

    Raises:
        ValueError: the URL has no port.
        Closed: the server has not been started.

    Example::

        async def a_client_reconnects(server: fanwire.Server) -> None:
            async with FaultProxy(server) as proxy, fanwire.connect(proxy.url) as client:
                room = await client.join("prices")
                proxy.cut()
                server.publish("prices", 1.08)
                await expect(room).to_receive(1.08)
    """

    def __init__(self, to: Server | str, *, seed: int = 0) -> None:
        self._url = urlsplit(to if isinstance(to, str) else to.url)
        host, port = self._url.hostname, self._url.port
        if host is None or port is None:
            got = self._url.geturl()
            raise ValueError(f"the URL must have a host and a port, such as ws://127.0.0.1:8000, got {got!r}")
        self._proxy = _UpgradeProxy(host, port, rng=random.Random(seed))  # noqa: S311 - jitter, the same in each run

    async def __aenter__(self) -> FaultProxy:
        await self._proxy.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._proxy.__aexit__(kind, error, trace)

    @property
    def url(self) -> str:
        """The URL for clients: that of the server, with the port of the proxy."""
        return urlunsplit(self._url._replace(netloc=f"127.0.0.1:{self._proxy.port}"))

    @property
    def port(self) -> int:
        """The port of the proxy."""
        return self._proxy.port

    @property
    def connections(self) -> int:
        """How many connections there are at present."""
        return len(self._proxy.links)

    def cut(self, *, reset: bool = False) -> int:
        """Ends all connections, and loses what is on its way. New connections are served.

        Args:
            reset: with an RST, as when a machine has gone, instead of a FIN.

        Returns:
            How many connections there were.
        """
        count = self.connections
        self._proxy.cut(RST if reset else FIN)
        return count

    def cut_after(self, count: int, *, reset: bool = False) -> None:
        """Ends each open connection after so many bytes more from the server, mostly in the middle of a message.

        Args:
            count: bytes, at least 0.
            reset: as in `cut`.
        """
        check_integer("count", count, least=0)
        for link in self._proxy.links:
            link.down.cut_after(count, RST if reset else FIN, from_now=True)

    def pause(self) -> None:
        """Forwards nothing in either direction, while all connections stay open: only a heartbeat finds out. Nothing
        is lost."""
        self._change(held=True)

    def resume(self) -> None:
        """Ends `pause`. What has waited is forwarded."""
        self._change(held=False)

    def delay(self, seconds: float, *, jitter: float = 0.0) -> None:
        """Forwards all bytes later, in each direction.

        Args:
            seconds: how late they are at least.
            jitter: the most seconds that are added at random. The order of the bytes stays.
        """
        check_number("seconds", seconds, least=0)
        check_number("jitter", jitter, least=0)
        self._change(latency=seconds, jitter=jitter)

    def throttle(self, bytes_per_second: float | None) -> None:
        """Limits what the server sends to a client, for each connection.

        Args:
            bytes_per_second: the limit, above 0; None: no limit.
        """
        if bytes_per_second is not None:
            check_number("bytes_per_second", bytes_per_second, least=1)
        self._proxy.down.change(bandwidth=bytes_per_second)

    def refuse(self) -> None:
        """Resets every new connection, as if nobody listened. Open connections stay: `cut` ends them."""
        self._proxy.refusing = True

    def refuse_upgrades(self) -> None:
        """Answers every new WebSocket with 403, as proxies of some companies do. Other requests are forwarded, so that
        a client goes on over its next transport. Open connections stay: `cut` ends them."""
        self._proxy.refuses_upgrades = True

    def heal(self) -> None:
        """Ends all faults. What was paused is forwarded."""
        self._proxy.refusing = self._proxy.refuses_upgrades = False
        self._change(latency=0.0, jitter=0.0, bandwidth=None, held=False, cut_at=None)

    def _change(self, **faults: object) -> None:
        direction: ProxyDirection
        for direction in (self._proxy.up, self._proxy.down):
            direction.change(**faults)


class _UpgradeProxy(TcpProxy):
    """A proxy that can refuse upgrades."""

    refuses_upgrades = False

    def heard(self, link: ProxyLink, data: bytes) -> None:
        if self.refuses_upgrades and UPGRADE.search(data):
            link.answer(REFUSAL)


REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
