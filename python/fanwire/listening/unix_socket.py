"""A listening Unix socket and its file, which replaces the file of a dead server, and is removed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from fanwire.listening.bind_errors import cannot_listen

__all__ = ["SocketFile", "Unix"]

logger = logging.getLogger("fanwire")


class Unix(NamedTuple):
    """A socket in the file system.

    Attributes:
        path: its file. The file of a dead server is replaced.
        mode: permissions of the file, such as 0o660; None: those of the umask. Clients need permission to write.
    """

    path: Path
    mode: int | None = None

    def __str__(self) -> str:
        return str(self.path)

    async def bind(self, backlog: int) -> list[socket.socket]:
        """Makes the file, and listens; see `Listeners.bind`."""
        path = self.path.absolute()
        with cannot_listen(path, ADVICE):
            async with _alone_in(path.parent):
                _remove_stale(path)
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    sock.setblocking(False)
                    if self.mode is not None:
                        # Linux makes the file with these permissions, so that it never has wider ones.
                        os.fchmod(sock.fileno(), self.mode)
                    sock.bind(str(path))
                    if self.mode is not None:
                        path.chmod(self.mode)
                    sock.listen(backlog)
                except BaseException:
                    if sock.getsockname():
                        path.unlink(missing_ok=True)
                    sock.close()
                    raise
                return [sock]


class SocketFile(NamedTuple):
    """The file of a Unix socket, as it was when it was bound."""

    path: Path
    device: int
    inode: int
    pid: int

    @classmethod
    def of(cls, sock: socket.socket) -> SocketFile:
        """The file of a socket that was just bound."""
        path = Path(sock.getsockname())
        found = path.lstat()
        return cls(path, found.st_dev, found.st_ino, os.getpid())

    def remove(self) -> None:
        """Removes the file, unless another server has replaced it, or this is a forked process."""
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino, os.getpid()) == self[1:]:
                self.path.unlink()


def _remove_stale(path: Path) -> None:
    """Removes the socket file of a dead server.

    Raises:
        OSError: the file is no socket, or its server lives.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError(
            errno.EEXIST, "a file that is not a socket exists there; remove it, or choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        failed = probe.connect_ex(str(path))
    if failed == errno.ECONNREFUSED:
        logger.info("%s was left by a server that is gone, and is replaced", path)
        path.unlink()
    elif failed != errno.ENOENT:
        # 0, or EAGAIN (its backlog is full): the server lives. EACCES: this user may not connect.
        raise OSError(failed if failed == errno.EACCES else errno.EADDRINUSE, "")


@contextlib.asynccontextmanager
async def _alone_in(folder: Path) -> AsyncIterator[None]:
    """Locks a directory. Two servers that start at once would otherwise both find a stale socket, and the second remove
    the new one of the first."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        # Without a lock: files can be made in a directory that cannot be read.
        yield
        return
    try:
        for _ in range(LOCK_TRIES):
            if _lock(fd):
                break
            await asyncio.sleep(LOCK_PAUSE)
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # The file system has no locks.
        return True
    return True


ADVICE = {
    errno.EADDRINUSE: "A server listens there: stop it, or choose another path",
    errno.ENOENT: "The directory must exist (systemd: RuntimeDirectory=)",
    errno.EACCES: "This process needs permission to write to the directory, and to an existing socket",
}

LOCK_TRIES = 100
"""Attempts to get the lock. A server holds it for less than a millisecond; another program is not waited for longer."""

LOCK_PAUSE = 0.01
"""Seconds between the attempts."""
