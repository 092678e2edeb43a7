"""Takes connections from a listening socket: few in a turn of the loop, so that those who are in do not wait for all of
those who want to be.

An event loop's own server takes all that the kernel has. Each newcomer costs as much as some hundred messages do, and
the kernel's queue is where the others wait at no cost.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl as ssl_module
from collections.abc import Callable

from fanwire.turns import give_way

__all__ = ["Acceptor", "listen"]

logger = logging.getLogger("fanwire.gateway")


class Acceptor:
    """What listens at a server's addresses.

    Args:
        sockets: bound to them. They are closed with this.
        protocol: makes the protocol of each newcomer.
        backlog: how many may wait in the kernel (listen(2)).
        ssl: a context, for TLS.
        handshake_timeout: seconds that a TLS handshake may take.

    Raises:
        OSError: somebody else listens there by now.

    Attributes:
        port: that of the first address.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        protocol: Callable[[], asyncio.Protocol],
        *,
        backlog: int,
        ssl: ssl_module.SSLContext | None,
        handshake_timeout: float,
    ) -> None:
        self._sockets = sockets
        self.port: int = sockets[0].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._ssl = ssl
        self._handshake_timeout = handshake_timeout if ssl else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._retries: dict[socket.socket, asyncio.TimerHandle] = {}
        try:
            for sock in sockets:
                sock.setblocking(False)
                sock.listen(backlog)
                self._loop.add_reader(sock, self._accept, sock)
        except OSError:
            # Two may have bound an address, but only one may listen there.
            self.close()
            raise

    def close(self) -> None:
        """Listens no more. Who has been taken stays."""
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            retry = self._retries.pop(sock, None)
            if retry is not None:
                retry.cancel()
            elif not self._loop.is_closed():
                self._loop.remove_reader(sock)
            sock.close()

    def abort(self) -> None:
        """Listens no more, and gives up TLS handshakes that are under way."""
        self.close()
        for task in self._tasks:
            task.cancel()

    def _accept(self, sock: socket.socket) -> None:
        give_way()
        for _ in range(PER_TURN):
            try:
                peer, _ = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    # The peer's own error, which accept(2) hands on.
                    continue
                logger.warning("cannot accept connections, and tries again in %g s: %s", RETRY, error)
                self._loop.remove_reader(sock)
                self._retries[sock] = self._loop.call_later(RETRY, self._accept_again, sock)
                return
            peer.setblocking(False)
            task = self._loop.create_task(self._take(peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _accept_again(self, sock: socket.socket) -> None:
        del self._retries[sock]
        self._loop.add_reader(sock, self._accept, sock)

    async def _take(self, peer: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, peer, ssl=self._ssl, ssl_handshake_timeout=self._handshake_timeout
            )
        except (OSError, asyncio.TimeoutError) as error:
            # Gone already, or no TLS: nobody is there to be told.
            logger.debug("a peer was lost before it said anything: %r", error)


async def listen(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """Sockets that are bound to all addresses of a host, and do not listen yet.

    Raises:
        OSError: an address is in use or may not be used.
    """
    loop = asyncio.get_running_loop()
    # The loop knows how: names with many addresses, IPv6 apart from IPv4, addresses of servers that have just ended.
    bound = await loop.create_server(asyncio.Protocol, host, port, reuse_port=reuse_port or None, start_serving=False)
    try:
        return [socket.fromfd(sock.fileno(), sock.family, sock.type) for sock in bound.sockets]
    finally:
        bound.close()


PER_TURN = 1
"""Newcomers of one turn of the loop and listening socket. With four each is cheaper, and under an attack those who are
in wait half as long again."""

RETRY = 1.0
"""Seconds after which there may be descriptors again."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What says that it is this process or its machine that cannot take more (accept(2))."""
