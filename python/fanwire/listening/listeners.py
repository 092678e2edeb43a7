"""The listening sockets of a server."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Any, NamedTuple

from fanwire.listening.bind_errors import cannot_listen
from fanwire.listening.inherited import Inherited
from fanwire.listening.unix_socket import SocketFile, Unix

__all__ = ["HOST", "PORT", "Inherited", "Listeners", "Place", "Tcp", "Unix"]

logger = logging.getLogger("fanwire")

HOST = "127.0.0.1"
"""The default: only programs on this machine can connect."""

PORT = 8000


class Listeners:
    """The listening sockets of a server, from `bind` to `close`. It can be bound again.

    Args:
        place: the address, the Unix socket, or the inherited sockets.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._sockets: list[socket.socket] = []
        self._bound: list[tuple[str, int]] = []
        self._path = ""
        self._file: SocketFile | None = None

    async def bind(self, backlog: int) -> list[socket.socket]:
        """Binds and returns the sockets, which listen, do not block, and are open until `close`.

        Args:
            backlog: the most connections that wait in the kernel (listen(2)). An inherited socket that listens already
                keeps its own.

        Raises:
            OSError: the address is in use, not of this machine, or not permitted. The text names the address and says
                what to do.
        """
        self._keep(await self.place.bind(backlog))
        return list(self._sockets)

    async def reserve(self, backlog: int) -> list[socket.socket]:
        """Binds the sockets for worker processes, in a parent that accepts no connections. TCP sockets only reserve the
        port and do not listen: each worker binds its own, with `reuse_port`.

        Raises:
            OSError: as `bind`.
        """
        place = self.place
        self._keep(await (place.reserve() if isinstance(place, Tcp) else place.bind(backlog)))
        return list(self._sockets)

    def close(self) -> None:
        """Closes the sockets, and removes the file of a Unix socket. A second call does nothing."""
        file, self._file = self._file, None
        if file is not None:
            # First, so that a client never finds a file without a server.
            file.remove()
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            sock.close()
        if sockets and isinstance(self.place, Inherited):
            self.place.release()

    @property
    def port(self) -> int:
        """The bound port; before `bind` the requested one. 0 for a Unix socket."""
        if self._bound:
            return self._bound[0][1]
        return self.place.port if isinstance(self.place, Tcp) else 0

    def url(self, scheme: str, path: str = "") -> str:
        """The URL for clients on this machine.

        Args:
            scheme: "ws" or "wss".
            path: of the requests, if not "/".

        Returns:
            Such as "ws://127.0.0.1:8000/path" or "ws+unix:/run/fanwire.sock:/path". Empty for inherited sockets before
            `bind`.
        """
        if isinstance(self.place, Tcp):
            return f"{scheme}://{_written(self.place.host, self.port)}{path}"
        if self._bound:
            return f"{scheme}://{_written(*self._bound[0])}{path}"
        file = self.place.path.absolute() if isinstance(self.place, Unix) else self._path
        return f"{scheme}+unix:{file}{path and f':{path}'}" if file else ""

    def _keep(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._bound = [sock.getsockname()[:2] for sock in sockets if sock.family in FAMILIES]
        self._path = next((sock.getsockname() for sock in sockets if sock.family == socket.AF_UNIX), "")
        if isinstance(self.place, Unix):
            self._file = SocketFile.of(self._sockets[0])


class Tcp(NamedTuple):
    """All addresses of a host, at one port.

    Attributes:
        host: a name or an address; "0.0.0.0": all addresses of IPv4 that this machine has, "::": all of IPv6 and IPv4.
        port: the port; 0: any free one, the same at all addresses.
        reuse_port: other processes may listen there (SO_REUSEPORT, socket(7)); the kernel gives each its share.
    """

    host: str = HOST
    port: int = PORT
    reuse_port: bool = False

    def __str__(self) -> str:
        return _written(self.host, self.port)

    async def bind(self, backlog: int) -> list[socket.socket]:
        """Binds all addresses of the host; see `Listeners.bind`."""
        return await self._sockets(backlog)

    async def reserve(self) -> list[socket.socket]:
        """Reserves the port at all addresses; see `Listeners.reserve`."""
        return await self._replace(reuse_port=True)._sockets(None)

    async def _sockets(self, backlog: int | None) -> list[socket.socket]:
        found = await self._addresses()
        attempts = FREE_PORTS if self.port == 0 and len(found) > 1 else 1
        while True:
            attempts -= 1
            try:
                return self._bind_all(found, backlog)
            except OSError as error:
                # A port that is free at one address may be in use at another.
                if error.errno != errno.EADDRINUSE or attempts == 0:
                    raise

    async def _addresses(self) -> list[_Address]:
        loop = asyncio.get_running_loop()
        found: list[_Address] = []
        # A socket for each family: then no address of IPv4 looks like one of IPv6 ("::ffff:192.0.2.1").
        for host in (ALL_IPV6, ALL_IPV4) if self.host == ALL_IPV6 else (self.host,):
            try:
                infos = await loop.getaddrinfo(host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            except OSError as error:
                why = f"{self.host!r} has no address ({error.strerror})"
                raise socket.gaierror(error.errno, f"cannot listen at {self}: {why}") from error
            found += [_Address(family, address) for family, _, _, _, address in infos if family in FAMILIES]
        return list(dict.fromkeys(found))

    def _bind_all(self, found: list[_Address], backlog: int | None) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        absent: OSError | None = None
        port = self.port
        try:
            for family, (host, _, *rest) in found:
                try:
                    sock = self._bind_one(family, (host, port, *rest), backlog)
                except OSError as error:
                    if error.errno not in ABSENT:
                        raise
                    # "localhost" is ::1, too, also on a machine without IPv6.
                    absent = error
                    continue
                sockets.append(sock)
                port = port or sock.getsockname()[1]
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        if absent is not None and not sockets:
            raise absent
        if absent is not None:
            logger.info("%s; the other addresses of %s are there", absent.strerror, self.host)
        return sockets

    def _bind_one(self, family: int, address: tuple[Any, ...], backlog: int | None) -> socket.socket:
        with cannot_listen(_written(*address[:2]), ADVICE):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                # Otherwise connections of a server that has just ended (TIME_WAIT) block the address for a minute.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if self.reuse_port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(address)
                if backlog is None:
                    # From now on only processes that say `reuse_port` may listen there.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
                else:
                    # Fails if another socket listens: two may bind an address, but only one may listen.
                    sock.listen(backlog)
            except BaseException:
                sock.close()
                raise
            return sock


Place = Tcp | Unix | Inherited


class _Address(NamedTuple):
    family: int
    address: tuple[Any, ...]


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


FAMILIES = (socket.AF_INET, socket.AF_INET6)

ALL_IPV4, ALL_IPV6 = "0.0.0.0", "::"  # noqa: S104 - only where it is asked for

ADVICE = {
    errno.EADDRINUSE: (
        "Another program, or another server of this one, listens there: stop it, or choose another port (0 takes any "
        "free one)"
    ),
    errno.EADDRNOTAVAIL: f"It is no address of this machine; {ALL_IPV4} and {ALL_IPV6} mean all of its addresses",
    errno.EACCES: "A port below 1024 needs CAP_NET_BIND_SERVICE, or a socket unit of systemd",
}

ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The errors of an address that the name has, but this machine has not."""

FREE_PORTS = 20
"""Attempts to find a port that is free at all addresses. The first succeeds unless thousands of ports are in use."""
