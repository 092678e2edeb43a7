"""Listening sockets that the process has inherited, from systemd or from another parent."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import NamedTuple

from fanwire.listening.bind_errors import cannot_listen

__all__ = ["Inherited"]


class Inherited(NamedTuple):
    """Sockets that the parent process has bound. The server uses duplicates: the sockets stay open when it stops, and
    connections wait for its next start.

    Attributes:
        fds: the descriptors; None: those that systemd passes (sd_listen_fds(3)).
        is_ours: whether the descriptors are for this server alone, which then closes them.
    """

    fds: tuple[int, ...] | None
    is_ours: bool = False

    def __str__(self) -> str:
        if self.fds is None:
            return "the sockets of systemd"
        return f"descriptor{'s' * (len(self.fds) > 1)} {', '.join(map(str, self.fds))}"

    async def bind(self, backlog: int) -> list[socket.socket]:
        """Duplicates the sockets, and listens; see `Listeners.bind`."""
        sockets: list[socket.socket] = []
        try:
            for fd in self.descriptors():
                with cannot_listen(f"descriptor {fd}", {}):
                    sockets.append(_adopted(fd, backlog))
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    def release(self) -> None:
        """Closes the descriptors, if they are for this server alone."""
        if self.is_ours:
            for fd in self.fds or ():
                with contextlib.suppress(OSError):
                    os.close(fd)

    def descriptors(self) -> tuple[int, ...]:
        """The numbers of the descriptors.

        Raises:
            OSError: systemd has passed none to this process.
        """
        if self.fds is not None:
            return self.fds
        pid, count = os.environ.get("LISTEN_PID", ""), os.environ.get("LISTEN_FDS", "")
        with cannot_listen(self, {}):
            if not pid.isdecimal() or not count.isdecimal() or int(count) == 0:
                raise OSError(
                    errno.ENOTCONN,
                    "LISTEN_PID and LISTEN_FDS are not set: start the server by a socket unit (systemd.socket(5))",
                )
            if int(pid) != os.getpid():
                raise OSError(
                    errno.ENOTCONN,
                    f"the sockets are for process {pid}, this is {os.getpid()}: start the server without a shell",
                )
        fds = tuple(range(FIRST_PASSED, FIRST_PASSED + int(count)))
        for fd in fds:
            with contextlib.suppress(OSError):
                # As sd_listen_fds(3) does: child processes must not inherit them.
                os.set_inheritable(fd, False)
        return fds


def _adopted(fd: int, backlog: int) -> socket.socket:
    """A listening duplicate of a socket.

    Raises:
        OSError: the descriptor is no socket that can listen.
    """
    own = -1
    try:
        own = os.dup(fd)
        sock = socket.socket(fileno=own)
    except OSError as error:
        if own >= 0:
            os.close(own)
        what = "the process has no such descriptor" if error.errno == errno.EBADF else "the descriptor is not a socket"
        raise OSError(
            error.errno, f"{what}; give the number of a socket that systemd or another parent process passes"
        ) from error
    try:
        is_tcp, name = sock.family in (socket.AF_INET, socket.AF_INET6), sock.getsockname()
        if sock.type != socket.SOCK_STREAM or not (is_tcp or sock.family == socket.AF_UNIX):
            raise OSError(
                errno.EPROTOTYPE, "the socket is not a stream socket of TCP or Unix (systemd: use ListenStream=)"
            )
        if not (name[1] if is_tcp else name):
            raise OSError(errno.EINVAL, "the socket has no address; the process that passes it must bind it")
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            if _is_connected(sock):
                raise OSError(
                    errno.EISCONN, "the socket is a connection and not a listening socket (systemd: use Accept=no)"
                )
            sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


FIRST_PASSED = 3
"""The first descriptor that systemd passes (SD_LISTEN_FDS_START)."""
