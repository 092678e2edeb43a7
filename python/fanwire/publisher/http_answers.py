"""Connections of urllib3 whose answers have a deadline as a whole. Without it, a server that sends one byte after
another would hold a thread for as long as it likes."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["pool_manager"]


def pool_manager(**options: Any) -> urllib3.PoolManager:
    """A pool manager whose timeouts hold for the whole answer. Otherwise they hold for each of its parts.

    Args:
        options: of `urllib3.PoolManager`.
    """
    manager = urllib3.PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


class _TimedSocket(io.RawIOBase):
    """Reads a socket until a deadline.

    Args:
        sock: has the timeout of the answer that is about to come.
    """

    def __init__(self, sock: socket.socket) -> None:
        timeout = sock.gettimeout()
        self._sock = sock
        self._deadline = None if timeout is None else time.monotonic() + timeout
        # It keeps the socket open until the answer is closed.
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer was not complete in time")
            self._sock.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedSocket(sock))


class TimedHTTPConnection(HTTPConnection):
    response_class = _TimedResponse


class TimedHTTPSConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = TimedHTTPConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = TimedHTTPSConnection
